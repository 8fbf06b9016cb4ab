/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spread: which sessions restart in which step, and what a step is made of. */
#include <string.h>

#include "base/buf.h"
#include "bird/spread.h"
#include "model/decode.h"
#include "unit.h"

#define CLUSTER "cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16]}\nnodes:\n"
#define NODE(n) "- {name: node" #n ", addresses: [192.168.1.1" #n "], podCIDRs: [10.244." #n ".0/24]}\n"
#define FIVE CLUSTER NODE(1) NODE(2) NODE(3) NODE(4) NODE(5)
#define ROUTERS "peers: [{name: tor-a, address: 192.168.1.1, asNumber: 65000}, " \
	"{name: tor-b, address: 192.168.1.2, asNumber: 65000}]\n"

static struct rendered files(const char *yaml, const char *template, struct arena *arena)
{
	struct fileset templates = {0}, none = {0};
	const char *srcdir = getenv("srcdir");
	struct rendered rendered;
	struct cluster *cluster;
	struct err err;

	ck_assert_msg(decode_cluster("roost.yaml", yaml, strlen(yaml), arena, &cluster, &err) == 0,
		"%s", err.msg);
	ck_assert_int_eq(fileset_read_dir(&templates, arena,
		arena_printf(arena, "%s/bird-templates", srcdir ? srcdir : "."), "", &err), 0);
	for (size_t i = 0; template && i < templates.n; i++)
		if (strcmp(templates.items[i].name, "ipv4.conf") == 0)
			templates.items[i] = (struct file_text){"ipv4.conf", template, strlen(template), false};
	ck_assert_int_eq(render(cluster, cluster_find_node(cluster, "node1"), &templates, &none, arena,
		&rendered, &err), 0);
	return rendered;
}

/* All steps from one file to another, as "node2:v4 tor-a:peer | node3:v4". */
static const char *steps(struct rendered have, const struct rendered *want,
	const struct spread_rules *rules, struct arena *arena)
{
	_cleanup_buf_ struct buf text = {0};
	size_t left;

	do {
		struct plan_row *rows;
		struct rendered step;
		size_t n, before = text.len;

		rows = plan_sessions(&have.files, &want->files, arena, &n);
		left = spread_step(&have.files, want, rows, n, rules, arena, &step);
		ck_assert_int_eq(left == 0, strcmp(step.id, want->id) == 0);
		rows = plan_sessions(&have.files, &step.files, arena, &n);
		for (size_t i = 0; i < n; i++)
			if (rows[i].action != PLAN_KEEP)
				buf_printf(&text, "%s%s%s", text.len == before ? "" : " ",
					rows[i].action == PLAN_RESTART ? "" : "+", rows[i].session);
		if (left)
			buf_puts(&text, " | ");
		have = step;
	} while (left);
	return arena_strdup(arena, buf_text(&text));
}

static void assert_steps(const char *have, const char *want, struct spread_rules rules,
	const char *expected)
{
	_cleanup_arena_ struct arena arena = {0};
	struct rendered wanted = files(want, NULL, &arena);

	ck_assert_str_eq(steps(files(have, NULL, &arena), &wanted, &rules, &arena), expected);
}

static const struct spread_rules share = {.percent = 25}, one_by_one = {true, 25}, half = {false, 50},
				 all = {false, 100};

START_TEST(routers_restart_one_at_a_time_and_nodes_by_their_share)
{
	static const char want[] = FIVE ROUTERS "session: {holdTime: 60}\n";

	assert_steps(FIVE ROUTERS, want, share,
		"node2:v4 tor-a:peer | node3:v4 tor-b:peer | node4:v4 | node5:v4");
	assert_steps(FIVE ROUTERS, want, half, "node2:v4 node3:v4 tor-a:peer | node4:v4 node5:v4 tor-b:peer");
	assert_steps(FIVE ROUTERS, want, all, "node2:v4 node3:v4 tor-a:peer | node4:v4 node5:v4 tor-b:peer");
	assert_steps(FIVE ROUTERS, want, (struct spread_rules){false, 0},
		"node2:v4 tor-a:peer | node3:v4 tor-b:peer | node4:v4 | node5:v4");
}
END_TEST

