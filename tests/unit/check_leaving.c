/* SPDX-License-Identifier: GPL-2.0-or-later */
/* leaving: which sessions outlive a change of the topology. */
#include <string.h>

#include "bird/leaving.h"
#include "model/decode.h"
#include "unit.h"

struct scene {
	struct arena arena;
	struct cluster *cluster;
	struct node *self;
	struct bird_state bird;
};

/* c3 and r2 have no podCIDRs, r1 none of IPv6. */
#define FLAT "nodes:\n" \
	"- {name: c1, addresses: [10.0.0.1, \"fd01::1\"], podCIDRs: [10.244.1.0/24, \"fd00:1::/64\"]}\n" \
	"- {name: c2, addresses: [10.0.0.2, \"fd01::2\"], podCIDRs: [10.244.2.0/24, 10.244.3.0/24]}\n" \
	"- {name: c3, addresses: [10.0.0.3, \"fd01::3\"]}\n" \
	"- {name: r1, addresses: [10.0.0.11, \"fd01::11\"], podCIDRs: [10.244.11.0/24], reflector: true}\n" \
	"- {name: r2, addresses: [10.0.0.12, \"fd01::12\"], reflector: true}\n" \
	"peers: [{name: tor, address: 10.0.0.100, asNumber: 64999, nodeSelector: {routed: \"yes\"}}]\n"

/* a2 is a reflector without podCIDRs. */
#define RACKS "nodes:\n" \
	"- {name: a1, addresses: [10.0.0.1], podCIDRs: [10.244.1.0/24], labels: {rack: a}, reflector: true}\n" \
	"- {name: a2, addresses: [10.0.0.2], labels: {rack: a}, reflector: true}\n" \
	"- {name: a3, addresses: [10.0.0.3], podCIDRs: [10.244.3.0/24], labels: {rack: a}}\n" \
	"- {name: b1, addresses: [10.0.0.4], podCIDRs: [10.244.4.0/24], labels: {rack: b}, reflector: true}\n" \
	"- {name: b2, addresses: [10.0.0.5], podCIDRs: [10.244.5.0/24], labels: {rack: b}}\n" \
	"- {name: b3, addresses: [10.0.0.6], labels: {rack: b}}\n"

static struct scene scene_of(const char *topology, const char *nodes, const char *self)
{
	struct scene scene = {0};
	const char *text = arena_printf(&scene.arena,
		"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16, \"fd00::/16\"], "
		"topology: %s}\n%s",
		topology, nodes);
	struct err err;

