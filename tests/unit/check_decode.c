/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode: roost.yaml's bytes into a checked cluster, or one message that says where
 * and what. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/buf.h"
#include "model/decode.h"
#include "unit.h"

static struct cluster *decode(const char *text, struct arena *arena)
{
	struct cluster *cluster;
	struct err err;

	ck_assert_msg(decode_cluster("roost.yaml", text, strlen(text), arena, &cluster, &err) == 0,
		"%s\n%s", text, err.msg);
	return cluster;
}

static void assert_addr(const struct addr *addr, const char *text)
{
	char room[ADDR_TEXT_MAX];

	ck_assert_str_eq(addr->family ? addr_format(addr, room) : "", text);
}

static void assert_prefixes(const struct prefixes *prefixes, const char *list)
{
	_cleanup_buf_ struct buf buf = {0};

	for (size_t i = 0; i < prefixes->n; i++) {
		char room[PREFIX_TEXT_MAX];

		buf_printf(&buf, "%s%s", i ? " " : "", prefix_format(&prefixes->items[i], room));
	}
	ck_assert_str_eq(buf_text(&buf), list);
}

/* ---------------------------------------------------------------- what a file says */

static const char everything[] =
	"cluster:\n"
	"  name: lab\n"
	"  asNumber: 64512\n"
	"  podCIDRs: [10.244.0.0/16, \"fd00:10:244::/48\"]\n"
	"  topology: mesh\n"
	"nodes:\n"
	"  - name: node2\n"
	"    addresses: [192.168.1.12]\n"
	"  - name: node1\n"
	"    addresses: [\"fd00:1::11\", 192.168.1.11]\n"
	"    podCIDRs: [10.244.1.0/24, \"fd00:10:244:1::/64\"]\n"
	"    labels: {rack: a, zone: \"1\"}\n"
	"    asNumber: 64513\n"
	"peers:\n"
	"  - name: tor-a\n"
	"    address: 192.168.1.1\n"
	"    asNumber: 4200000000\n"
	"    nodeSelector: {rack: a}\n"
	"    bfd: true\n"
	"    holdTime: 9\n"
	"    import: [0.0.0.0/0, 10.244.0.0/16]\n"
	"    export: [pods, cluster]\n"
	"  - {name: tor-b, address: \"fd00:1::1\", asNumber: 64512, export: [],\n"
	"     gracefulRestart: {enabled: false}}\n"
	"session: {holdTime: 30, keepaliveTime: 5, gracefulRestart: {restartTime: 60}}\n"
	"cni: {mode: routed, bridge: br-pods, mtu: 1400, binDir: /usr/lib/cni, confDir: /tmp/net.d,\n"
	"      masquerade: {enabled: true, except: [192.168.0.0/16, \"::/0\"]}}\n"
	"bird: {socket: /run/b.ctl, confirmTimeout: 60}\n"
	"agent: {socket: /run/r.sock, metrics: \"[::1]:9472\", maxWithdraw: 40%, withdrawDelay: 30}\n";

START_TEST(every_key_arrives_in_the_model)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(everything, &arena);
	const struct node *node1 = &cluster->nodes[0], *node2 = &cluster->nodes[1];
	const struct peer *tor_a = &cluster->peers[0], *tor_b = &cluster->peers[1];

	ck_assert_str_eq(cluster->name, "lab");
	ck_assert_uint_eq(cluster->as_number, 64512);
	assert_prefixes(&cluster->pod_cidrs, "10.244.0.0/16 fd00:10:244::/48");
	ck_assert_int_eq(cluster->topology, TOPOLOGY_MESH);

	ck_assert_uint_eq(cluster->n_nodes, 2);
	ck_assert_str_eq(node1->name, "node1");
	assert_addr(&node1->address[IPV4], "192.168.1.11");
	assert_addr(&node1->address[IPV6], "fd00:1::11");
	assert_prefixes(&node1->pod_cidrs, "10.244.1.0/24 fd00:10:244:1::/64");
	ck_assert_uint_eq(node1->labels.n, 2);
	ck_assert_str_eq(node1->labels.items[1].key, "zone");
	ck_assert_str_eq(node1->labels.items[1].value, "1");
	ck_assert_uint_eq(node1->as_number, 64513);
	assert_addr(&node2->address[IPV4], "192.168.1.12");
	assert_addr(&node2->address[IPV6], "");
	ck_assert_uint_eq(node2->pod_cidrs.n, 0);
	ck_assert_uint_eq(node2->as_number, 64512);

	ck_assert_uint_eq(cluster->n_peers, 2);
	ck_assert_str_eq(tor_a->name, "tor-a");
	assert_addr(&tor_a->address, "192.168.1.1");
	ck_assert_uint_eq(tor_a->as_number, 4200000000);
	ck_assert_str_eq(tor_a->node_selector.items[0].key, "rack");
	assert_prefixes(&tor_a->import, "0.0.0.0/0 10.244.0.0/16");
	ck_assert_uint_eq(tor_a->export, EXPORT_PODS | EXPORT_CLUSTER);
	ck_assert(tor_a->session.bfd);
	ck_assert_uint_eq(tor_a->session.hold_time, 9);
	ck_assert_uint_eq(tor_b->export, 0);
	ck_assert(!tor_b->session.graceful_restart.enabled);

	ck_assert_int_eq(cluster->cni.mode, CNI_MODE_ROUTED);
	ck_assert_str_eq(cluster->cni.bridge, "br-pods");
	ck_assert_uint_eq(cluster->cni.mtu, 1400);
	ck_assert_str_eq(cluster->cni.bin_dir, "/usr/lib/cni");
	ck_assert_str_eq(cluster->cni.conf_dir, "/tmp/net.d");
	ck_assert(cluster->cni.masquerade.enabled);
	assert_prefixes(&cluster->cni.masquerade.except, "192.168.0.0/16 ::/0");
	ck_assert_str_eq(cluster->bird.socket, "/run/b.ctl");
	ck_assert_uint_eq(cluster->bird.confirm_timeout, 60);
	ck_assert_str_eq(cluster->agent.socket, "/run/r.sock");
	ck_assert_str_eq(cluster->agent.metrics, "[::1]:9472");
	ck_assert_uint_eq(cluster->agent.max_withdraw_percent, 40);
	ck_assert_uint_eq(cluster->agent.withdraw_delay, 30);
	ck_assert_uint_eq(cluster->n_warnings, 0);
}
END_TEST

#define CLUSTER "cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16]}\n"
#define NODES "nodes: [{name: node1, addresses: [192.168.1.11], podCIDRs: [10.244.1.0/24]}]\n"

START_TEST(smallest_file_has_the_documented_defaults)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(CLUSTER NODES, &arena);

	ck_assert_int_eq(cluster->topology, TOPOLOGY_MESH);
	ck_assert_uint_eq(cluster->session.hold_time, 90);
	ck_assert_uint_eq(cluster->session.keepalive_time, 30);
	ck_assert(!cluster->session.bfd);
	ck_assert(cluster->session.graceful_restart.enabled);
	ck_assert_uint_eq(cluster->session.graceful_restart.restart_time, 120);
	ck_assert_int_eq(cluster->cni.mode, CNI_MODE_BRIDGE);
	ck_assert_str_eq(cluster->cni.bridge, "roost0");
	ck_assert_uint_eq(cluster->cni.mtu, 0);
	ck_assert_str_eq(cluster->cni.conf_dir, "/etc/cni/net.d");
	ck_assert(!cluster->cni.masquerade.enabled);
	ck_assert_uint_eq(cluster->cni.masquerade.except.n, 0);
	ck_assert_str_eq(cluster->bird.socket, "/run/bird/bird.ctl");
	ck_assert_uint_eq(cluster->bird.confirm_timeout, 30);
	ck_assert_uint_eq(cluster->agent.max_withdraw_percent, 25);
	ck_assert_uint_eq(cluster->agent.withdraw_delay, 600);
	ck_assert_str_eq(cluster->agent.socket, "/run/roost/roostd.sock");
	ck_assert_str_eq(cluster->agent.metrics, "127.0.0.1:9472");
	ck_assert_uint_eq(cluster->n_peers, 0);
	ck_assert_uint_eq(cluster->n_warnings, 0);
}
END_TEST

START_TEST(json_file_is_as_good)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(
		"{\"cluster\": {\"name\": \"lab\", \"asNumber\": 64512, \"podCIDRs\": [\"10.244.0.0/16\"]},"
		" \"nodes\": [{\"name\": \"node1\", \"addresses\": [\"192.168.1.11\"]}]}",
		&arena);

	ck_assert_str_eq(cluster->nodes[0].name, "node1");
}
END_TEST

/* Peers start from `session`, wherever in the file it stands. */
START_TEST(peer_inherits_the_session_written_behind_it)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(CLUSTER NODES
		"peers:\n"
		"- {name: a, address: 192.168.1.1, asNumber: 1}\n"
		"- {name: b, address: 192.168.1.2, asNumber: 1, bfd: false, holdTime: 240}\n"
		"session: {holdTime: 30, bfd: true, gracefulRestart: {restartTime: 60}}\n",
		&arena);
	const struct session *a = &cluster->peers[0].session, *b = &cluster->peers[1].session;

	ck_assert(a->bfd && !b->bfd);
	ck_assert_uint_eq(a->hold_time, 30);
	ck_assert_uint_eq(b->hold_time, 240);
	ck_assert_uint_eq(a->graceful_restart.restart_time, 60);
	ck_assert_uint_eq(b->graceful_restart.restart_time, 60);
	ck_assert_uint_eq(cluster->peers[0].export, EXPORT_PODS);
	ck_assert_uint_eq(cluster->peers[0].import.n, 0);
}
END_TEST

