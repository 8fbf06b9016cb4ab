/* SPDX-License-Identifier: GPL-2.0-or-later */
/* explain: every step of the way to an address, and which is the broken one. */
#include <errno.h>
#include <string.h>

#include "agent/explain.h"
#include "base/buf.h"
#include "model/decode.h"
#include "unit.h"

static const char yaml[] =
	"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16]}\n"
	"nodes:\n"
	"- {name: node1, addresses: [192.168.1.11], podCIDRs: [10.244.1.0/24]}\n"
	"- {name: node2, addresses: [192.168.1.12], podCIDRs: [10.244.2.0/24]}\n";

struct scene {
	struct arena arena;
	struct agent_status status;
	struct bird_state bird;
	struct fib fib;
	struct err fib_error;
	struct bird_session session;
	struct bird_route routes[2];
	struct fib_route kernel[2];
	struct addr via;
	struct fib_lookup lookup;
	struct view view;
};

static struct addr A(const char *text)
{
	struct addr addr;

	ck_assert(addr_parse(text, &addr));
	return addr;
}

static struct prefix P(const char *text)
{
	struct prefix prefix;

	ck_assert(prefix_parse(text, &prefix));
	return prefix;
}

/* node1, and all is well on the way to node2. */
static void set_up(struct scene *s)
{
	struct cluster *cluster;
	struct session_want *sessions;
	struct err err;
	size_t n;

	memset(s, 0, sizeof(*s));
	ck_assert_msg(decode_cluster("roost.yaml", yaml, strlen(yaml), &s->arena, &cluster, &err) == 0,
		"%s", err.msg);
	sessions = render_sessions(cluster, &cluster->nodes[0], &s->arena, &n);
	s->via = A("192.168.1.12");
	s->session = (struct bird_session){.name = "node2:v4", .state = "Established", .up = true,
		.since = "2026-11-23T03:19:31+0000", .info = "", .imported = 1, .exported = 1};
	s->routes[0] = (struct bird_route){.prefix = P("10.244.1.0/24"), .dest = DEST_UNREACHABLE,
		.protocol = "pods4", .best = true};
	s->routes[1] = (struct bird_route){.prefix = P("10.244.2.0/24"), .dest = DEST_UNICAST,
		.via = s->via, .protocol = "node2:v4", .best = true};
	s->kernel[0] = (struct fib_route){.prefix = P("10.244.1.0/24"), .type = FIB_UNICAST};
	s->kernel[1] = (struct fib_route){.prefix = P("10.244.2.0/24"), .type = FIB_UNICAST,
		.via = &s->via, .n_via = 1, .metric = 32, .protocol = 12};
	s->bird = (struct bird_state){.version = "2.0.12", .sessions = &s->session, .n_sessions = 1,
		.routes = s->routes, .n_routes = 2};
	s->fib = (struct fib){s->kernel, 2};
	s->lookup = (struct fib_lookup){.prefix = P("10.244.2.0/24"), .metric = 32, .protocol = 12,
		.via = s->via, .interface = "eth0", .neighbour = NEIGHBOUR_KNOWN};
	s->view = (struct view){.status = &s->status, .cluster = cluster, .self = &cluster->nodes[0],
		.sessions = sessions, .n_sessions = n, .config_id = "", .bird = &s->bird,
		.fib = &s->fib, .fib_error = &s->fib_error};
}

/* The last step, "ok neighbour: ..." or "BROKEN BIRD: ...", and how many there are. */
static void assert_end(struct scene *s, const char *address, size_t steps, const char *expected)
{
	_cleanup_buf_ struct buf text = {0};
	struct addr addr = A(address);
	json_t *json = explain(&s->view, &addr, &s->lookup);
	const json_t *list = json_object_get(json, "steps"),
		     *last = json_array_get(list, json_array_size(list) - 1);
	bool ok = json_is_true(json_object_get(last, "ok"));

	buf_printf(&text, "%s %s: %s", ok ? "ok" : "BROKEN",
		json_string_value(json_object_get(last, "step")),
		json_string_value(json_object_get(last, "text")));
	ck_assert_str_eq(text.text, expected);
	ck_assert_uint_eq(json_array_size(list), steps);
	ck_assert(json_is_true(json_object_get(json, "broken")) == !ok);
	json_decref(json);
	arena_free(&s->arena);
}

START_TEST(way_without_a_fault_ends_at_the_neighbour)
{
	struct scene s;

	set_up(&s);
	assert_end(&s, "10.244.2.7", 5, "ok neighbour: 192.168.1.12 is known on eth0");
	set_up(&s);
	s.lookup = (struct fib_lookup){.prefix = P("10.244.1.0/24"), .interface = "roost0",
		.protocol = 2};
	assert_end(&s, "10.244.1.7", 5, "ok neighbour: 10.244.1.7 has not been asked for on roost0 yet");
}
END_TEST

