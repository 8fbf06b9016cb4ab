/* SPDX-License-Identifier: GPL-2.0-or-later */
/* history -- what became of each configuration, in <dir>/history beside the generations.
 *
 * A JSON list, oldest first, of at most HISTORY_MAX entries; replaced by rename.  It is for
 * people and for `rollback` without a number: when it is lost or damaged it begins anew,
 * and nothing else is worse for it.  The same bytes refused again for the same reason are
 * counted and not listed again. */
#ifndef ROOST_HISTORY_H
#define ROOST_HISTORY_H

#include <jansson.h>
#include <time.h>

#include "bird/apply.h"
#include "model/cluster.h"

#define HISTORY_MAX 100

struct history_entry {
	unsigned generation; /* 0: it did not get that far */
	const char *id;
	time_t at;
	enum apply_outcome outcome; /* confirmed, refused or rolled back */
	size_t left;         /* sessions left for later: it was a step (bird/spread.h) */
	enum drain_state drain; /* its bytes say so */
	const char *by;      /* "a change", "roostctl apply", ... */
	const char *changes; /* "RESTART tor:peer", see plan_summary() */
	const char *reason;  /* of what was not confirmed */
};

int history_add(const char *dir, const struct history_entry *entry, struct err *err);

/* The confirmed one, if a crash kept it out of the list; `drain` is what the node says now. */
int history_note(const char *dir, const struct generation *confirmed, enum drain_state drain,
	struct err *err);

/* Newest first; of each whether its generation can be gone back to ("kept") and whether
 * it is the confirmed one ("current").  The caller's. */
json_t *history_json(const char *dir);

struct history_now {
	const char *id; /* what runs, or is being tried */
	enum drain_state drain;
};

/* Which generation `rollback` goes to: `number`, or for 0 the newest one that was confirmed
 * before, that is not what runs now, and no step on the way.  None that says of draining
 * what is not so: only `drain` and `undrain` change that. */
int history_target(const char *dir, unsigned number, const struct history_now *now,
	unsigned *target, char id[CONFIG_ID_LEN + 1], struct err *err);

#endif
