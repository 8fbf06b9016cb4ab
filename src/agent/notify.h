/* SPDX-License-Identifier: GPL-2.0-or-later */
/* notify -- tells systemd that roostd is ready, how it goes, and that its loop turns.
 *
 * The protocol of sd_notify(3) is one datagram of lines to $NOTIFY_SOCKET; libsystemd
 * would be a library for that alone.  Nothing here can fail in a way that matters: who
 * does not listen is not told, and a message that is lost is one that systemd misses. */
#ifndef ROOST_NOTIFY_H
#define ROOST_NOTIFY_H

#include <event2/event.h>

#include "agent/report.h"

struct notify;

/* With $WATCHDOG_USEC for this process a timer of half that time says WATCHDOG=1 from
 * the loop, so a loop that hangs says nothing.  Without it there is no timer. */
struct notify *notify_new(struct event_base *base);

/* The socket answers and BIRD has something to start with: READY=1. */
void notify_ready(struct notify *notify);
/* What `systemctl status` shows, in one line.  Said when it has changed. */
void notify_status(struct notify *notify, const struct agent_status *status);
void notify_stopping(struct notify *notify);
void notify_free(struct notify *notify);

#endif
