/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check -- the part of netlink that compares: CHECK of the CNI specification.
 *
 * What ADD made has to be there; what plugins later in the chain added to it is
 * none of our business and is tolerated. */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "batch.h"
#include "code.h"
#include "netlink.h"

struct wanted_addr {
	int index;
	struct prefix addr;
	bool found;
};

struct wanted {
	struct wanted_addr *addrs;
	size_t addr_count;
	const struct cni_route *routes;
	bool *route_found;
	size_t route_count;
};

static void addr_seen(struct nlmsghdr *header, void *data)
{
	const struct ifaddrmsg *info = nlmsg_data(header);
	struct nlattr *attrs[IFA_MAX + 1], *addr;
	struct wanted *wanted = data;

	if (nlmsg_parse(header, sizeof(*info), attrs, IFA_MAX, NULL) < 0)
		return;
	addr = attrs[IFA_LOCAL] ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
	for (size_t i = 0; addr && i < wanted->addr_count; i++) {
		struct wanted_addr *want = &wanted->addrs[i];

		if (want->index == (int)info->ifa_index &&
			want->addr.addr.family == info->ifa_family &&
			want->addr.len == info->ifa_prefixlen &&
			memcmp(nla_data(addr), want->addr.addr.bytes,
				addr_size(info->ifa_family)) == 0)
			want->found = true;
	}
}

static bool attr_is_addr(struct nlattr *attr, const struct addr *addr)
{
	return attr && nla_len(attr) == (int)addr_size(addr->family) &&
	       memcmp(nla_data(attr), addr->bytes, addr_size(addr->family)) == 0;
}

static bool attr_is_u32(struct nlattr *attr, uint32_t number, uint32_t missing)
{
	return (attr ? nla_get_u32(attr) : missing) == number;
}

static bool has_metric(struct nlattr *metrics[], int type, uint32_t wanted, uint32_t most)
{
	if (wanted > most) /* what the kernel makes of it */
		wanted = most;
	return wanted == 0 || (metrics[type] && nla_get_u32(metrics[type]) == wanted);
}

static bool has_metrics(struct nlattr *attr, const struct cni_route *want)
{
	struct nlattr *metrics[RTAX_MAX + 1] = {NULL};

	if (!want->mtu && !want->advmss)
		return true;
	if (!attr || nla_parse_nested(metrics, RTAX_MAX, attr, NULL) < 0)
		return false;
	return has_metric(metrics, RTAX_MTU, want->mtu, 65535 - 15) &&
	       has_metric(metrics, RTAX_ADVMSS, want->advmss, 65535 - 40);
}

/* What the result does not say may be anything.  IPv6 knows no scopes, and no
 * priority 0. */
static bool has_extras(
	const struct rtmsg *info, struct nlattr *attrs[], const struct cni_route *want)
{
	bool ipv6 = info->rtm_family == AF_INET6;
	int64_t priority = want->priority == 0 && ipv6 ? 1024 : want->priority;
	int64_t table = want->table == RT_TABLE_UNSPEC ? RT_TABLE_MAIN : want->table;

	if (priority != CNI_UNSET && !attr_is_u32(attrs[RTA_PRIORITY], (uint32_t)priority, 0))
		return false;
	if (table != CNI_UNSET && !attr_is_u32(attrs[RTA_TABLE], (uint32_t)table, info->rtm_table))
		return false;
	if (want->scope != CNI_UNSET && !ipv6 && info->rtm_scope != want->scope)
		return false;
	return has_metrics(attrs[RTA_METRICS], want);
}

/* By its only way or one of several. */
static bool goes_by(struct nlattr *attrs[], const struct addr *gateway)
{
	struct rtnexthop *way;
	int left;

	if (!gateway->family || attr_is_addr(attrs[RTA_GATEWAY], gateway))
		return true;
	if (!attrs[RTA_MULTIPATH])
		return false;
	way = nla_data(attrs[RTA_MULTIPATH]);
	for (left = nla_len(attrs[RTA_MULTIPATH]); RTNH_OK(way, left);
		left -= (int)RTNH_ALIGN(way->rtnh_len), way = RTNH_NEXT(way)) {
		struct nlattr *inner[RTA_MAX + 1];

		if (nla_parse(inner, RTA_MAX, (struct nlattr *)(void *)RTNH_DATA(way),
			    way->rtnh_len - (int)sizeof(*way), NULL) == 0 &&
			attr_is_addr(inner[RTA_GATEWAY], gateway))
			return true;
	}
	return false;
}

