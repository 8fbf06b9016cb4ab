/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any lines as Services and EndpointSlices, each as both.  Whatever they say, what is
 * announced is inside of serviceCIDRs, no node's address, and sorted. */
#include "kube/service.h"
#include "model/decode.h"
#include "fuzz.h"

static const char yaml[] =
	"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16],\n"
	"  serviceCIDRs: [203.0.113.0/24, 198.51.100.0/24, 10.96.0.0/16, \"2001:db8:5::/64\"],\n"
	"  serviceAddresses: [LoadBalancerIP, ExternalIP, ClusterIP]}\n"
	"nodes: [{name: real1, addresses: [203.0.113.1]}]\n"
	"peers: [{name: tor, address: 203.0.113.2, asNumber: 1, export: [services]}]\n";

/* It must be small, text, and good to be read again. */
static void keep(json_t *reduced, const struct err *err, json_t *list)
{
	char *text;
	json_t *again;

	if (!reduced) {
		MUST(err->code != 0 && err->msg[0]);
		return;
	}
	text = json_dumps(reduced, JSON_COMPACT | JSON_SORT_KEYS);
	MUST(text && strlen(text) < 20000);
	again = json_loads(text, 0, NULL);
	MUST(json_equal(again, reduced));
	json_decref(again);
	free(text);
	json_array_append_new(list, reduced);
}

static void check(const struct cluster *cluster)
{
	const struct services *services = &cluster->services;
	size_t announced = 0;

	for (size_t i = 0; i < services->n; i++) {
		MUST(i == 0 || prefix_cmp(&services->items[i - 1].prefix, &services->items[i].prefix) <= 0);
		MUST(strchr(services->items[i].service, '/'));
		announced += services->items[i].verdict == SERVICE_ANNOUNCED;
	}
	MUST(services->announced.n <= announced && (announced == 0) == (services->announced.n == 0));
	for (size_t i = 0; i < services->announced.n; i++) {
		const struct prefix *prefix = &services->announced.items[i];
		bool inside = false;

		for (size_t j = 0; j < cluster->service_cidrs.n; j++)
			inside = inside || prefix_contains(&cluster->service_cidrs.items[j], prefix);
		MUST(inside && prefix->len == addr_bits(prefix->addr.family));
		MUST(addr_cmp(&prefix->addr, &cluster->nodes[0].address[IPV4]) != 0);
		MUST(i == 0 || prefix_cmp(prefix - 1, prefix) < 0);
	}
}

static struct cluster *the_cluster(void)
{
	static struct arena arena;
	static struct cluster *cluster;
	struct err err;

	if (!cluster)
		MUST(decode_cluster("roost.yaml", yaml, strlen(yaml), &arena, &cluster, &err) == 0);
	return cluster;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cluster *cluster = the_cluster();
	json_t *services = json_array(), *slices = json_array();
	const char *at = (const char *)data, *end = at + size;
	_cleanup_arena_ struct arena arena = {0};
	struct err err;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = newline ? (size_t)(newline - at) : (size_t)(end - at);
		json_t *object = json_loadb(at, len, 0, NULL);

		err = (struct err){0};
		keep(reduce_service(object, &err), &err, services);
		keep(reduce_slice(object, "real1", &err), &err, slices);
		/* What cluster.json has is not always what we wrote. */
		if (object)
			json_array_append(len % 2 ? services : slices, object);
		json_decref(object);
		at += len + 1;
	}
	services_decode(services, slices, cluster, &cluster->nodes[0], &arena);
	check(cluster);
	json_decref(services);
	json_decref(slices);
	return 0;
}
