/* SPDX-License-Identifier: GPL-2.0-or-later */
/* services: to whom addresses of Services are announced, and why not, as roostctl shows
 * and explains it.  Each test takes a node1 that announces one and breaks one thing. */
#include <errno.h>
#include <string.h>

#include "agent/explain.h"
#include "agent/services.h"
#include "base/buf.h"
#include "model/decode.h"
#include "unit.h"

static const char yaml[] =
	"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16],\n"
	"          serviceCIDRs: [203.0.113.0/24, \"2001:db8:5::/64\"]}\n"
	"nodes:\n"
	"- {name: node1, addresses: [192.168.1.11], podCIDRs: [10.244.1.0/24]}\n"
	"peers:\n"
	"- {name: other, address: 192.168.1.3, asNumber: 65000}\n"
	"- {name: tor-a, address: 192.168.1.1, asNumber: 65000, export: [services]}\n"
	"- {name: tor-b, address: 192.168.1.2, asNumber: 65000, export: [pods, services]}\n";

struct scene {
	struct arena arena;
	struct agent_status status;
	struct cluster *cluster;
	struct bird_session sessions[3];
	struct bird_route route;
	struct bird_state bird;
	struct view view;
};

static struct prefix P(const char *text)
{
	struct prefix prefix;

	ck_assert(prefix_parse(text, &prefix));
	return prefix;
}

static void add(struct scene *s, const char *prefix, const char *service, enum service_kind kind,
	enum service_verdict verdict)
{
	struct services *services = &s->cluster->services;

	*ARENA_PUSH(&s->arena, services->items, &services->n) =
		(struct service_address){P(prefix), service, kind, verdict};
	if (verdict == SERVICE_ANNOUNCED)
		*ARENA_PUSH(&s->arena, services->announced.items, &services->announced.n) =
			P(prefix);
}

static void set_up(struct scene *s)
{
	struct session_want *sessions;
	struct err err;
	size_t n;

	memset(s, 0, sizeof(*s));
	ck_assert_msg(decode_cluster("roost.yaml", yaml, strlen(yaml), &s->arena, &s->cluster, &err) ==
			0, "%s", err.msg);
	sessions = render_sessions(s->cluster, &s->cluster->nodes[0], &s->arena, &n);
	ck_assert_uint_eq(n, 3);
	for (size_t i = 0; i < n; i++)
		s->sessions[i] = (struct bird_session){.name = sessions[i].name,
			.state = "Established", .up = true, .info = "", .exported = 1};
	s->route = (struct bird_route){.prefix = P("203.0.113.10/32"), .dest = DEST_UNREACHABLE,
		.protocol = "services4", .best = true};
	s->bird = (struct bird_state){.version = "2.0.12", .sessions = s->sessions, .n_sessions = n,
		.routes = &s->route, .n_routes = 1};
	s->view = (struct view){.status = &s->status, .cluster = s->cluster,
		.self = &s->cluster->nodes[0], .sessions = sessions, .n_sessions = n,
		.config_id = "", .bird = &s->bird};
	add(s, "203.0.113.10/32", "default/web", SERVICE_EXTERNAL_IP, SERVICE_ANNOUNCED);
}

/* "203.0.113.10 default/web ExternalIP to tor-a:peer", one line each. */
static void assert_rows(struct scene *s, const char *expected)
{
	_cleanup_buf_ struct buf text = {0};
	json_t *rows = report_services(&s->view);
	const json_t *row, *router;
	size_t i, j;

	json_array_foreach (rows, i, row) {
		buf_printf(&text, "%s%s %s %s", i ? "\n" : "",
			json_string_value(json_object_get(row, "address")),
			json_string_value(json_object_get(row, "service")),
			json_string_value(json_object_get(row, "type")));
		ck_assert(json_is_true(json_object_get(row, "announced")) ==
			(json_array_size(json_object_get(row, "announcedTo")) > 0));
		ck_assert(json_is_true(json_object_get(row, "announced")) ==
			json_is_null(json_object_get(row, "reason")));
		json_array_foreach (json_object_get(row, "announcedTo"), j, router)
			buf_printf(&text, " to %s", json_string_value(router));
		if (json_is_string(json_object_get(row, "reason")))
			buf_printf(&text, ": %s", json_string_value(json_object_get(row, "reason")));
	}
	ck_assert_str_eq(buf_text(&text), expected);
	json_decref(rows);
}

static void assert_row(struct scene *s, const char *rest)
{
	assert_rows(s, arena_printf(&s->arena, "203.0.113.10 default/web ExternalIP%s", rest));
	arena_free(&s->arena);
}

START_TEST(address_is_announced_to_each_router_that_wants_services)
{
	struct scene s;

	set_up(&s);
	assert_row(&s, " to tor-a:peer to tor-b:peer");
	set_up(&s);
	s.sessions[1].up = false; /* by name: other, tor-a, tor-b */
	assert_row(&s, " to tor-b:peer");
}
END_TEST

