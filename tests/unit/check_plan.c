/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan: what BIRD will do to each session.  Both sides are rendered from roost.yaml,
 * with the templates of this tree; what BIRD really does was measured once. */
#include <string.h>

#include "base/buf.h"
#include "bird/plan.h"
#include "bird/render.h"
#include "model/decode.h"
#include "unit.h"

/* `service`: the address of one that is announced; NULL: there is none. */
static const struct fileset *files_with(const char *yaml, const char *service, struct arena *arena)
{
	struct rendered *rendered = arena_alloc(arena, sizeof(*rendered));
	struct fileset templates = {0}, none = {0};
	const char *srcdir = getenv("srcdir");
	struct cluster *cluster;
	struct err err;

	ck_assert_msg(decode_cluster("roost.yaml", yaml, strlen(yaml), arena, &cluster, &err) == 0,
		"%s", err.msg);
	if (service)
		ck_assert(prefix_parse(service, ARENA_PUSH(arena, cluster->services.announced.items,
							&cluster->services.announced.n)));
	ck_assert_int_eq(fileset_read_dir(&templates, arena,
		arena_printf(arena, "%s/bird-templates", srcdir ? srcdir : "."), "", &err), 0);
	ck_assert_msg(render(cluster, cluster_find_node(cluster, "node1"), &templates, &none, arena,
			      rendered, &err) == 0, "%s", err.msg);
	return &rendered->files;
}

static const struct fileset *files(const char *yaml, struct arena *arena)
{
	return files_with(yaml, NULL, arena);
}

/* "node2:v4 keep, tor:peer RESTART (hold time 9;)" */
static const char *plan(const struct fileset *have, const struct fileset *want, struct arena *arena)
{
	struct buf text = {0};
	size_t n;
	struct plan_row *rows = plan_sessions(have, want, arena, &n);
	const char *out;

	for (size_t i = 0; i < n; i++)
		buf_printf(&text, "%s%s %s%s%s%s", i ? ", " : "", rows[i].session,
			plan_action_name(rows[i].action), *rows[i].why ? " (" : "", rows[i].why,
			*rows[i].why ? ")" : "");
	out = arena_strdup(arena, buf_text(&text));
	buf_free(&text);
	return out;
}

static void assert_plan(const char *have, const char *want, const char *expected)
{
	_cleanup_arena_ struct arena arena = {0};

	ck_assert_str_eq(plan(files(have, &arena), files(want, &arena), &arena), expected);
}

#define CLUSTER "cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16]}\n"
#define NODE1 "- {name: node1, addresses: [192.168.1.11], podCIDRs: [10.244.1.0/24]}\n"
#define NODE2 "- {name: node2, addresses: [192.168.1.12], podCIDRs: [10.244.2.0/24]}\n"
#define NODE3 "- {name: node3, addresses: [192.168.1.13], podCIDRs: [10.244.3.0/24]}\n"
#define TWO CLUSTER "nodes:\n" NODE1 NODE2
#define TOR(options) TWO "peers: [{name: tor, address: 192.168.1.1, asNumber: 65000" options "}]\n"

START_TEST(no_change_keeps_every_session)
{
	assert_plan(TWO, "# a comment, another order\nnodes:\n" NODE2 NODE1 CLUSTER, "node2:v4 keep");
}
END_TEST

START_TEST(new_and_gone_neighbours_leave_the_others_alone)
{
	assert_plan(TWO, TWO NODE3, "node2:v4 keep, node3:v4 add");
	assert_plan(TWO NODE3, TWO, "node2:v4 keep, node3:v4 remove");
	assert_plan(TWO, TOR(""), "node2:v4 keep, tor:peer add");
	assert_plan(CLUSTER "nodes:\n" NODE1, TWO, "node2:v4 add");
	assert_plan(TWO, CLUSTER "nodes:\n" NODE1, "node2:v4 remove");
}
END_TEST

START_TEST(renamed_neighbour_is_another_session)
{
	assert_plan(TWO, CLUSTER "nodes:\n" NODE1
		"- {name: other, addresses: [192.168.1.12], podCIDRs: [10.244.2.0/24]}\n",
		"node2:v4 remove, other:v4 add");
}
END_TEST

