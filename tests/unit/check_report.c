/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report: what should be beside what is.  Each test takes the picture of a healthy
 * node1 and breaks one thing in it. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/report.h"
#include "model/decode.h"
#include "unit.h"

static const char yaml[] =
	"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16]}\n"
	"nodes:\n"
	"- {name: node1, addresses: [192.168.1.11], podCIDRs: [10.244.1.0/24]}\n"
	"- {name: node2, addresses: [192.168.1.12], podCIDRs: [10.244.2.0/24]}\n"
	"- {name: node3, addresses: [192.168.1.13], podCIDRs: [10.244.3.0/24]}\n"
	"peers: [{name: tor, address: 192.168.1.1, asNumber: 65000}]\n";

#define ID "0123456789abcdef"

struct scene {
	struct arena arena;
	struct cluster *cluster;
	struct agent_status status;
	struct bird_state bird;
	struct fib fib;
	struct err fib_error;
	struct view view;
};

static struct addr A(const char *text)
{
	struct addr addr;

	ck_assert(addr_parse(text, &addr));
	return addr;
}

static void add_session(struct scene *scene, const char *name)
{
	*ARENA_PUSH(&scene->arena, scene->bird.sessions, &scene->bird.n_sessions) =
		(struct bird_session){.name = name, .state = "Established", .up = true,
			.since = "2026-11-23T03:19:31+0000", .info = "", .neighbor = "", .bfd = "",
			.imported = 1, .exported = 1};
}

static void add_route(struct scene *scene, const char *prefix, const char *via)
{
	struct bird_route *bird = ARENA_PUSH(&scene->arena, scene->bird.routes, &scene->bird.n_routes);
	struct fib_route *kernel = ARENA_PUSH(&scene->arena, scene->fib.items, &scene->fib.n);

	ck_assert(prefix_parse(prefix, &bird->prefix));
	bird->protocol = "some:v4";
	bird->best = true;
	bird->dest = via ? DEST_UNICAST : DEST_UNREACHABLE;
	bird->via = via ? A(via) : (struct addr){0};
	*kernel = (struct fib_route){.prefix = bird->prefix,
		.type = via ? FIB_UNICAST : FIB_UNREACHABLE, .metric = 32, .protocol = 12};
	if (via)
		*ARENA_PUSH(&scene->arena, kernel->via, &kernel->n_via) = bird->via;
}

/* node1, and all is well. */
static struct scene *healthy(void)
{
	struct scene *scene = xmalloc(sizeof(*scene));
	struct session_want *sessions;
	struct err err;
	size_t n;

	memset(scene, 0, sizeof(*scene));
	ck_assert_msg(decode_cluster("roost.yaml", yaml, strlen(yaml), &scene->arena, &scene->cluster,
			      &err) == 0, "%s", err.msg);
	sessions = render_sessions(scene->cluster, &scene->cluster->nodes[0], &scene->arena, &n);
	scene->bird.version = "2.0.12";
	scene->bird.started = "2026-11-23T03:19:30+0000";
	strcpy(scene->bird.config_id, ID);
	add_session(scene, "node2:v4");
	add_session(scene, "node3:v4");
	add_session(scene, "tor:peer");
	add_route(scene, "10.244.1.0/24", NULL);
	add_route(scene, "10.244.2.0/24", "192.168.1.12");
	add_route(scene, "10.244.3.0/24", "192.168.1.13");
	scene->status = (struct agent_status){.node_name = "node1",
		.source_path = "/etc/roost/roost.yaml", .loaded_at = 1000, .loads = 3, .renders = 2,
		.outcomes = {[APPLY_CONFIRMED] = 2}, .applied = true,
		.last = {.outcome = APPLY_CONFIRMED, .generation = 7}, .last_at = 1001,
		.confirmed = {.number = 7, .id = ID, .confirmed_at = 1001}};
	scene->view = (struct view){.status = &scene->status, .cluster = scene->cluster,
		.self = &scene->cluster->nodes[0], .sessions = sessions, .n_sessions = n,
		.config_id = ID, .bird = &scene->bird, .fib = &scene->fib,
		.fib_error = &scene->fib_error, .now = 1100};
	return scene;
}

static void done(struct scene *scene)
{
	arena_free(&scene->arena);
	free(scene);
}

