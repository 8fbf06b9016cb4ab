/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ADDRESSES 64 /* of one kind, of one Service */

/* ---------------------------------------------------------------- reduce */

/* NULL also when it is no string, or one with a NUL byte inside. */
static const char *text_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static bool is_text(const json_t *object, const char *key, const char *text)
{
	const char *value = text_of(object, key);

	return value && strcmp(value, text) == 0;
}

/* What all objects have: {"kind", "namespace", "name"}. */
static json_t *reduce_name(const json_t *object, const char *kind, struct err *err)
{
	const json_t *metadata = json_object_get(object, "metadata");
	const char *namespace = text_of(metadata, "namespace"), *name = text_of(metadata, "name");

	if (!name || !name_is_valid(name) || !namespace || !name_is_valid(namespace)) {
		err_set(err, EINVAL, "%s without a namespace and name of 1 to 253 characters", kind);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:s}", "kind", kind, "namespace", namespace, "name", name);
}

/* Appends what is an address, in the form that we write it in, to a list of `to` that
 * begins with the first one. */
static void add_address(json_t *to, const char *key, const char *text)
{
	json_t *list = json_object_get(to, key);
	char room[ADDR_TEXT_MAX];
	struct addr addr;

	if (!text || !addr_parse(text, &addr) || json_array_size(list) == MAX_ADDRESSES)
		return;
	if (!list) {
		list = json_array();
		json_object_set_new(to, key, list);
	}
	json_array_append_new(list, json_string(addr_format(&addr, room)));
}

static void add_addresses(json_t *to, const char *key, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		add_address(to, key, json_string_value(item));
}

/* An ingress may also be a host name: then there is nothing to announce. */
static void add_ingress(json_t *to, const json_t *status)
{
	const json_t *balancer = json_object_get(status, "loadBalancer"), *item;
	size_t i;

	json_array_foreach (json_object_get(balancer, "ingress"), i, item)
		add_address(to, is_text(item, "ipMode", "Proxy") ? "proxyIPs" : "ingressIPs",
			text_of(item, "ip"));
}

/* As kube-proxy sees it. */
static bool is_served(const json_t *metadata, const json_t *spec)
{
	const json_t *labels = json_object_get(metadata, "labels");

	return !json_object_get(labels, "service.kubernetes.io/headless") &&
	       !json_object_get(labels, "service.kubernetes.io/service-proxy-name") &&
	       !json_is_string(json_object_get(metadata, "deletionTimestamp")) &&
	       !is_text(spec, "type", "ExternalName") && !is_text(spec, "clusterIP", "None");
}

json_t *reduce_service(const json_t *object, struct err *err)
{
	const json_t *spec = json_object_get(object, "spec");
	json_t *service = reduce_name(object, "Service", err);

	if (!service || !is_served(json_object_get(object, "metadata"), spec))
		return service;
	add_ingress(service, json_object_get(object, "status"));
	add_addresses(service, "externalIPs", json_object_get(spec, "externalIPs"));
	add_addresses(service, "clusterIPs", json_object_get(spec, "clusterIPs"));
	json_object_set_new(service, "localOnly",
		json_boolean(is_text(spec, "externalTrafficPolicy", "Local")));
	json_object_set_new(service, "internalLocalOnly",
		json_boolean(is_text(spec, "internalTrafficPolicy", "Local")));
	return service;
}

/* What there is of endpoints, the better the greater. */
enum readiness { NONE, SERVING, READY };

static const char *const readiness_names[] = {
	[NONE] = "none", [SERVING] = "serving", [READY] = "ready"};

/* A condition that is not there: unknown, and to be taken for ready (`ready` in the
 * API's types.go); `serving` then is what `ready` is. */
static enum readiness readiness_of(const json_t *endpoint)
{
	const json_t *conditions = json_object_get(endpoint, "conditions");
	const json_t *ready = json_object_get(conditions, "ready");

	if (json_array_size(json_object_get(endpoint, "addresses")) == 0)
		return NONE;
	if (!ready || json_is_null(ready) || json_is_true(ready))
		return READY;
	return json_is_true(json_object_get(conditions, "serving")) ? SERVING : NONE;
}

