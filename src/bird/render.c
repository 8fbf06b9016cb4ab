/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/render.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/hash.h"

/* Per family: BIRD's name for it and a prefix no route ever has, because an empty
 * set is no BIRD expression. */
static const struct {
	const char *suffix, *channel, *nothing;
} bird_family[FAMILIES] = {
	[IPV4] = {"4", "ipv4", "0.0.0.0/32"},
	[IPV6] = {"6", "ipv6", "::/128"},
};

static const char *const generated[] = {"node.conf", "sessions.conf"};

/* ---------------------------------------------------------------- sessions */

#define SYMBOL_MAX  63
#define DYNAMIC_MAX 47 /* of what BIRD puts a number behind, without RENDER_DYNAMIC */

/* A longer name keeps its head and gets a hash in place of its tail. */
static void cut_name(char room[RENDER_NAME_MAX], const char *name, const char *suffix, int max)
{
	int len;

	max -= (int)strlen(suffix);

	snprintf(room, 64, "%.*s", max, name);
	if ((int)strlen(name) > max) {
		uint64_t hash = hash_add(HASH_START, name, strlen(name));

		snprintf(room + max - 17, 18, "-%016llx", (unsigned long long)hash);
	}
	len = (int)strlen(room);
	snprintf(room + len, 64 - (size_t)len, "%s", suffix);
}

static void session_name(char room[RENDER_NAME_MAX], const char *name, const char *suffix)
{
	cut_name(room, name, suffix, SYMBOL_MAX);
}

void render_node_session_name(
	char room[RENDER_NAME_MAX], const struct node *node, enum family family)
{
	session_name(room, node->name, family == IPV4 ? ":v4" : ":v6");
}

bool session_carries(const struct session_want *session, enum family family)
{
	return session->family == family ||
		(family == IPV4 && session->peer && session->peer->extended_next_hop);
}

static unsigned count_carried(const struct prefixes *prefixes, const struct session_want *want)
{
	unsigned n = 0;

	for (size_t i = 0; i < prefixes->n; i++)
		n += session_carries(want, family_of(&prefixes->items[i].addr));
	return n;
}

/* How many routes of the other nodes there can be; a reflector brings those of all. */
static unsigned most_routes(const struct cluster *cluster, const struct node *self,
	const struct session_want *want)
{
	unsigned n = 0;

	if (want->peer && !want->peer->import_default)
		return UINT_MAX;
	if (want->node && !want->node->reflector)
		return count_carried(&want->node->pod_cidrs, want);
	for (size_t i = 0; i < cluster->n_nodes; i++)
		if (&cluster->nodes[i] != self)
			n += count_carried(&cluster->nodes[i].pod_cidrs, want);
	return n;
}

static unsigned own_routes(const struct node *self, const struct session_want *want)
{
	if (want->peer && !(want->peer->export & (EXPORT_PODS | EXPORT_CLUSTER)))
		return 0;
	return count_carried(&self->pod_cidrs, want);
}

struct session_want *render_sessions(const struct cluster *cluster, const struct node *self,
	struct arena *arena, size_t *n)
{
	_cleanup_arena_ struct arena scratch = {0}; /* what a growing list leaves behind */
	struct session_want *list = NULL, *whole;

	*n = 0;
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct node *node = &cluster->nodes[i];
		bool neighbours = cluster_are_neighbours(cluster, self, node);

		for (enum family f = 0; f < FAMILIES; f++) {
			struct session_want *want;

			if (!(neighbours || node->leaving[f]) || !cluster_has_family(cluster, f) ||
				!node->address[f].family || !self->address[f].family)
				continue;
			want = ARENA_PUSH(&scratch, list, n);
			*want = (struct session_want){.node = node, .leaving = !neighbours,
				.spare = !neighbours && node->spare[f], .family = f,
				.local = self->address[f], .neighbor = node->address[f],
				.neighbor_as = node->as_number, .options = &cluster->session};
			render_node_session_name(want->name, node, f);
		}
	}
	for (size_t i = 0; i < cluster->n_peers; i++) {
		const struct peer *peer = &cluster->peers[i];
		enum family f = family_of(&peer->address);
		struct session_want *want;

		if (!peer_is_for(peer, self))
			continue;
		want = ARENA_PUSH(&scratch, list, n);
		*want = (struct session_want){.peer = peer, .family = f, .local = self->address[f],
			.neighbor = peer->address, .neighbor_as = peer->as_number,
			.options = &peer->session};
		if (peer->source_address.family)
			want->local = peer->source_address;
		else if (addr_is_link_local(&peer->address))
			want->local.family = 0; /* the interface's */
		cut_name(want->name, peer->name, ":peer", peer->unnumbered ? DYNAMIC_MAX : SYMBOL_MAX);
	}
	for (size_t i = 0; i < *n; i++) {
		list[i].max_routes = most_routes(cluster, self, &list[i]);
		list[i].n_own = own_routes(self, &list[i]);
	}
	whole = arena_alloc(arena, *n * sizeof(*whole));
	if (*n)
		memcpy(whole, list, *n * sizeof(*whole));
	return whole;
}

