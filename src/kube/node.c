/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kube/service.h"

#define MAX_ADDRESSES 16 /* looked at, of one Node */
#define MAX_POD_CIDRS 8

/* ---------------------------------------------------------------- which labels */

static void add_key(struct label_keys *keys, struct arena *arena, const char *key)
{
	*ARENA_PUSH(arena, keys->items, &keys->n) = key;
}

static void add_selector(
	struct label_keys *keys, struct arena *arena, const struct labels *selector)
{
	for (size_t i = 0; i < selector->n; i++)
		add_key(keys, arena, selector->items[i].key);
}

static int key_by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void label_keys_of(const struct cluster *cluster, struct arena *arena, struct label_keys *keys)
{
	size_t n = 0;

	*keys = (struct label_keys){0};
	if (cluster->topology_key)
		add_key(keys, arena, cluster->topology_key);
	add_selector(keys, arena, &cluster->kubernetes.reflector_selector);
	for (size_t i = 0; i < cluster->n_peers; i++) {
		add_selector(keys, arena, &cluster->peers[i].node_selector);
		if (cluster->peers[i].export & EXPORT_SERVICES)
			add_key(keys, arena, SERVICE_EXCLUDE_LABEL);
	}
	for (size_t i = 0; i < cluster->n_as_rules; i++)
		add_selector(keys, arena, &cluster->as_rules[i].node_selector);
	if (keys->n)
		qsort(keys->items, keys->n, sizeof(*keys->items), key_by_name);
	for (size_t i = 0; i < keys->n; i++)
		if (i == 0 || strcmp(keys->items[i], keys->items[n - 1]) != 0)
			keys->items[n++] = keys->items[i];
	keys->n = n;
}

/* ---------------------------------------------------------------- reduce */

/* NULL also when it is no string, or one with a NUL byte inside. */
static const char *text_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static void copy_text(json_t *to, const json_t *from, const char *key, const char *as)
{
	const char *text = text_of(from, key);

	if (text && strlen(text) <= 253)
		json_object_set_new(to, as, json_string(text));
}

static json_t *reduce_addresses(const json_t *status)
{
	json_t *list = json_array();
	const json_t *address;
	size_t i;

	json_array_foreach(json_object_get(status, "addresses"), i, address) {
		const char *type = text_of(address, "type"), *text = text_of(address, "address");

		if (type && text && strcmp(type, "InternalIP") == 0 && strlen(text) < 64 &&
			json_array_size(list) < MAX_ADDRESSES)
			json_array_append_new(list, json_string(text));
	}
	return list;
}

/* podCIDRs, or podCIDR of a server of old. */
static json_t *reduce_pod_cidrs(const json_t *spec)
{
	const char *one = text_of(spec, "podCIDR");
	json_t *list = json_array();
	const json_t *cidr;
	size_t i;

	json_array_foreach(json_object_get(spec, "podCIDRs"), i, cidr)
		if (json_is_string(cidr) && json_string_length(cidr) < 64 &&
			json_array_size(list) < MAX_POD_CIDRS)
			json_array_append_new(list, json_string(json_string_value(cidr)));
	if (!json_array_size(list) && one && strlen(one) < 64)
		json_array_append_new(list, json_string(one));
	return list;
}

static json_t *reduce_labels(const json_t *labels, const struct label_keys *keys)
{
	json_t *kept = json_object();

	for (size_t i = 0; i < keys->n; i++)
		copy_text(kept, labels, keys->items[i], keys->items[i]);
	return kept;
}

static bool is_ready(const json_t *status)
{
	const json_t *condition;
	size_t i;

	json_array_foreach(json_object_get(status, "conditions"), i, condition) {
		const char *type = text_of(condition, "type");
		const char *is = text_of(condition, "status");

		if (type && is && strcmp(type, "Ready") == 0)
			return strcmp(is, "True") == 0;
	}
	return false;
}

