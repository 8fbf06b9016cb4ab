/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cluster: the one data model, and the checks that need more than one value. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "model/cluster.h"
#include "unit.h"

static struct addr A(const char *text)
{
	struct addr addr = {0};

	ck_assert(!*text || addr_parse(text, &addr));
	return addr;
}

static struct prefixes prefixes(const char *list, struct arena *arena)
{
	struct prefixes out = {0};
	char *copy = arena_strdup(arena, list), *rest = copy;

	for (char *text = strtok_r(copy, " ", &rest); text; text = strtok_r(NULL, " ", &rest))
		ck_assert_msg(prefix_parse(text, ARENA_PUSH(arena, out.items, &out.n)), "%s", text);
	return out;
}

static struct cluster make(const char *pod_cidrs, struct arena *arena)
{
	return (struct cluster){.name = "lab", .as_number = 64512,
		.pod_cidrs = prefixes(pod_cidrs, arena)};
}

static void add_node(struct cluster *cluster, struct arena *arena, const char *name,
	const char *ipv4, const char *ipv6, const char *pod_cidrs)
{
	*ARENA_PUSH(arena, cluster->nodes, &cluster->n_nodes) = (struct node){
		.name = name, .address = {A(ipv4), A(ipv6)}, .as_number = 64512,
		.pod_cidrs = prefixes(pod_cidrs, arena)};
}

static void add_peer(struct cluster *cluster, struct arena *arena, const char *name,
	const char *address)
{
	*ARENA_PUSH(arena, cluster->peers, &cluster->n_peers) =
		(struct peer){.name = name, .address = A(address)};
}

static void assert_problem(struct cluster *cluster, const char *path, const char *text)
{
	struct problem problem;

	ck_assert_msg(cluster_check(cluster, &problem) == -1, "expected: %s", text);
	ck_assert_str_eq(problem.path, path);
	ck_assert_str_eq(problem.text, text);
}

START_TEST(name_is_letters_digits_dash_underscore_and_dot)
{
	static const char *const good[] = {"a", "1", "node1", "Node-1.rack_b.example.org", "a-", "a.",
		"0123456789abcdef0123456789abcdef", "peer", "protocol"};
	static const char *const bad[] = {"", "-a", ".a", "_a", "a b", "a\"b", "a'b", "a\nb", "a/b",
		"a:b", "a%b", "a\tb", "a;b", "a{b", "n\xc3\xb6", "\x7f", "a\x01"};
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_msg(name_is_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!name_is_valid(bad[i]), "%s", bad[i]);
	memset(text, 'a', 254);
	text[254] = '\0';
	ck_assert(!name_is_valid(text));
	text[253] = '\0';
	ck_assert(name_is_valid(text));
}
END_TEST

START_TEST(selector_wants_every_one_of_its_labels)
{
	struct label rack_a[] = {{"rack", "a"}}, rack_b[] = {{"rack", "b"}},
		     both[] = {{"zone", "1"}, {"rack", "a"}};
	struct labels none = {0}, a = {rack_a, 1}, b = {rack_b, 1}, ab = {both, 2};

	ck_assert(labels_match(&none, &none));
	ck_assert(labels_match(&none, &a));
	ck_assert(labels_match(&a, &a));
	ck_assert(labels_match(&a, &ab));
	ck_assert(!labels_match(&ab, &a));
	ck_assert(!labels_match(&a, &b));
	ck_assert(!labels_match(&a, &none));
}
END_TEST

START_TEST(families_are_those_of_the_pod_cidrs)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster four = make("10.244.0.0/16", &arena), six = make("fd00::/48", &arena),
		       both = make("10.244.0.0/16 fd00::/48", &arena);

	ck_assert(cluster_has_family(&four, IPV4) && !cluster_has_family(&four, IPV6));
	ck_assert(!cluster_has_family(&six, IPV4) && cluster_has_family(&six, IPV6));
	ck_assert(cluster_has_family(&both, IPV4) && cluster_has_family(&both, IPV6));
	ck_assert_str_eq(family_name(IPV4), "IPv4");
	ck_assert_str_eq(family_name(IPV6), "IPv6");
}
END_TEST

START_TEST(good_cluster_is_sorted_by_name)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster cluster = make("10.244.0.0/16", &arena);
	struct problem problem;

	add_node(&cluster, &arena, "c", "10.0.0.3", "", "10.244.3.0/24");
	add_node(&cluster, &arena, "a", "10.0.0.1", "", "10.244.1.0/24");
	add_node(&cluster, &arena, "b", "10.0.0.2", "", "");
	add_peer(&cluster, &arena, "tor-b", "10.0.0.254");
	add_peer(&cluster, &arena, "tor-a", "10.0.0.253");
	ck_assert_int_eq(cluster_check(&cluster, &problem), 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(cluster.nodes[i].name[0], (char)('a' + i));
	ck_assert_str_eq(cluster.peers[0].name, "tor-a");
	ck_assert_ptr_eq(cluster_find_node(&cluster, "b"), &cluster.nodes[1]);
	ck_assert_ptr_null(cluster_find_node(&cluster, "d"));
}
END_TEST