START_TEST(hold_time_alone_moves_the_keepalive_time)
{
	static const struct {
		const char *session, *peer;
		unsigned keepalive, peer_keepalive;
	} rows[] = {
		{"", "", 30, 30},
		{"holdTime: 30", "", 10, 10},
		{"holdTime: 10", "", 3, 3},
		{"holdTime: 3", "", 1, 1},
		{"holdTime: 30, keepaliveTime: 2", "", 2, 2},
		{"keepaliveTime: 2", "", 2, 2},
		{"keepaliveTime: 2", ", holdTime: 9", 2, 3},
		{"holdTime: 30", ", keepaliveTime: 1", 10, 1},
		{"holdTime: 65535", "", 21845, 21845},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const struct cluster *cluster = decode(
			arena_printf(&arena, CLUSTER NODES "session: {%s}\n"
				"peers: [{name: tor, address: 10.0.0.1, asNumber: 1%s}]\n",
				rows[i].session, rows[i].peer),
			&arena);

		ck_assert_uint_eq(cluster->session.keepalive_time, rows[i].keepalive);
		ck_assert_uint_eq(cluster->peers[0].session.keepalive_time, rows[i].peer_keepalive);
	}
}
END_TEST

START_TEST(order_of_nodes_and_peers_does_not_matter)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(CLUSTER
		"nodes:\n- {name: b, addresses: [10.0.0.2]}\n- {name: a, addresses: [10.0.0.1]}\n"
		"peers:\n- {name: d, address: 10.0.0.4, asNumber: 1}\n"
		"- {name: c, address: 10.0.0.3, asNumber: 1}\n",
		&arena);

	ck_assert_str_eq(cluster->nodes[0].name, "a");
	ck_assert_str_eq(cluster->peers[0].name, "c");
}
END_TEST

START_TEST(values_at_their_limits_are_taken)
{
	static const char *const rows[] = {
		"session: {holdTime: 3}\n",
		"session: {holdTime: 65535, keepaliveTime: 21845}\n",
		"session: {holdTime: 3, keepaliveTime: 1}\n",
		"session: {gracefulRestart: {restartTime: 4095}}\n",
		"session: {connectRetryTime: 1}\n",
		"session: {connectRetryTime: 65535}\n",
		"session: {sendHoldTime: 90}\n",
		"session: {holdTime: 3, sendHoldTime: 3}\n",
		"session: {sendHoldTime: 65535}\n",
		"session: {bfd: {interval: 10, multiplier: 1}}\n",
		"session: {bfd: {interval: 60000, multiplier: 255}}\n",
		"session: {bfd: {}}\n",
		"session: {longLivedGracefulRestart: {staleTime: 16777215}}\n",
		("session: {longLivedGracefulRestart: {staleTime: 1, enabled: false}, "
		 "gracefulRestart: {enabled: false}}\n"), /* one row; clang would like to know */
		"session: {importLimit: 1}\n",
		"session: {importLimit: {prefixes: 100000000, action: warn}}\n",
		"session: {ttlSecurity: true}\n",
		"session: {password: 1234}\n",
		"session: {password: \"a;b'c #}\"}\n",
		"session: {password: 12345678901234567890123456789012345678901234567890123456789012345678901234567890}\n",
		"session: {passwordFile: /etc/roost/password}\n",
		"cni: {mtu: 1280}\n",
		"cni: {mtu: 65535}\n",
		"cni: {mtu: auto}\n",
		"cni: {bridge: fifteen-letters}\n",
		"cni: {mode: bridge}\n",
		"cni: {mode: routed}\n",
		"bird: {confirmTimeout: 5}\n",
		"bird: {confirmTimeout: 3600}\n",
		"agent: {metrics: \"\"}\n",
		"agent: {metrics: 0.0.0.0:1}\n",
		"agent: {metrics: 10.0.0.1:65535}\n",
		"agent: {maxWithdraw: 0%, withdrawDelay: 0}\n",
		"agent: {maxWithdraw: 100%, withdrawDelay: 86400}\n",
		"agent: {maxWithdraw: \"9%\"}\n",
		"agent: {metrics: \"[::]:80\"}\n",
		"peers: []\n",
		"peers: [{name: a, address: 223.255.255.254, asNumber: 1, import: [], nodeSelector: {}}]\n",
		"peers: [{name: a, address: 10.0.0.1, asNumber: 4294967294, export: [default]}]\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};

		decode(arena_printf(&arena, CLUSTER NODES "%s", rows[i]), &arena);
	}
}
END_TEST

/* ---------------------------------------------------------------- what is refused */

struct refusal {
	const char *text;
	const char *msg; /* without "roost.yaml:" */
};

static void assert_refused(const char *text, size_t len, const char *msg)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster *cluster = NULL;
	struct err err = {0};

	ck_assert_msg(decode_cluster("roost.yaml", text, len, &arena, &cluster, &err) == -1,
		"took this, wanted \"%s\":\n%s", msg, text);
	ck_assert_msg(strncmp(err.msg, "roost.yaml:", 11) == 0, "%s", err.msg);
	ck_assert_str_eq(err.msg + 11, msg);
	ck_assert_ptr_null(cluster);
	ck_assert_int_ne(err.code, 0);
}

static void assert_all_refused(const struct refusal *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_refused(rows[i].text, strlen(rows[i].text), rows[i].msg);
}