START_TEST(address_that_is_nobodys_is_broken_in_the_file)
{
	struct scene s;

	set_up(&s);
	assert_end(&s, "10.244.9.7", 1,
		"BROKEN file: 10.244.9.7 is in cluster.podCIDRs, but in no node's podCIDR");
	set_up(&s);
	assert_end(&s, "8.8.8.8", 1,
		"BROKEN file: 8.8.8.8 is outside cluster.podCIDRs: Roost makes no route to it");
	set_up(&s);
	s.view.cluster = NULL;
	assert_end(&s, "10.244.2.7", 1, "BROKEN file: no configuration was loaded yet");
}
END_TEST

START_TEST(session_that_is_down_says_why)
{
	struct scene s;

	set_up(&s);
	s.session.up = false;
	s.session.state = "Active";
	s.session.info = "Socket: Connection refused";
	assert_end(&s, "10.244.2.7", 2,
		"BROKEN session: node2:v4 is Active: Socket: Connection refused");
	set_up(&s);
	s.session.exported = 0;
	assert_end(&s, "10.244.1.7", 2, "BROKEN session: 10.244.1.0/24 is announced to nobody");
	set_up(&s);
	s.bird.err.code = ECONNREFUSED;
	strcpy(s.bird.err.msg, "/run/bird/bird.ctl: Connection refused");
	assert_end(&s, "10.244.2.7", 2, "BROKEN BIRD: /run/bird/bird.ctl: Connection refused");
}
END_TEST

START_TEST(route_that_bird_lacks_is_the_neighbours)
{
	struct scene s;

	set_up(&s);
	s.bird.n_routes = 1;
	assert_end(&s, "10.244.2.7", 3,
		"BROKEN BIRD: no route to 10.244.2.0/24: node2 does not announce it, or its file and "
		"ours differ");
	set_up(&s);
	s.bird.n_routes = 1;
	s.session.refused = 2;
	assert_end(&s, "10.244.2.7", 3,
		"BROKEN BIRD: no route to 10.244.2.0/24: node2 does not announce it, or the import "
		"filter turned it down, as it did with 2 updates: see roostctl peers, the files may differ");
	set_up(&s);
	s.routes[1].dest = DEST_UNREACHABLE;
	assert_end(&s, "10.244.2.7", 3,
		"BROKEN BIRD: 10.244.2.0/24 from node2:v4: next hop unreachable, 192.168.1.12");
}
END_TEST

START_TEST(kernel_that_goes_another_way_says_which)
{
	struct scene s;

	set_up(&s);
	s.lookup.prefix = P("10.244.2.0/25");
	s.lookup.via = A("192.168.1.99");
	s.lookup.protocol = 4;
	assert_end(&s, "10.244.2.7", 4,
		"BROKEN kernel: a more specific route takes it: 10.244.2.0/25 via 192.168.1.99 dev eth0 "
		"proto static metric 32");
	set_up(&s);
	s.lookup.error = ENETUNREACH;
	assert_end(&s, "10.244.2.7", 4, "BROKEN kernel: Network is unreachable");
	set_up(&s);
	s.lookup.error = EHOSTUNREACH;
	assert_end(&s, "10.244.1.7", 4,
		"BROKEN kernel: unreachable: the pods' bridge is not up, or no pod has this address");
}
END_TEST

START_TEST(neighbour_that_is_silent_is_the_broken_link)
{
	struct scene s;

	set_up(&s);
	s.lookup.neighbour = NEIGHBOUR_FAILED;
	assert_end(&s, "10.244.2.7", 5, "BROKEN neighbour: 192.168.1.12 does not answer on eth0");
	set_up(&s);
	s.lookup = (struct fib_lookup){.prefix = P("192.168.1.0/24"), .interface = "eth0",
		.neighbour = NEIGHBOUR_FAILED};
	assert_end(&s, "192.168.1.12", 3, "BROKEN neighbour: 192.168.1.12 does not answer on eth0");
	set_up(&s);
	s.view.lacks_forwarding[IPV4] = true;
	assert_end(&s, "10.244.2.7", 6,
		"BROKEN forwarding: this node does not forward IPv4 packets of pods");
}
END_TEST

UNIT(explain, way_without_a_fault_ends_at_the_neighbour,
	address_that_is_nobodys_is_broken_in_the_file, session_that_is_down_says_why,
	route_that_bird_lacks_is_the_neighbours, kernel_that_goes_another_way_says_which,
	neighbour_that_is_silent_is_the_broken_link)
