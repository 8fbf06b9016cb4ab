/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "batch.h"
#include "code.h"

#define READY_TIMEOUT_US 2000000

/* ---------------------------------------------------------------- what only we send */

static void create_bridge(struct batch *batch, const struct plan *plan)
{
	const struct ifinfomsg info = {0};
	struct nl_msg *msg = batch_add(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info,
		sizeof(info), EEXIST, "creating bridge %s", plan->bridge);
	struct nlattr *kind;

	batch_put_string(msg, IFLA_IFNAME, plan->bridge);
	/* An address of its own: it would take its ports' and change with them. */
	batch_put(msg, IFLA_ADDRESS, plan->bridge_mac, PLAN_MAC_SIZE);
	kind = batch_nest(msg, IFLA_LINKINFO);
	batch_put_string(msg, IFLA_INFO_KIND, "bridge");
	nla_nest_end(msg, kind);
}

/* One queue each way: left to itself a pair makes one per possible processor, with
 * two sysfs folders each, and then switches all but one of them off again. */
static void put_queues(struct nl_msg *msg)
{
	batch_put_u32(msg, IFLA_NUM_TX_QUEUES, 1);
	batch_put_u32(msg, IFLA_NUM_RX_QUEUES, 1);
}

static void put_peer(struct nl_msg *msg, const struct plan *plan, int netns)
{
	const struct ifinfomsg info = {0};
	struct nlattr *peer = batch_nest(msg, VETH_INFO_PEER);

	if (nlmsg_append(msg, (void *)(uintptr_t)&info, sizeof(info), NLMSG_ALIGNTO) < 0)
		abort();
	batch_put_string(msg, IFLA_IFNAME, plan->pod_ifname);
	batch_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)netns);
	batch_put(msg, IFLA_ADDRESS, plan->pod_mac, PLAN_MAC_SIZE);
	batch_put_u32(msg, IFLA_MTU, plan->mtu);
	put_queues(msg);
	nla_nest_end(msg, peer);
}

/* EXCL makes the kernel refuse the whole pair, and leave nothing, when either of
 * the two names is taken. */
static void create_pair(struct batch *batch, const struct plan *plan, int bridge, int netns)
{
	const struct ifinfomsg info = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nl_msg *msg =
		batch_add(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info), 0,
			"creating %s in the container and %s", plan->pod_ifname, plan->host.ifname);
	struct nlattr *kind, *data;

	batch_put_string(msg, IFLA_IFNAME, plan->host.ifname);
	batch_put(msg, IFLA_ADDRESS, plan->host.mac, PLAN_MAC_SIZE);
	batch_put_u32(msg, IFLA_MTU, plan->mtu);
	if (!plan->routed)
		batch_put_u32(msg, IFLA_MASTER, (uint32_t)bridge);
	put_queues(msg);
	kind = batch_nest(msg, IFLA_LINKINFO);
	batch_put_string(msg, IFLA_INFO_KIND, "veth");
	data = batch_nest(msg, IFLA_INFO_DATA);
	put_peer(msg, plan, netns);
	nla_nest_end(msg, data);
	nla_nest_end(msg, kind);
}

static void set_alias(struct batch *batch, const struct plan *plan)
{
	struct nl_msg *msg =
		batch_change_link(batch, 0, plan->host.ifname, 0, 0, "setting the alias of");

	batch_put(msg, IFLA_IFALIAS, plan->host_alias, strlen(plan->host_alias));
}

/* Strict reverse path: what comes out of a routed pod has to come from an address
 * whose route leads to this pod.  A node that is set to 2 (loose) overrules it: the
 * kernel takes the larger of the two. */
static void set_rp_filter(struct batch *batch, const struct plan *plan)
{
	struct nl_msg *msg =
		batch_change_link(batch, 0, plan->host.ifname, 0, 0, "setting rp_filter of");
	struct nlattr *spec = batch_nest(msg, IFLA_AF_SPEC);
	struct nlattr *inet = batch_nest(msg, AF_INET);
	struct nlattr *conf = batch_nest(msg, IFLA_INET_CONF);

	batch_put_u32(msg, IPV4_DEVCONF_RP_FILTER, 1);
	nla_nest_end(msg, conf);
	nla_nest_end(msg, inet);
	nla_nest_end(msg, spec);
}