json_t *reduce_node(const json_t *object, const struct label_keys *keys, struct err *err)
{
	const json_t *metadata = json_object_get(object, "metadata");
	const json_t *spec = json_object_get(object, "spec");
	const json_t *status = json_object_get(object, "status");
	const char *name = text_of(metadata, "name");
	json_t *node;

	if (!name || !*name || strlen(name) > 253) {
		err_set(err, EINVAL, "a Node without a name of 1 to 253 characters");
		return NULL;
	}
	node = json_object();
	json_object_set_new(node, "kind", json_string("Node"));
	json_object_set_new(node, "name", json_string(name));
	copy_text(node, metadata, "uid", "uid");
	copy_text(node, metadata, "creationTimestamp", "created");
	json_object_set_new(node, "ready", json_boolean(is_ready(status)));
	json_object_set_new(node, "addresses", reduce_addresses(status));
	json_object_set_new(node, "podCIDRs", reduce_pod_cidrs(spec));
	json_object_set_new(node, "labels",
		reduce_labels(json_object_get(metadata, "labels"), keys));
	return node;
}

/* ---------------------------------------------------------------- decode */

static void leave_out(struct arena *arena, struct found_nodes *found, const char *name,
	const char *why)
{
	char *line = arena_strdup(arena, name);

	make_one_line(line);
	*ARENA_PUSH(arena, found->left_out, &found->n_left_out) =
		(struct left_out){line, why};
}

/* The first of each family, as kubelet and kube-proxy take it. */
static void decode_addresses(const json_t *reduced, struct node *node)
{
	const json_t *text;
	size_t i;

	json_array_foreach(json_object_get(reduced, "addresses"), i, text) {
		struct addr addr;

		if (!json_is_string(text) || !addr_parse(json_string_value(text), &addr) ||
			!addr_is_host(&addr))
			continue;
		if (!node->address[family_of(&addr)].family)
			node->address[family_of(&addr)] = addr;
	}
}

/* A podCIDR of a family that the Node has no address of cannot be routed to; the other
 * one still can. */
static const char *decode_pod_cidrs(const json_t *reduced, const struct cluster *cluster,
	struct arena *arena, struct node *node, struct found_nodes *found)
{
	const json_t *value;
	size_t i;

	json_array_foreach(json_object_get(reduced, "podCIDRs"), i, value) {
		const char *text = json_string_value(value), *fault;
		struct prefix cidr;

		if (!text || !prefix_parse(text, &cidr))
			return arena_printf(arena, "podCIDR \"%.60s\" is no prefix", text ? text : "");
		fault = pod_cidr_fault(&cidr);
		if (fault)
			return arena_printf(arena, "podCIDR %.60s %s", text, fault);
		if (!node->address[family_of(&cidr.addr)].family &&
			cluster_has_family(cluster, family_of(&cidr.addr))) {
			leave_out(arena, found, node->name,
				arena_printf(arena, "podCIDR %.60s: no InternalIP of that family", text));
			continue;
		}
		*ARENA_PUSH(arena, node->pod_cidrs.items, &node->pod_cidrs.n) = cidr;
	}
	return NULL;
}

static void decode_labels(const json_t *reduced, struct arena *arena, struct labels *labels)
{
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)json_object_get(reduced, "labels"), key, value)
		if (json_is_string(value))
			*ARENA_PUSH(arena, labels->items, &labels->n) =
				(struct label){arena_strdup(arena, key),
					arena_strdup(arena, json_string_value(value))};
}

void node_decode(const json_t *reduced, const struct cluster *cluster, struct arena *arena,
	struct found_nodes *found)
{
	const char *name = text_of(reduced, "name"), *created = text_of(reduced, "created");
	struct node node = {0};
	const char *fault;

	if (!name)
		return; /* reduce_node() lets none pass */
	node.name = arena_strdup(arena, name);
	if (!name_is_valid(name)) {
		leave_out(arena, found, name, "no name that BIRD can hold");
		return;
	}
	decode_addresses(reduced, &node);
	if (!node.address[IPV4].family && !node.address[IPV6].family) {
		leave_out(arena, found, name, "no InternalIP that a host can be reached at");
		return;
	}
	fault = decode_pod_cidrs(reduced, cluster, arena, &node, found);
	if (fault) {
		leave_out(arena, found, name, fault);
		return;
	}
	decode_labels(reduced, arena, &node.labels);
	node.created = created ? arena_strdup(arena, created) : "~"; /* behind all others */
	node.gone = json_is_true(json_object_get(reduced, "gone"));
	node.not_ready = !json_is_true(json_object_get(reduced, "ready"));
	node.reflector = labels_match(&cluster->kubernetes.reflector_selector, &node.labels);
	found->items[found->n++] = node;
}
