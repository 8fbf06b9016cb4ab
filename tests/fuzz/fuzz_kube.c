/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as an API server's list or watch, from the first of them to the cluster's
 * nodes; in two pieces, cut where the first byte says. */
#include "kube/node.h"
#include "kube/set.h"
#include "kube/split.h"
#include "fuzz.h"

static const char yaml[] =
	"cluster: {name: a, asNumber: 1, podCIDRs: [10.0.0.0/8, \"fd00::/16\"]}\n"
	"kubernetes: {}\n"
	"peers: [{name: r, address: 192.0.2.1, asNumber: 2, nodeSelector: {rack: a}}]\n";

static const char *const keys[] = {"rack", "roost/reflector"};

static int on_object(const char *text, size_t len, void *arg, struct err *err)
{
	json_t *json = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
	const json_t *object = json_object_get(json, "object") ? json_object_get(json, "object") : json;
	struct label_keys wanted = {.n = ARRAY_LEN(keys)};
	json_t *reduced;
	const char *all[ARRAY_LEN(keys)];
	char *small;

	memcpy(all, keys, sizeof(keys));
	wanted.items = all;
	MUST(len && text[0] == '{'); /* what closes it is for jansson to judge */
	reduced = json ? reduce_node(object, &wanted, err) : NULL;
	if (reduced) {
		small = json_dumps(reduced, JSON_COMPACT | JSON_SORT_KEYS);
		MUST(small && strlen(small) < 32768);
		set_put(arg, json_string_value(json_object_get(reduced, "name")), small);
		free(small);
	}
	json_decref(reduced);
	json_decref(json);
	return 0;
}

static int find(const struct cluster *file, struct arena *arena, struct found_nodes *found,
	void *arg, struct err *err)
{
	const struct kube_set *set = arg;

	(void)err;
	found->items = arena_alloc(arena, set->n * sizeof(*found->items));
	for (size_t i = 0; i < set->n; i++) {
		json_t *reduced = json_loads(set->items[i].text, 0, NULL);

		MUST(reduced);
		node_decode(reduced, file, arena, found);
		json_decref(reduced);
	}
	return 0;
}

/* Whatever Nodes there are, the good ones make a cluster. */
static void decode(struct kube_set *set)
{
	struct arena arena = {0};
	struct cluster *cluster;
	struct err err;

	MUST(decode_cluster_with("a", yaml, sizeof(yaml) - 1, find, set, &arena, &cluster, &err) == 0 ||
		set->n > 500);
	MUST(cluster->n_nodes + cluster->n_left_out >= set->n);
	for (size_t i = 0; i < cluster->n_nodes; i++)
		MUST(name_is_valid(cluster->nodes[i].name));
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	struct kube_set set = {0};
	struct split split = {0};
	struct err err;
	size_t cut;

	if (size < 2)
		return 0;
	size--;
	cut = (data[0] >> 1) % size;
	split_begin(&split, data[0] & 1 ? SPLIT_WATCH : SPLIT_LIST, on_object, &set);
	if (split_feed(&split, text, cut, &err) == 0 &&
		split_feed(&split, text + cut, size - cut, &err) == 0 &&
		split_end(&split, &err) == 0)
		MUST(split.what == SPLIT_WATCH || split.rest.len);
	split_free(&split);
	decode(&set);
	set_clear(&set);
	return 0;
}