/* The status must be degraded by exactly this; NULL: healthy. */
static void assert_problem(const struct scene *scene, const char *problem)
{
	json_t *status = report_status(&scene->view);
	const json_t *problems = json_object_get(status, "problems");

	ck_assert_str_eq(json_string_value(json_object_get(status, "health")),
		problem ? "degraded" : "healthy");
	ck_assert_uint_eq(json_array_size(problems), problem ? 1 : 0);
	if (problem)
		ck_assert_str_eq(json_string_value(json_array_get(problems, 0)), problem);
	json_decref(status);
}

static void assert_json(json_t *json, const char *expected)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	ck_assert_ptr_nonnull(text);
	ck_assert_str_eq(text, expected);
	free(text);
	json_decref(json);
}

static struct bird_session *session(struct scene *scene, const char *name)
{
	for (size_t i = 0; i < scene->bird.n_sessions; i++)
		if (strcmp(scene->bird.sessions[i].name, name) == 0)
			return &scene->bird.sessions[i];
	ck_abort_msg("no session %s", name);
	return NULL;
}

/* ---------------------------------------------------------------- status */

START_TEST(status_of_a_healthy_node)
{
	struct scene *scene = healthy();

	assert_problem(scene, NULL);
	assert_json(report_status(&scene->view),
		"{\"version\":\"" PACKAGE_VERSION "\",\"node\":\"node1\",\"cluster\":\"lab\","
		"\"health\":\"healthy\",\"problems\":[],\"warnings\":[],"
		"\"source\":{\"path\":\"/etc/roost/roost.yaml\",\"loadedAt\":\"1970-01-01T00:16:40Z\","
		"\"ageSeconds\":100,\"error\":null,\"kubernetes\":null},"
		"\"configuration\":{\"generation\":7,\"id\":\"" ID "\","
		"\"confirmedAt\":\"1970-01-01T00:16:41Z\",\"applying\":false,"
		"\"lastOutcome\":\"confirmed\",\"lastAttemptAt\":\"1970-01-01T00:16:41Z\","
		"\"lastRefusal\":null,\"hold\":null},"
		"\"bird\":{\"reachable\":true,\"version\":\"2.0.12\",\"configuration\":\"0123456789abcdef\",\"error\":null,"
		"\"unconfirmed\":false,\"recovering\":false},"
		"\"sessions\":{\"up\":3,\"total\":3,\"leaving\":0},"
		"\"podCIDRs\":[{\"prefix\":\"10.244.1.0/24\",\"announcedTo\":3}],"
		"\"services\":null,"
		"\"masquerade\":{\"state\":\"off\",\"table\":\"inet roost\",\"writes\":0,"
		"\"reason\":null},"
		"\"drain\":{\"state\":\"off\",\"since\":null,\"waits\":null},"
		"\"routes\":{\"expected\":3,\"ok\":3,\"drift\":0},"
		"\"drift\":{\"seen\":0,\"repairs\":0,\"lastAt\":null,\"last\":null}}");
	done(scene);
}
END_TEST

START_TEST(drained_node_is_healthy_and_one_that_waits_is_not)
{
	struct scene *scene = healthy();
	json_t *status;

	scene->view.drain = (struct drain_status){.state = DRAIN_DRAINED, .since = 1000};
	assert_problem(scene, NULL);
	status = report_status(&scene->view);
	assert_json(json_incref(json_object_get(status, "drain")),
		"{\"state\":\"drained\",\"since\":\"1970-01-01T00:16:40Z\",\"waits\":null}");
	json_decref(status);
	err_set(&scene->view.drain.waits, 1, "nobody else reflects");
	assert_problem(scene, "drain: nobody else reflects");
	done(scene);
}
END_TEST

START_TEST(bad_file_is_a_problem_in_its_own_words)
{
	struct scene *scene = healthy();

	err_set(&scene->status.load_error, EINVAL, "roost.yaml:3:1: nonsense");
	assert_problem(scene, "roost.yaml:3:1: nonsense");
	done(scene);
}
END_TEST