static void set_hairpin(struct batch *batch, const struct plan *plan)
{
	struct nl_msg *msg =
		batch_change_link(batch, 0, plan->host.ifname, 0, 0, "setting hairpin of");
	struct nlattr *info = batch_nest(msg, IFLA_LINKINFO), *port;

	batch_put_string(msg, IFLA_INFO_SLAVE_KIND, "bridge");
	port = batch_nest(msg, IFLA_INFO_SLAVE_DATA);
	batch_put_u8(msg, IFLA_BRPORT_MODE, 1);
	nla_nest_end(msg, port);
	nla_nest_end(msg, info);
}

/* ---------------------------------------------------------------- sysctls and namespaces */

/* No such file: the kernel has no IPv6, and with it nothing to be set. */
static int sysctl_write(const char *path, const char *value, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return batch_error(err, path);
	return 0;
}

/* Reads first: these are almost always right already, and to write them takes the
 * RTNL lock by trying until it is free, which burns a processor while other pods
 * are being made (restart_syscall() in net/ipv6/addrconf.c).  /proc/sys may also be
 * read-only and right. */
static int sysctl_switch(const char *path, bool on, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char value = '0';

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || read(fd, &value, 1) < 0)
		return batch_error(err, path);
	return (value != '0') == on ? 0 : sysctl_write(path, on ? "1" : "0", err);
}

/* Router advertisements have no say in pods and on their bridge: a pod could send
 * them (CVE-2020-10749).  Files of the namespace that this process is in. */
static int sysctl_ipv6_link(const char *ifname, bool enable, struct err *err)
{
	char path[96];

	if (enable) {
		snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
		if (sysctl_switch(path, false, err) < 0)
			return -1;
	}
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", ifname);
	return sysctl_write(path, "0", err);
}

/* As IPv4's do, its IPv6 addresses outlive that a link is down for a moment: `tuning`
 * behind us takes it down to change its MAC address.  Not so with routed pods, whose
 * neighbours are lost then in any case. */
static int sysctl_keep_addrs(const char *ifname, struct err *err)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/keep_addr_on_down", ifname);
	return sysctl_write(path, "1", err);
}

#define FORWARD_IPV4 "/proc/sys/net/ipv4/ip_forward"
#define FORWARD_IPV6 "/proc/sys/net/ipv6/conf/all/forwarding"

static int switch_forwarding_on(const struct plan *plan, struct err *err)
{
	if (plan->has_ipv4 && sysctl_switch(FORWARD_IPV4, true, err) < 0)
		return -1;
	if (plan->has_ipv6 && sysctl_switch(FORWARD_IPV6, true, err) < 0)
		return -1;
	return 0;
}

int netlink_check_forwarding(uint8_t family, struct err *err)
{
	const char *path = family == AF_INET ? FORWARD_IPV4 : FORWARD_IPV6;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char value = '0';

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || read(fd, &value, 1) < 0 || (value == '0' && access(path, W_OK) < 0))
		return batch_error(err, path);
	return 0;
}

/* Namespaces are compared by their files; looking needs no open(), which on an
 * arbitrary path could have effects. */
