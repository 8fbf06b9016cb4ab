/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/cluster.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

const char *drain_state_name(enum drain_state state)
{
	switch (state) {
	case DRAIN_OFF:
		return "off";
	case DRAIN_LEAVING:
		return "leaving";
	case DRAIN_DRAINED:
		break;
	}
	return "drained";
}

const char *cni_mode_name(enum cni_mode mode)
{
	switch (mode) {
	case CNI_MODE_BRIDGE:
		return "bridge";
	case CNI_MODE_ROUTED:
		return "routed";
	}
	return "";
}

const char *service_kind_name(enum service_kind kind)
{
	switch (kind) {
	case SERVICE_LOAD_BALANCER_IP:
		return "LoadBalancerIP";
	case SERVICE_EXTERNAL_IP:
		return "ExternalIP";
	case SERVICE_CLUSTER_IP:
		return "ClusterIP";
	case SERVICE_KINDS:
		break;
	}
	return "";
}

enum family family_of(const struct addr *addr)
{
	return addr->family == AF_INET ? IPV4 : IPV6;
}

bool addr_is_link_local(const struct addr *addr)
{
	return addr->family == AF_INET6 && addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

const char *family_name(enum family family)
{
	return family == IPV4 ? "IPv4" : "IPv6";
}

bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > 253)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool digit = c >= '0' && c <= '9';

		if (!letter && !digit && (i == 0 || !strchr("-_.", c)))
			return false;
	}
	return true;
}

bool addr_is_host(const struct addr *addr)
{
	const uint8_t *b = addr->bytes;

	if (addr->family == AF_INET)
		return b[0] != 0 && b[0] != 127 && b[0] < 224;
	return b[0] != 0xff && !addr_is_link_local(addr) && !(b[0] == 0 && b[1] == 0);
}

/* No default route, and long enough behind it for a pod to live in. */
const char *pod_cidr_fault(const struct prefix *prefix)
{
	if (prefix_has_host_bits(prefix))
		return "has bits behind the prefix length";
	if (prefix->len < 8)
		return "is shorter than /8";
	if (prefix->len > addr_bits(prefix->addr.family) - 2)
		return "has no room for a gateway and a pod";
	return NULL;
}

bool password_is_valid(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~' || text[i] == '"')
			return false;
	return len > 0 && len <= PASSWORD_MAX;
}

const char *labels_get(const struct labels *labels, const char *key)
{
	for (size_t i = 0; i < labels->n; i++)
		if (strcmp(labels->items[i].key, key) == 0)
			return labels->items[i].value;
	return NULL;
}

bool labels_match(const struct labels *selector, const struct labels *labels)
{
	for (size_t i = 0; i < selector->n; i++) {
		const char *value = labels_get(labels, selector->items[i].key);

		if (!value || strcmp(selector->items[i].value, value) != 0)
			return false;
	}
	return true;
}

const struct as_rule *cluster_as_rule(const struct cluster *cluster, const struct node *node)
{
	for (size_t i = 0; i < cluster->n_as_rules; i++)
		if (labels_match(&cluster->as_rules[i].node_selector, &node->labels))
			return &cluster->as_rules[i];
	return NULL;
}

void cluster_resolve_as_numbers(struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		struct node *node = &cluster->nodes[i];
		const struct as_rule *rule = cluster_as_rule(cluster, node);

		if (!node->as_number)
			node->as_number = rule ? rule->as_number : cluster->as_number;
	}
}

/* A node without an address of the family has none to speak from, unless the peer says
 * which, or the link has one. */
bool peer_is_for(const struct peer *peer, const struct node *node)
{
	if (!labels_match(&peer->node_selector, &node->labels))
		return false;
	return node->address[family_of(&peer->address)].family || peer->source_address.family ||
		addr_is_link_local(&peer->address);
}

bool cluster_exports_services(const struct cluster *cluster, const struct node *node)
{
	for (size_t i = 0; i < cluster->n_peers; i++)
		if ((cluster->peers[i].export & EXPORT_SERVICES) && peer_is_for(&cluster->peers[i], node))
			return true;
	return false;
}

static bool is_inline(const struct session *session)
{
	return session->password && !session->password_file;
}

bool cluster_has_inline_passwords(const struct cluster *cluster)
{
	bool any = is_inline(&cluster->session);

	for (size_t i = 0; i < cluster->n_peers; i++)
		any |= is_inline(&cluster->peers[i].session);
	return any;
}

bool cluster_has_family(const struct cluster *cluster, enum family family)
{
	for (size_t i = 0; i < cluster->pod_cidrs.n; i++)
		if (family_of(&cluster->pod_cidrs.items[i].addr) == family)
			return true;
	return false;
}

