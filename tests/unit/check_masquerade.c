/* SPDX-License-Identifier: GPL-2.0-or-later */
/* masquerade: what of a cluster becomes NAT rules.  That the kernel takes them, and
 * lists them as they are rendered, is tests/lab/test_agent_masquerade.py's. */
#include <stdio.h>
#include <string.h>

#include "kernel/masquerade.h"
#include "model/decode.h"
#include "unit.h"

#define HEAD "cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16, \"fd00:10:244::/48\"]}\n"
#define BOTH "addresses: [192.168.1.11, \"fd00:1::11\"], "
#define NODES                                                                                      \
	"nodes: [{name: n, " BOTH "podCIDRs: [10.244.1.0/24, \"fd00:10:244:1::/64\"]},"            \
	" {name: other, addresses: [192.168.1.12], podCIDRs: [10.244.2.0/24]}]\n"

static struct buf text;

/* The table of the node n. */
static const char *render_for(const char *head, const char *nodes, const char *cni)
{
	_cleanup_arena_ struct arena arena = {0};
	_cleanup_buf_ struct buf yaml = {0};
	struct cluster *cluster;
	struct err err;

	buf_printf(&yaml, "%s%s%s", head, nodes, cni);
	ck_assert_msg(decode_cluster("roost.yaml", yaml.text, yaml.len, &arena, &cluster, &err) == 0,
		"%s", err.msg);
	buf_free(&text);
	masquerade_render(cluster, cluster_find_node(cluster, "n"), &text);
	return buf_text(&text);
}

static const char *render_with(const char *except)
{
	char cni[2048];

	snprintf(cni, sizeof(cni), "cni: {masquerade: {enabled: true, except: [%s]}}\n", except);
	return render_for(HEAD, NODES, cni);
}

/* The elements of a set, blanks squeezed, or "" when there is no such set. */
static const char *elements(const char *table, const char *set)
{
	static char room[4096];
	char head[32], *out = room;
	const char *at;

	snprintf(head, sizeof(head), "\tset %s {", set);
	at = strstr(table, head);
	if (!at)
		return "";
	for (at = strstr(at, "elements = { ") + 13; *at != '}'; at++)
		if (*at != '\n' && *at != '\t' && *at != ' ')
			*out++ = *at;
	*out = '\0';
	return room;
}

#define LINK4 "169.254.0.0/16,224.0.0.0/4,255.255.255.255"
#define LINK6 "fe80::/10,ff00::/8"

START_TEST(off_is_the_default_and_has_no_table)
{
	ck_assert_str_eq(render_for(HEAD, NODES, ""), "");
	ck_assert_str_eq(render_for(HEAD, NODES, "cni: {masquerade: {}}\n"), "");
	ck_assert_str_eq(
		render_for(HEAD, NODES, "cni: {masquerade: {except: [192.168.0.0/16]}}\n"), "");
	ck_assert_str_eq(render_for(HEAD, NODES, "cni: {masquerade: {enabled: false}}\n"), "");
}
END_TEST

START_TEST(the_whole_table)
{
	ck_assert_str_eq(render_with(""),
		"table inet roost {\n"
		"\tcomment \"kept by roostd, which undoes changes: see cni.masquerade\"\n"
		"\tset own4 {\n"
		"\t\ttype ipv4_addr\n"
		"\t\tflags interval\n"
		"\t\telements = { 10.244.1.0/24 }\n"
		"\t}\n"
		"\n"
		"\tset direct4 {\n"
		"\t\ttype ipv4_addr\n"
		"\t\tflags interval\n"
		"\t\telements = { 10.244.0.0/16,\n"
		"\t\t\t     169.254.0.0/16,\n"
		"\t\t\t     224.0.0.0/4,\n"
		"\t\t\t     255.255.255.255 }\n"
		"\t}\n"
		"\n"
		"\tset own6 {\n"
		"\t\ttype ipv6_addr\n"
		"\t\tflags interval\n"
		"\t\telements = { fd00:10:244:1::/64 }\n"
		"\t}\n"
		"\n"
		"\tset direct6 {\n"
		"\t\ttype ipv6_addr\n"
		"\t\tflags interval\n"
		"\t\telements = { fd00:10:244::/48,\n"
		"\t\t\t     fe80::/10,\n"
		"\t\t\t     ff00::/8 }\n"
		"\t}\n"
		"\n"
		"\tchain postrouting {\n"
		"\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
		"\t\toif \"lo\" accept\n"
		"\t\ttcp flags != syn / syn,ack accept\n"
		"\t\tip saddr @own4 ip daddr != @direct4 masquerade fully-random\n"
		"\t\tip6 saddr @own6 ip6 daddr != @direct6 masquerade fully-random\n"
		"\t}\n"
		"}\n");
}
END_TEST

START_TEST(the_sources_are_this_nodes_podcidrs_alone)
{
	render_with("");
	ck_assert_str_eq(elements(text.text, "own4"), "10.244.1.0/24");
	ck_assert_ptr_null(strstr(text.text, "10.244.2.0"));
}
END_TEST

START_TEST(a_node_without_a_podcidr_has_no_table)
{
	ck_assert_str_eq(render_for(HEAD, "nodes: [{name: n, addresses: [192.168.1.11]}]\n",
				 "cni: {masquerade: {enabled: true}}\n"), "");
}
END_TEST

