/* SPDX-License-Identifier: GPL-2.0-or-later */
/* leaving: which sessions outlive a change from mesh to reflector. */
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

#define NODES "nodes:\n" \
	"- {name: c1, addresses: [10.0.0.1], podCIDRs: [10.244.1.0/24]}\n" \
	"- {name: c2, addresses: [10.0.0.2], podCIDRs: [10.244.2.0/24, 10.244.3.0/24]}\n" \
	"- {name: c3, addresses: [10.0.0.3]}\n" \
	"- {name: r1, addresses: [10.0.0.11], podCIDRs: [10.244.11.0/24], reflector: true}\n"

static struct scene scene_of(const char *topology, const char *self)
{
	struct scene scene = {0};
	const char *text = arena_printf(&scene.arena,
		"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16], topology: %s}\n" NODES,
		topology);
	struct err err;

	ck_assert_msg(decode_cluster("roost.yaml", text, strlen(text), &scene.arena, &scene.cluster,
			      &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < scene.cluster->n_nodes; i++)
		if (strcmp(scene.cluster->nodes[i].name, self) == 0)
			scene.self = &scene.cluster->nodes[i];
	return scene;
}

/* In the order of their names, as BIRD's are. */
static void add_session(struct scene *scene, const char *name, bool up)
{
	*ARENA_PUSH(&scene->arena, scene->bird.sessions, &scene->bird.n_sessions) =
		(struct bird_session){.name = name, .up = up};
}

static void add_marked(struct scene *scene, const char *prefix, const char *protocol)
{
	struct bird_route *route =
		ARENA_PUSH(&scene->arena, scene->bird.marked, &scene->bird.n_marked);

	*route = (struct bird_route){.protocol = protocol};
	ck_assert(prefix_parse(prefix, &route->prefix));
}

static size_t mark(struct scene *scene)
{
	return leaving_mark(scene->cluster, scene->self, &scene->bird);
}

START_TEST(only_clients_of_reflectors_have_sessions_to_leave)
{
	struct scene mesh = scene_of("mesh", "c1"), client = scene_of("reflector", "c1"),
		     reflector = scene_of("reflector", "r1");

	ck_assert(!leaving_is_possible(mesh.cluster, mesh.self));
	ck_assert(leaving_is_possible(client.cluster, client.self));
	ck_assert(!leaving_is_possible(reflector.cluster, reflector.self));
	arena_free(&mesh.arena);
	arena_free(&client.arena);
	arena_free(&reflector.arena);
}
END_TEST

START_TEST(session_stays_until_every_podCIDR_came_marked_from_somebody_else)
{
	struct scene scene = scene_of("reflector", "c1");

	add_session(&scene, "c2:v4", true);
	add_session(&scene, "r1:v4", true);
	ck_assert_uint_eq(mark(&scene), 1);
	ck_assert(scene.cluster->nodes[1].leaving[IPV4]);
	ck_assert(!scene.cluster->nodes[1].leaving[IPV6]);
	add_marked(&scene, "10.244.2.0/24", "r1:v4");
	ck_assert_uint_eq(mark(&scene), 1);
	/* The neighbour's own word is not what is waited for. */
	add_marked(&scene, "10.244.3.0/24", "c2:v4");
	ck_assert_uint_eq(mark(&scene), 1);
	add_marked(&scene, "10.244.3.0/24", "r1:v4");
	ck_assert_uint_eq(mark(&scene), 0);
	ck_assert(!scene.cluster->nodes[1].leaving[IPV4]);
	arena_free(&scene.arena);
}
END_TEST

START_TEST(session_that_is_down_or_brings_nothing_goes_at_once)
{
	struct scene scene = scene_of("reflector", "c1");

	add_session(&scene, "c2:v4", false);
	add_session(&scene, "c3:v4", true);
	ck_assert_uint_eq(mark(&scene), 0);
	arena_free(&scene.arena);
}
END_TEST

START_TEST(session_of_the_topology_is_not_leaving)
{
	struct scene scene = scene_of("reflector", "c1");

	add_session(&scene, "r1:v4", true);
	ck_assert_uint_eq(mark(&scene), 0);
	arena_free(&scene.arena);
}
END_TEST

UNIT(leaving, only_clients_of_reflectors_have_sessions_to_leave,
	session_stays_until_every_podCIDR_came_marked_from_somebody_else,
	session_that_is_down_or_brings_nothing_goes_at_once, session_of_the_topology_is_not_leaving)
