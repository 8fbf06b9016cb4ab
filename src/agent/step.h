/* SPDX-License-Identifier: GPL-2.0-or-later */
/* step -- what is put into BIRD next, on the way from what is confirmed to what is wanted:
 * all of it, or a part that restarts fewer sessions (bird/spread.h). */
#ifndef ROOST_STEP_H
#define ROOST_STEP_H

#include "bird/render.h"
#include "model/cluster.h"

struct step {
	struct rendered rendered;
	size_t left;       /* sessions that a later step restarts */
	char changes[300]; /* for people, see plan_summary() */
};

struct step_want {
	const char *dir; /* of the generations */
	const struct rendered *rendered;
	const struct cluster *cluster;
	const struct node *self;
	bool limited; /* no more than that many restarts, in all steps together */
	unsigned max_restarts;
	bool whole; /* in one step */
};

/* -1 when it would restart more than that, or it cannot be told; *err says which.  *out lives
 * in `arena`. */
int step_next(const struct step_want *want, struct arena *arena, struct step *out, struct err *err);

#endif