/* "[ 10.0.0.0/8+, 0.0.0.0/0 ]"; the family's part of the list only. */
static void add_set(struct buf *buf, const struct prefixes *prefixes, enum family family,
	bool or_longer)
{
	const char *separator = "[ ";

	for (size_t i = 0; i < prefixes->n; i++) {
		const struct prefix *prefix = &prefixes->items[i];
		char text[PREFIX_TEXT_MAX];

		if (family_of(&prefix->addr) != family)
			continue;
		/* 0.0.0.0/0 is the default route, not everything. */
		buf_printf(buf, "%s%s%s", separator, prefix_format(prefix, text),
			or_longer && prefix->len > 0 ? "+" : "");
		separator = ", ";
	}
	if (separator[0] == '[')
		buf_printf(buf, "[ %s", bird_family[family].nothing);
	buf_puts(buf, " ]");
}

/* BIRD's "prefix{min,max}": what agrees with it as far as both go and is that long. */
struct pattern {
	struct prefix prefix;
	unsigned min, max;
};

struct patterns {
	struct pattern *items;
	size_t n;
};

static bool pattern_matches(const struct pattern *pattern, const struct prefix *net)
{
	return net->len >= pattern->min && net->len <= pattern->max &&
		(prefix_contains(&pattern->prefix, net) || prefix_contains(net, &pattern->prefix));
}

static void pattern_add(struct arena *arena, struct patterns *set, const struct prefix *prefix,
	unsigned min, unsigned max)
{
	if (min <= max)
		*ARENA_PUSH(arena, set->items, &set->n) = (struct pattern){*prefix, min, max};
}

static void add_patterns(struct buf *buf, const struct patterns *set)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct pattern *item = &set->items[i];
		char text[PREFIX_TEXT_MAX];

		buf_printf(buf, "%s%s", i ? ", " : "[ ", prefix_format(&item->prefix, text));
		if (item->min != item->prefix.len || item->max != item->prefix.len)
			buf_printf(buf, "{%u,%u}", item->min, item->max);
	}
	buf_puts(buf, " ]");
}

static bool overlaps_any(const struct prefix *prefix, const struct prefixes *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].len > 0 && prefix_overlaps(&list->items[i], prefix))
			return true;
	return false;
}

/* All that is more specific than a podCIDR inside of `cidr`.  Where all podCIDRs are of
 * one length, as they mostly are, this does not change with the nodes. */
static void refuse_finer(struct arena *arena, struct patterns *set, const struct cluster *cluster,
	const struct prefix *cidr)
{
	unsigned bits = addr_bits(cidr->addr.family), longest = 0;

	for (int pass = 0; pass < 2; pass++) {
		if (pass && longest)
			pattern_add(arena, set, cidr, longest + 1, bits);
		for (size_t i = 0; i < cluster->n_nodes; i++)
			for (size_t j = 0; j < cluster->nodes[i].pod_cidrs.n; j++) {
				const struct prefix *pods = &cluster->nodes[i].pod_cidrs.items[j];

				if (!prefix_contains(cidr, pods))
					continue;
				if (pass)
					pattern_add(arena, set, pods, pods->len + 1u, longest);
				else if (pods->len > longest)
					longest = pods->len;
			}
	}
}

/* A reflector took from each node what is that node's.  What it says of others counts for
 * less than their own word, whatever the attributes; what is finer than a podCIDR is
 * nobody's.  Of a Kubernetes its clients do not know all podCIDRs. */
static void add_reflector_import(struct buf *buf, const struct session_want *want,
	const struct cluster *cluster)
{
	const char *suffix = bird_family[want->family].suffix;
	_cleanup_arena_ struct arena arena = {0};
	struct patterns finer = {0};

	for (size_t i = 0; i < cluster->pod_cidrs.n && !cluster->kubernetes.used; i++)
		if (family_of(&cluster->pod_cidrs.items[i].addr) == want->family)
			refuse_finer(&arena, &finer, cluster, &cluster->pod_cidrs.items[i]);
	buf_printf(buf, "\t\timport filter {\n\t\t\tif net !~ CLUSTER%s || net ~ OWN%s", suffix, suffix);
	if (finer.n) {
		buf_puts(buf, " || net ~ ");
		add_patterns(buf, &finer);
	}
	buf_puts(buf, " then reject;\n\t\t\tif net !~ ");
	add_set(buf, &want->node->pod_cidrs, want->family, false);
	buf_puts(buf, " then preference = 95;\n\t\t\taccept;\n\t\t};\n");
}