START_TEST(refusal_stands_until_an_apply_goes_well)
{
	static const struct {
		enum apply_outcome outcome;
		const char *problem;
	} rows[] = {
		{APPLY_REFUSED, "the configuration was not applied (refused): bird.d/1.conf:3:1 no"},
		{APPLY_ROLLED_BACK, "the configuration was not applied (rolled back): bird.d/1.conf:3:1 no"},
		{APPLY_FAILED, "the configuration was not applied (failed): bird.d/1.conf:3:1 no"},
		{APPLY_CONFIRMED, NULL},
		{APPLY_UNCHANGED, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scene *scene = healthy();
		json_t *status;

		scene->status.last.outcome = rows[i].outcome;
		err_set(&scene->status.last.err, EINVAL, "bird.d/1.conf:3:1 no");
		assert_problem(scene, rows[i].problem);
		status = report_status(&scene->view);
		ck_assert(json_is_null(json_object_get(json_object_get(status, "configuration"),
				  "lastRefusal")) == !rows[i].problem);
		json_decref(status);
		done(scene);
	}
}
END_TEST

START_TEST(bird_that_does_not_answer_is_the_only_problem_it_is)
{
	struct scene *scene = healthy();

	scene->bird = (struct bird_state){.version = ""};
	err_set(&scene->bird.err, ENOENT, "/run/bird/bird.ctl: No such file or directory");
	assert_problem(scene, "BIRD: /run/bird/bird.ctl: No such file or directory");
	done(scene);
}
END_TEST

START_TEST(bird_with_another_configuration_is_a_problem)
{
	struct scene *scene = healthy();

	scene->bird.config_id[0] = '\0';
	assert_problem(scene, "BIRD does not run the wanted configuration");
	done(scene);
	scene = healthy();
	scene->bird.unconfirmed = true;
	assert_problem(scene, "BIRD's configuration waits for confirmation");
	done(scene);
	scene = healthy();
	scene->bird.recovering = true;
	assert_problem(scene, "BIRD recovers from a restart and withholds routes");
	done(scene);
}
END_TEST

START_TEST(down_session_is_a_problem)
{
	struct scene *scene = healthy();

	session(scene, "tor:peer")->up = false;
	session(scene, "tor:peer")->info = "Socket: Connection refused";
	assert_problem(scene, "1 of 3 sessions are down: tor:peer, Socket: Connection refused");
	done(scene);
	scene = healthy();
	scene->bird.n_sessions = 1;
	assert_problem(scene, "2 of 3 sessions are down: node3:v4, BIRD has no such session: its "
		"configuration is not the wanted one; tor:peer, BIRD has no such session: its "
		"configuration is not the wanted one");
	done(scene);
}
END_TEST

START_TEST(session_that_bfd_never_saw_is_a_problem)
{
	struct scene *scene = healthy();
	struct session_want copy[3];
	struct session options;

	session(scene, "tor:peer")->bfd = "Down";
	assert_problem(scene, NULL); /* nobody asked for BFD */
	memcpy(copy, scene->view.sessions, sizeof(copy));
	options = *copy[2].options;
	options.bfd = true;
	copy[2].options = &options;
	scene->view.sessions = copy;
	assert_problem(scene, "tor:peer: BGP is up, and BFD is Down: UDP port 3784 does not get through, "
		"or the neighbour does no BFD");
	session(scene, "tor:peer")->bfd = "Up";
	assert_problem(scene, NULL);
	done(scene);
}
END_TEST

START_TEST(session_nobody_wants_is_none)
{
	struct scene *scene = healthy();

	add_session(scene, "zz-mine");
	session(scene, "zz-mine")->up = false;
	assert_problem(scene, NULL);
	done(scene);
}
END_TEST

START_TEST(address_of_another_machine_is_a_problem)
{
	struct scene *scene = healthy();

	scene->view.lacks_address[IPV4] = true;
	assert_problem(scene, "node1's address 192.168.1.11 is on no interface of this machine");
	done(scene);
}
END_TEST

START_TEST(masquerading_is_a_problem_when_it_is_not_as_wanted)
{
	static const struct {
		struct masquerade_status have;
		const char *problem, *json;
	} rows[] = {
		{{MASQUERADE_IDLE, {0}, 0}, NULL,
			"{\"state\":\"idle\",\"table\":\"inet roost\",\"writes\":0,\"reason\":null}"},
		{{MASQUERADE_ON, {0}, 2}, NULL,
			"{\"state\":\"on\",\"table\":\"inet roost\",\"writes\":2,\"reason\":null}"},
		{{MASQUERADE_CHANGED, {0}, 2},
			"masquerade: somebody changed or deleted the nftables table inet roost; "
			"roostctl apply puts it right",
			"{\"state\":\"changed\",\"table\":\"inet roost\",\"writes\":2,\"reason\":null}"},
		{{MASQUERADE_FAILED, {EPERM, "no capability"}, 0}, "masquerade: no capability",
			"{\"state\":\"failed\",\"table\":\"inet roost\",\"writes\":0,"
			"\"reason\":\"no capability\"}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scene *scene = healthy();
		_cleanup_buf_ struct buf text = {0};
		json_t *status;

		scene->view.masquerade = rows[i].have;
		assert_problem(scene, rows[i].problem);
		status = report_status(&scene->view);
		assert_json(json_incref(json_object_get(status, "masquerade")), rows[i].json);
		json_decref(status);
		report_metrics(&scene->view, &text);
		ck_assert_ptr_nonnull(strstr(text.text, rows[i].problem ? "roost_masquerade_ok 0\n"
									: "roost_masquerade_ok 1\n"));
		done(scene);
	}
}
END_TEST

START_TEST(status_before_the_first_good_file_has_nulls)
{
	struct scene *scene = healthy();

	scene->view.cluster = NULL;
	scene->view.self = NULL;
	scene->view.config_id = NULL;
	scene->view.sessions = NULL;
	scene->view.n_sessions = 0;
	scene->status = (struct agent_status){.node_name = "node1", .source_path = "/x"};
	err_set(&scene->status.load_error, ENOENT, "/x: No such file or directory");
	assert_problem(scene, "/x: No such file or directory");
	assert_json(report_nodes(&scene->view), "[]");
	assert_json(report_peers(&scene->view), "[]");
	assert_json(report_routes(&scene->view), "[]");
	done(scene);
}
END_TEST

START_TEST(warnings_degrade_nothing)
{
	struct scene *scene = healthy();
	json_t *status;

	*ARENA_PUSH(&scene->arena, scene->cluster->warnings, &scene->cluster->n_warnings) =
		"roost.yaml:3:4: agent.maxWithdraw: ignored";
	assert_problem(scene, NULL);
	status = report_status(&scene->view);
	ck_assert_uint_eq(json_array_size(json_object_get(status, "warnings")), 1);
	json_decref(status);
	done(scene);
}
END_TEST

/* ---------------------------------------------------------------- routes */

enum { OWN, NODE2, NODE3 }; /* the routes of the scene */

static void bird_lost(struct scene *scene)
{
	scene->bird.n_routes = 2;
}

static void bird_unresolved(struct scene *scene)
{
	scene->bird.routes[NODE3].dest = DEST_UNREACHABLE;
}

static void bird_elsewhere(struct scene *scene)
{
	scene->bird.routes[NODE3].via = A("192.168.1.99");
}

static void kernel_lost(struct scene *scene)
{
	scene->fib.n = 2;
}

static void kernel_elsewhere(struct scene *scene)
{
	scene->fib.items[NODE3].via[0] = A("192.168.1.99");
}

/* merge paths: BIRD's best is one of the kernel's. */
static void kernel_multipath(struct scene *scene)
{
	struct fib_route *route = &scene->fib.items[NODE3];

	*ARENA_PUSH(&scene->arena, route->via, &route->n_via) = route->via[0];
	route->via[0] = A("192.168.1.99");
}

static void kernel_leads_away(struct scene *scene)
{
	struct fib_route *route = &scene->fib.items[OWN];

	*ARENA_PUSH(&scene->arena, route->via, &route->n_via) = A("192.168.1.99");
}

static void kernel_unreachable(struct scene *scene)
{
	scene->fib.items[NODE3].type = FIB_UNREACHABLE;
}

static void kernel_silent(struct scene *scene)
{
	err_set(&scene->fib_error, EPERM, "netlink");
}

static void bird_silent(struct scene *scene)
{
	err_set(&scene->bird.err, ETIMEDOUT, "BIRD does not answer");
}

static void second_best_first(struct scene *scene)
{
	struct bird_route worse = scene->bird.routes[NODE3];

	worse.best = false;
	worse.via = A("192.168.1.99");
	*ARENA_PUSH(&scene->arena, scene->bird.routes, &scene->bird.n_routes) =
		scene->bird.routes[OWN];
	scene->bird.routes[OWN] = worse;
}

static void add_static(struct scene *scene, const char *prefix, const char *via, unsigned metric)
{
	struct fib_route *route = ARENA_PUSH(&scene->arena, scene->fib.items, &scene->fib.n);

	*route = (struct fib_route){.type = FIB_UNICAST, .metric = metric, .protocol = RTPROT_STATIC};
	ck_assert(prefix_parse(prefix, &route->prefix));
	*ARENA_PUSH(&scene->arena, route->via, &route->n_via) = A(via);
}

/* As fib_read() sorts them: of a prefix the better metric first. */
static void put_first(struct scene *scene)
{
	struct fib_route last = scene->fib.items[scene->fib.n - 1];

	scene->fib.items[scene->fib.n - 1] = scene->fib.items[scene->fib.n - 2];
	scene->fib.items[scene->fib.n - 2] = last;
}

static void kernel_static_wins(struct scene *scene)
{
	add_static(scene, "10.244.3.0/24", "192.168.1.99", 5);
	put_first(scene);
}

/* BIRD cannot add its own: there is one with its metric. */
static void kernel_static_stands_in(struct scene *scene)
{
	scene->fib.n--;
	add_static(scene, "10.244.3.0/24", "192.168.1.99", 32);
}

static void kernel_static_inside(struct scene *scene)
{
	add_static(scene, "10.244.3.128/25", "192.168.1.99", 100);
}

static void kernel_static_same_way(struct scene *scene)
{
	add_static(scene, "10.244.3.128/25", "192.168.1.13", 0);
}

static void kernel_static_loses(struct scene *scene)
{
	add_static(scene, "10.244.3.0/24", "192.168.1.99", 100);
}

START_TEST(verdict_names_the_first_broken_link)
{
	static const struct {
		void (*breakage)(struct scene *);
		const char *verdict; /* of 10.244.3.0/24 */
		int drift;
	} rows[] = {
		{second_best_first, "ok", 0},
		{bird_lost, "not in BIRD", 0},
		{bird_unresolved, "next hop unreachable", 0},
		{bird_elsewhere, "other next hop in BIRD", 0},
		{kernel_lost, "not in the kernel", 1},
		{kernel_elsewhere, "other next hop in the kernel", 1},
		{kernel_multipath, "ok", 0},
		{kernel_unreachable, "other next hop in the kernel", 1},
		{kernel_static_wins, "a route that is not BIRD's is in the way", 1},
		{kernel_static_stands_in, "a route that is not BIRD's is in the way", 1},
		{kernel_static_inside, "a route that is not BIRD's is in the way", 1},
		{kernel_static_same_way, "ok", 0},
		{kernel_static_loses, "ok", 0},
		{kernel_silent, "unknown", 0},
		{bird_silent, "unknown", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scene *scene = healthy();
		json_t *routes, *status;

		rows[i].breakage(scene);
		routes = report_routes(&scene->view);
		ck_assert_uint_eq(json_array_size(routes), 3);
		ck_assert_str_eq(json_string_value(json_object_get(json_array_get(routes, 2), "verdict")),
			rows[i].verdict);
		json_decref(routes);
		status = report_status(&scene->view);
		ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(status, "routes"),
					 "drift")), rows[i].drift);
		json_decref(status);
		done(scene);
	}
}
END_TEST

