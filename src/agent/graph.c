/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/graph.h"

static void add_vertex(json_t *list, const char *name, const char *kind, bool self)
{
	json_array_append_new(
		list, json_pack("{s:s, s:s, s:b}", "name", name, "kind", kind, "self", self));
}

static json_t *vertices(const struct view *view)
{
	const struct cluster *cluster = view->cluster;
	json_t *list = json_array();

	for (size_t i = 0; i < cluster->n_nodes; i++)
		add_vertex(list, cluster->nodes[i].name,
			cluster->nodes[i].reflector ? "reflector" : "node",
			&cluster->nodes[i] == view->self);
	for (size_t i = 0; i < cluster->n_peers; i++)
		add_vertex(list, cluster->peers[i].name, "router", false);
	return list;
}

static void add_others_edge(json_t *list, const char *a, const char *b)
{
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:n, s:n, s:n}", "a", a, "b", b, "session", "state", "up"));
}

static void add_own_edges(const struct view *view, json_t *list)
{
	for (size_t i = 0; i < view->n_sessions; i++) {
		const struct session_want *want = &view->sessions[i];
		const struct bird_session *have = bird_find_session(view->bird, want->name);

		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s, s:b}", "a", view->self->name, "b",
				want->node ? want->node->name : want->peer->name, "session",
				want->name, "state", have ? have->state : "unknown", "up",
				have && have->up));
	}
}

static void add_others_edges(const struct view *view, json_t *list)
{
	const struct cluster *cluster = view->cluster;

	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct node *a = &cluster->nodes[i];

		if (a == view->self)
			continue;
		for (size_t j = i + 1; j < cluster->n_nodes; j++)
			if (cluster->topology != TOPOLOGY_MESH && &cluster->nodes[j] != view->self &&
				cluster_are_neighbours(cluster, a, &cluster->nodes[j]))
				add_others_edge(list, a->name, cluster->nodes[j].name);
		for (size_t j = 0; j < cluster->n_peers; j++)
			if (peer_is_for(&cluster->peers[j], a))
				add_others_edge(list, a->name, cluster->peers[j].name);
	}
}

json_t *report_graph(const struct view *view)
{
	json_t *edges = json_array();

	if (!view->cluster)
		return json_pack("{s:s, s:[], s:o}", "node", view->status->node_name, "vertices",
			"edges", edges);
	add_own_edges(view, edges);
	add_others_edges(view, edges);
	return json_pack("{s:s, s:o, s:o}", "node", view->status->node_name, "vertices",
		vertices(view), "edges", edges);
}