/* Exactly the podCIDRs that are the node's; cluster_check() made sure that they are inside
 * the cluster's and nobody else's. */
static void add_node_import(struct buf *buf, const struct session_want *want,
	const struct cluster *cluster)
{
	if (want->node->reflector) {
		add_reflector_import(buf, want, cluster);
		return;
	}
	buf_puts(buf, "\t\timport where net ~ ");
	add_set(buf, &want->node->pod_cidrs, want->family, false);
	buf_puts(buf, ";\n");
}

/* GRACEFUL_SHUTDOWN, RFC 8326: "somebody else's route is better, if there is one".
 * LOCAL_PREF does not leave the AS. */
#define SAY_LEAVING "bgp_community.add((65535, 0));"
#define SAY_LAST    "bgp_local_pref = 0;"

/* A reflector that is drained says so of what it reflects, and not of its own podCIDRs:
 * they have no other way.  In the end it reflects no more, and still leaves next hops as
 * they are, so that nothing but the export changes. */
static void add_reflection(struct buf *buf, const struct session_want *want,
	const struct node *self, const char *mark)
{
	const char *suffix = bird_family[want->family].suffix;
	const char *says = self->drain == DRAIN_LEAVING ? SAY_LEAVING " " SAY_LAST " " : "";
	char own[64], reflected[160];

	snprintf(own, sizeof(own), "(source = RTS_STATIC && net ~ PODS%s)", suffix);
	snprintf(reflected, sizeof(reflected),
		"(source = RTS_BGP && net ~ CLUSTER%s && proto ~ \"*:v%s\"%s)", suffix, suffix,
		want->node->reflector ? " && ! defined(bgp_cluster_list)" : "");
	if (self->drain == DRAIN_OFF && !*mark) {
		buf_printf(buf, "\t\texport where %s || %s;\n", own, reflected);
	} else {
		buf_printf(buf, "\t\texport filter { if %s then { %saccept; } ", own, mark);
		if (self->drain != DRAIN_DRAINED)
			buf_printf(buf, "if %s then { %saccept; } ", reflected, says);
		buf_puts(buf, "reject; };\n");
	}
	buf_puts(buf, "\t\tnext hop self off;\n");
}

/* What a node announces to nodes: its own podCIDRs, as the template says; a
 * reflector also what it heard from nodes, to another reflector only what it heard
 * itself and not from a third one. */
static void add_node_export(struct buf *buf, const struct session_want *want,
	const struct cluster *cluster, const struct node *self)
{
	char mark[80] = "";

	if (want->spare)
		snprintf(mark, sizeof(mark), "bgp_large_community.add(" RENDER_MARK "); ",
			cluster->as_number);
	if (self->reflector && want->node->as_number == self->as_number)
		add_reflection(buf, want, self, mark);
	else if (*mark)
		buf_printf(buf,
			"\t\texport filter { if source = RTS_STATIC && net ~ PODS%s then { %saccept; } "
			"reject; };\n",
			bird_family[want->family].suffix, mark);
}

/* ---------------------------------------------------------------- routers */

/* What belongs to a router beside its session: "tor-a:hops". */
struct symbol {
	char text[64];
};

static struct symbol hops_name(const struct peer *peer, const char *what)
{
	struct symbol symbol = {0};
	char suffix[16];

	snprintf(suffix, sizeof(suffix), ":%s", what);
	session_name(symbol.text, peer->name, suffix);
	return symbol;
}

/* An address that has little in common with ours is on another segment, by a second
 * interface. */
static void widen(struct prefix *segment, const struct addr *addr, const struct prefixes *pods)
{
	struct prefix both = *segment;

	if (addr->family != both.addr.family)
		return;
	while (!prefix_contains_addr(&both, addr))
		both.len--;
	both.addr = prefix_first(&both);
	if (both.len >= addr_bits(addr->family) / 2 && !overlaps_any(&both, pods))
		*segment = both;
}

static const struct addr *speaks_from(const struct node *self, const struct peer *peer)
{
	return peer->source_address.family ? &peer->source_address
					   : &self->address[family_of(&peer->address)];
}

/* What is certainly the segment of an address of ours.  Its length is not in the file,
 * but all that is reached without a hop between is inside: the routers we speak to from
 * that address and, where nodes speak to each other, the nodes. */
static struct prefix segment(const struct cluster *cluster, const struct node *self,
	const struct addr *from)
{
	struct prefix segment = {*from, addr_bits(from->family)};
	enum family family = family_of(from);

	for (size_t i = 0; i < cluster->n_peers; i++) {
		const struct peer *peer = &cluster->peers[i];

		if (!peer->multihop && peer_is_for(peer, self) &&
			addr_cmp(speaks_from(self, peer), from) == 0)
			widen(&segment, &peer->address, &cluster->pod_cidrs);
	}
	if (cluster->topology == TOPOLOGY_NONE || addr_cmp(&self->address[family], from) != 0)
		return segment;
	for (size_t i = 0; i < cluster->n_nodes; i++)
		widen(&segment, &cluster->nodes[i].address[family], &cluster->pod_cidrs);
	return segment;
}