START_TEST(own_pods_must_not_be_led_away)
{
	struct scene *scene = healthy();

	kernel_leads_away(scene);
	assert_problem(scene, "1 of 3 routes differ, see roostctl routes");
	done(scene);
}
END_TEST

START_TEST(differing_route_is_a_problem)
{
	struct scene *scene = healthy();

	kernel_lost(scene);
	assert_problem(scene, "1 of 3 routes differ, see roostctl routes");
	done(scene);
}
END_TEST

START_TEST(route_in_the_way_is_told_with_what_to_do)
{
	struct scene *scene = healthy();
	struct report_drift drift;

	kernel_static_wins(scene);
	assert_problem(scene, "1 of 3 routes differ, see roostctl routes; 10.244.3.0/24: a route that "
		"is not BIRD's is in the way; if nobody needs it: ip -4 route del 10.244.3.0/24 via "
		"192.168.1.99 proto static metric 5");
	drift = report_drift(&scene->view, &scene->arena);
	ck_assert(drift.n == 1 && !drift.items[0].is_ours);
	scene->fib.n -= 2;
	drift = report_drift(&scene->view, &scene->arena);
	ck_assert(drift.n == 1 && drift.items[0].is_ours);
	ck_assert_str_eq(drift.items[0].text, "not in the kernel");
	done(scene);
}
END_TEST