START_TEST(filters_refresh_without_a_restart)
{
	assert_plan(TWO, CLUSTER "nodes:\n" NODE1
		"- {name: node2, addresses: [192.168.1.12], podCIDRs: [10.244.20.0/24]}\n",
		"node2:v4 refresh (import where net ~ [ 10.244.20.0/24 ];)");
	assert_plan(TOR(""), TOR(", import: [0.0.0.0/0]"),
		"node2:v4 keep, "
		"tor:peer refresh (if net !~ [ 0.0.0.0/0 ] || net ~ OWN4 then reject;)");
	assert_plan(TOR(""), TOR(", export: []"), "node2:v4 keep, tor:peer refresh (export none;)");
	assert_plan(TOR(", export: []"), TOR(""), "node2:v4 keep, tor:peer refresh (export none;)");
	assert_plan(TOR(""), TOR(", med: 5"),
		"node2:v4 keep, tor:peer refresh (export filter {)");
	assert_plan(TOR(", med: 5"), TOR(", med: 6, communities: ['1:1']"),
		"node2:v4 keep, tor:peer refresh (bgp_med = 6;)");
	assert_plan(TOR(""), TOR(", localPreference: 5, asPathLimit: 3"),
		"node2:v4 keep, tor:peer refresh (if bgp_path.len > 3 then reject;)");
	assert_plan(TOR(""), TOR(", nextHopSelf: false"),
		"node2:v4 keep, tor:peer refresh (next hop self off;)");
	assert_plan(TOR(""), TOR(", importLimit: 3"),
		"node2:v4 keep, tor:peer keep (import limit 3 action block;)");
}
END_TEST

#define TOPOLOGY(topology, reflector) "cluster: {name: lab, asNumber: 64512, " \
	"podCIDRs: [10.244.0.0/16], topology: " topology "}\nnodes:\n" NODE1 NODE2 \
	"- {name: node3, addresses: [192.168.1.13], podCIDRs: [10.244.3.0/24]" reflector "}\n"

START_TEST(change_of_topology_restarts_nothing)
{
	assert_plan(TOPOLOGY("mesh", ""), TOPOLOGY("reflector", ", reflector: true"),
		"node2:v4 remove, node3:v4 refresh (import filter {)");
	assert_plan(TOPOLOGY("reflector", ", reflector: true"), TOPOLOGY("mesh", ", reflector: true"),
		"node2:v4 add, node3:v4 keep");
}
END_TEST

START_TEST(constant_that_a_filter_uses_refreshes)
{
	assert_plan(TWO, CLUSTER "nodes:\n"
		"- {name: node1, addresses: [192.168.1.11], podCIDRs: [10.244.100.0/24]}\n" NODE2,
		"node2:v4 refresh (define PODS4 = [ 10.244.100.0/24 ];)");
}
END_TEST

/* A podCIDR more: nodes are told of it, and what the router says is looked at again. */
START_TEST(import_is_asked_for_again_where_its_filter_is_another)
{
	static const char router[] = "peers: [{name: tor, address: 192.168.1.1, asNumber: 65000}]\n";
	_cleanup_arena_ struct arena arena = {0};
	const char *have = arena_printf(&arena, "%s%s", TWO, router);
	const char *want = arena_printf(&arena, CLUSTER "nodes:\n- {name: node1, addresses: [192.168.1.11], "
		"podCIDRs: [10.244.1.0/24, 10.244.9.0/24]}\n" NODE2 "%s", router);
	struct plan_row *rows;
	size_t n;

	rows = plan_sessions(files(have, &arena), files(want, &arena), &arena, &n);
	ck_assert_uint_eq(n, 2);
	ck_assert(rows[0].action == PLAN_REFRESH && !rows[0].import_again);
	ck_assert(rows[1].action == PLAN_REFRESH && rows[1].import_again && !rows[1].takes_other);
}
END_TEST

