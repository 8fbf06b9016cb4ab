/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/leaving.h"

#include <string.h>

/* With `none` it is the routers that have to bring what the other nodes brought. */
bool leaving_is_possible(const struct cluster *cluster, const struct node *self)
{
	switch (cluster->topology) {
	case TOPOLOGY_MESH:
		return false;
	case TOPOLOGY_REFLECTOR:
		return true;
	case TOPOLOGY_NONE:
		break;
	}
	for (size_t i = 0; i < cluster->n_peers; i++)
		if (peer_is_for(&cluster->peers[i], self))
			return true;
	return false;
}

struct parting {
	const struct cluster *cluster;
	const struct node *self;
	const struct bird_state *state;
	const struct session_want *stay; /* what the topology has */
	size_t n_stay;
};

/* A reflector believes about a node only those that stay the node's neighbours: two that
 * both leave it hear of it from each other. */
static bool brings_for_good(
	const struct parting *p, const char *protocol, const struct node *node)
{
	for (size_t i = 0; i < p->n_stay; i++) {
		const struct session_want *stay = &p->stay[i];

		if (strcmp(stay->name, protocol) != 0)
			continue;
		if (stay->peer)
			return p->cluster->topology == TOPOLOGY_NONE;
		return !p->self->reflector || cluster_are_neighbours(p->cluster, stay->node, node);
	}
	return false;
}

static bool comes_elsewhere(
	const struct parting *p, const struct prefix *prefix, const struct node *node)
{
	for (size_t i = 0; i < p->state->n_routes; i++)
		if (prefix_cmp(&p->state->routes[i].prefix, prefix) == 0 &&
			brings_for_good(p, p->state->routes[i].protocol, node))
			return true;
	return false;
}

/* All that the session brings, which of a reflector is more than its podCIDRs. */
static bool can_do_without(const struct parting *p, const struct node *node, enum family family,
	const struct bird_session *session)
{
	for (size_t i = 0; i < node->pod_cidrs.n; i++) {
		const struct prefix *cidr = &node->pod_cidrs.items[i];

		if (family_of(&cidr->addr) == family && !comes_elsewhere(p, cidr, node))
			return false;
	}
	for (size_t i = 0; i < p->state->n_routes; i++) {
		const struct bird_route *route = &p->state->routes[i];

		if (strcmp(route->protocol, session->name) == 0 &&
			!comes_elsewhere(p, &route->prefix, node))
			return false;
	}
	return true;
}

static bool says_spare(const struct bird_state *state, const struct node *node,
	const struct bird_session *session)
{
	for (size_t i = 0; i < state->n_marked; i++)
		for (size_t j = 0; j < node->pod_cidrs.n; j++)
			if (strcmp(state->marked[i].protocol, session->name) == 0 &&
				prefix_cmp(&state->marked[i].prefix, &node->pod_cidrs.items[j]) == 0)
				return true;
	return false;
}

static bool has_pods(const struct node *node, enum family family)
{
	for (size_t i = 0; i < node->pod_cidrs.n; i++)
		if (family_of(&node->pod_cidrs.items[i].addr) == family)
			return true;
	return false;
}

/* Does the other one lose nothing, whatever it says?  What a reflector passes on, another
 * reflector hears itself. */
static bool brings_nothing(const struct node *self, const struct node *node, enum family family)
{
	return !has_pods(self, family) && (!self->reflector || node->reflector);
}

static void mark_node(const struct parting *p, struct node *node, enum family family)
{
	char name[RENDER_NAME_MAX];
	const struct bird_session *session;

	render_node_session_name(name, node, family);
	session = bird_find_session(p->state, name);
	/* After a start of BIRD it may come up any moment, and say that it is needed. */
	if (session && !session->up)
		node->leaving[family] = p->state->recovering;
	if (!session || !session->up)
		return;
	node->spare[family] = can_do_without(p, node, family, session);
	node->leaving[family] = !node->spare[family] ||
		!(says_spare(p->state, node, session) || brings_nothing(p->self, node, family));
}

size_t leaving_mark(
	struct cluster *cluster, const struct node *self, const struct bird_state *state)
{
	_cleanup_arena_ struct arena arena = {0};
	struct parting p = {cluster, self, state, NULL, 0};
	size_t n = 0;

	for (size_t i = 0; i < cluster->n_nodes; i++)
		for (enum family f = 0; f < FAMILIES; f++)
			cluster->nodes[i].leaving[f] = cluster->nodes[i].spare[f] = false;
	p.stay = render_sessions(cluster, self, &arena, &p.n_stay);
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		struct node *node = &cluster->nodes[i];

		for (enum family f = 0; f < FAMILIES; f++) {
			if (node != self && !cluster_are_neighbours(cluster, self, node))
				mark_node(&p, node, f);
			n += node->leaving[f];
		}
	}
	return n;
}