START_TEST(route_shows_what_is_wanted_and_both_sides)
{
	struct scene *scene = healthy();
	json_t *routes = report_routes(&scene->view);

	assert_json(json_incref(json_array_get(routes, OWN)),
		"{\"prefix\":\"10.244.1.0/24\",\"node\":\"node1\",\"own\":true,\"wantedNextHop\":null,"
		"\"bird\":{\"type\":\"unreachable\",\"protocol\":\"some:v4\",\"nextHop\":null},"
		"\"kernel\":{\"type\":\"unreachable\",\"metric\":32,\"protocol\":12,\"nextHops\":[]},"
		"\"verdict\":\"ok\",\"advice\":null}");
	assert_json(json_incref(json_array_get(routes, NODE2)),
		"{\"prefix\":\"10.244.2.0/24\",\"node\":\"node2\",\"own\":false,"
		"\"wantedNextHop\":\"192.168.1.12\","
		"\"bird\":{\"type\":\"unicast\",\"protocol\":\"some:v4\",\"nextHop\":\"192.168.1.12\"},"
		"\"kernel\":{\"type\":\"unicast\",\"metric\":32,\"protocol\":12,"
		"\"nextHops\":[\"192.168.1.12\"]},\"verdict\":\"ok\",\"advice\":null}");
	json_decref(routes);
	done(scene);
}
END_TEST