START_TEST(a_family_without_a_podcidr_has_no_rule)
{
	static const char on[] =
		"cni: {masquerade: {enabled: true, except: [10.0.0.0/8, \"2001:db8::/32\"]}}\n";

	render_for(HEAD, "nodes: [{name: n, " BOTH "podCIDRs: [10.244.1.0/24]}]\n", on);
	ck_assert_str_eq(elements(text.text, "direct4"), "10.0.0.0/8," LINK4);
	ck_assert_ptr_null(strstr(text.text, "own6"));
	ck_assert_ptr_null(strstr(text.text, "ip6"));
	ck_assert_ptr_null(strstr(text.text, "2001:db8"));
	render_for(HEAD, "nodes: [{name: n, " BOTH "podCIDRs: [\"fd00:10:244:1::/64\"]}]\n", on);
	ck_assert_str_eq(elements(text.text, "direct6"), "2001:db8::/32,fd00:10:244::/48," LINK6);
	ck_assert_ptr_null(strstr(text.text, "ip saddr"));
}
END_TEST

START_TEST(except_everything_takes_a_familys_rule_away)
{
	render_with("0.0.0.0/0");
	ck_assert_ptr_null(strstr(text.text, "ip saddr"));
	ck_assert_ptr_nonnull(strstr(text.text, "ip6 saddr"));
	render_with("\"::/1\", \"8000::/1\"");
	ck_assert_ptr_nonnull(strstr(text.text, "ip saddr"));
	ck_assert_ptr_null(strstr(text.text, "ip6 saddr"));
	ck_assert_str_eq(render_with("0.0.0.0/0, \"::/0\", 10.0.0.0/8"), "");
	ck_assert_str_eq(elements(render_with("0.0.0.0/1"), "direct4"), "0.0.0.0/1," LINK4);
	ck_assert_str_eq(elements(render_with("128.0.0.0/1"), "direct4"), "10.244.0.0/16,128.0.0.0/1");
}
END_TEST

START_TEST(prefixes_that_overlap_or_touch_become_one_element)
{
	static const struct {
		const char *except, *set, *elements;
	} rows[] = {
		{"10.244.7.0/24", "direct4", "10.244.0.0/16," LINK4},
		{"10.0.0.0/8, 10.244.0.0/16", "direct4", "10.0.0.0/8," LINK4},
		{"10.245.0.0/16", "direct4", "10.244.0.0/15," LINK4},
		{"10.243.0.0/16", "direct4", "10.243.0.0-10.244.255.255," LINK4},
		{"192.0.2.1/32", "direct4", "10.244.0.0/16,169.254.0.0/16,192.0.2.1,224.0.0.0/4,"
					    "255.255.255.255"},
		{"192.0.2.3/32, 192.0.2.1/32, 192.0.2.2/32, 192.0.2.1/32", "direct4",
			"10.244.0.0/16,169.254.0.0/16,192.0.2.1-192.0.2.3,224.0.0.0/4,255.255.255.255"},
		{"192.0.2.2/32, 192.0.2.3/32, 192.0.2.0/31", "direct4",
			"10.244.0.0/16,169.254.0.0/16,192.0.2.0/30,224.0.0.0/4,255.255.255.255"},
		{"240.0.0.0/4", "direct4", "10.244.0.0/16,169.254.0.0/16,224.0.0.0/3"},
		{"255.255.255.254/31", "direct4",
			"10.244.0.0/16,169.254.0.0/16,224.0.0.0/4,255.255.255.254/31"},
		{"\"fd00:10:245::/48\"", "direct6", "fd00:10:244::/47," LINK6},
		{"\"fec0::/10\"", "direct6", "fd00:10:244::/48,fe80::-ffff:ffff:ffff:ffff:ffff:ffff:"
					     "ffff:ffff"},
		{"\"2001:db8::1/128\"", "direct6", "2001:db8::1,fd00:10:244::/48," LINK6},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_str_eq(elements(render_with(rows[i].except), rows[i].set), rows[i].elements);
}
END_TEST

START_TEST(several_podcidrs_of_a_node_are_one_set)
{
	render_for(HEAD,
		"nodes: [{name: n, " BOTH
		"podCIDRs: [10.244.9.0/24, 10.244.1.0/24, 10.244.2.0/24]}]\n",
		"cni: {masquerade: {enabled: true}}\n");
	ck_assert_str_eq(elements(text.text, "own4"), "10.244.1.0-10.244.2.255,10.244.9.0/24");
	ck_assert_ptr_eq(strstr(strstr(text.text, "saddr") + 1, "saddr"), NULL);
}
END_TEST

START_TEST(as_many_exceptions_as_the_file_may_have)
{
	_cleanup_buf_ struct buf except = {0};
	size_t commas = 0;

	for (int i = 0; i < 64; i++)
		buf_printf(&except, "%s100.64.%d.0/25", i ? ", " : "", i);
	for (const char *at = elements(render_with(except.text), "direct4"); *at; at++)
		commas += *at == ',';
	ck_assert_uint_eq(commas, 64 + 3);
}
END_TEST

UNIT(masquerade, off_is_the_default_and_has_no_table, the_whole_table,
	the_sources_are_this_nodes_podcidrs_alone, a_node_without_a_podcidr_has_no_table,
	a_family_without_a_podcidr_has_no_rule, except_everything_takes_a_familys_rule_away,
	prefixes_that_overlap_or_touch_become_one_element, several_podcidrs_of_a_node_are_one_set,
	as_many_exceptions_as_the_file_may_have)