static void route_seen(struct nlmsghdr *header, void *data)
{
	const struct rtmsg *info = nlmsg_data(header);
	struct nlattr *attrs[RTA_MAX + 1];
	struct wanted *wanted = data;

	if (nlmsg_parse(header, sizeof(*info), attrs, RTA_MAX, NULL) < 0)
		return;
	for (size_t i = 0; i < wanted->route_count; i++) {
		const struct cni_route *want = &wanted->routes[i];

		if (want->dst.addr.family == info->rtm_family &&
			want->dst.len == info->rtm_dst_len &&
			(want->dst.len == 0 || attr_is_addr(attrs[RTA_DST], &want->dst.addr)) &&
			goes_by(attrs, &want->gateway) && has_extras(info, attrs, want))
			wanted->route_found[i] = true;
	}
}

static int check_addrs(
	int fd, uint32_t *seq, struct wanted *wanted, const char *where, struct err *err)
{
	if (batch_dump(fd, seq, RTM_GETADDR, addr_seen, wanted, err) < 0)
		return -1;
	for (size_t i = 0; i < wanted->addr_count; i++) {
		char text[PREFIX_TEXT_MAX];

		if (!wanted->addrs[i].found)
			return err_set(err, CNI_DIFFERS, "%s lacks %s", where,
				prefix_format(&wanted->addrs[i].addr, text));
	}
	return 0;
}

static int check_routes(int fd, uint32_t *seq, struct wanted *wanted, struct err *err)
{
	if (batch_dump(fd, seq, RTM_GETROUTE, route_seen, wanted, err) < 0)
		return -1;
	for (size_t i = 0; i < wanted->route_count; i++) {
		char text[PREFIX_TEXT_MAX];

		if (!wanted->route_found[i])
			return err_set(err, CNI_DIFFERS,
				"the container lacks the route to %s, or it is not as it was",
				prefix_format(&wanted->routes[i].dst, text));
	}
	return 0;
}

/* ---------------------------------------------------------------- neighbours */

struct wanted_neighbour {
	int index;
	struct addr addr;
	const uint8_t *mac;
	bool found;
};

struct wanted_neighbours {
	struct wanted_neighbour items[LEASE_ADDRS_MAX];
	size_t count;
};

static void want_neighbour(struct wanted_neighbours *wanted, int index, const struct addr *addr,
	const uint8_t mac[PLAN_MAC_SIZE])
{
	wanted->items[wanted->count++] = (struct wanted_neighbour){index, *addr, mac, false};
}

static void neighbour_seen(struct nlmsghdr *header, void *data)
{
	const struct ndmsg *info = nlmsg_data(header);
	struct nlattr *attrs[NDA_MAX + 1];
	struct wanted_neighbours *wanted = data;

	if (nlmsg_parse(header, sizeof(*info), attrs, NDA_MAX, NULL) < 0 || !attrs[NDA_LLADDR] ||
		nla_len(attrs[NDA_LLADDR]) != PLAN_MAC_SIZE)
		return;
	for (size_t i = 0; i < wanted->count; i++) {
		struct wanted_neighbour *want = &wanted->items[i];

		if (want->index == info->ndm_ifindex && want->addr.family == info->ndm_family &&
			(info->ndm_state & NUD_PERMANENT) &&
			attr_is_addr(attrs[NDA_DST], &want->addr) &&
			memcmp(nla_data(attrs[NDA_LLADDR]), want->mac, PLAN_MAC_SIZE) == 0)
			want->found = true;
	}
}