json_t *reduce_slice(const json_t *object, const char *node_name, struct err *err)
{
	const json_t *labels = json_object_get(json_object_get(object, "metadata"), "labels");
	const char *service = text_of(labels, "kubernetes.io/service-name");
	const char *type = text_of(object, "addressType");
	json_t *slice = reduce_name(object, "EndpointSlice", err);
	enum readiness anywhere = NONE, here = NONE;
	const json_t *endpoint;
	size_t i;

	if (!slice || !service || !name_is_valid(service) || !type ||
		(strcmp(type, "IPv4") != 0 && strcmp(type, "IPv6") != 0))
		return slice; /* nobody's, or host names */
	json_array_foreach (json_object_get(object, "endpoints"), i, endpoint) {
		enum readiness readiness = readiness_of(endpoint);

		if (readiness > anywhere)
			anywhere = readiness;
		if (readiness > here && is_text(endpoint, "nodeName", node_name))
			here = readiness;
	}
	json_object_set_new(slice, "service", json_string(service));
	json_object_set_new(slice, "family", json_string(type));
	json_object_set_new(slice, "anywhere", json_string(readiness_names[anywhere]));
	json_object_set_new(slice, "here", json_string(readiness_names[here]));
	return slice;
}

/* ---------------------------------------------------------------- endpoints */

/* All slices of one Service; sorted by its name. */
struct endpoints {
	const char *namespace, *service;
	enum readiness anywhere[FAMILIES], here[FAMILIES];
};

static int endpoints_by_name(const void *a, const void *b)
{
	const struct endpoints *x = a, *y = b;
	int order = strcmp(x->namespace, y->namespace);

	return order ? order : strcmp(x->service, y->service);
}

static enum readiness readiness_named(const json_t *slice, const char *key)
{
	return is_text(slice, key, "ready") ? READY : is_text(slice, key, "serving") ? SERVING : NONE;
}

static void add_readiness(struct endpoints *to, const struct endpoints *from)
{
	for (enum family f = 0; f < FAMILIES; f++) {
		if (from->anywhere[f] > to->anywhere[f])
			to->anywhere[f] = from->anywhere[f];
		if (from->here[f] > to->here[f])
			to->here[f] = from->here[f];
	}
}

static struct endpoints *sum_endpoints(const json_t *slices, struct arena *arena, size_t *n)
{
	struct endpoints *all = NULL;
	const json_t *slice;
	size_t i, n_all = 0;

	json_array_foreach (slices, i, slice) {
		const char *namespace = text_of(slice, "namespace");
		const char *service = text_of(slice, "service");
		enum family f = is_text(slice, "family", "IPv4") ? IPV4 : IPV6;
		struct endpoints *item;

		if (!namespace || !service)
			continue;
		item = ARENA_PUSH(arena, all, &n_all);
		*item = (struct endpoints){namespace, service, {NONE}, {NONE}};
		item->anywhere[f] = readiness_named(slice, "anywhere");
		item->here[f] = readiness_named(slice, "here");
	}
	*n = 0;
	if (n_all)
		qsort(all, n_all, sizeof(*all), endpoints_by_name);
	for (i = 0; i < n_all; i++)
		if (*n && endpoints_by_name(&all[*n - 1], &all[i]) == 0)
			add_readiness(&all[*n - 1], &all[i]);
		else
			all[(*n)++] = all[i];
	return all;
}

/* ---------------------------------------------------------------- decode */

struct decoder {
	struct cluster *cluster;
	const struct node *self;
	struct arena *arena;
	struct endpoints *endpoints;
	size_t n_endpoints;
	struct prefixes taken; /* addresses inside of serviceCIDRs that are no Service's */
};

/* Of one Service. */
struct subject {
	const json_t *reduced;
	const char *name; /* "namespace/name" */
	const struct endpoints *endpoints; /* NULL: none */
};

static bool is_inside(const struct prefixes *list, const struct addr *addr)
{
	for (size_t i = 0; i < list->n; i++)
		if (prefix_contains_addr(&list->items[i], addr))
			return true;
	return false;
}

static void take(struct decoder *d, const struct addr *addr)
{
	struct prefix host = {*addr, addr_bits(addr->family)};

	if (addr->family && is_inside(&d->cluster->service_cidrs, addr))
		*ARENA_PUSH(d->arena, d->taken.items, &d->taken.n) = host;
}

/* Whoever may make a Service could otherwise take the traffic of a node or router.
 * Mostly there is no such address, however many nodes there are. */
static void take_hosts(struct decoder *d)
{
	const struct cluster *cluster = d->cluster;

	for (size_t i = 0; i < cluster->n_nodes; i++)
		for (enum family f = 0; f < FAMILIES; f++)
			take(d, &cluster->nodes[i].address[f]);
	for (size_t i = 0; i < cluster->n_peers; i++) {
		take(d, &cluster->peers[i].address);
		take(d, &cluster->peers[i].gateway);
		take(d, &cluster->peers[i].source_address);
	}
}