START_TEST(without_a_mesh_the_router_says_the_next_hop)
{
	struct scene *scene = healthy();

	scene->cluster->topology = TOPOLOGY_NONE;
	scene->bird.routes[NODE3].via = scene->fib.items[NODE3].via[0] = A("192.168.1.1");
	assert_problem(scene, NULL);
	done(scene);
}
END_TEST

/* ---------------------------------------------------------------- nodes, peers */

START_TEST(node_counts_its_own_sessions)
{
	struct scene *scene = healthy();

	session(scene, "node3:v4")->up = false;
	scene->view.drain.state = DRAIN_LEAVING;
	assert_json(report_nodes(&scene->view),
		"[{\"name\":\"node1\",\"self\":true,\"addresses\":[\"192.168.1.11\"],\"asNumber\":64512,"
		"\"podCIDRs\":[\"10.244.1.0/24\"],\"ready\":true,\"sessions\":{\"up\":0,\"total\":0},"
		"\"drain\":\"leaving\"},"
		"{\"name\":\"node2\",\"self\":false,\"addresses\":[\"192.168.1.12\"],\"asNumber\":64512,"
		"\"podCIDRs\":[\"10.244.2.0/24\"],\"ready\":true,\"sessions\":{\"up\":1,\"total\":1},"
		"\"drain\":null},"
		"{\"name\":\"node3\",\"self\":false,\"addresses\":[\"192.168.1.13\"],\"asNumber\":64512,"
		"\"podCIDRs\":[\"10.244.3.0/24\"],\"ready\":true,\"sessions\":{\"up\":0,\"total\":1},"
		"\"drain\":null}]");
	done(scene);
}
END_TEST

START_TEST(peer_that_is_down_says_why)
{
	struct scene *scene = healthy();
	struct bird_session *tor = session(scene, "tor:peer");
	json_t *peers;

	tor->up = false;
	tor->state = "Active";
	tor->info = "Socket: Connection refused";
	peers = report_peers(&scene->view);
	assert_json(json_incref(json_array_get(peers, 2)),
		"{\"session\":\"tor:peer\",\"name\":\"tor\",\"kind\":\"router\","
		"\"address\":\"192.168.1.1\",\"asNumber\":65000,\"state\":\"Active\",\"up\":false,"
		"\"since\":\"2026-11-23T03:19:31+0000\",\"routesIn\":1,\"routesOut\":1,"
		"\"updatesRefused\":0,\"bfd\":null,"
		"\"reason\":\"Socket: Connection refused\",\"leaving\":false}");
	json_decref(peers);
	scene->bird.n_sessions = 2;
	peers = report_peers(&scene->view);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(peers, 2), "reason")),
		"BIRD has no such session: its configuration is not the wanted one");
	json_decref(peers);
	done(scene);
}
END_TEST

/* tor:peer, to be changed. */
static struct session_want *wanted(struct scene *scene)
{
	struct session_want *copy = arena_alloc(&scene->arena, 3 * sizeof(*copy));

	memcpy(copy, scene->view.sessions, 3 * sizeof(*copy));
	scene->view.sessions = copy;
	return &copy[2];
}

/* That may be changed. */
static struct session *own_options(struct session_want *want, struct arena *arena)
{
	struct session *own = arena_alloc(arena, sizeof(*own));

	*own = *want->options;
	want->options = own;
	return own;
}

