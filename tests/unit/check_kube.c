/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes from an API server, from its bytes to the cluster's nodes; no network. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "kube/kube.h"
#include "kube/split.h"
#include "kube/state.h"
#include "unit.h"

/* ---------------------------------------------------------------- split */

static int collect(const char *text, size_t len, void *arg, struct err *err)
{
	struct buf *all = arg;

	(void)err;
	buf_printf(all, "<%.*s>", (int)len, text);
	return 0;
}

/* The objects in <>, then the rest of a list; or the error. */
static const char *split_all(enum split_what what, const char *text, size_t piece)
{
	static char room[2000];
	_cleanup_buf_ struct buf all = {0};
	struct split split = {0};
	size_t len = strlen(text);
	struct err err;
	int rc = 0;

	split_begin(&split, what, collect, &all);
	for (size_t i = 0; i < len && rc == 0; i += piece)
		rc = split_feed(&split, text + i, len - i < piece ? len - i : piece, &err);
	if (rc == 0)
		rc = split_end(&split, &err);
	snprintf(room, sizeof(room), "%s %s", buf_text(&all),
		rc < 0 ? err.msg : buf_text(&split.rest));
	split_free(&split);
	return room;
}

START_TEST(list_is_cut_into_items_and_the_rest)
{
	static const struct {
		const char *text, *parts;
	} rows[] = {
		{"{\"kind\":\"NodeList\",\"items\":[{\"a\":1},{\"b\":[{}]}],\"x\":[1]}",
			"<{\"a\":1}><{\"b\":[{}]}> {\"kind\":\"NodeList\",\"items\":[],\"x\":[1]}"},
		{"{\n  \"items\": [\n {\"a\": \"]}\\\"\\\\\"} ,\n {} ]\n}",
			"<{\"a\": \"]}\\\"\\\\\"}><{}> {\n  \"items\": []\n}"},
		{"{\"items\":[{\"managedFields\": [{\"a\":[\"]\"]}],\"images\":[],\"x\":{}}]}",
			"<{\"managedFields\": null,\"images\":null,\"x\":{}}> {\"items\":[]}"},
		{"{\"items\":[{\"images\":{\"a\":[]}}]}",
			"<{\"images\":{\"a\":[]}}> {\"items\":[]}"},
		{"{\"items\":null}", " {\"items\":null}"},
		{"{\"items\":[]}", " {\"items\":[]}"},
		{"{\"spec\":{\"items\":[{\"a\":1}]}}", " {\"spec\":{\"items\":[{\"a\":1}]}}"},
		{"{\"items\":[1]}", " expected an object"},
		{"{\"items\":[\"{}\"]}", " expected an object"},
		{"{\"items\":[{\"a\":1}", "<{\"a\":1}> the answer ends in the middle"},
		{"{\"a\":\"b", " the answer ends in the middle"},
		{"}", " a \"}\" too many"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t piece = 1; piece < 8; piece++)
			ck_assert_str_eq(split_all(SPLIT_LIST, rows[i].text, piece), rows[i].parts);
}
END_TEST

START_TEST(watch_is_cut_into_events)
{
	for (size_t piece = 1; piece < 8; piece++) {
		ck_assert_str_eq(split_all(SPLIT_WATCH, "{\"a\":{}}\n{\"b\":\"}{\"}\n", piece),
			"<{\"a\":{}}><{\"b\":\"}{\"}> ");
		ck_assert_str_eq(split_all(SPLIT_WATCH, "{}\nx{}", piece), "<{}> expected an object");
		ck_assert_str_eq(split_all(SPLIT_WATCH, "[{}]", piece), " expected an object");
		ck_assert_str_eq(split_all(SPLIT_WATCH, "{\"a\":", piece),
			" the answer ends in the middle");
	}
}
END_TEST

START_TEST(endless_object_ends_at_the_limit)
{
	struct split split = {0};
	struct buf all = {0};
	struct err err;
	char text[4096];
	size_t fed = 0;

	memset(text, 'x', sizeof(text));
	split_begin(&split, SPLIT_WATCH, collect, &all);
	ck_assert_int_eq(split_feed(&split, "{\"a\":\"", 6, &err), 0);
	while (split_feed(&split, text, sizeof(text), &err) == 0)
		fed += sizeof(text);
	ck_assert_str_eq(err.msg, "an object of more than 4096 KiB");
	ck_assert_uint_le(fed, SPLIT_MAX_OBJECT);
	split_free(&split);
}
END_TEST

/* ---------------------------------------------------------------- nodes */

#define HEAD "cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16, \"fd00:1::/48\"]}\n"

/* A Node; `more` goes into its metadata. */
#define NODE(name, created, address, cidr, more)                                                   \
	"{\"metadata\":{\"name\":\"" name "\",\"creationTimestamp\":\"2026-01-" created            \
	"T00:00:00Z\"" more "},\"spec\":{\"podCIDRs\":[\"" cidr "\"]},\"status\":{\"addresses\":"  \
	"[{\"type\":\"Hostname\",\"address\":\"x\"},{\"type\":\"InternalIP\",\"address\":"         \
	"\"" address "\"}]}}"

struct given {
	const char *nodes; /* JSON list */
};

static int find(const struct cluster *file, struct arena *arena, struct found_nodes *found,
	void *arg, struct err *err)
{
	const struct given *given = arg;
	json_t *list = json_loads(given->nodes, 0, NULL);
	struct label_keys keys;
	const json_t *item;
	size_t i;

	ck_assert_msg(json_is_array(list), "%s", given->nodes);
	label_keys_of(file, arena, &keys);
	found->items = arena_alloc(arena, json_array_size(list) * sizeof(*found->items));
	json_array_foreach(list, i, item) {
		json_t *reduced = reduce_node(item, &keys, err);

		ck_assert_msg(reduced != NULL, "%s", err->msg);
		node_decode(reduced, file, arena, found);
		json_decref(reduced);
	}
	json_decref(list);
	return 0;
}

static struct cluster *cluster_of(const char *yaml, const char *nodes, struct arena *arena)
{
	struct given given = {nodes};
	struct cluster *cluster;
	struct err err;

	ck_assert_msg(decode_cluster_with("roost.yaml", yaml, strlen(yaml), find, &given, arena,
			      &cluster, &err) == 0,
		"%s", err.msg);
	return cluster;
}

START_TEST(node_has_what_its_Node_has)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = cluster_of(
		HEAD "kubernetes: {}\n"
		     "peers: [{name: a, address: 10.0.0.1, asNumber: 1, nodeSelector: {rack: a}}]\n",
		"[" NODE("n1", "01", "192.168.1.11", "10.244.1.0/24",
			",\"labels\":{\"rack\":\"a\",\"other\":\"x\",\"roost/reflector\":\"true\"}") "]",
		&arena);
	const struct node *node = &cluster->nodes[0];
	char text[PREFIX_TEXT_MAX];

	ck_assert_uint_eq(cluster->n_nodes, 1);
	ck_assert_uint_eq(cluster->n_left_out, 0);
	ck_assert_str_eq(node->name, "n1");
	ck_assert_uint_eq(node->as_number, 64512);
	ck_assert(node->reflector && node->not_ready);
	ck_assert_str_eq(labels_get(&node->labels, "rack"), "a");
	ck_assert_ptr_null(labels_get(&node->labels, "other"));
	ck_assert_str_eq(addr_format(&node->address[IPV4], text), "192.168.1.11");
	ck_assert_uint_eq(node->address[IPV6].family, 0);
	ck_assert_str_eq(prefix_format(&node->pod_cidrs.items[0], text), "10.244.1.0/24");
}
END_TEST

