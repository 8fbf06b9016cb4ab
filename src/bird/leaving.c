/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/leaving.h"

#include <string.h>

bool leaving_is_possible(const struct cluster *cluster, const struct node *self)
{
	return cluster->topology == TOPOLOGY_REFLECTOR && !self->reflector;
}

/* From somebody else than the session, and with the mark. */
static bool is_served(
	const struct bird_state *state, const struct prefix *prefix, const char *session)
{
	for (size_t i = 0; i < state->n_marked; i++)
		if (prefix_cmp(&state->marked[i].prefix, prefix) == 0 &&
			strcmp(state->marked[i].protocol, session) != 0)
			return true;
	return false;
}

static bool is_needed(const struct bird_state *state, const struct node *node, enum family family,
	const struct bird_session *session)
{
	for (size_t i = 0; i < node->pod_cidrs.n; i++) {
		const struct prefix *cidr = &node->pod_cidrs.items[i];

		if (family_of(&cidr->addr) == family && !is_served(state, cidr, session->name))
			return true;
	}
	return false;
}

size_t leaving_mark(
	struct cluster *cluster, const struct node *self, const struct bird_state *state)
{
	size_t n = 0;

	for (size_t i = 0; i < cluster->n_nodes; i++) {
		struct node *node = &cluster->nodes[i];
		bool neighbours = cluster_are_neighbours(cluster, self, node);

		for (enum family f = 0; f < FAMILIES; f++) {
			char name[RENDER_NAME_MAX];
			const struct bird_session *session;

			render_node_session_name(name, node, f);
			session = bird_find_session(state, name);
			node->leaving[f] = node != self && !neighbours && session && session->up &&
					   is_needed(state, node, f, session);
			n += node->leaving[f];
		}
	}
	return n;
}