/* No part of a segment of ours, nor anything around it but the default route, which is
 * named or not taken.  Of nodes elsewhere only the address itself: their segment may be
 * another. */
static void refuse_hosts(struct arena *arena, struct patterns *set, const struct cluster *cluster,
	const struct node *self, const struct prefixes *import, enum family family)
{
	struct prefix ours = {0};

	if (self->address[family].family) {
		ours = segment(cluster, self, &self->address[family]);
		if (overlaps_any(&ours, import))
			pattern_add(arena, set, &ours, 1, addr_bits(ours.addr.family));
	}
	for (size_t i = 0; i < cluster->n_peers; i++) {
		const struct addr *from = &cluster->peers[i].source_address;
		struct prefix other;

		if (!from->family || family_of(from) != family ||
			!peer_is_for(&cluster->peers[i], self) ||
			(ours.addr.family && prefix_contains_addr(&ours, from)))
			continue;
		other = segment(cluster, self, from);
		if (overlaps_any(&other, import))
			pattern_add(arena, set, &other, 1, addr_bits(from->family));
	}
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct addr *addr = &cluster->nodes[i].address[family];
		struct prefix host = {*addr, addr_bits(addr->family)};

		if (!addr->family || (ours.addr.family && prefix_contains_addr(&ours, addr)))
			continue;
		if (overlaps_any(&host, import))
			pattern_add(arena, set, &host, host.len, host.len);
	}
}

/* What a router may not say, although `import` covers it, unless it names exactly that. */
static struct patterns refused(struct arena *arena, const struct cluster *cluster,
	const struct node *self, const struct peer *peer, const struct prefixes *import,
	enum family family)
{
	struct patterns set = {0};

	for (size_t i = 0; i < cluster->pod_cidrs.n; i++) {
		const struct prefix *cidr = &cluster->pod_cidrs.items[i];

		if (family_of(&cidr->addr) == family && overlaps_any(cidr, import))
			refuse_finer(arena, &set, cluster, cidr);
	}
	/* A node treats them itself, whoever else announces them. */
	for (size_t i = 0; i < cluster->service_cidrs.n; i++) {
		const struct prefix *cidr = &cluster->service_cidrs.items[i];

		if (family_of(&cidr->addr) == family && overlaps_any(cidr, import))
			pattern_add(arena, &set, cidr, cidr->len, addr_bits(cidr->addr.family));
	}
	if (!peer->import_default) /* the cluster's podCIDRs have no node's address inside */
		refuse_hosts(arena, &set, cluster, self, import, family);
	return set;
}

static struct patterns named_among(struct arena *arena, const struct patterns *refused,
	const struct prefixes *import)
{
	struct patterns named = {0};

	for (size_t i = 0; i < import->n; i++) {
		const struct prefix *prefix = &import->items[i];
		bool matches = false;

		for (size_t j = 0; j < refused->n && !matches; j++)
			matches = pattern_matches(&refused->items[j], prefix);
		if (matches)
			pattern_add(arena, &named, prefix, prefix->len, prefix->len);
	}
	return named;
}

static void add_router_import(struct buf *buf, const struct peer *peer,
	const struct cluster *cluster, const struct node *self, enum family family)
{
	const struct prefixes *import = peer->import_default ? &cluster->pod_cidrs : &peer->import;
	const char *suffix = bird_family[family].suffix;
	_cleanup_arena_ struct arena arena = {0};
	struct patterns no = refused(&arena, cluster, self, peer, import, family);
	struct patterns named = named_among(&arena, &no, import);

	buf_puts(buf, "\t\timport filter {\n\t\t\tif net !~ ");
	if (peer->import_default)
		buf_printf(buf, "CLUSTER%s", suffix);
	else
		add_set(buf, import, family, true);
	buf_printf(buf, " || net ~ OWN%s then reject;\n", suffix);
	if (no.n) {
		buf_puts(buf, "\t\t\tif net ~ ");
		add_patterns(buf, &no);
		if (named.n) {
			buf_puts(buf, " && net !~ ");
			add_patterns(buf, &named);
		}
		buf_puts(buf, " then reject;\n");
	}
	if (peer->as_path_limit)
		buf_printf(buf, "\t\t\tif bgp_path.len > %u then reject;\n", peer->as_path_limit);
	if (peer->local_preference.given)
		buf_printf(buf, "\t\t\tbgp_local_pref = %u;\n", peer->local_preference.value);
	/* GRACEFUL_SHUTDOWN, RFC 8326: the router is about to go. */
	buf_puts(buf, "\t\t\tif (65535, 0) ~ bgp_community then bgp_local_pref = 0;\n"
		      "\t\t\taccept;\n\t\t};\n");
	/* A node's own word for its pods counts for more, whatever the attributes. */
	buf_puts(buf, "\t\tpreference 90;\n");
}