bool netlink_is_own_netns(const char *path)
{
	struct stat own, other;

	return stat("/proc/self/ns/net", &own) == 0 && stat(path, &other) == 0 &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

int netlink_open_netns(const char *path, bool own, int *fd, struct err *err)
{
	struct statfs fs;

	/* O_NONBLOCK: a fifo must not hang us. */
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0) {
		err_errno(err, "CNI_NETNS %s", path);
		err->code = CNI_ENVIRONMENT;
		return -1;
	}
	if (fstatfs(*fd, &fs) < 0 || fs.f_type != NSFS_MAGIC ||
		ioctl(*fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return err_set(err, CNI_ENVIRONMENT, "CNI_NETNS %s: no network namespace", path);
	if (!own && netlink_is_own_netns(path))
		return err_set(err, CNI_NETNS, "CNI_NETNS %s is the host's own namespace", path);
	return 0;
}

static int open_socket(struct err *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), on = 1;

	if (fd < 0)
		return batch_error(err, "netlink socket");
	/* Without it errors are a number; with it often a sentence. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	return fd;
}

int netlink_open(struct netlink *netlink, struct err *err)
{
	*netlink = NETLINK_CLOSED;
	netlink->fd = open_socket(err);
	return netlink->fd < 0 ? -1 : 0;
}

void netlink_close(struct netlink *netlink)
{
	cleanup_close(&netlink->fd);
}

/* Goes into the pod's namespace for good and opens a socket there. */
int netlink_enter(int netns, struct err *err)
{
	return setns(netns, CLONE_NEWNET) < 0 ? batch_error(err, "setns") : open_socket(err);
}

/* ---------------------------------------------------------------- apply */

static int check_bridge(const struct plan *plan, const struct link *bridge, struct err *err)
{
	if (bridge->index == 0)
		return err_set(err, CNI_KERNEL, "bridge %s is gone", plan->bridge);
	if (strcmp(bridge->kind, "bridge") != 0)
		return err_set(
			err, CNI_CONFIG, "bridge: %s is there and is no bridge", plan->bridge);
	return 0;
}

/* Two first pods may do this at the same time: every part may be there already. */
static int make_bridge(
	struct netlink *netlink, const struct plan *plan, struct link *bridge, struct err *err)
{
	_cleanup_batch_ struct batch create = {0}, configure = {0};

	create_bridge(&create, plan);
	batch_query_link(&create, 0, plan->bridge, bridge);
	if (batch_run(netlink->fd, &create, &netlink->seq, err) < 0 ||
		check_bridge(plan, bridge, err) < 0 ||
		sysctl_ipv6_link(plan->bridge, plan->has_ipv6, err) < 0)
		return -1;
	batch_set_no_link_local(&configure, bridge->index, plan->bridge);
	batch_set_up(&configure, bridge->index, plan->bridge);
	if (plan->has_ipv6)
		batch_add_link_local(&configure, bridge->index, plan->bridge, bridge->mac);
	return batch_run(netlink->fd, &configure, &netlink->seq, err);
}

static int already_there(const struct plan_identity *identity, struct err *err)
{
	return err_set(err, CNI_EXISTS, "%s exists: this container has this interface already",
		identity->ifname);
}

int netlink_check_free(
	struct netlink *netlink, const struct plan_identity *identity, struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};
	struct link link;

	batch_query_link(&batch, 0, identity->ifname, &link);
	if (batch_run(netlink->fd, &batch, &netlink->seq, err) < 0)
		return -1;
	return link.index ? already_there(identity, err) : 0;
}

/* Finds the bridge, makes it when it is missing or down, and sees to it that this
 * attachment is not there yet. */
static int look_around(
	struct netlink *netlink, struct plan *plan, struct link *bridge, struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};
	struct link host;

	batch_query_link(&batch, 0, plan->host.ifname, &host);
	if (!plan->routed)
		batch_query_link(&batch, 0, plan->bridge, bridge);
	if (batch_run(netlink->fd, &batch, &netlink->seq, err) < 0)
		return -1;
	if (host.index)
		return already_there(&plan->host, err);
	if (plan->routed)
		return 0;
	if ((bridge->index == 0 || !(bridge->flags & IFF_UP)) &&
		make_bridge(netlink, plan, bridge, err) < 0)
		return -1;
	memcpy(plan->bridge_mac, bridge->mac, PLAN_MAC_SIZE);
	return check_bridge(plan, bridge, err);
}

/* For addresses of the documentation ranges (RFC 5737, RFC 3849) there is never
 * more than a default route. */
static const struct addr *nowhere(uint8_t family)
{
	static const struct addr ipv4 = {.family = AF_INET, .bytes = {192, 0, 2, 1}},
				 ipv6 = {.family = AF_INET6, .bytes = {0x20, 0x01, 0x0d, 0xb8}};

	return family == AF_INET ? &ipv4 : &ipv6;
}

/* A host without a default route has no uplink; whatever the kernel says then, the
 * answer is Ethernet's. */
static void find_mtu(struct netlink *netlink, struct plan *plan)
{
	_cleanup_batch_ struct batch route = {0}, device = {0};
	struct err ignored;
	struct link link;
	int oif = 0;

	plan->mtu = PLAN_MTU_FALLBACK;
	batch_query_route(&route, nowhere(plan->has_ipv4 ? AF_INET : AF_INET6), &oif);
	if (batch_run(netlink->fd, &route, &netlink->seq, &ignored) < 0 || oif == 0)
		return;
	batch_query_link(&device, oif, "the uplink", &link);
	if (batch_run(netlink->fd, &device, &netlink->seq, &ignored) == 0 &&
		link.mtu >= CNI_MTU_MIN && link.mtu <= 65535 && !(link.flags & IFF_LOOPBACK))
		plan->mtu = link.mtu;
}

/* The bridge's addresses ride along: in the usual case they are there, and finding
 * that out costs no more than adding them. */