START_TEST(reflectors_restart_one_at_a_time_to_those_they_serve)
{
	assert_steps(FIVE, FIVE "session: {holdTime: 60}\n", (struct spread_rules){true, 100},
		"node2:v4 | node3:v4 | node4:v4 | node5:v4");
}
END_TEST

START_TEST(what_restarts_nothing_happens_with_the_first_step)
{
	assert_steps(CLUSTER NODE(1) NODE(2) NODE(3) NODE(4),
		CLUSTER NODE(1) NODE(2) NODE(3) NODE(5) "session: {holdTime: 60}\n", one_by_one,
		"node2:v4 +node4:v4 +node5:v4 | node3:v4");
	assert_steps(FIVE, FIVE ROUTERS, share, "+tor-a:peer +tor-b:peer");
	assert_steps(FIVE, FIVE, share, "");
}
END_TEST

/* The table of next hops of a router goes with its session. */
START_TEST(deferred_session_keeps_all_that_is_its_own)
{
	_cleanup_arena_ struct arena arena = {0};
	struct rendered have = files(FIVE "peers: [{name: a, address: 10.0.0.1, asNumber: 1}, {name: b, "
		"address: 10.0.0.2, asNumber: 1, multihop: true, gateway: 192.168.1.1, bfd: true}]\n",
		NULL, &arena);
	struct rendered want = files(FIVE "peers: [{name: a, address: 10.0.0.1, asNumber: 2}, {name: b, "
		"address: 10.0.0.2, asNumber: 2}]\n", NULL, &arena), step;
	const struct file_text *file;
	size_t n;
	struct plan_row *rows = plan_sessions(&have.files, &want.files, &arena, &n);

	ck_assert_uint_eq(spread_step(&have.files, &want, rows, n, &share, &arena, &step), 1);
	file = fileset_find(&step.files, "sessions.conf");
	ck_assert_ptr_nonnull(strstr(file->text, "\nprotocol bfd roost_bfd {\n}\n"));
	ck_assert_ptr_nonnull(strstr(file->text, "\nipv4 table 'b:hops';\n"));
	ck_assert_ptr_nonnull(strstr(file->text, "igp table 'b:hops';"));
	ck_assert_ptr_nonnull(strstr(file->text, "neighbor 10.0.0.1 as 2;"));
	ck_assert_ptr_nonnull(strstr(file->text, "neighbor 10.0.0.2 as 1;"));
	ck_assert(spread_is_step(fileset_find(&step.files, "bird.conf")->text));
	ck_assert(!spread_is_step(fileset_find(&want.files, "bird.conf")->text));
	/* Then the rest. */
	ck_assert_str_eq(steps(step, &want, &share, &arena), "b:peer");
}
END_TEST

START_TEST(template_restarts_all_at_once)
{
	_cleanup_arena_ struct arena arena = {0};
	struct rendered have = files(FIVE, "template bgp roost4 {\n\tconnect delay time 1;\n}\n", &arena);
	struct rendered want = files(FIVE "session: {holdTime: 60}\n",
		"template bgp roost4 {\n\tconnect delay time 2;\n}\n", &arena);
	struct rendered only_template = files(FIVE,
		"template bgp roost4 {\n\tconnect delay time 2;\n}\n", &arena);

	ck_assert_str_eq(steps(have, &only_template, &share, &arena), "node2:v4 node3:v4 node4:v4 node5:v4");
	ck_assert_str_eq(steps(have, &want, &share, &arena), "node2:v4 node3:v4 node4:v4 node5:v4");
}
END_TEST

UNIT(spread, routers_restart_one_at_a_time_and_nodes_by_their_share,
	reflectors_restart_one_at_a_time_to_those_they_serve,
	what_restarts_nothing_happens_with_the_first_step,
	deferred_session_keeps_all_that_is_its_own, template_restarts_all_at_once)