START_TEST(cluster_of_nothing_is_no_problem)
{
	struct cluster cluster = {0};
	struct problem problem;

	ck_assert_int_eq(cluster_check(&cluster, &problem), 0);
	ck_assert_ptr_null(cluster_find_node(&cluster, "a"));
}
END_TEST

START_TEST(two_nodes_of_one_name_are_refused)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster cluster = make("10.244.0.0/16", &arena);

	add_node(&cluster, &arena, "b", "10.0.0.1", "", "");
	add_node(&cluster, &arena, "a", "10.0.0.2", "", "");
	add_node(&cluster, &arena, "b", "10.0.0.3", "", "");
	assert_problem(&cluster, "nodes[2].name", "\"b\" is also the name of nodes[0]");
	ck_assert_str_eq(cluster.nodes[0].name, "b"); /* a refused cluster keeps its order */
}
END_TEST

START_TEST(two_peers_of_one_name_are_refused)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster cluster = make("10.244.0.0/16", &arena);

	add_node(&cluster, &arena, "tor", "10.0.0.1", "", "");
	add_peer(&cluster, &arena, "tor", "10.0.0.2");
	add_peer(&cluster, &arena, "tor", "10.0.0.3");
	assert_problem(&cluster, "peers[1].name", "\"tor\" is also the name of peers[0]");
}
END_TEST

START_TEST(shared_address_names_the_other_owner)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster nodes = make("10.244.0.0/16", &arena), six = make("fd00::/48", &arena),
		       peer = make("10.244.0.0/16", &arena);

	add_node(&nodes, &arena, "z", "10.0.0.1", "", "");
	add_node(&nodes, &arena, "a", "10.0.0.1", "", "");
	assert_problem(&nodes, "nodes[1].addresses", "10.0.0.1 is also z's");
	add_node(&six, &arena, "a", "10.0.0.1", "fd01::1", "");
	add_node(&six, &arena, "b", "10.0.0.2", "fd01::1", "");
	assert_problem(&six, "nodes[1].addresses", "fd01::1 is also a's");
	add_node(&peer, &arena, "a", "10.0.0.1", "", "");
	add_node(&peer, &arena, "b", "10.0.0.2", "", "");
	add_peer(&peer, &arena, "tor", "10.0.0.2");
	assert_problem(&peer, "peers[0].address", "10.0.0.2 is also b's");
}
END_TEST

/* The router of each rack may well be x.x.x.1. */
START_TEST(routers_share_an_address_unless_a_node_speaks_to_both)
{
	static struct label rack_a[] = {{"rack", "a"}}, rack_b[] = {{"rack", "b"}};
	_cleanup_arena_ struct arena arena = {0};
	struct cluster cluster = make("10.244.0.0/16", &arena);
	struct problem problem;

	add_node(&cluster, &arena, "n", "10.0.0.1", "", "");
	cluster.nodes[0].labels = (struct labels){rack_a, 1};
	add_peer(&cluster, &arena, "tor-a", "10.0.0.2");
	add_peer(&cluster, &arena, "tor-b", "10.0.0.2");
	cluster.peers[0].node_selector = (struct labels){rack_a, 1};
	cluster.peers[1].node_selector = (struct labels){rack_b, 1};
	ck_assert_int_eq(cluster_check(&cluster, &problem), 0);
	cluster.peers[1].node_selector.n = 0;
	assert_problem(&cluster, "peers[1].address",
		"10.0.0.2 is also tor-a's, and node n has to speak to both");
}
END_TEST