START_TEST(timers_addresses_and_as_numbers_restart)
{
	static const struct {
		const char *options, *why;
	} rows[] = {
		{", holdTime: 9", "hold time 9;"},
		{", keepaliveTime: 7", "keepalive time 7;"},
		{", gracefulRestart: {enabled: false}", "graceful restart off;"},
		{", gracefulRestart: {restartTime: 7}", "graceful restart time 7;"},
		{", longLivedGracefulRestart: {}", "long lived graceful restart on;"},
		{", connectRetryTime: 7", "connect retry time 7;"},
		{", sendHoldTime: 300", "send hold time 300;"},
		{", ttlSecurity: true", "ttl security on;"},
		{", passive: true", "passive on;"},
		{", port: 1179", "neighbor 192.168.1.1 port 1179 as 65000;"},
		{", role: peer", "local role peer;"},
		{", allowLocalAS: 1", "allow local as 1;"},
		{", addPaths: rx", "add paths rx;"},
		{", interface: eth0", "interface \"eth0\";"},
		{", password: x", "password \"x\";"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};

		assert_plan(TOR(""),
			arena_printf(&arena, TWO
				"peers: [{name: tor, address: 192.168.1.1, asNumber: 65000%s}]\n",
				rows[i].options),
			arena_printf(&arena, "node2:v4 keep, tor:peer RESTART (%s)", rows[i].why));
	}
	assert_plan(TOR(", password: '}'"), TOR(", password: '}{'"),
		"node2:v4 keep, tor:peer RESTART (password \"}{\";)");
	assert_plan(TOR(""), TWO "peers: [{name: tor, address: 192.168.1.2, asNumber: 65000}]\n",
		"node2:v4 keep, tor:peer RESTART (neighbor 192.168.1.2 as 65000;)");
	assert_plan(TOR(""), TWO "peers: [{name: tor, address: 192.168.1.1, asNumber: 65001}]\n",
		"node2:v4 keep, tor:peer RESTART (neighbor 192.168.1.1 as 65001;)");
}
END_TEST

/* Switched off, the neighbour misses our packets and ends the session. */
START_TEST(bfd_is_switched_on_without_a_restart_but_not_off)
{
	assert_plan(TOR(""), TOR(", bfd: true"), "node2:v4 keep, tor:peer keep (bfd on;)");
	assert_plan(TOR(", bfd: true"), TOR(""), "node2:v4 keep, tor:peer RESTART (bfd on;)");
	assert_plan(TOR(", bfd: true"), TOR(", bfd: {multiplier: 4}"),
		"node2:v4 keep, tor:peer keep (bfd { multiplier 4; };)");
	assert_plan(TOR(", bfd: {multiplier: 4}"), TOR(""),
		"node2:v4 keep, tor:peer RESTART (bfd { multiplier 4; };)");
}
END_TEST

START_TEST(own_address_restarts_everything)
{
	assert_plan(TOR(""), CLUSTER "nodes:\n"
		"- {name: node1, addresses: [192.168.1.99], podCIDRs: [10.244.1.0/24]}\n" NODE2
		"peers: [{name: tor, address: 192.168.1.1, asNumber: 65000}]\n",
		"node2:v4 RESTART (local 192.168.1.99 as 64512;), "
		"tor:peer RESTART (local 192.168.1.99 as 64512;)");
}
END_TEST

/* ---------------------------------------------------------------- templates, snippets */

static const struct fileset *with(const struct fileset *set, const char *name, const char *text,
	struct arena *arena)
{
	struct fileset *out = arena_alloc(arena, sizeof(*out));

	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->items[i].name, name) != 0)
			fileset_add(out, arena, set->items[i].name, set->items[i].text,
				set->items[i].len);
	fileset_add(out, arena, name, text, strlen(text));
	fileset_sort(out);
	return out;
}

