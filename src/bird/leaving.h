/* SPDX-License-Identifier: GPL-2.0-or-later */
/* leaving -- sessions between nodes that a change of the topology leaves over.
 *
 * Two nodes that are no longer neighbours may part only when each has what the other
 * brings from a session that the topology does have; and their files need not change at
 * the same time.  So a session that is up stays, as it was.  Who can do without it says so
 * on it, by a mark on its own podCIDRs (RENDER_MARK); who can do without it and hears that
 * the other can, too, ends it.  One without podCIDRs has nothing to say it with, nor does
 * anybody need it: it ends the session when it can, and the other one waits for that.
 * Nothing is remembered: a new look at BIRD gives the same answer. */
#ifndef ROOST_LEAVING_H
#define ROOST_LEAVING_H

#include "bird/observe.h"
#include "model/cluster.h"

/* May there be any?  Else BIRD need not be asked. */
bool leaving_is_possible(const struct cluster *cluster, const struct node *self);

/* Sets node->leaving and node->spare of all nodes from what BIRD has; how many sessions
 * that is. */
size_t leaving_mark(
	struct cluster *cluster, const struct node *self, const struct bird_state *state);

#endif