START_TEST(labels_of_a_Node_choose_its_AS)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = cluster_of(
		"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16], "
		"asNumbers: [{nodeSelector: {rack: b}, asNumber: 64602}]}\n"
		"kubernetes: {}\n",
		"[" NODE("n1", "01", "192.168.1.11", "10.244.1.0/24", ",\"labels\":{\"rack\":\"a\"}") ","
			NODE("n2", "01", "192.168.1.12", "10.244.2.0/24",
				",\"labels\":{\"rack\":\"b\"}") "]",
		&arena);

	ck_assert_uint_eq(cluster->nodes[0].as_number, 64512);
	ck_assert_uint_eq(cluster->nodes[1].as_number, 64602);
}
END_TEST

START_TEST(bad_Node_is_left_out_and_the_others_stay)
{
	static const struct {
		const char *bad, *why;
	} rows[] = {
		{NODE("bad", "05", "192.168.1.12", "10.250.1.0/24", ""),
			"10.250.1.0/24 is outside cluster.podCIDRs"},
		{NODE("bad", "05", "192.168.1.12", "10.244.1.128/25", ""),
			"10.244.1.128/25 overlaps n1's 10.244.1.0/24"},
		{NODE("bad", "05", "192.168.1.11", "10.244.2.0/24", ""), "192.168.1.11 is also n1's"},
		{NODE("bad", "05", "10.0.0.1", "10.244.2.0/24", ""),
			"its InternalIP is router a's address"},
		{NODE("bad", "05", "10.244.9.9", "10.244.2.0/24", ""),
			"10.244.9.9 lies inside cluster.podCIDRs: a node's own address cannot be a pod's"},
		{NODE("bad", "05", "127.0.0.1", "10.244.2.0/24", ""),
			"no InternalIP that a host can be reached at"},
		{NODE("bad", "05", "x", "10.244.2.0/24", ""),
			"no InternalIP that a host can be reached at"},
		{NODE("bad", "05", "192.168.1.12", "10.244.2.1/24", ""),
			"podCIDR 10.244.2.1/24 has bits behind the prefix length"},
		{NODE("bad", "05", "192.168.1.12", "10.244/24", ""), "podCIDR \"10.244/24\" is no prefix"},
		{NODE("b'ad", "05", "192.168.1.12", "10.244.2.0/24", ""),
			"no name that BIRD can hold"},
		{"{\"metadata\":{\"name\":\"bad\",\"labels\":null},\"spec\":null,\"status\":[]}",
			"no InternalIP that a host can be reached at"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const struct cluster *cluster;
		char nodes[2000];

		snprintf(nodes, sizeof(nodes), "[%s,%s]", rows[i].bad,
			NODE("n1", "02", "192.168.1.11", "10.244.1.0/24", ""));
		cluster = cluster_of(HEAD "kubernetes: {}\n"
					  "peers: [{name: a, address: 10.0.0.1, asNumber: 1}]\n",
			nodes, &arena);
		ck_assert_uint_eq(cluster->n_nodes, 1);
		ck_assert_str_eq(cluster->nodes[0].name, "n1");
		ck_assert_uint_eq(cluster->n_left_out, 1);
		ck_assert_str_eq(cluster->left_out[0].why, rows[i].why);
	}
}
END_TEST

#define MANY 700

/* What is wrong with a Node alone costs no round: however many are, the others go on. */
START_TEST(very_many_bad_Nodes_are_left_out_and_the_others_stay)
{
	static const struct {
		const char *address, *cidr;
	} rows[] = {
		{"192.168.2.1", "10.250.1.0/24"}, /* outside */
		{"10.244.9.9", "10.244.2.0/24"},
		{"127.0.0.1", "10.244.2.0/24"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		_cleanup_buf_ struct buf nodes = {0};
		const struct cluster *cluster;

		buf_puts(&nodes, "[" NODE("n1", "02", "192.168.1.11", "10.244.1.0/24", "") ","
			NODE("twin", "03", "192.168.1.11", "10.244.3.0/24", ""));
		for (int n = 0; n < MANY; n++)
			buf_printf(&nodes, "," NODE("bad%d", "05", "%s", "%s", ""), n,
				rows[i].address, rows[i].cidr);
		buf_puts(&nodes, "]");
		cluster = cluster_of(HEAD "kubernetes: {}\n", nodes.text, &arena);
		ck_assert_uint_eq(cluster->n_nodes, 1);
		ck_assert_str_eq(cluster->nodes[0].name, "n1");
		ck_assert_uint_eq(cluster->n_left_out, MANY + 1);
	}
}
END_TEST

START_TEST(who_is_left_out_takes_nothing_from_a_younger_one)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = cluster_of(HEAD "kubernetes: {}\n",
		"[" NODE("old", "01", "192.168.1.11", "10.250.1.0/24", "") ","
			NODE("n1", "02", "192.168.1.11", "10.244.1.0/24", "") "]",
		&arena);

	ck_assert_uint_eq(cluster->n_nodes, 1);
	ck_assert_str_eq(cluster->nodes[0].name, "n1");
	ck_assert_uint_eq(cluster->n_left_out, 1);
}
END_TEST

START_TEST(of_two_that_overlap_the_older_stays_whatever_the_order)
{
	static const char *const orders[] = {
		"[" NODE("a", "09", "192.168.1.1", "10.244.1.0/24", "") ","
			NODE("b", "02", "192.168.1.2", "10.244.1.0/25", "") "]",
		"[" NODE("b", "02", "192.168.1.2", "10.244.1.0/25", "") ","
			NODE("a", "09", "192.168.1.1", "10.244.1.0/24", "") "]",
		/* Of the same second: by name. */
		"[" NODE("b", "02", "192.168.1.2", "10.244.1.0/25", "") ","
			NODE("c", "02", "192.168.1.1", "10.244.1.0/24", "") "]",
		"[" NODE("c", "02", "192.168.1.1", "10.244.1.0/24", "") ","
			NODE("b", "02", "192.168.1.2", "10.244.1.0/25", "") "]",
	};

	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const struct cluster *cluster =
			cluster_of(HEAD "kubernetes: {}\n", orders[i], &arena);

		ck_assert_uint_eq(cluster->n_nodes, 1);
		ck_assert_str_eq(cluster->nodes[0].name, "b");
		ck_assert_str_eq(cluster->left_out[0].name, i < 2 ? "a" : "c");
	}
}
END_TEST

