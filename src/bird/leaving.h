/* SPDX-License-Identifier: GPL-2.0-or-later */
/* leaving -- sessions between nodes that a change of the topology leaves over.
 *
 * When a mesh becomes reflector, two nodes that are no longer neighbours may part
 * only when each has the other's routes from a reflector; and their files need not
 * change at the same time.  So a session that is up stays until both are seen to be
 * served: every podCIDR of the other node has come from somebody else as well, and
 * it carries the mark that tells that this node listens to reflectors too
 * (RENDER_MARK).  Nothing is remembered: a new look at BIRD gives the same answer. */
#ifndef ROOST_LEAVING_H
#define ROOST_LEAVING_H

#include "bird/observe.h"
#include "model/cluster.h"

/* May there be any?  Else BIRD need not be asked. */
bool leaving_is_possible(const struct cluster *cluster, const struct node *self);

/* Sets node->leaving of all nodes from what BIRD has; how many sessions that is. */
size_t leaving_mark(
	struct cluster *cluster, const struct node *self, const struct bird_state *state);

#endif
