/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/fib.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/cache.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void cleanup_socket(struct nl_sock **sock)
{
	if (*sock)
		nl_socket_free(*sock);
}
#define _cleanup_socket_ __attribute__((cleanup(cleanup_socket)))

static struct addr to_addr(struct nl_addr *from)
{
	struct addr addr = {.family = (uint8_t)nl_addr_get_family(from)};

	if (nl_addr_get_len(from) > 0 && nl_addr_get_len(from) <= sizeof(addr.bytes))
		memcpy(addr.bytes, nl_addr_get_binary_addr(from), nl_addr_get_len(from));
	return addr;
}

static enum fib_type to_type(uint8_t type)
{
	return type == RTN_UNICAST ? FIB_UNICAST
		: type == RTN_UNREACHABLE ? FIB_UNREACHABLE
		: type == RTN_BLACKHOLE ? FIB_BLACKHOLE
					: FIB_OTHER;
}

struct reading {
	const struct prefixes *within;
	struct arena *arena;
	struct fib *fib;
};

/* A next hop of the other family (RFC 5549) stands in an attribute of its own. */
static void take_hop(struct rtnl_nexthop *hop, struct fib_route *out, struct arena *arena)
{
	struct nl_addr *via = rtnl_route_nh_get_gateway(hop);

	if (!via)
		via = rtnl_route_nh_get_via(hop);
	if (via)
		*ARENA_PUSH(arena, out->via, &out->n_via) = to_addr(via);
}

static void take_route(struct rtnl_route *route, const struct prefix *prefix, struct reading *in)
{
	struct fib_route *out = ARENA_PUSH(in->arena, in->fib->items, &in->fib->n);

	out->prefix = *prefix;
	out->type = to_type(rtnl_route_get_type(route));
	out->metric = rtnl_route_get_priority(route);
	out->protocol = rtnl_route_get_protocol(route);
	for (int i = 0; i < rtnl_route_get_nnexthops(route); i++)
		take_hop(rtnl_route_nexthop_n(route, i), out, in->arena);
}

/* One message at a time: no cache of all routes is ever built. */
static int on_message(struct nl_msg *msg, void *arg)
{
	struct reading *in = arg;
	struct rtnl_route *route;
	struct prefix prefix;
	struct nl_addr *dst;

	if (rtnl_route_parse(nlmsg_hdr(msg), &route) < 0)
		return NL_OK;
	dst = rtnl_route_get_dst(route);
	if (dst && rtnl_route_get_table(route) == RT_TABLE_MAIN) {
		prefix.addr = to_addr(dst);
		prefix.len = (uint8_t)nl_addr_get_prefixlen(dst);
		for (size_t i = 0; i < in->within->n; i++)
			if (prefix_contains(&in->within->items[i], &prefix)) {
				take_route(route, &prefix, in);
				break;
			}
	}
	rtnl_route_put(route);
	return NL_OK;
}

static int by_use(const void *a, const void *b)
{
	const struct fib_route *x = a, *y = b;
	int order = prefix_cmp(&x->prefix, &y->prefix);

	return order ? order : (x->metric > y->metric) - (x->metric < y->metric);
}

static int nl_fail(struct err *err, int rc, const char *what)
{
	return err_set(err, EIO, "%s: %s", what, nl_geterror(rc));
}

static int open_socket(struct nl_sock **sock, struct err *err)
{
	int rc;

	*sock = nl_socket_alloc();
	if (!*sock)
		return err_set(err, ENOMEM, "netlink: out of memory");
	rc = nl_connect(*sock, NETLINK_ROUTE);
	return rc < 0 ? nl_fail(err, rc, "netlink") : 0;
}

int fib_read(const struct prefixes *within, struct arena *arena, struct fib *fib, struct err *err)
{
	struct rtmsg request = {.rtm_family = AF_UNSPEC};
	struct reading in = {within, arena, fib};
	_cleanup_socket_ struct nl_sock *sock = NULL;
	int rc;

	memset(fib, 0, sizeof(*fib));
	if (open_socket(&sock, err) < 0)
		return -1;
	nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, on_message, &in);
	rc = nl_send_simple(sock, RTM_GETROUTE, NLM_F_DUMP, &request, sizeof(request));
	if (rc >= 0)
		rc = nl_recvmsgs_default(sock);
	if (rc < 0)
		return nl_fail(err, rc, "reading the kernel's routes");
	if (fib->n)
		qsort(fib->items, fib->n, sizeof(*fib->items), by_use);
	return 0;
}