START_TEST(podCIDR_of_a_family_without_an_address_is_left_out_alone)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct cluster *cluster = cluster_of(HEAD "kubernetes: {}\n",
		"[{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"podCIDRs\":[\"10.244.1.0/24\","
		"\"fd00:1:0:1::/64\"]},\"status\":{\"addresses\":[{\"type\":\"InternalIP\","
		"\"address\":\"192.168.1.11\"}]}}]",
		&arena);

	ck_assert_uint_eq(cluster->nodes[0].pod_cidrs.n, 1);
	ck_assert_str_eq(cluster->left_out[0].why,
		"podCIDR fd00:1:0:1::/64: no InternalIP of that family");
}
END_TEST

START_TEST(heartbeat_reduces_to_the_same_text)
{
	struct label_keys keys = {0};
	static const char *const beats[] = {
		"{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\",\"managedFields\":[{}]},"
		"\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\","
		"\"lastHeartbeatTime\":\"1\"}]}}",
		"{\"metadata\":{\"resourceVersion\":\"2\",\"name\":\"a\"},\"status\":{\"images\":[1],"
		"\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastHeartbeatTime\":\"2\"}]}}",
	};
	char *texts[2];

	for (size_t i = 0; i < 2; i++) {
		json_t *object = json_loads(beats[i], 0, NULL), *reduced;
		struct err err;

		reduced = reduce_node(object, &keys, &err);
		texts[i] = json_dumps(reduced, JSON_COMPACT | JSON_SORT_KEYS);
		json_decref(reduced);
		json_decref(object);
	}
	ck_assert_str_eq(texts[0], texts[1]);
	ck_assert_str_eq(texts[0], "{\"addresses\":[],\"kind\":\"Node\",\"labels\":{},\"name\":\"a\","
				   "\"podCIDRs\":[],\"ready\":true}");
	free(texts[0]);
	free(texts[1]);
}
END_TEST