static int apply_host(struct netlink *netlink, int netns, const struct plan *plan, int bridge,
	struct link *host, struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};
	size_t created;
	int failed;

	for (size_t i = 0; i < plan->gateway_count; i++)
		batch_add_addr(&batch, bridge, plan->bridge, &plan->gateways[i]);
	create_pair(&batch, plan, bridge, netns);
	created = batch.count - 1;
	set_alias(&batch, plan);
	batch_set_no_link_local(&batch, 0, plan->host.ifname);
	if (plan->routed)
		set_rp_filter(&batch, plan);
	else if (plan->hairpin)
		set_hairpin(&batch, plan);
	batch_query_link(&batch, 0, plan->host.ifname, host);
	failed = batch_run(netlink->fd, &batch, &netlink->seq, err);
	/* A failure may be in any step; undo has to know about this one. */
	netlink->created = batch.steps[created].error == 0;
	if (!failed && host->index == 0)
		return err_set(err, CNI_KERNEL, "%s is gone", plan->host.ifname);
	return failed;
}

/* The gateways need not exist: what is sent to them goes to the node's end. */
static void add_pod_neighbours(struct batch *batch, int index, const struct plan *plan)
{
	const struct addr ipv4 = plan_routed_gateway(AF_INET), ipv6 = plan_routed_gateway(AF_INET6);

	if (plan->has_ipv4)
		batch_add_neighbour(batch, index, plan->pod_ifname, &ipv4, plan->host.mac);
	if (plan->has_ipv6)
		batch_add_neighbour(batch, index, plan->pod_ifname, &ipv6, plan->host.mac);
}

/* `pod` is a socket in the namespace that we are in by now. */
static int apply_pod(
	struct netlink *netlink, int pod, const struct plan *plan, int index, struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};
	struct link link;

	if (sysctl_ipv6_link(plan->pod_ifname, plan->has_ipv6, err) < 0 ||
		(plan->has_ipv6 && !plan->routed && sysctl_keep_addrs(plan->pod_ifname, err) < 0))
		return -1;
	batch_set_up(&batch, 0, "lo");
	batch_set_no_link_local(&batch, index, plan->pod_ifname);
	batch_set_up(&batch, index, plan->pod_ifname);
	for (size_t i = 0; i < plan->addr_count; i++)
		batch_add_addr(&batch, index, plan->pod_ifname, &plan->addrs[i].addr);
	if (plan->has_ipv6)
		batch_add_link_local(&batch, index, plan->pod_ifname, plan->pod_mac);
	if (plan->routed)
		add_pod_neighbours(&batch, index, plan);
	batch_add_routes(&batch, index, plan->routes, plan->route_count, plan->routed);
	/* By name: somebody in the pod may have renamed it meanwhile. */
	batch_query_link(&batch, 0, plan->pod_ifname, &link);
	if (batch_run(pod, &batch, &netlink->seq, err) < 0)
		return -1;
	return link.index == index
		       ? 0
		       : err_set(err, CNI_KERNEL, "%s in the container is gone", plan->pod_ifname);
}

/* From here on the node reaches a routed pod. */
static int apply_pod_routes(
	struct netlink *netlink, const struct plan *plan, int host, struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};

	for (size_t i = 0; i < plan->addr_count; i++) {
		const struct addr *addr = &plan->addrs[i].addr.addr;

		batch_add_neighbour(&batch, host, plan->host.ifname, addr, plan->pod_mac);
		batch_add_pod_route(&batch, host, addr);
	}
	return batch_run(netlink->fd, &batch, &netlink->seq, err);
}

/* A port of a bridge that speaks STP takes half a minute by design; whoever
 * switched it on wants that. */
static bool forwards(const struct plan *plan, const struct link *host, const struct link *bridge)
{
	if (host->operstate != IF_OPER_UP)
		return false;
	if (plan->routed)
		return true;
	if (host->port_state == BR_STATE_DISABLED)
		return false;
	return host->port_state != BR_STATE_FORWARDING || bridge->operstate == IF_OPER_UP;
}

static int look_at_node(struct netlink *netlink, const struct plan *plan, int host_index,
	int bridge_index, bool *ready, struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};
	struct link host, bridge;
	bool all_local = true;

	batch_query_link(&batch, host_index, plan->host.ifname, &host);
	if (!plan->routed)
		batch_query_link(&batch, bridge_index, plan->bridge, &bridge);
	for (size_t i = 0; i < plan->gateway_count; i++)
		batch_query_local(&batch, &plan->gateways[i].addr, &all_local);
	if (batch_run(netlink->fd, &batch, &netlink->seq, err) < 0)
		return -1;
	if (host.index == 0 || (!plan->routed && bridge.index == 0))
		return err_set(err, CNI_KERNEL, "%s is gone",
			host.index ? plan->bridge : plan->host.ifname);
	*ready = all_local && forwards(plan, &host, &bridge);
	return 0;
}