static void assert_reason(const struct scene *scene, const char *reason)
{
	json_t *peers = report_peers(&scene->view);
	json_t *have = json_object_get(json_array_get(peers, 2), "reason");

	if (reason)
		ck_assert_str_eq(json_string_value(have), reason);
	else
		ck_assert(json_is_null(have));
	json_decref(peers);
}

START_TEST(podcidr_that_a_router_has_too_is_told_of)
{
	struct scene *scene = healthy();
	struct bird_route *two = &scene->bird.routes[1], *again;

	two->protocol = "node2:v4";
	scene->bird.n_routes = 2; /* node3's is behind it again */
	again = ARENA_PUSH(&scene->arena, scene->bird.routes, &scene->bird.n_routes);
	*again = (struct bird_route){.prefix = scene->bird.routes[1].prefix,
		.dest = DEST_UNICAST, .via = A("192.168.1.1"), .protocol = "tor:peer"};
	assert_reason(scene, "1 podCIDR not used: nodes announce it themselves");
	/* Shared with another router, it is used. */
	scene->bird.routes[1].protocol = "tor2:peer";
	assert_reason(scene, NULL);
	scene->bird.routes[1].protocol = "node2:v4";
	again->protocol = "tor2:peer";
	assert_reason(scene, NULL);
	done(scene);
}
END_TEST

/* TCP-MD5 has no errors: with another password on the other side nothing is heard. */
START_TEST(silence_may_be_a_wrong_password)
{
	struct scene *scene = healthy();
	struct bird_session *tor = session(scene, "tor:peer");

	own_options(wanted(scene), &scene->arena)->password = "x";
	assert_reason(scene, NULL);
	tor->up = false;
	tor->state = "Connect";
	assert_reason(scene, "Connect; no answer, as if the password was another one there");
	tor->state = "OpenSent";
	tor->info = "Received: Bad peer AS";
	assert_reason(scene, "Received: Bad peer AS");
	done(scene);
}
END_TEST

START_TEST(reached_import_limit_is_told_of_a_session_that_is_up)
{
	struct scene *scene = healthy();

	session(scene, "tor:peer")->limit_reached = 100;
	assert_reason(scene, "import limit of 100 routes reached: no more are taken");
	assert_problem(scene, "tor:peer: import limit of 100 routes reached: no more are taken");
	own_options(wanted(scene), &scene->arena)->import_limit.only_warn = true;
	assert_reason(scene, "import limit of 100 routes reached");
	assert_problem(scene, NULL);
	session(scene, "tor:peer")->refused = 3;
	assert_reason(scene,
		"import limit of 100 routes reached; 3 updates outside import, not taken");
	done(scene);
}
END_TEST

START_TEST(peer_that_is_not_up_has_a_reason_of_more_than_its_state)
{
	static const char *const rows[][3] = {
		{"Connect", "Connect", "no answer"},
		{"Active", "", "no answer"},
		{"Active", "Received: Hold timer expired", "Received: Hold timer expired"},
		{"Idle", "BGP Error: Bad BGP identifier",
			"BGP Error: Bad BGP identifier; it has this node's router id"},
	};
	struct scene *scene = healthy();
	struct bird_session *tor = session(scene, "tor:peer");

	tor->up = false;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tor->state = rows[i][0];
		tor->info = rows[i][1];
		assert_reason(scene, rows[i][2]);
	}
	done(scene);
}
END_TEST

START_TEST(peer_that_comes_and_goes_says_so_while_it_is_up)
{
	struct scene *scene = healthy();
	struct bird_session *tor = session(scene, "tor:peer");

	scene->bird.started = "2026-11-23T03:19:21+0100";
	tor->since = "2026-11-23T03:19:31+0100"; /* 02:19:31Z */
	scene->view.now = 1795400371 + 299;
	assert_reason(scene, "up for only 299 s");
	scene->view.now++;
	assert_reason(scene, NULL);
	scene->view.now--;
	scene->bird.started = "2026-11-23T03:19:22+0100";
	assert_reason(scene, NULL);
	scene->bird.started = "2026-11-23T02:18:21+0000";
	assert_reason(scene, "up for only 299 s");
	tor->since = "03:19:31"; /* a template of the operator's */
	assert_reason(scene, NULL);
	done(scene);
}
END_TEST

/* ---------------------------------------------------------------- ready, metrics */