START_TEST(silence_has_a_reason)
{
	struct scene s;

	set_up(&s);
	s.sessions[1].up = s.sessions[2].up = false;
	assert_row(&s, ": no session to a router with export: [services] is up");
	set_up(&s);
	s.route.protocol = "static1"; /* somebody's of bird.d */
	assert_row(&s, ": BIRD does not have it: its configuration is not the wanted one");
	set_up(&s);
	s.bird.n_routes = 0;
	assert_row(&s, ": BIRD does not have it: its configuration is not the wanted one");
	set_up(&s);
	s.bird = (struct bird_state){.version = ""};
	err_set(&s.bird.err, ETIMEDOUT, "BIRD does not answer");
	assert_row(&s, ": BIRD does not answer");
}
END_TEST

START_TEST(family_without_a_session_is_told_to_nobody)
{
	struct scene s;

	set_up(&s);
	s.cluster->services = (struct services){0};
	add(&s, "2001:db8:5::7/128", "default/web", SERVICE_CLUSTER_IP, SERVICE_ANNOUNCED);
	s.route.prefix = P("2001:db8:5::7/128");
	s.route.protocol = "services6";
	assert_rows(&s, "2001:db8:5::7 default/web ClusterIP: "
			"no router with export: [services] has an IPv6 session");
	arena_free(&s.arena);
}
END_TEST

START_TEST(each_verdict_has_words)
{
	struct scene s;

	set_up(&s);
	s.cluster->services = (struct services){0};
	for (enum service_verdict v = SERVICE_OUTSIDE; v <= SERVICE_NOT_HERE; v++)
		add(&s, "203.0.113.10/32", "a/b", SERVICE_LOAD_BALANCER_IP, v);
	assert_rows(&s,
		"203.0.113.10 a/b LoadBalancerIP: outside cluster.serviceCIDRs\n"
		"203.0.113.10 a/b LoadBalancerIP: it is the address of a node or router\n"
		"203.0.113.10 a/b LoadBalancerIP: ipMode is Proxy: its load balancer takes the packets "
		"itself\n"
		"203.0.113.10 a/b LoadBalancerIP: this node is labelled "
		"node.kubernetes.io/exclude-from-external-load-balancers\n"
		"203.0.113.10 a/b LoadBalancerIP: this node is drained\n"
		"203.0.113.10 a/b LoadBalancerIP: the Service has no ready endpoint\n"
		"203.0.113.10 a/b LoadBalancerIP: no ready endpoint on this node, and the Service's "
		"traffic policy is Local");
	arena_free(&s.arena);
}
END_TEST

static void assert_count(struct scene *s, const char *expected)
{
	json_t *json = report_services_count(&s->view);
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	ck_assert_str_eq(text, expected);
	free(text);
	json_decref(json);
}

START_TEST(status_counts_them_where_they_are_asked_for)
{
	struct scene s;

	set_up(&s);
	add(&s, "203.0.113.11/32", "default/b", SERVICE_EXTERNAL_IP, SERVICE_NO_ENDPOINT);
	add(&s, "10.0.0.1/32", "default/c", SERVICE_EXTERNAL_IP, SERVICE_OUTSIDE);
	s.sessions[2].up = false;
	assert_count(&s, "{\"addresses\":3,\"announced\":1,\"outside\":1,\"routers\":1}");
	for (size_t i = 0; i < s.cluster->n_peers; i++)
		s.cluster->peers[i].export = EXPORT_PODS;
	assert_count(&s, "null");
	s.view.cluster = NULL;
	assert_count(&s, "null");
	arena_free(&s.arena);
}
END_TEST

/* The last step, and whether it is broken; frees the scene. */
static void assert_explained(struct scene *s, const char *expected)
{
	struct prefix prefix = P("203.0.113.10/32");
	json_t *json = explain(&s->view, &prefix.addr, NULL);
	const json_t *steps = json_object_get(json, "steps"),
		     *last = json_array_get(steps, json_array_size(steps) - 1);
	const char *first = json_string_value(json_object_get(json_array_get(steps, 0), "text"));
	_cleanup_buf_ struct buf text = {0};

	buf_printf(&text, "%s %s: %s",
		json_is_true(json_object_get(json, "broken")) ? "BROKEN" : "ok",
		json_string_value(json_object_get(last, "step")),
		json_string_value(json_object_get(last, "text")));
	ck_assert_str_eq(text.text, expected);
	ck_assert_str_eq(first, "203.0.113.10 is the ExternalIP of default/web");
	json_decref(json);
	arena_free(&s->arena);
}

START_TEST(explained_to_the_router)
{
	struct scene s;

	set_up(&s);
	assert_explained(&s, "ok announced: to tor-b:peer");
	set_up(&s);
	s.cluster->services.items[0].verdict = SERVICE_NOT_HERE;
	assert_explained(&s, "ok announced: not by this node: no ready endpoint on this node, and the "
			     "Service's traffic policy is Local");
	set_up(&s);
	s.cluster->services.items[0].verdict = SERVICE_NO_ENDPOINT;
	assert_explained(&s,
		"BROKEN announced: not by this node: the Service has no ready endpoint");
	/* Shared: announced is announced, whosever it is. */
	set_up(&s);
	add(&s, "203.0.113.10/32", "default/web", SERVICE_EXTERNAL_IP, SERVICE_NO_ENDPOINT);
	assert_explained(&s, "ok announced: to tor-b:peer");
}
END_TEST

UNIT(services, address_is_announced_to_each_router_that_wants_services, silence_has_a_reason,
	family_without_a_session_is_told_to_nobody, each_verdict_has_words,
	status_counts_them_where_they_are_asked_for, explained_to_the_router)