START_TEST(change_of_a_template_is_the_change_of_its_users)
{
	static const struct {
		const char *session, *channel, *expected;
	} rows[] = {
		{"\tconnect retry time 7;\n", "", "RESTART (connect retry time 7;)"},
		{"\tpassword \"x\";\n", "", "RESTART (password \"x\";)"},
		{"\t# only a comment\n\n", "", "keep"},
		{"\tdescription \"x\";\n", "", "keep (description \"x\";)"},
		{"", "\t\timport limit 7 action warn;\n", "keep (import limit 7 action warn;)"},
		{"", "\t\texport where net ~ PODS4;\n", "refresh (export where net ~ PODS4;)"},
		{"", "\t\tadd paths on;\n", "RESTART (add paths on;)"},
	};
	static const char template[] = "template bgp roost4 {\n%s\tipv4 {\n%s\t};\n}\n";

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const struct fileset *base = files(TWO, &arena), *have, *want;

		have = with(base, "ipv4.conf", arena_printf(&arena, template, "", ""), &arena);
		want = with(base, "ipv4.conf",
			arena_printf(&arena, template, rows[i].session, rows[i].channel), &arena);
		ck_assert_str_eq(plan(have, want, &arena),
			arena_printf(&arena, "node2:v4 %s", rows[i].expected));
	}
}
END_TEST

START_TEST(kernel_protocol_that_restarts_is_warned_of)
{
	static const struct {
		const char *have, *want, *expected;
	} rows[] = {
		{"persist;\nscan time 10;", "persist;\nscan time 10; # same", NULL},
		{"persist;\nmerge paths on limit 16;", "merge paths on limit 8;", NULL},
		{"ipv4 {\nexport none;\n};", "ipv4 {\nexport filter {\nkrt_metric = 1;\naccept;\n};\n};", NULL},
		{"persist;\nscan time 10;", "persist;\nscan time 11;",
			"(scan time 11;): its routes stay in the kernel meanwhile"},
		{"merge paths on limit 16;", "scan time 10;", "(scan time 10;): all its routes leave the "
			"kernel, and pods their network, for a moment"},
		{"persist;\nmetric 0;", "persist;\nmetric 1;", "(metric 1;): routes with the old metric "
			"stay in the kernel until somebody deletes them"},
	};
	static const char block[] = "protocol kernel kernel4 {\n%s\n}\n";

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const struct fileset *base = files(TWO, &arena);
		const char **warnings;
		size_t n;

		warnings = plan_kernel_warnings(
			with(base, "ipv4.conf", arena_printf(&arena, block, rows[i].have), &arena),
			with(base, "ipv4.conf", arena_printf(&arena, block, rows[i].want), &arena), &arena, &n);
		ck_assert_uint_eq(n, rows[i].expected != NULL);
		if (n)
			ck_assert_str_eq(warnings[0], arena_printf(&arena, "protocol kernel4 restarts %s",
				rows[i].expected));
	}
}
END_TEST

START_TEST(sessions_in_snippets_are_sessions_too)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct fileset *base = files(TWO, &arena), *have, *want;

	have = with(base, "bird.d/1.conf",
		"protocol bgp mine from roost4 {\n\tneighbor 10.0.0.1 as 1;\n}\n", &arena);
	want = with(base, "bird.d/1.conf",
		"protocol bgp mine from roost4 { # as before\n  neighbor 10.0.0.1 as 2;\n}\n"
		"protocol bgp 'yours' {\n}\n", &arena);
	ck_assert_str_eq(plan(base, have, &arena), "mine add, node2:v4 keep");
	ck_assert_str_eq(plan(have, want, &arena),
		"mine RESTART (neighbor 10.0.0.1 as 2;), node2:v4 keep, yours add");
}
END_TEST