static int look_at_pod(
	struct netlink *netlink, int pod, const struct plan *plan, bool *ready, struct err *err)
{
	_cleanup_batch_ struct batch batch = {0};

	*ready = true;
	if (!plan->has_ipv6)
		return 0;
	for (size_t i = 0; i < plan->addr_count; i++)
		batch_query_local(&batch, &plan->addrs[i].addr.addr, ready);
	return batch_run(pod, &batch, &netlink->seq, err);
}

/* Two things the kernel leaves to work queues.  A new pair has its carrier at once,
 * but the link watch has to notice before the port forwards and packets leave; since
 * Linux 6.8 looking at a link makes it notice (first the port, then the bridge, whose
 * first port this may be), before that it takes a moment.  And an IPv6 address has no
 * local route and answers no neighbour solicitation before addrconf_dad_work() has
 * seen to it, also when there is no duplicate address detection to be done. */
static int wait_until_ready(struct netlink *netlink, int pod, const struct plan *plan,
	int host_index, int bridge_index, struct err *err)
{
	bool node_ready = false, pod_ready = false;
	int pause_us = 50;

	for (int waited_us = 0; waited_us < READY_TIMEOUT_US; waited_us += pause_us) {
		const struct timespec pause = {.tv_nsec = pause_us * 1000};

		if (!node_ready &&
			look_at_node(netlink, plan, host_index, bridge_index, &node_ready, err) < 0)
			return -1;
		if (!pod_ready && look_at_pod(netlink, pod, plan, &pod_ready, err) < 0)
			return -1;
		if (node_ready && pod_ready)
			return 0;
		if (nanosleep(&pause, NULL) < 0)
			return batch_error(err, plan->host.ifname);
		if (pause_us < 6400)
			pause_us *= 2;
	}
	return err_set(err, CNI_KERNEL, "%s is not ready after %d ms", plan->host.ifname,
		READY_TIMEOUT_US / 1000);
}

int netlink_apply(struct netlink *netlink, int netns, struct plan *plan, struct err *err)
{
	_cleanup_close_ int pod = -1;
	struct link bridge = {0}, host;

	if (look_around(netlink, plan, &bridge, err) < 0 || switch_forwarding_on(plan, err) < 0)
		return -1;
	if (plan->mtu == 0)
		find_mtu(netlink, plan);
	if (apply_host(netlink, netns, plan, bridge.index, &host, err) < 0)
		return -1;
	/* A bridge's ports take no part in IPv6, a routed pod's link does.  Files of
	 * the node's namespace, which we leave next. */
	if (plan->routed && sysctl_ipv6_link(plan->host.ifname, plan->has_ipv6, err) < 0)
		return -1;
	pod = netlink_enter(netns, err);
	if (pod < 0 || apply_pod(netlink, pod, plan, host.peer, err) < 0 ||
		(plan->routed && apply_pod_routes(netlink, plan, host.index, err) < 0))
		return -1;
	return wait_until_ready(netlink, pod, plan, host.index, bridge.index, err);
}

/* ---------------------------------------------------------------- undo */

/* Only between creating a pair and setting its alias is there none: a pair of our
 * name without one is ours. */
bool netlink_is_ours(const struct link *link, const struct plan_identity *identity)
{
	return strcmp(link->kind, "veth") == 0 &&
	       (!*link->alias ||
		       strncmp(link->alias, identity->alias, strlen(identity->alias)) == 0);
}

int netlink_remove(struct netlink *netlink, const struct plan_identity *identity, struct err *err)
{
	_cleanup_batch_ struct batch look = {0}, delete = {0};
	struct ifinfomsg info = {0};
	struct link link;

	batch_query_link(&look, 0, identity->ifname, &link);
	if (batch_run(netlink->fd, &look, &netlink->seq, err) < 0)
		return -1;
	if (link.index == 0 || !netlink_is_ours(&link, identity))
		return 0;
	/* By index: a name could mean another link by now.  ENODEV: the pod's namespace
	 * is being destroyed and was faster. */
	info.ifi_index = link.index;
	batch_add(&delete, RTM_DELLINK, 0, &info, sizeof(info), ENODEV, "deleting %s",
		identity->ifname);
	return batch_run(netlink->fd, &delete, &netlink->seq, err);
}

int netlink_undo(struct netlink *netlink, const struct plan *plan, struct err *err)
{
	return netlink->created ? netlink_remove(netlink, &plan->host, err) : 0;
}