START_TEST(what_is_no_document_is_refused_by_its_place)
{
	static const struct refusal rows[] = {
		{"", "1:1: the file is empty"},
		{"# nothing yet\n", "1:1: the file is empty"},
		{"--- ~\n", "1:5: expected a map with cluster, nodes, peers, ..., got nothing"},
		{"hello", "1:1: expected a map with cluster, nodes, peers, ..., got \"hello\""},
		{"- cluster\n", "1:1: expected a map with cluster, nodes, peers, ..., got a list"},
		{"cluster: {name: lab\n", "2:1: did not find expected ',' or '}' "
					  "(while parsing a flow mapping that began in line 1)"},
		{CLUSTER NODES "---\n" CLUSTER NODES, "3:1: a second document (---) in one file"},
		{CLUSTER CLUSTER NODES, "2:1: cluster: the key stands twice (also in line 1)"},
		{"cluster: &c {name: lab}\nnodes: *c\n",
			"1:10: anchors (&) and aliases (*) are not supported"},
		{CLUSTER "nodes: *x\n", "2:8: anchors (&) and aliases (*) are not supported"},
		{CLUSTER "nodes:\n\t- a\n", "3:1: a tab: YAML is indented with spaces"},
		{"cluster: {name: \xff}\n", "1:17: invalid leading UTF-8 octet"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(missing_parts_are_named)
{
	static const struct refusal rows[] = {
		{"nodes: []\n", "1:1: cluster is missing"},
		{"{}\n", "1:1: cluster is missing"},
		{CLUSTER, "1:1: nodes is missing or empty, and there is no kubernetes"},
		{CLUSTER "nodes: []\n", "1:1: nodes is missing or empty, and there is no kubernetes"},
		{"cluster: {}\n" NODES, "1:10: cluster: name is missing"},
		{"cluster:\n  name: lab\n" NODES, "2:3: cluster: asNumber is missing"},
		{"cluster:\n  name: lab\n  asNumber: 1\n" NODES, "2:3: cluster: podCIDRs is missing"},
		{CLUSTER "nodes:\n- addresses: [10.0.0.1]\n", "3:3: nodes[0]: name is missing"},
		{CLUSTER "nodes:\n- name: a\n", "3:3: nodes[0]: addresses is missing"},
		{CLUSTER "nodes:\n- name: a\n  addresses: []\n",
			"4:14: nodes[0].addresses: expected at least one address, got an empty list"},
		{CLUSTER NODES "peers:\n- name: a\n", "4:3: peers[0]: asNumber is missing"},
		{CLUSTER NODES "peers:\n- {name: a, asNumber: 1}\n",
			"4:3: peers[0]: address is missing, or interface, for a router that is known by its "
			"link alone"},
		{CLUSTER NODES "peers:\n- {name: a, address: 10.0.0.1}\n",
			"4:3: peers[0]: asNumber is missing"},
		{"cluster: {name: lab, asNumber: 1, podCIDRs: []}\n" NODES,
			"1:45: cluster.podCIDRs: expected at least one podCIDR, got an empty list"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(unknown_key_is_named_with_those_that_are_known)
{
	static const struct refusal rows[] = {
		{CLUSTER NODES "nodess: []\n",
			"3:1: nodess: unknown key; known here: cluster, nodes, peers, session, cni, "
			"bird, agent, kubernetes"},
		{"cluster: {name: lab, asn: 1}\n" NODES,
			"1:22: cluster.asn: unknown key; known here: name, asNumber, podCIDRs, asNumbers, "
			"topology, topologyKey, serviceCIDRs, "
			"serviceAddresses"},
		{CLUSTER "nodes:\n- name: a\n  podCIDR: 10.244.1.0/24\n",
			"4:3: nodes[0].podCIDR: unknown key; known here: name, addresses, podCIDRs, "
			"labels, asNumber, reflector"},
		{CLUSTER NODES "session: {gracefulRestart: {time: 1}}\n",
			"3:29: session.gracefulRestart.time: unknown key; known here: enabled, "
			"restartTime"},
		{CLUSTER NODES "bird: {Socket: /x}\n",
			"3:8: bird.Socket: unknown key; known here: socket, confirmTimeout"},
		{CLUSTER NODES "agent: {\"a\\nb\": /x}\n",
			"3:9: agent.a?b: unknown key; known here: socket, metrics, maxWithdraw, "
			"withdrawDelay"},
		{CLUSTER NODES "<<: {}\n",
			"3:1: <<: unknown key; known here: cluster, nodes, peers, session, cni, "
			"bird, agent, kubernetes"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(wrong_type_is_named_with_what_stands_there)
{
	static const struct refusal rows[] = {
		{"cluster: lab\n" NODES,
			"1:10: cluster: expected a map with name, asNumber, podCIDRs, ..., got \"lab\""},
		{"cluster:\n" NODES,
			"1:9: cluster: expected a map with name, asNumber, podCIDRs, ..., got nothing"},
		{"cluster: [name]\n" NODES,
			"1:10: cluster: expected a map with name, asNumber, podCIDRs, ..., got a list"},
		{CLUSTER "nodes: {name: a}\n", "2:8: nodes: expected a list, got a map"},
		{CLUSTER "nodes:\n", "2:7: nodes: expected a list, got nothing"},
		{CLUSTER "nodes: [node1]\n",
			"2:9: nodes[0]: expected a map with name, addresses, podCIDRs, ..., got \"node1\""},
		{CLUSTER "nodes: [{name: [a]}]\n", "2:16: nodes[0].name: expected a name, got a list"},
		{CLUSTER "nodes: [{name: }]\n", "2:16: nodes[0].name: expected a name, got nothing"},
		{CLUSTER "nodes: [{name: a, addresses: 10.0.0.1}]\n",
			"2:30: nodes[0].addresses: expected a list, got \"10.0.0.1\""},
		{CLUSTER "nodes: [{name: a, addresses: [{}]}]\n",
			"2:31: nodes[0].addresses[0]: expected an IPv4 or IPv6 address, got a map"},
		{CLUSTER "nodes: [{name: a, addresses: [10.0.0.1], labels: [rack]}]\n",
			"2:50: nodes[0].labels: expected a map of labels, got a list"},
		{CLUSTER "nodes: [{name: a, addresses: [10.0.0.1], labels: {rack: [a]}}]\n",
			"2:57: nodes[0].labels.rack: expected a label's value, got a list"},
		{CLUSTER "nodes: [{name: a, addresses: [10.0.0.1], labels: {rack: }}]\n",
			"2:57: nodes[0].labels.rack: expected a label's value, got nothing"},
		{CLUSTER NODES "session: {bfd: yes}\n",
			"3:16: session.bfd: expected true, false or a map with interval, multiplier, got \"yes\""},
		{CLUSTER NODES "session: {bfd: 'true'}\n",
			"3:16: session.bfd: expected true, false or a map with interval, multiplier, got \"true\""},
		{CLUSTER NODES "session: {bfd: [true]}\n",
			"3:16: session.bfd: expected true, false or a map with interval, multiplier, got a list"},
		{CLUSTER NODES "peers: [{name: a, address: 10.0.0.1, asNumber: 1, export: pods}]\n",
			"3:59: peers[0].export: expected a list, got \"pods\""},
		{CLUSTER NODES "cni: {mtu: [1500]}\n", "3:12: cni.mtu: expected 1280..65535, got a list"},
		{CLUSTER NODES "cni: {mode: {}}\n", "3:13: cni.mode: expected bridge or routed, got a map"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(as_number_is_a_plain_number_nobody_reserved)
{
	static const struct {
		const char *value, *msg;
	} rows[] = {
		{"6451x", "expected 1..4294967295, got \"6451x\""},
		{"0", "expected 1..4294967295, got \"0\""},
		{"-1", "expected 1..4294967295, got \"-1\""},
		{"+1", "expected 1..4294967295, got \"+1\""},
		{"064512", "expected 1..4294967295, got \"064512\""},
		{"0x10", "expected 1..4294967295, got \"0x10\""},
		{"64512.0", "expected 1..4294967295, got \"64512.0\""},
		{"64_512", "expected 1..4294967295, got \"64_512\""},
		{"1.10", "expected 1..4294967295, got \"1.10\""},
		{"'64512'", "expected a number, got the string \"64512\": leave the quotes out"},
		{"4294967296", "expected 1..4294967295, got \"4294967296\""},
		{"18446744073709551617", "expected 1..4294967295, got \"18446744073709551617\""},
		{"~", "expected 1..4294967295, got nothing"},
		{"23456", "AS number 23456 is reserved"},
		{"65535", "AS number 65535 is reserved"},
		{"4294967295", "AS number 4294967295 is reserved"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[300], msg[300];

		snprintf(text, sizeof(text),
			"cluster: {name: lab, podCIDRs: [10.244.0.0/16],\n  asNumber: %s}\n" NODES,
			rows[i].value);
		snprintf(msg, sizeof(msg), "2:13: cluster.asNumber: %s", rows[i].msg);
		assert_refused(text, strlen(text), msg);
		snprintf(text, sizeof(text),
			CLUSTER NODES "peers: [{name: a, address: 10.0.0.1, asNumber: %s}]\n",
			rows[i].value);
		snprintf(msg, sizeof(msg), "3:48: peers[0].asNumber: %s", rows[i].msg);
		assert_refused(text, strlen(text), msg);
	}
}
END_TEST

/* BIRD has no escape inside a string: a name with a quote in it would be code. */
START_TEST(name_that_bird_cannot_hold_is_refused)
{
	static const struct {
		const char *yaml, *shown;
	} rows[] = {
		{"\"a\\\"b\"", "a\"b"},
		{"'a\"; }; protocol bgp x {'", "a\"; }; protocol bgp x {"},
		{"\"a'b\"", "a'b"},
		{"\"a\\nb\"", "a?b"},
		{"\"a\\rb\"", "a?b"},
		{"\"a\\tb\"", "a?b"},
		{"\"a\\eb\"", "a?b"},
		{"a b", "a b"},
		{"' a'", " a"},
		{"''", ""},
		{"-a", "-a"},
		{"..", ".."},
		{"../../etc", "../../etc"},
		{"a/b", "a/b"},
		{"a:b", "a:b"},
		{"n\xc3\xb6" "de", "n\xc3\xb6" "de"},
		{"\xf0\x9f\x90\x94", "\xf0\x9f\x90\x94"},
		{"\"\\u202e\"", "\xe2\x80\xae"},
		{"\"\\x9b31m\"", "??31m"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static const char *const paths[] = {"cluster", "nodes[0]", "peers[0]"};

		for (size_t j = 0; j < ARRAY_LEN(paths); j++) {
			char text[400], msg[400];

			snprintf(text, sizeof(text),
				"cluster:\n  name: %s\n  asNumber: 1\n  podCIDRs: [10.244.0.0/16]\n"
				"nodes:\n- name: %s\n  addresses: [10.0.0.1]\n"
				"peers:\n- name: %s\n  address: 10.0.0.2\n  asNumber: 1\n",
				j == 0 ? rows[i].yaml : "c", j == 1 ? rows[i].yaml : "n",
				j == 2 ? rows[i].yaml : "p");
			snprintf(msg, sizeof(msg),
				"%d:9: %s.name: expected a name of letters, digits, \"-\", \"_\" "
				"and \".\" (253 at most), got \"%s\"",
				j == 0 ? 2 : j == 1 ? 6 : 9, paths[j], rows[i].shown);
			assert_refused(text, strlen(text), msg);
		}
	}
}
END_TEST

START_TEST(name_with_a_nul_is_refused)
{
	static const char raw[] = CLUSTER "nodes: [{name: a\0b, addresses: [10.0.0.1]}]\n";
	static const struct refusal rows[] = {
		{CLUSTER "nodes: [{name: \"a\\0b\", addresses: [10.0.0.1]}]\n",
			"2:16: a NUL byte in a string"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
	assert_refused(raw, sizeof(raw) - 1, "2:17: control characters are not allowed");
}
END_TEST

START_TEST(too_long_name_is_quoted_in_part)
{
	char name[255], text[600], msg[400];

	memset(name, 'n', 254);
	name[254] = '\0';
	snprintf(text, sizeof(text), CLUSTER "nodes: [{name: %s, addresses: [10.0.0.1]}]\n", name);
	snprintf(msg, sizeof(msg),
		"2:16: nodes[0].name: expected a name of letters, digits, \"-\", \"_\" and \".\" "
		"(253 at most), got \"%.70s...\"", name);
	assert_refused(text, strlen(text), msg);
}
END_TEST

START_TEST(address_must_be_one_a_host_can_be_reached_at)
{
	static const struct {
		const char *value, *expected;
	} rows[] = {
		{"10.0.0.1/24", "an IPv4 or IPv6 address"},
		{"10.0.0.256", "an IPv4 or IPv6 address"},
		{"10.0.0.01", "an IPv4 or IPv6 address"},
		{"node1", "an IPv4 or IPv6 address"},
		{"fe80::1%eth0", "an IPv4 or IPv6 address"},
		{"::ffff:10.0.0.1", "an IPv4 or IPv6 address"},
		{"0.0.0.0", "an address a host can be reached at"},
		{"127.0.0.1", "an address a host can be reached at"},
		{"224.0.0.5", "an address a host can be reached at"},
		{"255.255.255.255", "an address a host can be reached at"},
		{"::", "an address a host can be reached at"},
		{"::1", "an address a host can be reached at"},
		{"fe80::1", "an address a host can be reached at"},
		{"febf::1", "an address a host can be reached at"},
		{"ff02::1", "an address a host can be reached at"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[300], msg[300];

		snprintf(text, sizeof(text), CLUSTER "nodes:\n- name: a\n  addresses:\n  - '%s'\n",
			rows[i].value);
		snprintf(msg, sizeof(msg), "5:5: nodes[0].addresses[0]: expected %s, got \"%s\"",
			rows[i].expected, rows[i].value);
		assert_refused(text, strlen(text), msg);
	}
}
END_TEST

START_TEST(one_address_of_each_family)
{
	static const struct refusal rows[] = {
		{CLUSTER "nodes:\n- name: a\n  addresses: [10.0.0.1, 10.0.0.2]\n",
			"4:25: nodes[0].addresses[1]: a second IPv4 address; one of each family is used"},
		{CLUSTER "nodes:\n- name: a\n  addresses: ['fd00::1', 'fd00::2']\n",
			"4:26: nodes[0].addresses[1]: a second IPv6 address; one of each family is used"},
		{CLUSTER "nodes:\n- name: a\n  addresses: [10.0.0.1, 'fd00::2', 10.0.0.2]\n",
			"4:14: nodes[0].addresses: 3 entries, 2 at most"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(prefix_is_exact_and_has_room)
{
	static const struct {
		const char *value, *msg;
	} rows[] = {
		{"10.244.1.0", "expected a prefix such as 10.244.1.0/24, got \"10.244.1.0\""},
		{"10.244.1.0/33", "expected a prefix such as 10.244.1.0/24, got \"10.244.1.0/33\""},
		{"10.244.1/24", "expected a prefix such as 10.244.1.0/24, got \"10.244.1/24\""},
		{"10.244.1.5/24", "10.244.1.5/24 has bits behind the prefix length; meant 10.244.1.0/24?"},
		{"fd00::1/64", "fd00::1/64 has bits behind the prefix length; meant fd00::/64?"},
		{"10.0.0.0/7", "10.0.0.0/7 is shorter than /8"},
		{"0.0.0.0/0", "0.0.0.0/0 is shorter than /8"},
		{"::/0", "::/0 is shorter than /8"},
		{"10.244.1.0/31", "10.244.1.0/31 has no room for a gateway and a pod"},
		{"10.244.1.1/32", "10.244.1.1/32 has no room for a gateway and a pod"},
		{"fd00::/127", "fd00::/127 has no room for a gateway and a pod"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[300], msg[300];

		snprintf(text, sizeof(text),
			"cluster: {name: lab, asNumber: 1,\n podCIDRs: [10.244.0.0/16, '%s']}\n" NODES,
			rows[i].value);
		snprintf(msg, sizeof(msg), "2:28: cluster.podCIDRs[1]: %s", rows[i].msg);
		assert_refused(text, strlen(text), msg);
		snprintf(text, sizeof(text),
			CLUSTER "nodes:\n- name: a\n  addresses: [10.0.0.1]\n  podCIDRs: ['%s']\n",
			rows[i].value);
		snprintf(msg, sizeof(msg), "5:14: nodes[0].podCIDRs[0]: %s", rows[i].msg);
		assert_refused(text, strlen(text), msg);
	}
}
END_TEST

START_TEST(clash_between_nodes_is_reported_at_the_later_one)
{
	static const struct refusal rows[] = {
		{CLUSTER "nodes:\n"
			 "- {name: b, addresses: [10.0.0.1]}\n"
			 "- {name: b, addresses: [10.0.0.2]}\n",
			"4:10: nodes[1].name: \"b\" is also the name of nodes[0]"},
		{CLUSTER "nodes:\n"
			 "- {name: b, addresses: [10.0.0.1]}\n"
			 "- {name: a, addresses: [10.0.0.1]}\n",
			"4:24: nodes[1].addresses: 10.0.0.1 is also b's"},
		{CLUSTER NODES "peers:\n- {name: tor, address: 192.168.1.11, asNumber: 1}\n",
			"4:24: peers[0].address: 192.168.1.11 is also node1's"},
		{CLUSTER "nodes:\n"
			 "- {name: node1, addresses: [10.0.0.1], podCIDRs: [10.244.1.0/24]}\n"
			 "- {name: node2, addresses: [10.0.0.2], podCIDRs: [10.244.2.0/24]}\n"
			 "- name: a\n"
			 "  addresses: [10.0.0.3]\n"
			 "  podCIDRs: [10.244.1.0/24]\n",
			"7:14: nodes[2].podCIDRs[0]: 10.244.1.0/24 overlaps node1's 10.244.1.0/24"},
		{CLUSTER "nodes:\n"
			 "- {name: a, addresses: [10.0.0.1], podCIDRs: [10.244.1.0/24, 10.244.1.0/25]}\n",
			"3:62: nodes[0].podCIDRs[1]: 10.244.1.0/25 overlaps this node's 10.244.1.0/24"},
		{CLUSTER "nodes:\n- {name: a, addresses: [10.0.0.1], podCIDRs: [10.245.1.0/24]}\n",
			"3:47: nodes[0].podCIDRs[0]: 10.245.1.0/24 is outside cluster.podCIDRs"},
		{CLUSTER "nodes:\n- {name: a, addresses: [10.244.0.1]}\n",
			"3:24: nodes[0].addresses: 10.244.0.1 lies inside cluster.podCIDRs: "
			"a node's own address cannot be a pod's"},
		{"cluster: {name: lab, asNumber: 1, podCIDRs: ['fd00::/48']}\n"
		 "nodes: [{name: a, addresses: [10.0.0.1], podCIDRs: ['fd00::/64']}]\n",
			"2:53: nodes[0].podCIDRs[0]: fd00::/64 needs an IPv6 address in "
			"nodes[0].addresses to be reached at"},
		{"cluster:\n  name: lab\n  asNumber: 1\n"
		 "  podCIDRs: [10.0.0.0/8, fd00::/48, 10.244.0.0/16]\n" NODES,
			"4:13: cluster.podCIDRs: 10.244.0.0/16 overlaps 10.0.0.0/8"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(number_out_of_range_names_the_range)
{
	static const struct refusal rows[] = {
		{CLUSTER NODES "session: {holdTime: 2}\n",
			"3:21: session.holdTime: expected 3..65535, got \"2\""},
		{CLUSTER NODES "session: {holdTime: 65536}\n",
			"3:21: session.holdTime: expected 3..65535, got \"65536\""},
		{CLUSTER NODES "session: {keepaliveTime: 0}\n",
			"3:26: session.keepaliveTime: expected 1..21845, got \"0\""},
		{CLUSTER NODES "session: {gracefulRestart: {restartTime: 4096}}\n",
			"3:42: session.gracefulRestart.restartTime: expected 1..4095, got \"4096\""},
		{CLUSTER NODES "cni: {mtu: 1279}\n", "3:12: cni.mtu: expected 1280..65535, got \"1279\""},
		{CLUSTER NODES "cni: {mtu: big}\n", "3:12: cni.mtu: expected 1280..65535, got \"big\""},
		{CLUSTER NODES "bird: {confirmTimeout: 4}\n",
			"3:24: bird.confirmTimeout: expected 5..3600, got \"4\""},
		{CLUSTER NODES "bird: {confirmTimeout: 30s}\n",
			"3:24: bird.confirmTimeout: expected 5..3600, got \"30s\""},
		{CLUSTER NODES "agent: {maxWithdraw: 25}\n",
			"3:22: agent.maxWithdraw: expected 0% to 100%, such as 25%, got \"25\""},
		{CLUSTER NODES "agent: {maxWithdraw: 101%}\n",
			"3:22: agent.maxWithdraw: expected 0% to 100%, such as 25%, got \"101%\""},
		{CLUSTER NODES "agent: {maxWithdraw: 1000%}\n",
			"3:22: agent.maxWithdraw: expected 0% to 100%, such as 25%, got \"1000%\""},
		{CLUSTER NODES "agent: {maxWithdraw: 05%}\n",
			"3:22: agent.maxWithdraw: expected 0% to 100%, such as 25%, got \"05%\""},
		{CLUSTER NODES "agent: {maxWithdraw: [25%]}\n",
			"3:22: agent.maxWithdraw: expected 0% to 100%, such as 25%, got a list"},
		{CLUSTER NODES "agent: {withdrawDelay: 86401}\n",
			"3:24: agent.withdrawDelay: expected 0..86400, got \"86401\""},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

#define PEER(options) CLUSTER NODES "peers: [{name: a, address: 10.0.0.1, asNumber: 1" options "}]\n"

START_TEST(options_of_a_session_are_checked)
{
	static const struct refusal rows[] = {
		{CLUSTER NODES "session: {connectRetryTime: 0}\n",
			"3:29: session.connectRetryTime: expected 1..65535, got \"0\""},
		{CLUSTER NODES "session: {sendHoldTime: 2}\n",
			"3:25: session.sendHoldTime: expected 3..65535, got \"2\""},
		{CLUSTER NODES "session: {sendHoldTime: 89}\n",
			"3:10: session: sendHoldTime 89 is less than holdTime 90 (RFC 9687)"},
		{CLUSTER NODES "session: {bfd: {interval: 9}}\n",
			"3:27: session.bfd.interval: expected 10..60000, got \"9\""},
		{CLUSTER NODES "session: {bfd: {multiplier: 256}}\n",
			"3:29: session.bfd.multiplier: expected 1..255, got \"256\""},
		{CLUSTER NODES "session: {bfd: {enabled: true}}\n",
			"3:17: session.bfd.enabled: unknown key; known here: interval, multiplier"},
		{CLUSTER NODES "session: {longLivedGracefulRestart: true}\n",
			"3:37: session.longLivedGracefulRestart: expected a map with enabled, staleTime, got \"true\""},
		{CLUSTER NODES "session: {longLivedGracefulRestart: {staleTime: 16777216}}\n",
			"3:49: session.longLivedGracefulRestart.staleTime: expected 1..16777215, got "
			"\"16777216\""},
		{CLUSTER NODES
			"session: {longLivedGracefulRestart: {}, gracefulRestart: {enabled: false}}\n",
			"3:10: session: longLivedGracefulRestart needs gracefulRestart (RFC 9494 section "
			"4.1)"},
		{CLUSTER NODES "session: {importLimit: 0}\n",
			"3:24: session.importLimit: expected 1..100000000, got \"0\""},
		{CLUSTER NODES "session: {importLimit: {action: warn}}\n",
			"3:24: session.importLimit: prefixes is missing"},
		{CLUSTER NODES "session: {importLimit: {prefixes: 1, action: restart}}\n",
			"3:46: session.importLimit.action: expected block or warn, got \"restart\""},
		{CLUSTER NODES "session: {ttlSecurity: 1}\n",
			"3:24: session.ttlSecurity: expected true or false, got \"1\""},
		{CLUSTER NODES "session: {passwordFile: password}\n",
			"3:25: session.passwordFile: expected an absolute path of at most 100 characters, "
			"got \"password\""},
		{PEER(", password: x, passwordFile: /x"),
			"3:9: peers[0]: password and passwordFile are both there: one is enough"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(options_of_a_router_are_checked)
{
	static const struct refusal rows[] = {
		{PEER(", port: 0"), "3:57: peers[0].port: expected 1..65535, got \"0\""},
		{PEER(", passive: 1"), "3:60: peers[0].passive: expected true or false, got \"1\""},
		{PEER(", multihop: 1"), "3:61: peers[0].multihop: expected 2..255, got \"1\""},
		{PEER(", multihop: 256"), "3:61: peers[0].multihop: expected 2..255, got \"256\""},
		{PEER(", multihop: 2"),
			"3:9: peers[0]: multihop needs gateway, the way to what the router announces, or "
			"import: []"},
		{PEER(", multihop: 2, gateway: 'fd00::1'"),
			"3:9: peers[0]: gateway is no IPv4 address, as the router's is"},
		{PEER(", multihop: 2, gateway: 10.0.0.1"),
			"3:9: peers[0]: gateway is the router itself: leave multihop and gateway out"},
		{PEER(", gateway: 10.0.0.2"),
			"3:9: peers[0]: gateway is for a router that is not on the nodes' segment: it needs "
			"multihop"},
		{PEER(", multihop: 2, import: [], interface: eth0"),
			"3:9: peers[0]: multihop and interface do not go together"},
		{PEER(", interface: 'a b'"),
			"3:62: peers[0].interface: expected an interface name of 1 to 15 characters, got "
			"\"a b\""},
		{PEER(", sourceAddress: 'fd00::1'"),
			"3:9: peers[0]: sourceAddress is no IPv4 address, as the router's is"},
		{PEER(", sourceAddress: 127.0.0.1"),
			"3:66: peers[0].sourceAddress: expected an address a host can be reached at, got "
			"\"127.0.0.1\""},
		{PEER(", extendedNextHop: true"),
			"3:9: peers[0]: extendedNextHop needs an IPv6 address: IPv4 routes over IPv6"},
		{PEER(", allowLocalAS: 11"),
			"3:65: peers[0].allowLocalAS: expected 0..10, got \"11\""},
		{PEER(", asPathLimit: 0"), "3:64: peers[0].asPathLimit: expected 1..255, got \"0\""},
		{PEER(", localPreference: -1"),
			"3:68: peers[0].localPreference: expected 0..4294967295, got \"-1\""},
		{PEER(", med: 4294967296"),
			"3:56: peers[0].med: expected 0..4294967295, got \"4294967296\""},
		{PEER(", nextHopSelf: self"),
			"3:64: peers[0].nextHopSelf: expected true or false, got \"self\""},
		{PEER(", role: customers"),
			"3:57: peers[0].role: expected provider, peer, customer, rs-server or rs-client, got "
			"\"customers\""},
		{PEER(", addPaths: true"),
			"3:61: peers[0].addPaths: expected off, rx, tx or both, got \"true\""},
		{PEER(", communities: '64512:1'"),
			"3:64: peers[0].communities: expected a list, got \"64512:1\""},
		{PEER(", communities: ['64512:65536']"),
			"3:65: peers[0].communities[0]: expected a community such as 64512:100, got "
			"\"64512:65536\""},
		{PEER(", communities: ['64512:1:1']"),
			"3:65: peers[0].communities[0]: expected a community such as 64512:100, got "
			"\"64512:1:1\""},
		{PEER(", communities: ['1:1;']"),
			"3:65: peers[0].communities[0]: expected a community such as 64512:100, got \"1:1;\""},
		{PEER(", largeCommunities: ['1:1']"),
			"3:70: peers[0].largeCommunities[0]: expected a large community such as 64512:100:1, "
			"got \"1:1\""},
		{PEER(", largeCommunities: ['1:1:4294967296']"),
			"3:70: peers[0].largeCommunities[0]: expected a large community such as 64512:100:1, "
			"got \"1:1:4294967296\""},
		{CLUSTER NODES "peers: [{name: a, address: 'fe80::1', asNumber: 1}]\n",
			"3:9: peers[0]: a link-local address needs interface"},
		{CLUSTER NODES "peers: [{name: a, address: 'fe80::1', asNumber: 1, interface: e, "
			"sourceAddress: 'fd00::1'}]\n",
			"3:9: peers[0]: sourceAddress: from a link-local address to a link-local one"},
		{CLUSTER NODES "peers: [{name: a, address: 10.0.0.1, asNumber: 64512, role: peer}]\n",
			"3:61: peers[0].role: node node1 has the same AS 64512: there are roles between two "
			"ASes only (RFC 9234)"},
		{CLUSTER "nodes:\n- {name: a, addresses: [10.0.0.1]}\n- {name: b, addresses: [10.0.0.2]}\n"
			"peers: [{name: a, address: 10.0.0.3, asNumber: 1, sourceAddress: 10.0.0.4}]\n",
			"5:66: peers[0].sourceAddress: is one node's address, but a and b both speak to this "
			"router: choose one with nodeSelector"},
		{CLUSTER NODES "peers: [{name: a, address: 'fe80::1', asNumber: 1, interface: e},\n"
			"{name: b, address: 'fe80::1', asNumber: 1, interface: e}]\n",
			"4:20: peers[1].address: fe80::1 is also a's, and node node1 has to speak to both"},
		{CLUSTER NODES "peers: [{name: a, address: 'fe80::1', asNumber: 1, interface: e},\n"
			"{name: b, asNumber: 1, interface: e}]\n",
			"4:35: peers[1].interface: e is also a's, and node node1 has to speak to both"},
		{CLUSTER NODES "peers: [{name: a, asNumber: 1, interface: e, port: 1179}]\n",
			"3:9: peers[0]: port needs address: without it the router connects to us"},
		{CLUSTER NODES "peers: [{name: a, asNumber: 1, interface: e, multihop: 2}]\n",
			"3:9: peers[0]: multihop and interface do not go together"},
		{CLUSTER NODES "peers: [{name: a, asNumber: 1, interface: e, sourceAddress: 'fd00::1'}]\n",
			"3:9: peers[0]: sourceAddress: from a link-local address to a link-local one"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(options_of_a_router_arrive_in_the_model)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(CLUSTER NODES
		"peers:\n"
		"- {name: a, address: 10.0.0.1, asNumber: 1, port: 65535, passive: true, multihop: true,\n"
		"   gateway: 192.168.1.1, sourceAddress: 192.168.1.11, role: rs-server, addPaths: tx,\n"
		"   allowLocalAS: 10, asPathLimit: 255, localPreference: 0, med: 0, nextHopSelf: false,\n"
		"   communities: ['0:65535', 1:2], largeCommunities: ['4294967295:0:1']}\n"
		"- {name: b, address: 'fe80::1', asNumber: 1, interface: eth0, extendedNextHop: true}\n"
		"- {name: c, address: 'fe80::1', asNumber: 1, interface: eth1, multihop: false}\n"
		"- {name: d, asNumber: 1, interface: eth2}\n",
		&arena);
	const struct peer *a = &cluster->peers[0], *b = &cluster->peers[1], *c = &cluster->peers[2],
			  *d = &cluster->peers[3];

	ck_assert_uint_eq(a->port, 65535);
	ck_assert(a->passive);
	ck_assert_uint_eq(a->multihop, 64);
	assert_addr(&a->gateway, "192.168.1.1");
	assert_addr(&a->source_address, "192.168.1.11");
	ck_assert_int_eq(a->role, ROLE_RS_SERVER);
	ck_assert_int_eq(a->add_paths, ADD_PATHS_TX);
	ck_assert_uint_eq(a->allow_local_as, 10);
	ck_assert_uint_eq(a->as_path_limit, 255);
	ck_assert(a->local_preference.given && a->local_preference.value == 0);
	ck_assert(a->med.given && a->med.value == 0);
	ck_assert(a->next_hop_self.given && !a->next_hop_self.value);
	ck_assert_uint_eq(a->communities.n, 2);
	ck_assert_uint_eq(a->communities.items[0].parts[1], 65535);
	ck_assert_uint_eq(a->large_communities.n, 1);
	ck_assert_uint_eq(a->large_communities.items[0].parts[0], UINT32_MAX);
	ck_assert_str_eq(b->interface, "eth0");
	ck_assert(b->extended_next_hop && !b->med.given && !b->next_hop_self.given);
	ck_assert_uint_eq(c->multihop, 0);
	ck_assert(d->unnumbered && !c->unnumbered);
	assert_addr(&d->address, "fe80::");
}
END_TEST

START_TEST(bad_password_is_refused_and_not_quoted)
{
	static const struct refusal rows[] = {
		{CLUSTER NODES "session: {password: 'a\"b'}\n",
			"3:21: session.password: expected a password of at most 80 printable ASCII "
			"characters without \""},
		{CLUSTER NODES "session: {password: \"a\\nb\"}\n",
			"3:21: session.password: expected a password of at most 80 printable ASCII "
			"characters without \""},
		{CLUSTER NODES
			"session: {password: 123456789012345678901234567890123456789012345678901234567890123456789012345678901}\n",
			"3:21: session.password: expected a password of at most 80 printable ASCII "
			"characters without \""},
		{CLUSTER NODES "session: {password: [secret]}\n",
			"3:21: session.password: expected a password, got a list"},
		{CLUSTER NODES "session: {password: }\n",
			"3:21: session.password: expected a password, got nothing"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(peer_inherits_and_overrides_each_option)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(CLUSTER NODES
		"session: {connectRetryTime: 7, bfd: {interval: 300, multiplier: 4}, password: mesh,\n"
		"  longLivedGracefulRestart: {staleTime: 60}, importLimit: {prefixes: 9, action: warn},\n"
		"  ttlSecurity: true}\n"
		"peers:\n- {name: a, address: 10.0.0.1, asNumber: 1}\n"
		"- {name: b, address: 10.0.0.2, asNumber: 1, connectRetryTime: 8, bfd: false,\n"
		"   passwordFile: /b, longLivedGracefulRestart: {enabled: false}, importLimit: 10,\n"
		"   ttlSecurity: false}\n"
		"- {name: c, address: 10.0.0.3, asNumber: 1, password: '', bfd: {multiplier: 9}}\n",
		&arena);
	const struct session *a = &cluster->peers[0].session, *b = &cluster->peers[1].session,
			     *c = &cluster->peers[2].session;

	ck_assert_uint_eq(a->connect_retry_time, 7);
	ck_assert(a->bfd && a->bfd_interval_ms == 300 && a->bfd_multiplier == 4);
	ck_assert_str_eq(a->password, "mesh");
	ck_assert(a->long_lived.enabled && a->long_lived.stale_time == 60);
	ck_assert(a->import_limit.prefixes == 9 && a->import_limit.only_warn);
	ck_assert(a->ttl_security);

	ck_assert_uint_eq(b->connect_retry_time, 8);
	ck_assert(!b->bfd && !b->long_lived.enabled && !b->ttl_security);
	ck_assert_ptr_null(b->password);
	ck_assert_str_eq(b->password_file, "/b");
	ck_assert(b->import_limit.prefixes == 10 && !b->import_limit.only_warn);

	ck_assert_ptr_null(c->password);
	ck_assert_ptr_null(c->password_file);
	ck_assert(c->bfd && c->bfd_interval_ms == 300 && c->bfd_multiplier == 9);
}
END_TEST

START_TEST(keepalive_is_at_most_a_third_of_hold_time)
{
	static const struct refusal rows[] = {
		{CLUSTER NODES "session: {holdTime: 90, keepaliveTime: 31}\n",
			"3:10: session: keepaliveTime 31 is more than a third of holdTime 90 "
			"(RFC 4271 section 10)"},
		{CLUSTER NODES "session: {keepaliveTime: 45}\n",
			"3:10: session: keepaliveTime 45 is more than a third of holdTime 90 "
			"(RFC 4271 section 10)"},
		{CLUSTER NODES "session: {holdTime: 9}\n"
			"peers:\n- {name: a, address: 10.0.0.1, asNumber: 1, keepaliveTime: 4}\n",
			"5:3: peers[0]: keepaliveTime 4 is more than a third of holdTime 9 "
			"(RFC 4271 section 10)"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(word_out_of_a_choice_names_the_choice)
{
	static const struct refusal rows[] = {
		{"cluster: {name: lab, asNumber: 1, podCIDRs: [10.244.0.0/16], topology: star}\n" NODES,
			"1:72: cluster.topology: expected mesh, reflector or none, got \"star\""},
		{CLUSTER NODES "cni: {mode: vxlan}\n", "3:13: cni.mode: expected bridge or routed, got \"vxlan\""},
		{CLUSTER NODES
			"peers: [{name: a, address: 10.0.0.1, asNumber: 1, export: [pods, all]}]\n",
			"3:66: peers[0].export[1]: expected pods, cluster, default or services, got \"all\""},
		{CLUSTER NODES "cni: {bridge: a-name-of-16-let}\n",
			"3:15: cni.bridge: expected an interface name of 1 to 15 characters, "
			"got \"a-name-of-16-let\""},
		{CLUSTER NODES "cni: {bridge: 'a/b'}\n",
			"3:15: cni.bridge: expected an interface name of 1 to 15 characters, got \"a/b\""},
		{CLUSTER NODES "bird: {socket: bird.ctl}\n",
			"3:16: bird.socket: expected an absolute path of at most 100 characters, "
			"got \"bird.ctl\""},
		{CLUSTER NODES "agent: {socket: \"/run/a\\nb\"}\n",
			"3:17: agent.socket: expected an absolute path of at most 100 characters, "
			"got \"/run/a?b\""},
		{CLUSTER NODES "cni: {binDir: '/opt/\"x'}\n",
			"3:15: cni.binDir: expected an absolute path of at most 100 characters, "
			"got \"/opt/\"x\""},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(metrics_address_is_address_and_port)
{
	static const char *const rows[] = {"9472", ":9472", "localhost:9472", "127.0.0.1", "127.0.0.1:",
		"127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http", "127.0.0.1:+80", "127.0.0.1: 80",
		"::1:9472", "[::1]", "[::1", "[127.0.0.1]:9472", "[]:9472", "]:1", "[:1", "*:9472"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[300], msg[300];

		snprintf(text, sizeof(text), CLUSTER NODES "agent: {metrics: '%s'}\n", rows[i]);
		snprintf(msg, sizeof(msg),
			"3:18: agent.metrics: expected address:port such as 127.0.0.1:9472, or \"\" "
			"for none, got \"%s\"", rows[i]);
		assert_refused(text, strlen(text), msg);
	}
	assert_refused(CLUSTER NODES "agent: {metrics: }\n", strlen(CLUSTER NODES) + 19,
		"3:18: agent.metrics: expected address:port such as 127.0.0.1:9472, or \"\" for none, "
		"got nothing");
}
END_TEST

#define SERVICES(rest) "cluster: {name: lab, asNumber: 1, podCIDRs: [10.244.0.0/16], " rest "}\n" NODES

START_TEST(services_need_prefixes_of_their_own)
{
	static const struct refusal rows[] = {
		{CLUSTER NODES "peers: [{name: a, address: 10.0.0.1, asNumber: 1, export: [services]}]\n",
			"3:59: peers[0].export: services needs cluster.serviceCIDRs, the prefixes that "
			"addresses of Services may be announced from"},
		{SERVICES("serviceCIDRs: []")
			"peers: [{name: a, address: 10.0.0.1, asNumber: 1, export: [pods, services]}]\n",
			"3:59: peers[0].export: services needs cluster.serviceCIDRs, the prefixes that "
			"addresses of Services may be announced from"},
		{SERVICES("serviceCIDRs: [10.96.0.0/12, 10.244.7.0/24]"),
			"1:76: cluster.serviceCIDRs: 10.244.7.0/24 overlaps 10.244.0.0/16 of "
			"cluster.podCIDRs"},
		{SERVICES("serviceCIDRs: [10.0.0.0/8]"),
			"1:76: cluster.serviceCIDRs: 10.0.0.0/8 overlaps 10.244.0.0/16 of cluster.podCIDRs"},
		{SERVICES("serviceCIDRs: [0.0.0.0/0]"),
			"1:77: cluster.serviceCIDRs[0]: 0.0.0.0/0: a prefix for Services is /8 or longer"},
		{SERVICES("serviceCIDRs: [203.0.113.1]"),
			"1:77: cluster.serviceCIDRs[0]: expected a prefix such as 10.244.1.0/24, got "
			"\"203.0.113.1\""},
		{SERVICES("serviceAddresses: [LoadBalancer]"),
			"1:81: cluster.serviceAddresses[0]: expected LoadBalancerIP, ExternalIP or "
			"ClusterIP, got \"LoadBalancer\""},
		{SERVICES("serviceAddresses: ClusterIP"),
			"1:80: cluster.serviceAddresses: expected a list, got \"ClusterIP\""},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(services_are_announced_from_prefixes_and_not_cluster_ips)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(
		SERVICES("serviceCIDRs: [203.0.113.0/24, 198.51.100.7/32]")
		"peers:\n"
		"- {name: a, address: 10.0.0.1, asNumber: 1, export: [pods, services]}\n"
		"- {name: b, address: 10.0.0.2, asNumber: 1, nodeSelector: {rack: none}}\n", &arena);

	ck_assert_uint_eq(cluster->service_cidrs.n, 2);
	ck_assert_uint_eq(cluster->service_addresses,
		1u << SERVICE_LOAD_BALANCER_IP | 1u << SERVICE_EXTERNAL_IP);
	ck_assert_uint_eq(cluster->peers[0].export, EXPORT_PODS | EXPORT_SERVICES);
	ck_assert(cluster_exports_services(cluster, &cluster->nodes[0]));
	cluster = decode(SERVICES("serviceCIDRs: [203.0.113.0/24], serviceAddresses: [ClusterIP]")
		"peers: [{name: a, address: 10.0.0.1, asNumber: 1, export: [services], "
		"nodeSelector: {rack: none}}]\n", &arena);
	ck_assert_uint_eq(cluster->service_addresses, 1u << SERVICE_CLUSTER_IP);
	ck_assert(!cluster_exports_services(cluster, &cluster->nodes[0]));
}
END_TEST

START_TEST(kubernetes_stands_in_place_of_nodes)
{
	static const struct refusal rows[] = {
		{CLUSTER NODES "kubernetes: {}\n",
			"3:13: kubernetes: either nodes or kubernetes: one of them says which nodes "
			"there are"},
		{CLUSTER "kubernetes: {kubeconfig: admin.conf}\n",
			"2:26: kubernetes.kubeconfig: expected an absolute path of at most 100 "
			"characters, got \"admin.conf\""},
		{CLUSTER "kubernetes: {watchTimeout: 1}\n",
			"2:28: kubernetes.watchTimeout: expected 5..3600, got \"1\""},
		{CLUSTER "kubernetes: {reflectorSelector: {}}\n",
			"2:33: kubernetes.reflectorSelector: expected at least one label"},
	};
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(CLUSTER "kubernetes: {}\n", &arena);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_refused(rows[i].text, strlen(rows[i].text), rows[i].msg);
	ck_assert(cluster->kubernetes.used && !cluster->kubernetes.kubeconfig);
	ck_assert_uint_eq(cluster->n_nodes, 0);
	ck_assert_uint_eq(cluster->kubernetes.watch_timeout, 120);
	ck_assert_str_eq(labels_get(&cluster->kubernetes.reflector_selector, "roost/reflector"),
		"true");
}
END_TEST

START_TEST(key_that_does_nothing_here_gives_a_warning)
{
	static const struct refusal rows[] = {
		{CLUSTER NODES "cni: {masquerade: {except: [192.168.0.0/16]}}\n",
			"roost.yaml:3:19: cni.masquerade: except does nothing without enabled: true"},
		{CLUSTER NODES "cni: {masquerade: {enabled: true, except: [192.168.0.0/16]}}\n", NULL},
		{CLUSTER NODES "cni: {masquerade: {enabled: false, except: [192.168.0.0/16]}}\n", NULL},
		{SERVICES("serviceCIDRs: [203.0.113.0/24]")
			"peers: [{name: a, address: 10.0.0.1, asNumber: 1, export: [pods, services]}]\n",
			"roost.yaml:3:59: peers[0].export: services does nothing without kubernetes: "
			"they are known from its API only"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const struct cluster *cluster = decode(rows[i].text, &arena);

		ck_assert_uint_eq(cluster->n_warnings, rows[i].msg ? 1 : 0);
		if (rows[i].msg)
			ck_assert_str_eq(cluster->warnings[0], rows[i].msg);
	}
}
END_TEST

#define REFLECTED(more) "cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16], " \
	"topology: reflector" more "}\n" \
	"nodes:\n- {name: a, addresses: [10.0.0.1]}\n- {name: b, addresses: [10.0.0.2]}\n"

START_TEST(reflectors_are_there_and_of_the_same_as)
{
	static const struct refusal rows[] = {
		{REFLECTED(""), "1:76: cluster.topology: reflector needs nodes with reflector: true, "
			"two of them if one may fail"},
		{REFLECTED("") "- {name: c, addresses: [10.0.0.3], asNumber: 64513, reflector: true}\n",
			"3:3: nodes[0].asNumber: 64512 is not c's 64513: reflectors and those they "
			"serve are of one AS"},
		{REFLECTED(", topologyKey: ''"),
			"1:100: cluster.topologyKey: expected the name of a label, got \"\""},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

static void assert_warning(const char *text, const char *warning)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = decode(text, &arena);

	ck_assert_uint_eq(cluster->n_warnings, warning ? 1 : 0);
	if (warning)
		ck_assert_str_eq(cluster->warnings[0], warning);
}

START_TEST(router_that_no_node_speaks_to_gives_a_warning)
{
	/* By its place in the file, which is not its place among the names. */
	assert_warning(CLUSTER NODES
		"peers:\n- {name: z, address: 10.0.0.8, asNumber: 1, nodeSelector: {rack: typo}}\n"
		"- {name: a, address: 10.0.0.9, asNumber: 1}\n",
		"roost.yaml:4:59: peers[0].nodeSelector: no node has these labels, so none speaks to "
		"this router");
}
END_TEST

START_TEST(lone_reflector_gives_a_warning)
{
	assert_warning(REFLECTED("") "- {name: c, addresses: [10.0.0.3], reflector: true}\n",
		"roost.yaml:1:76: cluster.topology: 2 nodes, such as b, with one reflector only: "
		"while it is away they learn no routes");
	assert_warning(REFLECTED("") "- {name: c, addresses: [10.0.0.3], reflector: true}\n"
		"- {name: d, addresses: [10.0.0.4], reflector: true}\n", NULL);
	assert_warning(REFLECTED(", topologyKey: rack")
		"- {name: c, addresses: [10.0.0.3], labels: {rack: a}, reflector: true}\n"
		"- {name: d, addresses: [10.0.0.4], labels: {rack: b}, reflector: true}\n"
		"- {name: e, addresses: [10.0.0.5], labels: {rack: b}}\n",
		"roost.yaml:1:76: cluster.topology: 1 node, such as e, with one reflector only: "
		"while it is away they learn no routes");
	/* c, without a rack, is nobody's own, and so everybody's. */
	assert_warning(REFLECTED(", topologyKey: rack")
		"- {name: c, addresses: [10.0.0.3], reflector: true}\n",
		"roost.yaml:1:76: cluster.topology: 2 nodes, such as b, with one reflector only: "
		"while it is away they learn no routes");
}
END_TEST

#define RULES(rules, rest) "cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16],\n" \
	" asNumbers: [" rules "]}\nnodes:\n" \
	"- {name: a, addresses: [10.0.0.1], labels: {rack: a, row: one}}\n" \
	"- {name: b, addresses: [10.0.0.2], labels: {rack: b, row: one}}\n" \
	"- {name: c, addresses: [10.0.0.3], labels: {rack: b}, asNumber: 9}\n" rest
#define RULE(selector, number) "{nodeSelector: {" selector "}, asNumber: " number "}"

START_TEST(as_number_is_the_nodes_own_or_of_the_first_rule_that_fits)
{
	static const struct {
		const char *text;
		uint32_t a, b, c, d;
	} rows[] = {
		{RULES("", "- {name: d, addresses: [10.0.0.4]}\n"), 64512, 64512, 9, 64512},
		{RULES(RULE("rack: a", "1") ", " RULE("rack: b", "2"),
			"- {name: d, addresses: [10.0.0.4]}\n"), 1, 2, 9, 64512},
		{RULES(RULE("row: one, rack: b", "3") ", " RULE("row: one", "4"),
			"- {name: d, addresses: [10.0.0.4], labels: {rack: b}}\n"), 4, 3, 9, 64512},
		{RULES(RULE("rack: a", "1") ", " RULE("", "5"),
			"- {name: d, addresses: [10.0.0.4]}\n"), 1, 5, 9, 5},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const struct cluster *cluster = decode(rows[i].text, &arena);

		ck_assert_uint_eq(cluster->nodes[0].as_number, rows[i].a);
		ck_assert_uint_eq(cluster->nodes[1].as_number, rows[i].b);
		ck_assert_uint_eq(cluster->nodes[2].as_number, rows[i].c);
		ck_assert_uint_eq(cluster->nodes[3].as_number, rows[i].d);
		ck_assert_uint_eq(cluster->n_warnings, 0);
	}
}
END_TEST

START_TEST(rule_that_gives_no_node_its_as_number_gives_a_warning)
{
	assert_warning(RULES(RULE("rack: a", "1") ", " RULE("rack: d", "2"), ""),
		"roost.yaml:2:69: cluster.asNumbers[1].nodeSelector: no node has these labels, so none "
		"has this AS number");
	assert_warning(RULES(RULE("row: one", "1") ", " RULE("rack: a", "2"), ""),
		"roost.yaml:2:70: cluster.asNumbers[1].nodeSelector: every node with these labels has "
		"its AS number from an earlier rule or from its own asNumber");
}
END_TEST

START_TEST(rules_of_as_numbers_are_checked)
{
	static const struct refusal rows[] = {
		{RULES("{asNumber: 1}", ""), "2:14: cluster.asNumbers[0]: nodeSelector is missing"},
		{RULES("{nodeSelector: {rack: a}}", ""),
			"2:14: cluster.asNumbers[0]: asNumber is missing"},
		{RULES(RULE("rack: a", "0"), ""),
			"2:50: cluster.asNumbers[0].asNumber: expected 1..4294967295, got \"0\""},
		{RULES("{rack: a}", ""),
			"2:15: cluster.asNumbers[0].rack: unknown key; known here: nodeSelector, asNumber"},
	};

	assert_all_refused(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(large_mesh_gives_a_warning_with_numbers)
{
	_cleanup_buf_ struct buf text = {0};

	buf_puts(&text, CLUSTER "nodes:\n");
	for (int i = 1; i <= 101; i++)
		buf_printf(&text, "- {name: n%d, addresses: [192.168.1.%d]}\n", i, i);
	assert_warning(text.text,
		"roost.yaml:1:10: cluster.topology: a mesh of 101 nodes is 100 sessions on each and "
		"5050 in all; consider topology: reflector");
}
END_TEST

START_TEST(long_keys_and_values_do_not_hide_what_is_wrong)
{
	_cleanup_buf_ struct buf text = {0};
	char key[201], msg[400];

	memset(key, 'k', 200);
	key[200] = '\0';
	buf_printf(&text, CLUSTER NODES "bird: {%s: 1}\n", key);
	snprintf(msg, sizeof(msg),
		"3:8: bird.%.60s: unknown key; known here: socket, confirmTimeout", key);
	assert_refused(text.text, text.len, msg);
}
END_TEST

/* ---------------------------------------------------------------- size */

static double cpu_seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* A bound that only quadratic behaviour breaks, also under a sanitizer. */
#define SOON 10.0

START_TEST(file_over_the_limit_is_not_even_read)
{
	size_t len = DECODE_MAX_BYTES + 1;
	_cleanup_free_ char *text = xmalloc(len);
	_cleanup_arena_ struct arena arena = {0};
	struct cluster *cluster;
	struct err err;

	memset(text, '#', len);
	ck_assert_int_eq(decode_cluster("roost.yaml", text, len, &arena, &cluster, &err), -1);
	ck_assert_str_eq(err.msg, "roost.yaml: larger than 16777216 bytes");
	ck_assert_int_eq(err.code, EFBIG);
	ck_assert_uint_lt(arena.used, 4096);
	assert_refused(text, len - 1, "1:1: the file is empty");
}
END_TEST

START_TEST(ten_megabytes_of_brackets_are_one_error_at_once)
{
	static const char *const openers[] = {"[", "{", "{a: "};
	double start = cpu_seconds();

	for (size_t i = 0; i < ARRAY_LEN(openers); i++) {
		_cleanup_arena_ struct arena arena = {0};
		_cleanup_buf_ struct buf text = {0};
		struct cluster *cluster;
		struct err err;

		buf_puts(&text, CLUSTER "nodes: ");
		while (text.len < 10000000)
			buf_puts(&text, openers[i]);
		ck_assert_int_eq(decode_cluster("roost.yaml", text.text, text.len, &arena, &cluster,
					 &err), -1);
		ck_assert_ptr_nonnull(strstr(err.msg,
			openers[i][1] || openers[i][0] == '[' ? "nested deeper than 16 levels" :
								"expected a key"));
		ck_assert_uint_lt(arena.used, 16384);
	}
	ck_assert_double_lt(cpu_seconds() - start, SOON);
}
END_TEST

static void add_many_nodes(struct buf *text, int n)
{
	buf_puts(text, "cluster: {name: big, asNumber: 1, podCIDRs: [10.0.0.0/8, 'fd00::/32']}\nnodes:\n");
	for (int i = 0; i < n; i++) {
		int x = i * 7919 % n; /* in no order */

		buf_printf(text,
			"- name: node-%d.example.org\n  addresses: [172.16.%d.%d, 'fd01::%x']\n"
			"  podCIDRs: [10.%d.%d.0/24, 'fd00:0:%x::/64']\n  labels: {rack: r%d}\n",
			x, x / 250, x % 250 + 1, x + 1, x / 256, x % 256, x, x % 40);
	}
}

START_TEST(ten_thousand_nodes_are_decoded_in_no_quadratic_time)
{
	_cleanup_arena_ struct arena arena = {0};
	_cleanup_buf_ struct buf text = {0};
	double start = cpu_seconds();
	const struct cluster *cluster;

	add_many_nodes(&text, DECODE_MAX_NODES);
	cluster = decode(buf_text(&text), &arena);
	ck_assert_uint_eq(cluster->n_nodes, DECODE_MAX_NODES);
	ck_assert_str_eq(cluster->nodes[0].name, "node-0.example.org");
	ck_assert_double_lt(cpu_seconds() - start, SOON);
}
END_TEST

/* A rack has two routers, each a peer for a family: 1024 racks. */
START_TEST(so_many_peers_are_decoded_and_one_more_is_refused)
{
	_cleanup_arena_ struct arena arena = {0};
	_cleanup_buf_ struct buf text = {0};
	double start = cpu_seconds();

	add_many_nodes(&text, DECODE_MAX_NODES);
	buf_puts(&text, "peers:\n");
	for (int i = 0; i < DECODE_MAX_PEERS; i++)
		buf_printf(&text,
			"- {name: p%d, address: 172.20.%d.%d, asNumber: 2, nodeSelector: {rack: r%d}}\n",
			i, i / 250, i % 250 + 1, i % 40);
	ck_assert_uint_eq(decode(buf_text(&text), &arena)->n_peers, DECODE_MAX_PEERS);
	buf_puts(&text, "- {name: more, address: 172.21.0.1, asNumber: 2}\n");
	assert_refused(buf_text(&text), text.len, "40004:1: peers: 4097 entries, 4096 at most");
	ck_assert_double_lt(cpu_seconds() - start, SOON);
}
END_TEST

START_TEST(one_node_more_is_refused)
{
	_cleanup_buf_ struct buf text = {0};

	add_many_nodes(&text, DECODE_MAX_NODES + 1);
	assert_refused(text.text, text.len, "3:1: nodes: 10001 entries, 10000 at most");
}
END_TEST

START_TEST(one_clash_among_ten_thousand_is_found)
{
	_cleanup_buf_ struct buf text = {0};

	add_many_nodes(&text, DECODE_MAX_NODES - 1);
	buf_puts(&text, "- name: late\n  addresses: [192.168.1.1]\n  podCIDRs: [10.20.30.128/25]\n");
	assert_refused(text.text, text.len,
		"40001:14: nodes[9999].podCIDRs[0]: 10.20.30.128/25 overlaps "
		"node-5150.example.org's 10.20.30.0/24");
}
END_TEST

UNIT(decode, every_key_arrives_in_the_model, smallest_file_has_the_documented_defaults,
	json_file_is_as_good, peer_inherits_the_session_written_behind_it,
	options_of_a_router_are_checked, options_of_a_router_arrive_in_the_model,
	options_of_a_session_are_checked, bad_password_is_refused_and_not_quoted,
	peer_inherits_and_overrides_each_option,
	hold_time_alone_moves_the_keepalive_time, order_of_nodes_and_peers_does_not_matter,
	values_at_their_limits_are_taken, what_is_no_document_is_refused_by_its_place,
	missing_parts_are_named, unknown_key_is_named_with_those_that_are_known,
	wrong_type_is_named_with_what_stands_there, as_number_is_a_plain_number_nobody_reserved,
	name_that_bird_cannot_hold_is_refused, name_with_a_nul_is_refused,
	too_long_name_is_quoted_in_part, address_must_be_one_a_host_can_be_reached_at,
	one_address_of_each_family, prefix_is_exact_and_has_room,
	clash_between_nodes_is_reported_at_the_later_one, number_out_of_range_names_the_range,
	keepalive_is_at_most_a_third_of_hold_time, word_out_of_a_choice_names_the_choice,
	metrics_address_is_address_and_port,
	services_need_prefixes_of_their_own, services_are_announced_from_prefixes_and_not_cluster_ips,
	kubernetes_stands_in_place_of_nodes,
	key_that_does_nothing_here_gives_a_warning, reflectors_are_there_and_of_the_same_as,
	router_that_no_node_speaks_to_gives_a_warning,
	lone_reflector_gives_a_warning, large_mesh_gives_a_warning_with_numbers,
	as_number_is_the_nodes_own_or_of_the_first_rule_that_fits,
	rule_that_gives_no_node_its_as_number_gives_a_warning, rules_of_as_numbers_are_checked,
	long_keys_and_values_do_not_hide_what_is_wrong, file_over_the_limit_is_not_even_read,
	ten_megabytes_of_brackets_are_one_error_at_once,
	ten_thousand_nodes_are_decoded_in_no_quadratic_time, one_node_more_is_refused,
	so_many_peers_are_decoded_and_one_more_is_refused,
	one_clash_among_ten_thousand_is_found)