static void add_export_condition(struct buf *buf, unsigned exports, enum family family)
{
	const char *suffix = bird_family[family].suffix, *separator = "";

	if (exports & EXPORT_PODS) {
		buf_printf(buf, "(source = RTS_STATIC && net ~ PODS%s)", suffix);
		separator = " || ";
	}
	if (exports & EXPORT_CLUSTER) {
		buf_printf(buf, "%snet ~ CLUSTER%s", separator, suffix);
		separator = " || ";
	}
	if (exports & EXPORT_DEFAULT) {
		buf_printf(buf, "%snet = %s", separator, family == IPV4 ? "0.0.0.0/0" : "::/0");
		separator = " || ";
	}
	/* By their protocol: so this text stays when Services come and go. */
	if (exports & EXPORT_SERVICES)
		buf_printf(buf, "%sproto = \"services%s\"", separator, suffix);
}

static void add_attributes(struct buf *buf, const struct peer *peer, const struct node *self)
{
	if (self->drain != DRAIN_OFF)
		buf_printf(buf, "\t\t\t" SAY_LEAVING "\n%s",
			peer->as_number == self->as_number ? "\t\t\t" SAY_LAST "\n" : "");
	if (peer->med.given)
		buf_printf(buf, "\t\t\tbgp_med = %u;\n", peer->med.value);
	for (size_t i = 0; i < peer->communities.n; i++)
		buf_printf(buf, "\t\t\tbgp_community.add((%u, %u));\n",
			peer->communities.items[i].parts[0], peer->communities.items[i].parts[1]);
	for (size_t i = 0; i < peer->large_communities.n; i++) {
		const uint32_t *parts = peer->large_communities.items[i].parts;

		buf_printf(buf, "\t\t\tbgp_large_community.add((%u, %u, %u));\n", parts[0],
			parts[1], parts[2]);
	}
}

/* `whole`: there is no template that says what is usual. */
static void add_router_export(struct buf *buf, const struct peer *peer, const struct node *self,
	enum family family, bool whole)
{
	bool attributes = peer->med.given || peer->communities.n || peer->large_communities.n ||
		self->drain != DRAIN_OFF;
	unsigned exports = peer->export;

	if (self->drain == DRAIN_DRAINED) /* others announce them as well */
		exports &= ~(unsigned)EXPORT_SERVICES;
	if (!exports) {
		buf_puts(buf, "\t\texport none;\n");
	} else if (attributes) {
		buf_puts(buf, "\t\texport filter {\n\t\t\tif !(");
		add_export_condition(buf, exports, family);
		buf_puts(buf, ") then reject;\n");
		add_attributes(buf, peer, self);
		buf_puts(buf, "\t\t\taccept;\n\t\t};\n");
	} else if (whole || exports != EXPORT_PODS) {
		buf_puts(buf, "\t\texport where ");
		add_export_condition(buf, exports, family);
		buf_puts(buf, ";\n");
	}
	/* Traffic for other nodes' pods goes to them, unless it is to go through us. */
	if (peer->next_hop_self.given ? !peer->next_hop_self.value
				      : (peer->export & EXPORT_CLUSTER) != 0)
		buf_puts(buf, "\t\tnext hop self off;\n");
	else if (peer->next_hop_self.given || whole)
		buf_puts(buf, "\t\tnext hop self;\n");
}

static void add_router_channel(struct buf *buf, const struct peer *peer,
	const struct cluster *cluster, const struct node *self, enum family family, bool whole)
{
	static const char *const add_paths[] = {
		[ADD_PATHS_RX] = "rx", [ADD_PATHS_TX] = "tx", [ADD_PATHS_BOTH] = "on"};

	add_router_import(buf, peer, cluster, self, family);
	add_router_export(buf, peer, self, family, whole);
	if (peer->add_paths != ADD_PATHS_OFF)
		buf_printf(buf, "\t\tadd paths %s;\n", add_paths[peer->add_paths]);
	if (peer->multihop && peer->gateway.family)
		buf_printf(buf, "\t\tigp table '%s';\n", hops_name(peer, "hops").text);
}

static void add_import_limit(struct buf *buf, const struct session *options)
{
	if (options->import_limit.prefixes)
		buf_printf(buf, "\t\timport limit %u action %s;\n",
			options->import_limit.prefixes,
			options->import_limit.only_warn ? "warn" : "block");
}