/* ---------------------------------------------------------------- set, state */

START_TEST(set_tells_what_changed)
{
	struct kube_set set = {0}, other = {0};

	ck_assert(set_put(&set, "b", "1"));
	ck_assert(set_put(&set, "a", "1"));
	ck_assert(!set_put(&set, "b", "1"));
	ck_assert(set_put(&set, "b", "2"));
	ck_assert_str_eq(set_get(&set, "b"), "2");
	ck_assert_str_eq(set.items[0].key, "a");
	ck_assert(!set_equal(&set, &other));
	ck_assert(set_remove(&set, "a"));
	ck_assert(!set_remove(&set, "a"));
	ck_assert_ptr_null(set_get(&set, "a"));
	ck_assert(set_share(&other, &set.items[0]));
	ck_assert(!set_share(&other, &set.items[0]));
	ck_assert(set_put(&set, "b", "3"));
	ck_assert_str_eq(set_get(&other, "b"), "2");
	set_move(&other, &set);
	ck_assert(set_equal(&set, &(struct kube_set){0}));
	ck_assert_uint_eq(other.n, 1);
	set_clear(&other);
}
END_TEST

#define ITEM "{\"kind\":\"Node\",\"name\":\"a\"}"

static char path[] = "/tmp/roost-state-XXXXXX";