START_TEST(overlap_names_both_nodes)
{
	static const struct {
		const char *first, *second, *text;
	} rows[] = {
		{"10.244.1.0/24", "10.244.1.0/24", "10.244.1.0/24 overlaps z's 10.244.1.0/24"},
		{"10.244.0.0/22", "10.244.1.0/24", "10.244.1.0/24 overlaps z's 10.244.0.0/22"},
		{"10.244.1.0/24", "10.244.0.0/22", "10.244.0.0/22 overlaps z's 10.244.1.0/24"},
		{"fd00::/64", "fd00::/60", "fd00::/60 overlaps z's fd00::/64"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		struct cluster cluster = make("10.244.0.0/16 fd00::/48", &arena);

		add_node(&cluster, &arena, "z", "10.0.0.1", "fd01::1", rows[i].first);
		add_node(&cluster, &arena, "m", "10.0.0.2", "fd01::2", "10.244.200.0/24");
		add_node(&cluster, &arena, "a", "10.0.0.3", "fd01::3", rows[i].second);
		assert_problem(&cluster, "nodes[2].podCIDRs[0]", rows[i].text);
	}
}
END_TEST

START_TEST(overlap_is_found_wherever_it_stands)
{
	for (int position = 0; position < 8; position++) {
		_cleanup_arena_ struct arena arena = {0};
		struct cluster cluster = make("10.244.0.0/16", &arena);
		char text[100];

		for (int i = 0; i < 8; i++)
			add_node(&cluster, &arena, arena_printf(&arena, "n%d", i),
				arena_printf(&arena, "10.0.0.%d", 1 + i), "",
				arena_printf(&arena, "10.244.%d.0/20", 16 * i));
		add_node(&cluster, &arena, "late", "10.0.0.99", "",
			arena_printf(&arena, "10.244.%d.0/24", 16 * position + 15));
		snprintf(text, sizeof(text), "10.244.%d.0/24 overlaps n%d's 10.244.%d.0/20",
			16 * position + 15, position, 16 * position);
		assert_problem(&cluster, "nodes[8].podCIDRs[0]", text);
	}
}
END_TEST

START_TEST(overlap_within_one_node_says_so)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster cluster = make("10.244.0.0/16", &arena);

	add_node(&cluster, &arena, "a", "10.0.0.1", "", "10.244.1.0/24 10.244.2.0/24 10.244.1.128/25");
	assert_problem(&cluster, "nodes[0].podCIDRs[2]",
		"10.244.1.128/25 overlaps this node's 10.244.1.0/24");
}
END_TEST

START_TEST(pod_cidr_outside_the_cluster_is_refused)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster cluster = make("10.244.0.0/16", &arena), wider = make("10.244.0.0/16", &arena);

	add_node(&cluster, &arena, "a", "10.0.0.1", "fd01::1", "10.244.1.0/24 fd00::/64");
	assert_problem(&cluster, "nodes[0].podCIDRs[1]", "fd00::/64 is outside cluster.podCIDRs");
	add_node(&wider, &arena, "a", "10.0.0.1", "", "10.244.0.0/15");
	assert_problem(&wider, "nodes[0].podCIDRs[0]", "10.244.0.0/15 is outside cluster.podCIDRs");
}
END_TEST

START_TEST(pod_cidr_needs_an_address_of_its_family)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster cluster = make("10.244.0.0/16 fd00::/48", &arena);

	add_node(&cluster, &arena, "a", "10.0.0.1", "", "10.244.1.0/24 fd00::/64");
	assert_problem(&cluster, "nodes[0].podCIDRs[1]",
		"fd00::/64 needs an IPv6 address in nodes[0].addresses to be reached at");
}
END_TEST

START_TEST(node_address_inside_the_pod_cidrs_is_refused)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster cluster = make("10.244.0.0/16", &arena);

	add_node(&cluster, &arena, "a", "10.244.0.1", "", "10.244.1.0/24");
	assert_problem(&cluster, "nodes[0].addresses",
		"10.244.0.1 lies inside cluster.podCIDRs: a node's own address cannot be a pod's");
}
END_TEST

START_TEST(longest_names_fit_the_messages)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster cluster = make("10.244.0.0/16", &arena);
	char name[254], text[400];

	memset(name, 'n', 253);
	name[253] = '\0';
	add_node(&cluster, &arena, name, "10.0.0.1", "", "10.244.1.0/24");
	add_node(&cluster, &arena, "b", "10.0.0.2", "", "10.244.1.0/24");
	snprintf(text, sizeof(text), "10.244.1.0/24 overlaps %s's 10.244.1.0/24", name);
	assert_problem(&cluster, "nodes[1].podCIDRs[0]", text);
}
END_TEST

UNIT(cluster, name_is_letters_digits_dash_underscore_and_dot,
	selector_wants_every_one_of_its_labels, families_are_those_of_the_pod_cidrs,
	good_cluster_is_sorted_by_name, cluster_of_nothing_is_no_problem,
	two_nodes_of_one_name_are_refused, two_peers_of_one_name_are_refused,
	shared_address_names_the_other_owner,
	routers_share_an_address_unless_a_node_speaks_to_both, overlap_names_both_nodes,
	overlap_is_found_wherever_it_stands, overlap_within_one_node_says_so,
	pod_cidr_outside_the_cluster_is_refused, pod_cidr_needs_an_address_of_its_family,
	node_address_inside_the_pod_cidrs_is_refused, longest_names_fit_the_messages)