START_TEST(ready_means_confirmed_and_announced)
{
	struct scene *scene = healthy();
	struct err why = {0};
	bool told = false;

	ck_assert_int_eq(report_ready(&scene->view, &why), 0);
	session(scene, "node2:v4")->up = session(scene, "node3:v4")->up = false;
	ck_assert_int_eq(report_ready(&scene->view, &why), 0);
	/* A router that hears of Services alone knows nothing of pods. */
	scene->cluster->peers[0].export = EXPORT_SERVICES;
	ck_assert_int_eq(report_ready(&scene->view, &why), -1);
	scene->cluster->peers[0].export = EXPORT_PODS;
	session(scene, "tor:peer")->up = false;
	ck_assert_int_eq(report_ready(&scene->view, &why), -1);
	ck_assert_str_eq(why.msg, "10.244.1.0/24 is announced to nobody, 0 of 3 sessions are up");
	/* Who is told of other routes may not be told of this one. */
	session(scene, "tor:peer")->up = true;
	session(scene, "tor:peer")->exported = 2;
	session(scene, "tor:peer")->told = &told;
	scene->bird.own = scene->cluster->nodes[0].pod_cidrs;
	ck_assert_int_eq(report_ready(&scene->view, &why), -1);
	told = true;
	ck_assert_int_eq(report_ready(&scene->view, &why), 0);
	scene->bird.unconfirmed = true;
	ck_assert_int_eq(report_ready(&scene->view, &why), -1);
	ck_assert_str_eq(why.msg, "the configuration is not confirmed");
	bird_silent(scene);
	ck_assert_int_eq(report_ready(&scene->view, &why), -1);
	ck_assert_str_eq(why.msg, "BIRD: BIRD does not answer");
	scene->view.config_id = NULL;
	ck_assert_int_eq(report_ready(&scene->view, &why), -1);
	ck_assert_str_eq(why.msg, "no configuration was loaded yet");
	done(scene);
}
END_TEST

START_TEST(metrics_are_openmetrics)
{
	static const char *const samples[] = {
		"roost_bird_up 1\n", "roost_source_ok 1\n", "roost_generation 7\n",
		"roost_configuration_running 1\n", "roost_applies_total{outcome=\"confirmed\"} 2\n",
		"roost_applies_total{outcome=\"rolled back\"} 0\n", "roost_routes_expected 3\n",
		"roost_routes_drift 1\n", "roost_session_up{session=\"tor:peer\"} 0\n",
		"roost_session_routes_in{session=\"node2:v4\"} 1\n", "roost_masquerade_ok 1\n",
		"roost_masquerade_writes_total 0\n",
	};
	struct scene *scene = healthy();
	_cleanup_buf_ struct buf text = {0};
	char family[100] = "";

	kernel_lost(scene);
	session(scene, "tor:peer")->up = false;
	report_metrics(&scene->view, &text);
	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		ck_assert_msg(strstr(buf_text(&text), samples[i]) != NULL, "no %s in\n%s", samples[i],
			buf_text(&text));
	ck_assert_str_eq(buf_text(&text) + text.len - 6, "# EOF\n");
	/* Each sample belongs to the family announced last. */
	for (char *save = NULL, *line = strtok_r(text.text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "# TYPE %99s", family) == 1 || line[0] == '#')
			continue;
		ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "%s in %s", line, family);
	}
	done(scene);
}
END_TEST

UNIT(report, status_of_a_healthy_node, drained_node_is_healthy_and_one_that_waits_is_not, bad_file_is_a_problem_in_its_own_words,
	refusal_stands_until_an_apply_goes_well,
	bird_that_does_not_answer_is_the_only_problem_it_is,
	bird_with_another_configuration_is_a_problem, down_session_is_a_problem,
	session_that_bfd_never_saw_is_a_problem, session_nobody_wants_is_none, address_of_another_machine_is_a_problem,
	masquerading_is_a_problem_when_it_is_not_as_wanted,
	status_before_the_first_good_file_has_nulls, warnings_degrade_nothing,
	verdict_names_the_first_broken_link, own_pods_must_not_be_led_away, differing_route_is_a_problem, route_in_the_way_is_told_with_what_to_do,
	route_shows_what_is_wanted_and_both_sides, without_a_mesh_the_router_says_the_next_hop,
	node_counts_its_own_sessions, peer_that_is_down_says_why,
	podcidr_that_a_router_has_too_is_told_of, silence_may_be_a_wrong_password,
	reached_import_limit_is_told_of_a_session_that_is_up,
	peer_that_is_not_up_has_a_reason_of_more_than_its_state,
	peer_that_comes_and_goes_says_so_while_it_is_up,
	ready_means_confirmed_and_announced,
	metrics_are_openmetrics)
