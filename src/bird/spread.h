/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spread -- a change that restarts many sessions, in steps that restart a few.  Pure.
 *
 * A step is the wanted configuration, but for sessions whose turn has not come: these
 * keep the block they have.  So all else happens with the first step, and each is a
 * configuration like any other, a transaction of its own.  Nothing is remembered
 * between them: from what is confirmed and what is wanted follows the next one.
 *
 * Routers, and reflectors to those they serve, carry the same routes: of these one at a
 * time.  A node carries its own: of these a share, that of agent.maxWithdraw, at most half.
 * IPv4 and IPv6 are different routes.
 *
 * What restarts sessions by a template, or by the router id, is no line of theirs, and
 * happens at once. */
#ifndef ROOST_SPREAD_H
#define ROOST_SPREAD_H

#include "bird/plan.h"
#include "bird/render.h"

struct spread_rules {
	bool nodes_one_by_one; /* this node's neighbours are reflectors */
	unsigned percent;      /* of the nodes otherwise */
};

/* The next step from `have` to `want`; `rows` is the plan between them.  Returns how many
 * sessions it leaves for later: 0, and *step is `want`. */
size_t spread_step(const struct fileset *have, const struct rendered *want,
	const struct plan_row *rows, size_t n_rows, const struct spread_rules *rules,
	struct arena *arena, struct rendered *step);

/* Does a generation's bird.conf say that it is such a step? */
bool spread_is_step(const char *bird_conf);

#endif