static enum service_verdict judge_endpoints(const struct subject *subject, enum family family,
	bool local_only)
{
	const struct endpoints *endpoints = subject->endpoints;

	if (!endpoints || endpoints->anywhere[family] == NONE)
		return SERVICE_NO_ENDPOINT;
	if (local_only && endpoints->here[family] < endpoints->anywhere[family])
		return SERVICE_NOT_HERE;
	return SERVICE_ANNOUNCED;
}

static enum service_verdict judge(const struct decoder *d, const struct subject *subject,
	enum service_kind kind, const struct addr *addr)
{
	if (!is_inside(&d->cluster->service_cidrs, addr))
		return SERVICE_OUTSIDE;
	if (is_inside(&d->taken, addr))
		return SERVICE_TAKEN;
	if (kind == SERVICE_LOAD_BALANCER_IP && labels_get(&d->self->labels, SERVICE_EXCLUDE_LABEL))
		return SERVICE_EXCLUDED;
	if (d->self->drain == DRAIN_DRAINED)
		return SERVICE_DRAINED;
	return judge_endpoints(subject, family_of(addr),
		json_is_true(json_object_get(subject->reduced,
			kind == SERVICE_CLUSTER_IP ? "internalLocalOnly" : "localOnly")));
}

static void add_service_address(struct decoder *d, const struct subject *subject,
	enum service_kind kind, bool proxy_mode, const char *text)
{
	struct services *services = &d->cluster->services;
	struct service_address *item;
	struct addr addr;

	if (!text || !addr_parse(text, &addr))
		return;
	item = ARENA_PUSH(d->arena, services->items, &services->n);
	item->prefix = (struct prefix){addr, addr_bits(addr.family)};
	item->service = subject->name;
	item->kind = kind;
	item->verdict = proxy_mode ? SERVICE_PROXY_MODE : judge(d, subject, kind, &addr);
}

static void decode_service(struct decoder *d, const struct subject *subject)
{
	static const struct {
		const char *key;
		enum service_kind kind;
		bool proxy_mode;
	} lists[] = {
		{"ingressIPs", SERVICE_LOAD_BALANCER_IP, false},
		{"proxyIPs", SERVICE_LOAD_BALANCER_IP, true},
		{"externalIPs", SERVICE_EXTERNAL_IP, false},
		{"clusterIPs", SERVICE_CLUSTER_IP, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const json_t *item;
		size_t j;

		if (!(d->cluster->service_addresses & 1u << lists[i].kind))
			continue;
		json_array_foreach (json_object_get(subject->reduced, lists[i].key), j, item)
			add_service_address(d, subject, lists[i].kind, lists[i].proxy_mode,
				json_string_value(item));
	}
}

static int address_by_prefix(const void *a, const void *b)
{
	const struct service_address *x = a, *y = b;
	int order = prefix_cmp(&x->prefix, &y->prefix);

	if (!order)
		order = strcmp(x->service, y->service);
	return order ? order : (int)x->kind - (int)y->kind;
}

static void collect_announced(struct services *services, struct arena *arena)
{
	struct prefixes *announced = &services->announced;

	for (size_t i = 0; i < services->n; i++) {
		const struct service_address *item = &services->items[i];

		if (item->verdict == SERVICE_ANNOUNCED &&
			(announced->n == 0 ||
				prefix_cmp(&announced->items[announced->n - 1], &item->prefix) != 0))
			*ARENA_PUSH(arena, announced->items, &announced->n) = item->prefix;
	}
}

void services_decode(const json_t *services, const json_t *slices, struct cluster *cluster,
	const struct node *self, struct arena *arena)
{
	struct decoder d = {.cluster = cluster, .self = self, .arena = arena};
	const json_t *reduced;
	size_t i;

	cluster->services = (struct services){0};
	take_hosts(&d);
	d.endpoints = sum_endpoints(slices, arena, &d.n_endpoints);
	json_array_foreach (services, i, reduced) {
		struct endpoints key = {.namespace = text_of(reduced, "namespace"),
			.service = text_of(reduced, "name")};
		struct subject subject = {.reduced = reduced};

		if (!key.namespace || !key.service)
			continue;
		subject.name = arena_printf(arena, "%s/%s", key.namespace, key.service);
		if (d.n_endpoints)
			subject.endpoints = bsearch(&key, d.endpoints, d.n_endpoints,
				sizeof(key), endpoints_by_name);
		decode_service(&d, &subject);
	}
	if (cluster->services.n)
		qsort(cluster->services.items, cluster->services.n, sizeof(*cluster->services.items),
			address_by_prefix);
	collect_announced(&cluster->services, arena);
}