/* IPv4 routes over the IPv6 session: a channel that the template has not. */
static void add_extra_channel(struct buf *buf, const struct session_want *want,
	const struct cluster *cluster, const struct node *self)
{
	buf_puts(buf, "\tipv4 {\n");
	add_router_channel(buf, want->peer, cluster, self, IPV4, true);
	buf_puts(buf, "\t\textended next hop on;\n");
	if (!want->options->import_limit.prefixes)
		buf_puts(buf, "\t\timport limit 20000 action block;\n");
	add_import_limit(buf, want->options);
	buf_puts(buf, "\t};\n");
}

/* In a table of its own, how to reach what the router announces: on our own links, or
 * by the gateway.  In BIRD's main table it would be announced and compared. */
static void add_hops(struct buf *buf, const struct peer *peer)
{
	enum family f = family_of(&peer->address);
	const char *channel = bird_family[f].channel;
	struct symbol table = hops_name(peer, "hops");
	char gateway[ADDR_TEXT_MAX];

	if (!peer->multihop || !peer->gateway.family)
		return;
	buf_printf(buf, "\n%s table '%s';\n", channel, table.text);
	buf_printf(buf, "protocol static '%s' {\n\t%s { table '%s'; };\n\troute %s via %s;\n}\n",
		hops_name(peer, "gateway").text, channel, table.text, f == IPV4 ? "0.0.0.0/0" : "::/0",
		addr_format(&peer->gateway, gateway));
	buf_printf(buf, "protocol direct '%s' {\n\t%s { table '%s'; };\n}\n",
		hops_name(peer, "links").text, channel, table.text);
}

static void add_router_options(struct buf *buf, const struct peer *peer)
{
	static const char *const roles[] = {
		[ROLE_PROVIDER] = "provider",
		[ROLE_PEER] = "peer",
		[ROLE_CUSTOMER] = "customer",
		[ROLE_RS_SERVER] = "rs_server",
		[ROLE_RS_CLIENT] = "rs_client",
	};

	if (peer->interface)
		buf_printf(buf, "\tinterface \"%s\";\n", peer->interface);
	if (peer->multihop)
		buf_printf(buf, "\tmultihop %u;\n", peer->multihop);
	if (peer->passive)
		buf_puts(buf, "\tpassive on;\n");
	if (peer->role != ROLE_NONE)
		buf_printf(buf, "\tlocal role %s;\n", roles[peer->role]);
	if (peer->allow_local_as)
		buf_printf(buf, "\tallow local as %u;\n", peer->allow_local_as);
}

/* ---------------------------------------------------------------- blocks */

/* Each option is one line: plan.c says by its beginning what a change of it does. */
static void add_options(struct buf *buf, const struct session *options)
{
	if (options->long_lived.enabled)
		buf_printf(buf,
			"\tlong lived graceful restart on;\n\tlong lived stale time %u;\n",
			options->long_lived.stale_time);
	if (options->send_hold_time)
		buf_printf(buf, "\tsend hold time %u;\n", options->send_hold_time);
	if (options->connect_retry_time)
		buf_printf(buf, "\tconnect retry time %u;\n", options->connect_retry_time);
	if (options->bfd && (options->bfd_interval_ms || options->bfd_multiplier)) {
		buf_puts(buf, "\tbfd {");
		if (options->bfd_interval_ms)
			buf_printf(buf, " interval %u ms;", options->bfd_interval_ms);
		if (options->bfd_multiplier)
			buf_printf(buf, " multiplier %u;", options->bfd_multiplier);
		buf_puts(buf, " };\n");
	} else if (options->bfd) {
		buf_puts(buf, "\tbfd on;\n");
	}
	if (options->ttl_security)
		buf_puts(buf, "\tttl security on;\n");
	if (options->password)
		buf_printf(buf, "\tpassword \"%s\";\n", options->password);
}

static void add_ends(struct buf *buf, const struct session_want *want, uint32_t own_as)
{
	char text[ADDR_TEXT_MAX];

	buf_printf(buf, "\tlocal %s%sas %u;\n",
		want->local.family ? addr_format(&want->local, text) : "",
		want->local.family ? " " : "", own_as);
	if (want->peer && want->peer->unnumbered) {
		buf_printf(buf, "\tneighbor range fe80::/10 as %u;\n\tdynamic name \"%s%c\";\n",
			want->neighbor_as, want->name, RENDER_DYNAMIC);
		return;
	}
	buf_printf(buf, "\tneighbor %s ", addr_format(&want->neighbor, text));
	if (want->peer && want->peer->port)
		buf_printf(buf, "port %u ", want->peer->port);
	buf_printf(buf, "as %u;\n", want->neighbor_as);
}