size_t fib_position(const struct fib *fib, const struct prefix *prefix)
{
	size_t low = 0, high = fib->n;

	while (low < high) { /* the first that is not before `prefix` */
		size_t middle = low + (high - low) / 2;

		if (prefix_cmp(&fib->items[middle].prefix, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct fib_route *fib_find(const struct fib *fib, const struct prefix *prefix)
{
	size_t at = fib_position(fib, prefix);

	return at < fib->n && prefix_cmp(&fib->items[at].prefix, prefix) == 0 ? &fib->items[at] : NULL;
}

const char *fib_protocol_name(unsigned protocol, char room[12])
{
	static const struct {
		unsigned protocol;
		const char *name;
	} known[] = {{RTPROT_REDIRECT, "redirect"}, {RTPROT_KERNEL, "kernel"}, {RTPROT_BOOT, "boot"},
		{RTPROT_STATIC, "static"}, {RTPROT_RA, "ra"}, {RTPROT_BIRD, "bird"},
		{RTPROT_DHCP, "dhcp"}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].protocol == protocol)
			return known[i].name;
	snprintf(room, 12, "%u", protocol);
	return room;
}

const char *fib_route_text(const struct fib_route *route, char room[FIB_ROUTE_TEXT_MAX])
{
	static const char *const type[] = {
		[FIB_UNICAST] = "",
		[FIB_UNREACHABLE] = "unreachable ",
		[FIB_BLACKHOLE] = "blackhole ",
		[FIB_OTHER] = "",
	};
	char prefix[PREFIX_TEXT_MAX], via[ADDR_TEXT_MAX], protocol[12];

	snprintf(room, FIB_ROUTE_TEXT_MAX, "%s%s%s%s proto %s metric %u", type[route->type],
		prefix_format(&route->prefix, prefix), route->n_via ? " via " : "",
		route->n_via ? addr_format(&route->via[0], via) : "",
		fib_protocol_name(route->protocol, protocol), route->metric);
	return room;
}

/* ---------------------------------------------------------------- one address */

struct asking {
	struct fib_lookup *lookup;
	int ifindex;
};

static int on_answer(struct nl_msg *msg, void *arg)
{
	struct asking *asking = arg;
	struct fib_lookup *lookup = asking->lookup;
	struct rtnl_nexthop *hop;
	struct rtnl_route *route;
	struct nl_addr *dst, *via;

	if (rtnl_route_parse(nlmsg_hdr(msg), &route) < 0)
		return NL_OK;
	dst = rtnl_route_get_dst(route);
	if (dst) {
		lookup->prefix.addr = to_addr(dst);
		lookup->prefix.len = (uint8_t)nl_addr_get_prefixlen(dst);
	}
	lookup->metric = rtnl_route_get_priority(route);
	lookup->protocol = rtnl_route_get_protocol(route);
	hop = rtnl_route_nexthop_n(route, 0);
	if (hop) {
		asking->ifindex = rtnl_route_nh_get_ifindex(hop);
		via = rtnl_route_nh_get_gateway(hop);
		if (!via)
			via = rtnl_route_nh_get_via(hop);
		if (via)
			lookup->via = to_addr(via);
	}
	rtnl_route_put(route);
	return NL_OK;
}

/* An unreachable route, or none: that is an answer too. */
static int on_refusal(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
	struct asking *asking = arg;

	(void)from;
	asking->lookup->error = -error->error;
	return NL_STOP;
}

static int ask_route(struct nl_sock *sock, const struct addr *to, struct asking *asking)
{
	const struct rtmsg header = {.rtm_family = to->family,
		.rtm_dst_len = addr_bits(to->family),
		.rtm_flags = RTM_F_FIB_MATCH};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
	int rc;

	if (!msg)
		return -NLE_NOMEM;
	nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, on_answer, asking);
	nl_socket_modify_err_cb(sock, NL_CB_CUSTOM, on_refusal, asking);
	rc = nlmsg_append(msg, (void *)(uintptr_t)&header, sizeof(header), NLMSG_ALIGNTO);
	if (rc == 0)
		rc = nla_put(msg, RTA_DST, (int)addr_size(to->family), to->bytes);
	if (rc == 0)
		rc = nl_send_auto(sock, msg);
	nlmsg_free(msg);
	if (rc >= 0)
		rc = nl_recvmsgs_default(sock);
	return rc;
}

static enum fib_neighbour neighbour_state(struct nl_sock *sock, int ifindex, const struct addr *addr)
{
	enum fib_neighbour state = NEIGHBOUR_NONE;
	struct nl_addr *dst = nl_addr_build(addr->family, addr->bytes, addr_size(addr->family));
	struct rtnl_neigh *neigh = NULL;
	struct nl_cache *cache;

	if (dst && rtnl_neigh_alloc_cache(sock, &cache) == 0) {
		neigh = rtnl_neigh_get(cache, ifindex, dst);
		if (neigh)
			state = rtnl_neigh_get_state(neigh) & (NUD_FAILED | NUD_INCOMPLETE)
					? NEIGHBOUR_FAILED
					: NEIGHBOUR_KNOWN;
		rtnl_neigh_put(neigh);
		nl_cache_free(cache);
	}
	nl_addr_put(dst);
	return state;
}

int fib_lookup(const struct addr *to, struct fib_lookup *lookup, struct err *err)
{
	_cleanup_socket_ struct nl_sock *sock = NULL, *other = NULL;
	struct asking asking = {.lookup = lookup};
	int rc;

	memset(lookup, 0, sizeof(*lookup));
	if (open_socket(&sock, err) < 0 || open_socket(&other, err) < 0)
		return -1;
	rc = ask_route(sock, to, &asking);
	if (rc < 0 && !lookup->error)
		return nl_fail(err, rc, "asking the kernel for a route");
	if (lookup->error || !asking.ifindex)
		return 0;
	if_indextoname((unsigned)asking.ifindex, lookup->interface);
	lookup->neighbour =
		neighbour_state(other, asking.ifindex, lookup->via.family ? &lookup->via : to);
	return 0;
}

/* ---------------------------------------------------------------- the machine */

/* The interface that has the address; 0: none. */
static int interface_of(struct nl_cache *addresses, const struct addr *addr)
{
	struct nl_object *o;

	for (o = nl_cache_get_first(addresses); o; o = nl_cache_get_next(o)) {
		struct nl_addr *local = rtnl_addr_get_local((struct rtnl_addr *)o);
		struct addr have;

		if (!local)
			continue;
		have = to_addr(local);
		if (addr_cmp(&have, addr) == 0)
			return rtnl_addr_get_ifindex((struct rtnl_addr *)o);
	}
	return 0;
}

int fib_uplink_mtu(const struct addr *addr, unsigned *mtu, struct err *err)
{
	_cleanup_socket_ struct nl_sock *sock = NULL;
	struct nl_cache *addresses;
	struct rtnl_link *link;
	int rc, ifindex;

	*mtu = 0;
	if (open_socket(&sock, err) < 0)
		return -1;
	rc = rtnl_addr_alloc_cache(sock, &addresses);
	if (rc < 0)
		return nl_fail(err, rc, "reading the machine's addresses");
	ifindex = interface_of(addresses, addr);
	nl_cache_free(addresses);
	if (!ifindex)
		return 0;
	rc = rtnl_link_get_kernel(sock, ifindex, NULL, &link);
	if (rc < 0)
		return nl_fail(err, rc, "reading the uplink's MTU");
	*mtu = rtnl_link_get_mtu(link);
	rtnl_link_put(link);
	return 0;
}

bool fib_forwards(enum family family)
{
	static const char *const path[FAMILIES] = {
		[IPV4] = "/proc/sys/net/ipv4/ip_forward",
		[IPV6] = "/proc/sys/net/ipv6/conf/all/forwarding",
	};
	_cleanup_close_ int fd = open(path[family], O_RDONLY | O_CLOEXEC);
	char value = '1';

	return fd < 0 || read(fd, &value, 1) != 1 || value != '0';
}
