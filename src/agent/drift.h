/* SPDX-License-Identifier: GPL-2.0-or-later */
/* drift -- the kernel's routes are kept as BIRD has them, also against others.
 *
 * Somebody's `ip route del`, a systemd-networkd that cleans up, a static route: BIRD
 * itself notices only when it looks next, which is every 10 s, and says nothing.  Here
 * the kernel tells (kernel/fibwatch.h); a moment later one look compares, what differs is
 * counted and logged, and what is missing BIRD is asked to write again (`reload out`:
 * routes that are there are not taken away meanwhile).  What somebody else put in the
 * way is shown and left alone.  BIRD in recovery, in the middle of a change or (BIRD 3)
 * in the first second of its kernel protocols is right to differ: what was heard then is
 * looked at when that is over. */
#ifndef ROOST_DRIFT_H
#define ROOST_DRIFT_H

#include <event2/event.h>
#include <stdbool.h>
#include <time.h>

#include "base/prefix.h"

struct drift_status {
	unsigned seen;    /* routes found to differ, since roostd runs */
	unsigned repairs; /* how often BIRD was asked to write its routes again */
	time_t last_at;   /* of the last one: when, 0: never, */
	char last[PREFIX_TEXT_MAX + 200]; /* and what */
};

struct agent;
struct drift;

/* `status` is the agent's, counted up here. */
struct drift *drift_new(struct event_base *base, struct agent *agent, struct drift_status *status);
void drift_free(struct drift *drift);

/* After a turn: a roostd that was away has heard nothing, and routes that were nobody's
 * business may now be in the way. */
void drift_turned(struct drift *drift, bool changed);

#endif