/* Written by hand there is more than one option to a line, and braces anywhere. */
START_TEST(what_cannot_be_explained_is_a_restart)
{
	static const struct {
		const char *have, *want, *expected; /* of the session m */
	} rows[] = {
		{"protocol bgp m { neighbor 10.0.0.1 as 1; }\n",
			"protocol bgp m { neighbor 10.0.0.2 as 1; }\n",
			"RESTART (written in another way)"},
		{"protocol bgp m\n{\n\thold time 9;\n}\n", "protocol bgp m\n{\n\thold time 8;\n}\n",
			"RESTART (hold time 8;)"},
		{"/* { */\nprotocol bgp m {\n\thold time 9;\n}\n",
			"/* { */\nprotocol bgp m {\n\thold time 9;\n}\n", "keep"},
		{"protocol bgp m {\n\tipv4 {\n\t};\n}\n",
			"protocol bgp m {\n\tipv4 {\n\t\timport table on;\n\t};\n}\n",
			"RESTART (import table on;)"},
		{"protocol bgp m {\n\tipv4 {\n\t};\n}\n",
			"protocol bgp m {\n\tipv4 {\n\t};\n\tipv6 {\n\t};\n}\n", "RESTART (ipv6 {)"},
		{"protocol bgp m {\n\tdescription \"# {\";\n}\n",
			"protocol bgp m {\n\tdescription \"# {{\";\n}\n",
			"keep (description \"# {{\";)"},
		{"filter f {\n\taccept;\n}\nprotocol bgp m {\n\tipv4 {\n\t\timport filter f;\n\t};\n}\n",
			"filter f {\n\treject;\n}\nprotocol bgp m {\n\tipv4 {\n\t\timport filter f;\n\t};\n}\n",
			"refresh (a filter or function differs)"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		struct fileset have = {0}, want = {0};

		fileset_add(&have, &arena, "bird.d/1.conf", rows[i].have, strlen(rows[i].have));
		fileset_add(&want, &arena, "bird.d/1.conf", rows[i].want, strlen(rows[i].want));
		ck_assert_str_eq(plan(&have, &want, &arena),
			arena_printf(&arena, "m %s", rows[i].expected));
	}
}
END_TEST

START_TEST(no_files_are_no_sessions)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset none = {0};

	ck_assert_str_eq(plan(&none, &none, &arena), "");
	ck_assert_str_eq(plan(&none, files(TWO, &arena), &arena), "node2:v4 add");
}
END_TEST

#define SERVICES(tor) "cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16], " \
	"serviceCIDRs: [203.0.113.0/24]}\nnodes:\n" NODE1 NODE2 \
	"peers: [{name: tor, address: 192.168.1.1, asNumber: 65000" tor "}]\n"

START_TEST(services_come_and_go_without_a_session_being_touched)
{
	static const char *const rows[][2] = {{NULL, "203.0.113.7/32"}, {"203.0.113.7/32", NULL},
		{"203.0.113.7/32", "203.0.113.8/32"}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const char *yaml = SERVICES(", export: [pods, services]");
		const struct fileset *have = files_with(yaml, rows[i][0], &arena);
		const struct fileset *want = files_with(yaml, rows[i][1], &arena);

		ck_assert_str_ne(fileset_find(have, "node.conf")->text,
			fileset_find(want, "node.conf")->text);
		ck_assert_str_eq(plan(have, want, &arena), "node2:v4 keep, tor:peer keep");
	}
	assert_plan(SERVICES(""), SERVICES(", export: [pods, services]"),
		"node2:v4 keep, tor:peer refresh (export where (source = RTS_STATIC && net ~ PODS4) || "
		"proto = \"services4\";)");
}
END_TEST

START_TEST(rubbish_is_no_crash)
{
	static const char *const rows[] = {"protocol bgp", "protocol bgp '", "protocol bgp 'x",
		"protocol bgp {", "template bgp x {", "}}}}\nprotocol bgp x {", "define", "define  = 1;",
		"router id ", "{{{{{{", "protocol bgp x from", "#",
		"protocol bgp aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa {"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		struct fileset one = {0}, none = {0};
		size_t n;

		fileset_add(&one, &arena, "bird.conf", rows[i], strlen(rows[i]));
		plan_sessions(&one, &one, &arena, &n);
		ck_assert_uint_le(n, 1);
		plan_sessions(&none, &one, &arena, &n);
		ck_assert_uint_le(n, 1);
	}
}
END_TEST

UNIT(plan, no_change_keeps_every_session, new_and_gone_neighbours_leave_the_others_alone,
	renamed_neighbour_is_another_session, filters_refresh_without_a_restart,
	change_of_topology_restarts_nothing, constant_that_a_filter_uses_refreshes,
	import_is_asked_for_again_where_its_filter_is_another, timers_addresses_and_as_numbers_restart,
	bfd_is_switched_on_without_a_restart_but_not_off, own_address_restarts_everything,
	change_of_a_template_is_the_change_of_its_users, kernel_protocol_that_restarts_is_warned_of, sessions_in_snippets_are_sessions_too,
	what_cannot_be_explained_is_a_restart, no_files_are_no_sessions,
	services_come_and_go_without_a_session_being_touched, rubbish_is_no_crash)