static void write_state(const char *text)
{
	struct err err;

	ck_assert_int_eq(file_replace(path, text, strlen(text), 0600, &err), 0);
}

START_TEST(state_comes_back_as_it_was_and_a_damaged_one_is_refused)
{
	struct kube_state state = {.saved_at = 1000}, back = {0};
	_cleanup_buf_ struct buf text = {0};
	struct err err;
	char *at;

	close(mkstemp(path));
	set_put(&state.sets[KIND_NODE], "a", ITEM);
	ck_assert_int_eq(state_save(path, "lab", &state, &err), 0);
	ck_assert_int_eq(state_load(path, "lab", NULL, NULL, &back, &err), 0);
	ck_assert(set_equal(&state.sets[KIND_NODE], &back.sets[KIND_NODE]));
	ck_assert_int_eq(back.saved_at, 1000);

	ck_assert_int_eq(state_load(path, "other", NULL, NULL, &back, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "of cluster \"lab\", and this is \"other\""));
	ck_assert_uint_eq(back.sets[KIND_NODE].n, 1);

	ck_assert_int_eq(file_read(path, 10000, &text, &err), 0);
	for (size_t cut = 1; cut < text.len - 1; cut++) {
		at = strndup(text.text, cut);
		write_state(at);
		free(at);
		ck_assert_int_eq(state_load(path, "lab", NULL, NULL, &back, &err), -1);
	}
	at = strstr(text.text, "\"a\"");
	at[1] = 'b';
	write_state(text.text);
	ck_assert_int_eq(state_load(path, "lab", NULL, NULL, &back, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "it was damaged"));
	unlink(path);
	state_clear(&state);
	state_clear(&back);
}
END_TEST

static void put_node(struct kube_state *state, const char *name, const char *text)
{
	ck_assert(set_put(&state->sets[KIND_NODE], name, text));
}