static bool same_domain(const struct cluster *cluster, const struct node *a, const struct node *b)
{
	const char *x, *y;

	if (!cluster->topology_key)
		return true;
	x = labels_get(&a->labels, cluster->topology_key);
	y = labels_get(&b->labels, cluster->topology_key);
	return x && y && strcmp(x, y) == 0;
}

static void count_reflectors(struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->n_nodes; i++)
		for (size_t j = 0; cluster->nodes[i].reflector && j < cluster->n_nodes; j++)
			cluster->nodes[j].n_reflectors +=
				i != j && same_domain(cluster, &cluster->nodes[i], &cluster->nodes[j]);
}

/* Whose rack has no reflector is served by all. */
static bool reflects_for(const struct cluster *cluster, const struct node *reflector,
	const struct node *client)
{
	return reflector->reflector &&
	       (client->n_reflectors == 0 || same_domain(cluster, reflector, client));
}

bool cluster_are_neighbours(
	const struct cluster *cluster, const struct node *a, const struct node *b)
{
	switch (cluster->topology) {
	case TOPOLOGY_MESH:
		return a != b;
	case TOPOLOGY_REFLECTOR:
		return a != b && ((a->reflector && b->reflector) || reflects_for(cluster, a, b) ||
					 reflects_for(cluster, b, a));
	case TOPOLOGY_NONE:
		break;
	}
	return false;
}