static int check_neighbours(
	int fd, uint32_t *seq, struct wanted_neighbours *wanted, const char *where, struct err *err)
{
	if (batch_dump(fd, seq, RTM_GETNEIGH, neighbour_seen, wanted, err) < 0)
		return -1;
	for (size_t i = 0; i < wanted->count; i++) {
		char text[ADDR_TEXT_MAX];

		if (!wanted->items[i].found)
			return err_set(err, CNI_DIFFERS, "%s lacks the permanent neighbour %s",
				where, addr_format(&wanted->items[i].addr, text));
	}
	return 0;
}

/* ---------------------------------------------------------------- the node */

/* Asked for the way to the pod, the node has to name the pod's link. */
static int check_ways(
	struct netlink *netlink, const struct plan *plan, const struct link *host, struct err *err)
{
	for (size_t i = 0; i < plan->addr_count; i++) {
		const struct addr *addr = &plan->addrs[i].addr.addr;
		_cleanup_batch_ struct batch batch = {0};
		char text[ADDR_TEXT_MAX];
		int oif = 0;

		batch_query_route(&batch, addr, &oif);
		if (batch_run(netlink->fd, &batch, &netlink->seq, err) < 0) {
			err->code = err->code == CNI_KERNEL ? CNI_DIFFERS : err->code;
			return -1;
		}
		if (oif != host->index)
			return err_set(err, CNI_DIFFERS,
				"the node's route to %s does not lead to %s",
				addr_format(addr, text), plan->host.ifname);
	}
	return 0;
}

static int check_routed_host(
	struct netlink *netlink, const struct plan *plan, struct link *host, struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};
	struct wanted_neighbours wanted = {0};

	batch_query_link(&batch, 0, plan->host.ifname, host);
	if (batch_run(netlink->fd, &batch, &netlink->seq, err) < 0)
		return -1;
	if (host->index == 0 || !netlink_is_ours(host, &plan->host))
		return err_set(err, CNI_DIFFERS, "%s is not there", plan->host.ifname);
	if (!(host->flags & IFF_UP) || host->master)
		return err_set(
			err, CNI_DIFFERS, "%s is down or a port of a bridge", plan->host.ifname);
	for (size_t i = 0; i < plan->addr_count; i++)
		want_neighbour(&wanted, host->index, &plan->addrs[i].addr.addr, plan->pod_mac);
	if (check_ways(netlink, plan, host, err) < 0)
		return -1;
	return check_neighbours(netlink->fd, &netlink->seq, &wanted, plan->host.ifname, err);
}

static int check_host(struct netlink *netlink, const struct plan *plan, struct link *host,
	struct arena *mem, struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};
	struct wanted wanted = {0};
	struct link bridge;

	batch_query_link(&batch, 0, plan->host.ifname, host);
	batch_query_link(&batch, 0, plan->bridge, &bridge);
	if (batch_run(netlink->fd, &batch, &netlink->seq, err) < 0)
		return -1;
	if (host->index == 0 || !netlink_is_ours(host, &plan->host))
		return err_set(err, CNI_DIFFERS, "%s is not there", plan->host.ifname);
	if (bridge.index == 0 || !(bridge.flags & IFF_UP))
		return err_set(err, CNI_DIFFERS, "bridge %s is not there or down", plan->bridge);
	if (host->master != bridge.index || !(host->flags & IFF_UP))
		return err_set(err, CNI_DIFFERS, "%s is down or no port of %s", plan->host.ifname,
			plan->bridge);
	for (size_t i = 0; i < plan->addr_count; i++)
		*ARENA_PUSH(mem, wanted.addrs, &wanted.addr_count) = (struct wanted_addr){
			bridge.index, {plan->addrs[i].gateway, plan->addrs[i].addr.len}, false};
	return check_addrs(netlink->fd, &netlink->seq, &wanted, plan->bridge, err);
}

/* ---------------------------------------------------------------- the pod */