START_TEST(who_is_gone_gives_way_to_who_is_there_and_nobody_hears_of_it)
{
	_cleanup_arena_ struct arena arena = {0};
	const char *yaml = HEAD "kubernetes: {}\n", *at = path;
	struct kube_state state = {.saved_at = 1000};
	struct cluster *cluster;
	struct err err;

	close(mkstemp(path));
	put_node(&state, "a", "{\"addresses\":[\"192.168.1.1\"],\"created\":\"2025\",\"gone\":true,"
		"\"kind\":\"Node\",\"name\":\"a\",\"podCIDRs\":[\"10.244.1.0/24\"]}");
	put_node(&state, "b", "{\"addresses\":[\"192.168.1.1\"],\"created\":\"2026\","
		"\"kind\":\"Node\",\"name\":\"b\",\"podCIDRs\":[\"10.244.1.0/25\"]}");
	put_node(&state, "c", "{\"addresses\":[\"192.168.1.3\"],\"created\":\"2025\",\"gone\":true,"
		"\"kind\":\"Node\",\"name\":\"c\",\"podCIDRs\":[\"10.244.3.0/24\"]}");
	ck_assert_int_eq(state_save(path, "lab", &state, &err), 0);
	ck_assert_msg(decode_cluster_with("roost.yaml", yaml, strlen(yaml), kube_find_nodes_in_file,
			      &at, &arena, &cluster, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(cluster->n_nodes, 2);
	ck_assert_str_eq(cluster->nodes[0].name, "b");
	ck_assert_str_eq(cluster->nodes[1].name, "c");
	ck_assert_uint_eq(cluster->n_left_out, 0);
	unlink(path);
	state_clear(&state);
}
END_TEST

START_TEST(services_come_back_for_who_announces_them)
{
	static const struct {
		const char *export;
		size_t announced;
	} rows[] = {{"services", 1}, {"pods", 0}};
	struct kube_state state = {.saved_at = 1000};
	struct err err;

	close(mkstemp(path));
	set_put(&state.sets[KIND_SERVICE], "default/web",
		"{\"externalIPs\":[\"203.0.113.7\"],\"kind\":\"Service\",\"name\":\"web\","
		"\"namespace\":\"default\"}");
	set_put(&state.sets[KIND_SLICE], "default/web-1",
		"{\"anywhere\":\"ready\",\"family\":\"IPv4\",\"here\":\"none\","
		"\"kind\":\"EndpointSlice\",\"name\":\"web-1\",\"namespace\":\"default\","
		"\"service\":\"web\"}");
	ck_assert_int_eq(state_save(path, "lab", &state, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const char *yaml = arena_printf(&arena,
			"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16], "
			"serviceCIDRs: [203.0.113.0/24]}\nkubernetes: {}\n"
			"peers: [{name: tor, address: 192.168.1.1, asNumber: 1, export: [%s]}]\n",
			rows[i].export);
		struct cluster *cluster = cluster_of(yaml,
			"[" NODE("a", "01", "192.168.1.11", "10.244.1.0/24", "") "]", &arena);

		ck_assert_msg(kube_find_services_in_file(path, cluster, &cluster->nodes[0], &arena,
				      &err) == 0, "%s", err.msg);
		ck_assert_uint_eq(cluster->services.announced.n, rows[i].announced);
	}
	unlink(path);
	state_clear(&state);
}
END_TEST

UNIT(kube, list_is_cut_into_items_and_the_rest, watch_is_cut_into_events,
	endless_object_ends_at_the_limit, node_has_what_its_Node_has,
	labels_of_a_Node_choose_its_AS, bad_Node_is_left_out_and_the_others_stay,
	very_many_bad_Nodes_are_left_out_and_the_others_stay,
	who_is_left_out_takes_nothing_from_a_younger_one,
	of_two_that_overlap_the_older_stays_whatever_the_order,
	podCIDR_of_a_family_without_an_address_is_left_out_alone,
	heartbeat_reduces_to_the_same_text, set_tells_what_changed,
	state_comes_back_as_it_was_and_a_damaged_one_is_refused,
	who_is_gone_gives_way_to_who_is_there_and_nobody_hears_of_it,
	services_come_back_for_who_announces_them)