	ck_assert_msg(decode_cluster("roost.yaml", text, strlen(text), &scene.arena, &scene.cluster,
			      &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < scene.cluster->n_nodes; i++)
		if (strcmp(scene.cluster->nodes[i].name, self) == 0)
			scene.self = &scene.cluster->nodes[i];
	return scene;
}

static struct scene flat(const char *self)
{
	return scene_of("reflector", FLAT, self);
}

static struct scene racks(const char *self)
{
	return scene_of("reflector, topologyKey: rack", RACKS, self);
}

/* In the order of their names, as BIRD's are. */
static void add_session(struct scene *scene, const char *name, bool up)
{
	*ARENA_PUSH(&scene->arena, scene->bird.sessions, &scene->bird.n_sessions) =
		(struct bird_session){.name = name, .up = up};
}

static void add_route(struct scene *scene, const char *prefix, const char *protocol)
{
	struct bird_route *route =
		ARENA_PUSH(&scene->arena, scene->bird.routes, &scene->bird.n_routes);

	*route = (struct bird_route){.protocol = protocol};
	ck_assert(prefix_parse(prefix, &route->prefix));
}

static void add_marked(struct scene *scene, const char *prefix, const char *protocol)
{
	struct bird_route *route =
		ARENA_PUSH(&scene->arena, scene->bird.marked, &scene->bird.n_marked);

	*route = (struct bird_route){.protocol = protocol};
	ck_assert(prefix_parse(prefix, &route->prefix));
}

/* "c2:v4 kept" or "c2:v4 spare", of all that stay; "" when none does. */
static const char *left_over(struct scene *scene)
{
	const char *text = "";
	size_t n = leaving_mark(scene->cluster, scene->self, &scene->bird);

	for (size_t i = 0; i < scene->cluster->n_nodes; i++)
		for (enum family f = 0; f < FAMILIES; f++) {
			const struct node *node = &scene->cluster->nodes[i];

			if (!node->leaving[f])
				continue;
			text = arena_printf(&scene->arena, "%s%s%s:v%d %s", text, *text ? ", " : "",
				node->name, f == IPV4 ? 4 : 6, node->spare[f] ? "spare" : "kept");
			n--;
		}
	ck_assert_uint_eq(n, 0);
	return text;
}

START_TEST(mesh_has_nothing_left_over_and_without_routers_none_has_not)
{
	static const struct {
		const char *topology, *nodes, *self;
		bool possible;
	} rows[] = {
		{"mesh", FLAT, "c1", false},
		{"reflector", FLAT, "c1", true},
		{"reflector", FLAT, "r1", true},
		{"none", FLAT, "c1", false}, /* the router is for others */
		{"none", RACKS "peers: [{name: tor, address: 10.0.0.100, asNumber: 64999}]\n", "a3", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scene scene = scene_of(rows[i].topology, rows[i].nodes, rows[i].self);

		ck_assert_msg(leaving_is_possible(scene.cluster, scene.self) == rows[i].possible,
			"row %zu", i);
		arena_free(&scene.arena);
	}
}
END_TEST

START_TEST(session_stays_until_neither_needs_it)
{
	struct scene scene = flat("c1");

	add_session(&scene, "c2:v4", true);
	add_session(&scene, "r1:v4", true);
	add_route(&scene, "10.244.2.0/24", "c2:v4");
	add_route(&scene, "10.244.3.0/24", "c2:v4");
	ck_assert_str_eq(left_over(&scene), "c2:v4 kept");
	add_route(&scene, "10.244.2.0/24", "r1:v4");
	ck_assert_str_eq(left_over(&scene), "c2:v4 kept");
	add_route(&scene, "10.244.3.0/24", "r1:v4");
	ck_assert_str_eq(left_over(&scene), "c2:v4 spare");
	/* A mark on another session, or on what it brings of others, says nothing. */
	add_marked(&scene, "10.244.2.0/24", "r1:v4");
	add_marked(&scene, "10.244.11.0/24", "c2:v4");
	ck_assert_str_eq(left_over(&scene), "c2:v4 spare");
	add_marked(&scene, "10.244.2.0/24", "c2:v4");
	ck_assert_str_eq(left_over(&scene), "");
	arena_free(&scene.arena);
}
END_TEST

START_TEST(the_other_one_may_be_first_to_do_without)
{
	struct scene scene = flat("c1");

	add_session(&scene, "c2:v4", true);
	add_marked(&scene, "10.244.2.0/24", "c2:v4");
	ck_assert_str_eq(left_over(&scene), "c2:v4 kept");
	arena_free(&scene.arena);
}
END_TEST

START_TEST(what_another_former_neighbour_brings_is_no_help)
{
	struct scene scene = racks("a3");

	add_session(&scene, "b1:v4", true);
	add_session(&scene, "b2:v4", true);
	add_route(&scene, "10.244.5.0/24", "b1:v4");
	add_route(&scene, "10.244.5.0/24", "b2:v4");
	add_route(&scene, "10.244.4.0/24", "b1:v4");
	ck_assert_str_eq(left_over(&scene), "b1:v4 kept, b2:v4 kept");
	arena_free(&scene.arena);
}
END_TEST

START_TEST(session_that_is_down_is_gone)
{
	struct scene scene = flat("c1");

	add_session(&scene, "c2:v4", false);
	ck_assert_str_eq(left_over(&scene), "");
	/* But not as long as BIRD has just started and it may come up. */
	scene.bird.recovering = true;
	ck_assert_str_eq(left_over(&scene), "c2:v4 kept");
	arena_free(&scene.arena);
}
END_TEST

START_TEST(node_without_podCIDRs_ends_the_session_itself)
{
	struct scene c1 = flat("c1"), c3 = flat("c3");

	/* It does not say when it can do without. */
	add_session(&c1, "c3:v4", true);
	ck_assert_str_eq(left_over(&c1), "c3:v4 spare");
	add_session(&c3, "c1:v4", true);
	add_route(&c3, "10.244.1.0/24", "c1:v4");
	ck_assert_str_eq(left_over(&c3), "c1:v4 kept");
	add_route(&c3, "10.244.1.0/24", "r1:v4");
	ck_assert_str_eq(left_over(&c3), "");
	arena_free(&c1.arena);
	arena_free(&c3.arena);
}
END_TEST

START_TEST(family_without_podCIDRs_is_the_same)
{
	struct scene c1 = flat("c1"), c2 = flat("c2");

	add_session(&c1, "c2:v6", true);
	ck_assert_str_eq(left_over(&c1), "c2:v6 spare");
	add_session(&c2, "c1:v6", true);
	ck_assert_str_eq(left_over(&c2), "c1:v6 kept");
	add_route(&c2, "fd00:1::/64", "r2:v6");
	ck_assert_str_eq(left_over(&c2), "");
	arena_free(&c1.arena);
	arena_free(&c2.arena);
}
END_TEST

START_TEST(session_of_the_topology_is_not_leaving)
{
	struct scene scene = flat("c1");

	add_session(&scene, "r1:v4", true);
	ck_assert_str_eq(left_over(&scene), "");
	arena_free(&scene.arena);
}
END_TEST

/* ---------------------------------------------------------------- racks */

START_TEST(reflector_keeps_a_client_of_another_rack_until_that_one_has_its_own)
{
	struct scene scene = racks("a1");

	add_session(&scene, "b2:v4", true);
	add_route(&scene, "10.244.5.0/24", "b2:v4");
	/* The other reflector of our rack leaves it, too. */
	add_route(&scene, "10.244.5.0/24", "a2:v4");
	ck_assert_str_eq(left_over(&scene), "b2:v4 kept");
	add_route(&scene, "10.244.5.0/24", "b1:v4");
	ck_assert_str_eq(left_over(&scene), "b2:v4 spare");
	add_marked(&scene, "10.244.5.0/24", "b2:v4");
	ck_assert_str_eq(left_over(&scene), "");
	arena_free(&scene.arena);
}
END_TEST

/* a3 was in rack b, and has all from b1. */
START_TEST(all_that_a_former_reflector_brings_has_to_come_from_another)
{
	struct scene scene = racks("a3");

	add_session(&scene, "a1:v4", true);
	add_session(&scene, "b1:v4", true);
	add_route(&scene, "10.244.4.0/24", "b1:v4");
	add_route(&scene, "10.244.5.0/24", "b1:v4");
	add_marked(&scene, "10.244.4.0/24", "b1:v4");
	add_route(&scene, "10.244.4.0/24", "a1:v4");
	ck_assert_str_eq(left_over(&scene), "b1:v4 kept");
	add_route(&scene, "10.244.5.0/24", "a1:v4");
	ck_assert_str_eq(left_over(&scene), "");
	arena_free(&scene.arena);
}
END_TEST

/* a2 was the reflector of b3, too: neither has podCIDRs, and b3 needs what a2 passes on. */
START_TEST(reflector_without_podCIDRs_is_left_and_does_not_leave)
{
	struct scene a2 = racks("a2"), b3 = racks("b3");

	add_session(&a2, "b3:v4", true);
	ck_assert_str_eq(left_over(&a2), "b3:v4 spare");
	add_session(&b3, "a2:v4", true);
	add_route(&b3, "10.244.3.0/24", "a2:v4");
	ck_assert_str_eq(left_over(&b3), "a2:v4 kept");
	add_route(&b3, "10.244.3.0/24", "b1:v4");
	ck_assert_str_eq(left_over(&b3), "");
	arena_free(&a2.arena);
	arena_free(&b3.arena);
}
END_TEST

/* ---------------------------------------------------------------- none */

#define ROUTED RACKS "peers: [{name: tor, address: 10.0.0.100, asNumber: 64999}]\n"

START_TEST(with_none_it_is_the_routers_that_have_to_bring_it)
{
	struct scene none = scene_of("none", ROUTED, "a3"),
		     reflected = scene_of("reflector, topologyKey: rack", ROUTED, "a3");

	add_session(&none, "b2:v4", true);
	ck_assert_str_eq(left_over(&none), "b2:v4 kept");
	add_route(&none, "10.244.5.0/24", "tor:peer");
	ck_assert_str_eq(left_over(&none), "b2:v4 spare");
	/* It may be we that told the router. */
	add_session(&reflected, "b2:v4", true);
	add_route(&reflected, "10.244.5.0/24", "tor:peer");
	ck_assert_str_eq(left_over(&reflected), "b2:v4 kept");
	arena_free(&none.arena);
	arena_free(&reflected.arena);
}
END_TEST

START_TEST(with_none_two_reflectors_without_podCIDRs_part)
{
	struct scene scene = scene_of("none", "nodes:\n"
		"- {name: r1, addresses: [10.0.0.1], reflector: true}\n"
		"- {name: r2, addresses: [10.0.0.2], reflector: true}\n"
		"peers: [{name: tor, address: 10.0.0.100, asNumber: 64999}]\n", "r1");

	add_session(&scene, "r2:v4", true);
	add_route(&scene, "10.244.5.0/24", "r2:v4");
	ck_assert_str_eq(left_over(&scene), "r2:v4 kept");
	add_route(&scene, "10.244.5.0/24", "tor:peer");
	ck_assert_str_eq(left_over(&scene), "");
	arena_free(&scene.arena);
}
END_TEST

UNIT(leaving, mesh_has_nothing_left_over_and_without_routers_none_has_not,
	session_stays_until_neither_needs_it, the_other_one_may_be_first_to_do_without,
	what_another_former_neighbour_brings_is_no_help, session_that_is_down_is_gone,
	node_without_podCIDRs_ends_the_session_itself, family_without_podCIDRs_is_the_same,
	session_of_the_topology_is_not_leaving,
	reflector_keeps_a_client_of_another_rack_until_that_one_has_its_own,
	all_that_a_former_reflector_brings_has_to_come_from_another,
	reflector_without_podCIDRs_is_left_and_does_not_leave,
	with_none_it_is_the_routers_that_have_to_bring_it,
	with_none_two_reflectors_without_podCIDRs_part)