/* The interface of ours in the result of ADD; the chain may have added others. */
static const struct cni_interface *pod_interface(
	const struct plan *plan, const struct cni_result *result, int *index)
{
	for (size_t i = 0; i < result->interface_count; i++) {
		const struct cni_interface *interface = &result->interfaces[i];

		if (!*interface->sandbox || strcmp(interface->name, plan->pod_ifname) != 0)
			continue;
		*index = (int)i;
		return interface;
	}
	return NULL;
}

static int check_pod_link(const struct plan *plan, const struct cni_interface *interface,
	const struct link *pod, const struct link *host, struct err *err)
{
	uint8_t mac[PLAN_MAC_SIZE];

	if (pod->index == 0 || pod->index != host->peer || strcmp(pod->kind, "veth") != 0)
		return err_set(err, CNI_DIFFERS, "%s in the container is not the other end of %s",
			plan->pod_ifname, plan->host.ifname);
	if (!(pod->flags & IFF_UP))
		return err_set(err, CNI_DIFFERS, "%s in the container is down", plan->pod_ifname);
	if (mac_parse(interface->mac, mac) && memcmp(mac, pod->mac, PLAN_MAC_SIZE) != 0)
		return err_set(err, CNI_DIFFERS,
			"%s in the container has another MAC address than %s", plan->pod_ifname,
			interface->mac);
	if (interface->mtu && interface->mtu != pod->mtu)
		return err_set(err, CNI_DIFFERS, "%s in the container has MTU %u, not %u",
			plan->pod_ifname, pod->mtu, interface->mtu);
	return 0;
}

static int check_pod_neighbours(int fd, uint32_t *seq, const struct plan *plan,
	const struct link *pod, const struct link *host, struct err *err)
{
	const struct addr ipv4 = plan_routed_gateway(AF_INET), ipv6 = plan_routed_gateway(AF_INET6);
	struct wanted_neighbours wanted = {0};

	if (plan->has_ipv4)
		want_neighbour(&wanted, pod->index, &ipv4, host->mac);
	if (plan->has_ipv6)
		want_neighbour(&wanted, pod->index, &ipv6, host->mac);
	return check_neighbours(fd, seq, &wanted, "the container", err);
}

static int check_pod(struct netlink *netlink, int netns, const struct plan *plan,
	const struct cni_result *previous, const struct link *host, struct arena *mem,
	struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};
	_cleanup_close_ int fd = netlink_enter(netns, err);
	struct wanted wanted = {.routes = previous->routes, .route_count = previous->route_count};
	const struct cni_interface *interface;
	int interface_index;
	struct link pod;

	if (fd < 0)
		return -1;
	interface = pod_interface(plan, previous, &interface_index);
	if (!interface)
		return err_set(err, CNI_CONFIG, "prevResult: no interface %s in a sandbox",
			plan->pod_ifname);
	batch_query_link(&batch, 0, plan->pod_ifname, &pod);
	if (batch_run(fd, &batch, &netlink->seq, err) < 0 ||
		check_pod_link(plan, interface, &pod, host, err) < 0)
		return -1;
	for (size_t i = 0; i < previous->ip_count; i++)
		if (previous->ips[i].interface == interface_index ||
			previous->ips[i].interface == CNI_UNSET)
			*ARENA_PUSH(mem, wanted.addrs, &wanted.addr_count) =
				(struct wanted_addr){pod.index, previous->ips[i].address, false};
	wanted.route_found = arena_alloc(mem, previous->route_count * sizeof(bool) + 1);
	if (check_addrs(fd, &netlink->seq, &wanted, "the container", err) < 0 ||
		(plan->routed &&
			check_pod_neighbours(fd, &netlink->seq, plan, &pod, host, err) < 0))
		return -1;
	return check_routes(fd, &netlink->seq, &wanted, err);
}

int netlink_check(struct netlink *netlink, int netns, const struct plan *plan,
	const struct cni_result *previous, struct err *err)
{
	_cleanup_arena_ struct arena mem = {0};
	struct link host;

	if (plan->routed ? check_routed_host(netlink, plan, &host, err) < 0
			 : check_host(netlink, plan, &host, &mem, err) < 0)
		return -1;
	return check_pod(netlink, netns, plan, previous, &host, &mem, err);
}