static void add_session(struct buf *buf, const struct session_want *want,
	const struct cluster *cluster, const struct node *self)
{
	if (want->peer)
		add_hops(buf, want->peer);

	buf_printf(buf, "\nprotocol bgp '%s' from roost%s {\n", want->name,
		bird_family[want->family].suffix);
	buf_printf(buf, "\tdescription \"%s\";\n",
		want->node ? want->node->name : want->peer->name);
	add_ends(buf, want, self->as_number);
	buf_printf(buf, "\thold time %u;\n\tkeepalive time %u;\n", want->options->hold_time,
		want->options->keepalive_time);
	/* To every node, whatever the topology: without reflected routes it changes
	 * nothing, and to switch it later would restart the session. */
	if (want->node && want->node->as_number == self->as_number)
		buf_puts(buf, "\trr client;\n");
	if (want->options->graceful_restart.enabled)
		buf_printf(buf, "\tgraceful restart on;\n\tgraceful restart time %u;\n",
			want->options->graceful_restart.restart_time);
	else
		buf_puts(buf, "\tgraceful restart off;\n");
	add_options(buf, want->options);
	if (want->peer)
		add_router_options(buf, want->peer);
	buf_printf(buf, "\t%s {\n", bird_family[want->family].channel);
	if (want->peer) {
		add_router_channel(buf, want->peer, cluster, self, want->family, false);
	} else {
		add_node_import(buf, want, cluster);
		add_node_export(buf, want, cluster, self);
	}
	add_import_limit(buf, want->options);
	buf_puts(buf, "\t};\n");
	if (want->peer && want->peer->extended_next_hop)
		add_extra_channel(buf, want, cluster, self);
	buf_puts(buf, "}\n");
}

/* A router that is known by its link finds us by our router advertisements.  They make
 * nobody's default route (lifetime 0) and give nobody an address (no prefix). */
static void add_advertisements(struct buf *buf, const struct session_want *wants, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		if (!wants[i].peer || !wants[i].peer->unnumbered)
			continue;
		buf_puts(buf, any ? "" : "\nprotocol radv roost_radv {\n");
		buf_printf(buf,
			"\tinterface \"%s\" {\n\t\tmax ra interval 10;\n\t\tdefault lifetime 0;\n"
			"\t\tprefix ::/0 { skip; };\n\t};\n",
			wants[i].peer->interface);
		any = true;
	}
	buf_puts(buf, any ? "}\n" : "");
}

static void add_sessions(struct buf *buf, const struct cluster *cluster, const struct node *self)
{
	_cleanup_arena_ struct arena arena = {0};
	size_t n;
	struct session_want *wants = render_sessions(cluster, self, &arena, &n);
	bool bfd = false;

	buf_printf(buf, "# Generated by roostd: node %s's neighbours.\n", self->name);
	for (size_t i = 0; i < n; i++)
		bfd = bfd || wants[i].options->bfd;
	if (bfd)
		buf_puts(buf, "\nprotocol bfd roost_bfd {\n}\n");
	add_advertisements(buf, wants, n);
	for (size_t i = 0; i < n; i++)
		add_session(buf, &wants[i], cluster, self);
}

/* ---------------------------------------------------------------- the node */

/* The node's IPv4 address; without one 32 bits made of the IPv6 address, which is
 * as unique as it gets (RFC 6286: only the AS has to agree on it). */
static void add_router_id(struct buf *buf, const struct node *self)
{
	char text[ADDR_TEXT_MAX];
	struct addr id = self->address[IPV4];

	if (!id.family) {
		uint64_t hash = hash_add(HASH_START, self->address[IPV6].bytes, 16);
		uint32_t folded = (uint32_t)(hash ^ hash >> 32) | 1;

		id.family = AF_INET;
		for (size_t i = 0; i < 4; i++) /* the same on every kind of machine */
			id.bytes[i] = (uint8_t)(folded >> 8 * i);
	}
	buf_printf(buf, "router id %s;\n", addr_format(&id, text));
}

static void add_defines(struct buf *buf, const struct cluster *cluster, const struct node *self,
	enum family family)
{
	const char *suffix = bird_family[family].suffix;

	buf_printf(buf, "\ndefine CLUSTER%s = ", suffix);
	add_set(buf, &cluster->pod_cidrs, family, true);
	buf_printf(buf, ";\ndefine OWN%s = ", suffix);
	add_set(buf, &self->pod_cidrs, family, true);
	buf_printf(buf, ";\ndefine PODS%s = ", suffix);
	add_set(buf, &self->pod_cidrs, family, false);
	buf_printf(buf, ";\nprotocol static pods%s {\n\t%s;\n", suffix, bird_family[family].channel);
	for (size_t i = 0; i < self->pod_cidrs.n; i++) {
		char text[PREFIX_TEXT_MAX];

		if (family_of(&self->pod_cidrs.items[i].addr) == family)
			buf_printf(buf, "\troute %s unreachable;\n",
				prefix_format(&self->pod_cidrs.items[i], text));
	}
	buf_puts(buf, "}\n");
}

/* In BIRD's table for the routers, and not in the kernel's: there kube-proxy, or what
 * is in its place, has to see the packets. */
