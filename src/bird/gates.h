/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gates -- may a trial be confirmed?  Pure: what BIRD had before beside what it has now.
 *
 *   sessions   that were up are up again, or are not in the new configuration
 *   announced  each is told as many of our podCIDRs as before, or as are left.  Who is
 *              told of others' routes as well is asked for (gates_asks), as a count of
 *              all would not tell
 *   learned    no more than agent.maxWithdraw of the routes that came in have gone,
 *              but for what the new configuration no longer takes, and for those that
 *              are there from another session still: a router that is told what it told
 *              us takes that back
 *
 * A session counts only if the change touches it, by the plan (bird/plan.h): what goes
 * down by itself meanwhile is no fault of the change, and going back would not help
 * it.  Where the plan does not see everything - templates and snippets differ - all
 * count.
 *
 * A session that is to say its routes again has those it had until it has: where that counts
 * the verdict waits for it (gates_wait).
 *
 * A session that a trial has cost may still be down when the next one begins.  So what
 * was up is kept for a while in the file `trial`, and counts again for a change that
 * touches it again; it says nothing about any other change. */
#ifndef ROOST_GATES_H
#define ROOST_GATES_H

#include "base/buf.h"
#include "bird/observe.h"
#include "bird/plan.h"

#define GATES_REMEMBER_SECONDS 600

struct gate_session {
	const char *name;
	long when; /* seen up last, or taken down by a trial: seconds of CLOCK_BOOTTIME */
	unsigned imported, exported, preferred; /* routes, then, as in struct bird_session */
	unsigned own;     /* of our podCIDRs, then, if more was exported than these */
	unsigned own_now; /* the same of the trial */
	unsigned updates; /* that had come, then */
	bool judged, remembered;
	bool import_again; /* as in the plan */
};

struct gates {
	struct arena arena;
	struct gate_session *before;
	size_t n;
};

/* What the new configuration is meant to do. */
struct gates_want {
	const struct session_want *sessions;
	size_t n_sessions;
	unsigned max_withdraw_percent; /* 100: however much */
	unsigned confirm_timeout;      /* seconds, for the message */
	bool held; /* it has other podCIDRs than `sessions` say, perhaps */
};

/* The sessions that are up, seen at `when`. */
void gates_note(struct gates *gates, const struct bird_state *state, long when);

/* What a trial has cost is remembered from its end on, however long it took. */
void gates_renew(struct gates *gates, long now);

/* Reads the file `trial`, for what is not known better; lines that are older than so many
 * seconds, or none of ours, are left out. */
void gates_recall(struct gates *gates, char *text, long now, long seconds);
void gates_write(const struct gates *gates, struct buf *text);

/* Which sessions count.  `rows` is the plan from what runs (NULL: not known, all do);
 * `blind` when it does not see all that differs. */
void gates_judge(struct gates *gates, const struct plan_row *rows, size_t n_rows, bool blind);

/* Has a neighbour not said its routes again yet? */
bool gates_wait(const struct gates *gates, const struct bird_state *state);

/* Must BIRD be asked whether the session is told of `prefix`, one of our podCIDRs: before
 * the trial, or in it? */
bool gates_asks(const struct gates *gates, const struct gates_want *want, size_t session,
	const struct prefix *prefix, bool on_trial);

/* A session that counts, was lost by an earlier trial and is still down; or NULL. */
const char *gates_still_lost(const struct gates *gates, const struct bird_state *state);

/* Only what does not count and is still down is worth remembering now. */
void gates_confirmed(struct gates *gates, const struct bird_state *state);

bool gates_accept(const struct gates *gates, const struct gates_want *want,
	const struct bird_state *state, struct err *why);

/* The last word, when all was asked. */
bool gates_accept_told(
	const struct gates *gates, const struct gates_want *want, struct err *why);

#endif
