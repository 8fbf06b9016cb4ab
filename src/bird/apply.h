/* SPDX-License-Identifier: GPL-2.0-or-later */
/* apply -- puts a rendered configuration into BIRD as a transaction that BIRD owns.
 *
 *   version   BIRD's greeting: can it do what is wanted?
 *   look      `configure status`, `eval ROOST_CONFIG`: what runs, is a trial pending?
 *   before    which sessions are up, with how many routes?  Sessions of somebody
 *             else's configuration are not taken down: that is a failure.  A
 *             BIRD in recovery, as after each start, is waited for
 *   stage     the generation goes to disk
 *   check     `configure check`: BIRD reads it and changes nothing
 *   trial     `configure ... timeout N`: BIRD takes it and undoes it after N seconds
 *   accept    wait until all is as good as before, by the rules of bird/gates.h
 *   confirm   `configure confirm`, then bird.conf on disk
 *
 * Anything else: `configure undo`, the generation is kept as rejected/ with the
 * reason.  The order is BIRD's own trap list: a configuration that fails throws the
 * undo away (so: check first), a second one without timeout confirms silently (so:
 * one writer), 0004 is not done (so: poll).
 *
 * Killed at any point, the next apply finds out where things stand from the same
 * two questions: a pending trial of the same bytes is carried on, another's is
 * undone; BIRD itself undoes a trial nobody confirms. */
#ifndef ROOST_APPLY_H
#define ROOST_APPLY_H

#include <event2/event.h>

#include "bird/generation.h"
#include "bird/render.h"

enum apply_outcome {
	APPLY_UNCHANGED,   /* BIRD runs these very bytes already; nothing was sent */
	APPLY_CONFIRMED,
	APPLY_REFUSED,     /* BIRD refused it, or is too old: nothing changed */
	APPLY_ROLLED_BACK, /* it ran, was not acceptable, and was undone */
	APPLY_FAILED,      /* BIRD or the disk failed us; worth trying again */
};

const char *apply_outcome_name(enum apply_outcome outcome); /* "confirmed" */

#define APPLY_BIRD_MAX 40

struct apply_result {
	enum apply_outcome outcome;
	unsigned generation; /* confirmed or unchanged: its number */
	struct err err;      /* why not, otherwise */
	char bird[APPLY_BIRD_MAX]; /* the version of the BIRD that was asked, "": none was */
	bool bird_ended; /* failed: after it was told of these bytes */
	bool looked;     /* failed: nothing of this is running, and no more was asked for */
};

struct apply_want {
	const char *socket;       /* BIRD's control socket */
	const char *dir;          /* of the generations */
	unsigned confirm_timeout; /* seconds */
	const struct rendered *rendered;
	const struct session_want *sessions; /* those in `rendered` */
	size_t n_sessions;
	const struct prefixes *own;    /* podCIDRs of this node */
	bool held; /* a generation that BIRD had before: `sessions` and `own` are the file's */
	unsigned max_withdraw_percent; /* of the routes learned; 100: no matter how many */
	bool patient; /* do not try while what an earlier trial has cost is still down */
	bool only_look; /* end what was begun with these bytes, and begin nothing */
	bool bird_ended_before; /* BIRD ended when it was told of these bytes last */
};

typedef void apply_fn(const struct apply_result *result, void *arg);

/* Everything in *want stays the caller's and must live until `done` was called,
 * which never happens from within apply_start(). */
struct apply;
struct apply *apply_start(struct event_base *base, const struct apply_want *want, apply_fn *done,
	void *arg);

/* Lets go of it where it stands; `done` is not called any more. */
void apply_abandon(struct apply *apply);

#endif
