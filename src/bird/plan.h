/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan -- what BIRD will do to each BGP session when it takes one configuration
 * after another.  Pure: reads two filesets.
 *
 * BIRD compares the options of a session byte by byte: a change of a filter, of the
 * description or of BFD leaves it up, any other restarts it.  Here the same is done
 * line by line on a session's block and its template, one option being one line; a
 * difference that no line explains counts as a restart. */
#ifndef ROOST_PLAN_H
#define ROOST_PLAN_H

#include "bird/fileset.h"

enum plan_action { PLAN_KEEP, PLAN_REFRESH, PLAN_RESTART, PLAN_ADD, PLAN_REMOVE };

const char *plan_action_name(enum plan_action action); /* "keep", ..., "RESTART" */

struct plan_row {
	const char *session;
	enum plan_action action;
	const char *why; /* the line that decides; "" when none differs */
	enum plan_action shared; /* what templates and constants do to all that use them */
	bool takes_other; /* another import in its own block: other routes may come */
	bool import_again; /* refreshed: the neighbour is asked to say its routes again */
};

/* Rows by session name, in `arena`. */
struct plan_row *plan_sessions(const struct fileset *have, const struct fileset *want,
	struct arena *arena, size_t *n);

/* A line for each kernel protocol that BIRD restarts or drops, with what becomes of the
 * routes that it put into the kernel. */
const char **plan_kernel_warnings(const struct fileset *have, const struct fileset *want,
	struct arena *arena, size_t *n);

/* In one line: "RESTART tor:peer; add node3:v4, node4:v4, 7 more"; without any of these
 * the names of the files that differ. */
void plan_summary(const struct plan_row *rows, size_t n, const struct fileset *have,
	const struct fileset *want, char *room, size_t size);

#endif