static void add_services(struct buf *buf, const struct cluster *cluster, enum family family)
{
	const struct prefixes *announced = &cluster->services.announced;

	buf_printf(buf, "\nprotocol static services%s {\n\t%s;\n", bird_family[family].suffix,
		bird_family[family].channel);
	for (size_t i = 0; i < announced->n; i++) {
		char text[PREFIX_TEXT_MAX];

		if (family_of(&announced->items[i].addr) == family)
			buf_printf(buf, "\troute %s unreachable;\n",
				prefix_format(&announced->items[i], text));
	}
	buf_puts(buf, "}\n");
}

static void add_node(struct buf *buf, const struct cluster *cluster, const struct node *self)
{
	buf_printf(buf, "# Generated by roostd: node %s of cluster %s.\n", self->name,
		cluster->name);
	add_router_id(buf, self);
	for (enum family f = 0; f < FAMILIES; f++)
		add_defines(buf, cluster, self, f);
	for (enum family f = 0; f < FAMILIES && cluster_exports_services(cluster, self); f++)
		add_services(buf, cluster, f);
}

/* ---------------------------------------------------------------- the whole */

static void compute_id(const struct fileset *files, char id[CONFIG_ID_LEN + 1])
{
	uint64_t hash = HASH_START;

	for (size_t i = 0; i < files->n; i++) {
		const struct file_text *file = &files->items[i];

		hash = hash_add(hash, file->name, strlen(file->name) + 1);
		hash = hash_add(hash, file->text, file->len);
	}
	snprintf(id, CONFIG_ID_LEN + 1, "%016llx", (unsigned long long)hash);
}

/* What ends bird.conf. */
#define SEAL "\ndefine ROOST_CONFIG = "

/* Ends a configuration: the id over all other bytes goes into bird.conf. */
static void seal(struct rendered *out, struct arena *arena)
{
	fileset_sort(&out->files);
	compute_id(&out->files, out->id);
	for (size_t i = 0; i < out->files.n; i++) {
		struct file_text *file = &out->files.items[i];

		if (strcmp(file->name, "bird.conf") != 0)
			continue;
		file->text = arena_printf(arena, "%.*s" SEAL "\"%s\";\n",
			(int)file->len, file->text, out->id);
		file->len = strlen(file->text);
	}
}

static void copy_files(struct fileset *to, const struct fileset *from, struct arena *arena)
{
	for (size_t i = 0; i < from->n; i++)
		*ARENA_PUSH(arena, to->items, &to->n) = from->items[i];
}

int render(const struct cluster *cluster, const struct node *self, const struct fileset *templates,
	const struct fileset *snippets, struct arena *arena, struct rendered *out, struct err *err)
{
	_cleanup_buf_ struct buf node = {0}, sessions = {0};

	memset(out, 0, sizeof(*out));
	if (!fileset_find(templates, "bird.conf"))
		return err_set(err, ENOENT, "no bird.conf among the BIRD templates");
	for (size_t i = 0; i < ARRAY_LEN(generated); i++)
		if (fileset_find(templates, generated[i]))
			return err_set(err, EEXIST,
				"%s among the BIRD templates: that one is generated", generated[i]);
	add_node(&node, cluster, self);
	add_sessions(&sessions, cluster, self);
	copy_files(&out->files, templates, arena);
	copy_files(&out->files, snippets, arena);
	fileset_add(&out->files, arena, "node.conf", buf_text(&node), node.len);
	fileset_add(&out->files, arena, "sessions.conf", buf_text(&sessions), sessions.len);
	seal(out, arena);
	return 0;
}

void render_with_sessions(const struct rendered *from, const char *text, size_t len,
	const char *remark, struct arena *arena, struct rendered *out)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < from->files.n; i++) {
		const struct file_text *file = &from->files.items[i];
		const char *seal_at = memmem(file->text, file->len, SEAL, strlen(SEAL));

		if (strcmp(file->name, "sessions.conf") == 0) {
			fileset_add(&out->files, arena, file->name, text, len);
		} else if (strcmp(file->name, "bird.conf") == 0 && seal_at) {
			const char *all = arena_printf(arena, "%.*s%s",
				(int)(seal_at - file->text), file->text, remark);

			fileset_add(&out->files, arena, file->name, all, strlen(all));
		} else {
			*ARENA_PUSH(arena, out->files.items, &out->files.n) = *file;
		}
	}
	seal(out, arena);
}

void render_nothing(struct arena *arena, struct rendered *out)
{
	static const char text[] = "# Generation 0: roostd has not confirmed a configuration yet.\n"
				   "log stderr all;\n"
				   "router id 0.0.0.1;\n"
				   "protocol device {\n}\n";

	memset(out, 0, sizeof(*out));
	fileset_add(&out->files, arena, "bird.conf", text, sizeof(text) - 1);
	seal(out, arena);
}
