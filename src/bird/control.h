/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control -- one connection to BIRD's control socket, asynchronous, on libevent.
 *
 * One command is in flight at a time and its answer is always read to the end:
 * BIRD holds locks for a client that does not read, and 1024 unread bytes make it
 * drop us.  Any trouble -- refused, closed, silent, out of step -- ends the
 * connection; whoever wants to go on opens a new one, which is cheap and certain
 * to be in step.  A connection serves one transaction or one observation. */
#ifndef ROOST_CONTROL_H
#define ROOST_CONTROL_H

#include <event2/event.h>

#include "base/err.h"
#include "bird/reply.h"

struct control;

/* Called once per command: with the whole answer, or with reply NULL and what went
 * wrong.  The reply is the control's and is gone after the call.  The callback may
 * send the next command or close the control. */
typedef void control_fn(const struct reply *reply, const struct err *err, void *arg);

/* Connects.  `done` is called with BIRD's greeting ("0001 BIRD 2.0.12 ready."), or
 * with the error; never from within this call.  `timeout` in seconds. */
struct control *control_open(struct event_base *base, const char *path, unsigned timeout,
	control_fn *done, void *arg);

/* Sends one command without line end, at most CONTROL_MAX_COMMAND bytes; the one
 * before must have been answered. */
#define CONTROL_MAX_COMMAND 1000
void control_send(struct control *control, const char *command, unsigned timeout, control_fn *done,
	void *arg);

/* NULL is fine.  A callback that is due is not called any more. */
void control_close(struct control *control);

#endif