static int node_by_name(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

static int peer_by_name(const void *a, const void *b)
{
	return strcmp(((const struct peer *)a)->name, ((const struct peer *)b)->name);
}

const struct node *cluster_find_node(const struct cluster *cluster, const char *name)
{
	struct node key = {.name = name};

	if (cluster->n_nodes == 0)
		return NULL;
	return bsearch(&key, cluster->nodes, cluster->n_nodes, sizeof(key), node_by_name);
}

/* ---- the checks.  Each finds clashes by sorting "claims" and looking at
 * neighbours, so that thousands of nodes take no quadratic time. */

struct claim {
	const char *name; /* of the node or peer */
	bool is_peer;
	size_t index, part; /* nodes[index].podCIDRs[part] */
	struct prefix prefix;
};

static int claim_by_prefix(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = prefix_cmp(&x->prefix, &y->prefix);

	return order ? order : (x->index > y->index) - (x->index < y->index);
}

static int claim_by_name(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* The later of two claims is the one to complain about. */
static bool claim_is_later(const struct claim *a, const struct claim *b)
{
	if (a->is_peer != b->is_peer)
		return a->is_peer;
	return a->index != b->index ? a->index > b->index : a->part > b->part;
}

static int problem_set(struct problem *problem, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int problem_set(struct problem *problem, const char *path, const char *fmt, ...)
{
	va_list ap;

	snprintf(problem->path, sizeof(problem->path), "%s", path);
	va_start(ap, fmt);
	vsnprintf(problem->text, sizeof(problem->text), fmt, ap);
	va_end(ap);
	return -1;
}

static int check_unique_names(const struct cluster *cluster, bool peers, struct problem *problem)
{
	size_t n = peers ? cluster->n_peers : cluster->n_nodes;
	_cleanup_free_ struct claim *claims = xmalloc(n * sizeof(*claims));

	for (size_t i = 0; i < n; i++)
		claims[i] = (struct claim){.index = i,
			.name = peers ? cluster->peers[i].name : cluster->nodes[i].name};
	qsort(claims, n, sizeof(*claims), claim_by_name);
	for (size_t i = 1; i < n; i++) {
		char path[64];

		if (strcmp(claims[i - 1].name, claims[i].name) != 0)
			continue;
		snprintf(path, sizeof(path), "%s[%zu].name", peers ? "peers" : "nodes",
			claims[i].index);
		return problem_set(problem, path, "\"%s\" is also the name of %s[%zu]",
			claims[i].name, peers ? "peers" : "nodes", claims[i - 1].index);
	}
	return 0;
}

static void claim_path(const struct claim *claim, char *path, size_t size)
{
	if (claim->is_peer)
		snprintf(path, size, "peers[%zu].address", claim->index);
	else
		snprintf(path, size, "nodes[%zu].addresses", claim->index);
}

static int check_unique_addresses(const struct cluster *cluster, struct problem *problem)
{
	size_t room = FAMILIES * cluster->n_nodes + cluster->n_peers, n = 0;
	_cleanup_free_ struct claim *claims = xmalloc(room * sizeof(*claims));

	for (size_t i = 0; i < cluster->n_nodes; i++)
		for (enum family f = 0; f < FAMILIES; f++)
			if (cluster->nodes[i].address[f].family)
				claims[n++] = (struct claim){.index = i,
					.name = cluster->nodes[i].name,
					.prefix = {cluster->nodes[i].address[f], 128}};
	for (size_t i = 0; i < cluster->n_peers; i++)
		claims[n++] = (struct claim){.index = i, .name = cluster->peers[i].name,
			.is_peer = true, .prefix = {cluster->peers[i].address, 128}};
	qsort(claims, n, sizeof(*claims), claim_by_prefix);
	for (size_t i = 1; i < n; i++) {
		const struct claim *a = &claims[i - 1], *b = &claims[i];
		char path[64], text[ADDR_TEXT_MAX];

		if (addr_cmp(&a->prefix.addr, &b->prefix.addr) != 0)
			continue;
		if (a->is_peer && b->is_peer) /* check_peer_addresses() knows more */
			continue;
		if (claim_is_later(a, b)) {
			const struct claim *swap = a;
			a = b;
			b = swap;
		}
		claim_path(b, path, sizeof(path));
		return problem_set(problem, path, "%s is also %s's",
			addr_format(&b->prefix.addr, text), a->name);
	}
	return 0;
}

static const struct node *node_of_both(const struct cluster *cluster, const struct peer *a,
	const struct peer *b)
{
	for (size_t i = 0; i < cluster->n_nodes; i++)
		if (labels_match(&a->node_selector, &cluster->nodes[i].labels) &&
			labels_match(&b->node_selector, &cluster->nodes[i].labels))
			return &cluster->nodes[i];
	return NULL;
}

/* fe80::1 of one link is not fe80::1 of another; an unnumbered router is any of its link. */
static bool same_router(const struct peer *a, const struct peer *b)
{
	if (addr_cmp(&a->address, &b->address) != 0 &&
		!(a->unnumbered && addr_is_link_local(&b->address)) &&
		!(b->unnumbered && addr_is_link_local(&a->address)))
		return false;
	return !a->interface || !b->interface || strcmp(a->interface, b->interface) == 0;
}

/* Routers of different racks may have the same address, as long as no node has to
 * speak to two of them. */
static int check_peer_addresses(const struct cluster *cluster, struct problem *problem)
{
	for (size_t i = 1; i < cluster->n_peers; i++)
		for (size_t j = 0; j < i; j++) {
			const struct peer *a = &cluster->peers[j], *b = &cluster->peers[i];
			const struct node *node = same_router(a, b) ? node_of_both(cluster, a, b)
								   : NULL;
			char path[64], text[ADDR_TEXT_MAX];

			if (!node)
				continue;
			snprintf(path, sizeof(path), "peers[%zu].%s", i,
				b->unnumbered ? "interface" : "address");
			return problem_set(problem, path,
				"%s is also %s's, and node %s has to speak to both",
				b->unnumbered ? b->interface : addr_format(&b->address, text),
				a->name, node->name);
		}
	return 0;
}

/* What a peer says must fit each node that speaks to it. */
static int check_peer_nodes(const struct cluster *cluster, size_t index, struct problem *problem)
{
	const struct peer *peer = &cluster->peers[index];
	const struct node *speaks = NULL;

	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct node *node = &cluster->nodes[i];

		if (!peer_is_for(peer, node))
			continue;
		if (peer->role != ROLE_NONE && node->as_number == peer->as_number) {
			snprintf(problem->path, sizeof(problem->path), "peers[%zu].role", index);
			snprintf(problem->text, sizeof(problem->text),
				"node %s has the same AS %u: there are roles between two ASes only "
				"(RFC 9234)",
				node->name, node->as_number);
			return -1;
		}
		if (peer->source_address.family && speaks) {
			snprintf(problem->path, sizeof(problem->path), "peers[%zu].sourceAddress",
				index);
			snprintf(problem->text, sizeof(problem->text),
				"is one node's address, but %s and %s both speak to this router: "
				"choose one with nodeSelector",
				speaks->name, node->name);
			return -1;
		}
		speaks = node;
	}
	return 0;
}

static int check_peers(const struct cluster *cluster, struct problem *problem)
{
	for (size_t i = 0; i < cluster->n_peers; i++)
		if (check_peer_nodes(cluster, i, problem) < 0)
			return -1;
	return check_peer_addresses(cluster, problem);
}

static bool in_cluster(const struct cluster *cluster, const struct prefix *prefix)
{
	for (size_t i = 0; i < cluster->pod_cidrs.n; i++)
		if (prefix_contains(&cluster->pod_cidrs.items[i], prefix))
			return true;
	return false;
}

int cluster_check_node(const struct cluster *cluster, size_t index, struct problem *problem)
{
	const struct node *node = &cluster->nodes[index];
	char path[80], text[PREFIX_TEXT_MAX];

	for (enum family f = 0; f < FAMILIES; f++) {
		struct prefix host = {node->address[f], addr_bits(node->address[f].family)};

		if (!node->address[f].family || !in_cluster(cluster, &host))
			continue;
		snprintf(path, sizeof(path), "nodes[%zu].addresses", index);
		return problem_set(problem, path,
			"%s lies inside cluster.podCIDRs: a node's own address cannot be a pod's",
			addr_format(&node->address[f], text));
	}
	for (size_t i = 0; i < node->pod_cidrs.n; i++) {
		const struct prefix *cidr = &node->pod_cidrs.items[i];
		enum family f = family_of(&cidr->addr);

		snprintf(path, sizeof(path), "nodes[%zu].podCIDRs[%zu]", index, i);
		if (!in_cluster(cluster, cidr))
			return problem_set(problem, path, "%s is outside cluster.podCIDRs",
				prefix_format(cidr, text));
		if (!node->address[f].family)
			return problem_set(problem, path,
				"%s needs an %s address in nodes[%zu].addresses to be reached at",
				prefix_format(cidr, text), family_name(f), index);
	}
	return 0;
}

/* In sorted order what lies inside a prefix stands right behind it. */
static int check_overlaps(struct claim *claims, size_t n, struct problem *problem)
{
	qsort(claims, n, sizeof(*claims), claim_by_prefix);
	for (size_t i = 1; i < n; i++) {
		const struct claim *a = &claims[i - 1], *b = &claims[i];
		char path[80], text_a[PREFIX_TEXT_MAX], text_b[PREFIX_TEXT_MAX];

		if (!prefix_contains(&a->prefix, &b->prefix))
			continue;
		if (claim_is_later(a, b)) {
			const struct claim *swap = a;
			a = b;
			b = swap;
		}
		snprintf(path, sizeof(path), "nodes[%zu].podCIDRs[%zu]", b->index, b->part);
		return problem_set(problem, path, "%s overlaps %s's %s",
			prefix_format(&b->prefix, text_b),
			a->index == b->index ? "this node" : a->name,
			prefix_format(&a->prefix, text_a));
	}
	return 0;
}

static int check_pod_cidrs(const struct cluster *cluster, struct problem *problem)
{
	_cleanup_free_ struct claim *claims = NULL;
	size_t n = 0;

	for (size_t i = 0; i < cluster->n_nodes; i++) {
		if (cluster_check_node(cluster, i, problem) < 0)
			return -1;
		n += cluster->nodes[i].pod_cidrs.n;
	}
	claims = xmalloc(n * sizeof(*claims));
	n = 0;
	for (size_t i = 0; i < cluster->n_nodes; i++)
		for (size_t j = 0; j < cluster->nodes[i].pod_cidrs.n; j++)
			claims[n++] = (struct claim){.name = cluster->nodes[i].name, .index = i,
				.part = j, .prefix = cluster->nodes[i].pod_cidrs.items[j]};
	return check_overlaps(claims, n, problem);
}

/* A route goes round by a reflector only inside one AS (RFC 4456 section 6). */
static int check_reflectors(const struct cluster *cluster, struct problem *problem)
{
	const struct node *reflector = NULL;

	if (cluster->topology != TOPOLOGY_REFLECTOR ||
		(cluster->kubernetes.used && cluster->n_nodes == 0)) /* nobody was asked */
		return 0;
	for (size_t i = 0; i < cluster->n_nodes && !reflector; i++)
		if (cluster->nodes[i].reflector)
			reflector = &cluster->nodes[i];
	if (!reflector)
		return problem_set(problem, "cluster.topology",
			cluster->kubernetes.used
				? "reflector needs Nodes with the labels of "
				  "kubernetes.reflectorSelector, two of them if one may fail"
				: "reflector needs nodes with reflector: true, two of them if one "
				  "may fail");
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct node *node = &cluster->nodes[i];
		char path[64];

		if (node->as_number == reflector->as_number)
			continue;
		snprintf(path, sizeof(path), "nodes[%zu].asNumber", i);
		return problem_set(problem, path,
			"%u is not %s's %u: reflectors and those they serve are of one AS",
			node->as_number, reflector->name, reflector->as_number);
	}
	return 0;
}

int cluster_check(struct cluster *cluster, struct problem *problem)
{
	if (check_unique_names(cluster, false, problem) < 0 ||
		check_unique_names(cluster, true, problem) < 0 ||
		check_unique_addresses(cluster, problem) < 0 ||
		check_peers(cluster, problem) < 0 ||
		check_reflectors(cluster, problem) < 0 ||
		check_pod_cidrs(cluster, problem) < 0)
		return -1;
	count_reflectors(cluster);
	if (cluster->n_nodes)
		qsort(cluster->nodes, cluster->n_nodes, sizeof(struct node), node_by_name);
	if (cluster->n_peers)
		qsort(cluster->peers, cluster->n_peers, sizeof(struct peer), peer_by_name);
	return 0;
}
