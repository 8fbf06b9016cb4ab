/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan -- what the kernel has to hold for one attachment: a pure value.
 *
 * A request, completed, and a lease (or the answer of another IPAM plugin) give a
 * plan; netlink does it, checks it or undoes it, and the result that the runtime
 * gets is read off it.
 *
 * There are two kinds of plan.  With a bridge, the pods of a node share a segment,
 * and the bridge has a gateway address in every subnet.  Routed, a pod shares its
 * link with nobody but the node: its addresses stand alone (/32, /128), the way out
 * is a link-local address that need not exist, because both ends have a permanent
 * neighbour for the other, and the node has a route per address.
 *
 * Names and MAC addresses are computed, never drawn: DEL finds the host's end of
 * a pair by name without being told, and a MAC address that follows from the IP
 * address keeps the neighbour caches of the bridge and of the other pods right
 * when an address is used again (containernetworking/plugins#756). */
#ifndef ROOST_CNI_PLAN_H
#define ROOST_CNI_PLAN_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "lease.h"
#include "protocol.h"

#define PLAN_MAC_SIZE 6
#define PLAN_ALIAS_SIZE 256 /* IFALIASZ; the kernel takes 255 bytes */
#define PLAN_MTU_FALLBACK 1500

/* The number that the node's routes to routed pods carry ("ip route show proto 82"),
 * so that everyone can tell them from others'.  Not in iproute2's rt_protos, and not
 * Coil's 30, Calico's 80 or OVN's 84. */
#define PLAN_ROUTE_PROTOCOL 82
#define PLAN_ROUTE_METRIC 16 /* BIRD's are 32 and above (bird-templates) */

/* The link on the host that belongs to an attachment, known without a lease. */
struct plan_identity {
	char ifname[IFNAMSIZ];	     /* "rst" and 11 hexadecimal digits */
	char alias[PLAN_ALIAS_SIZE]; /* how the link's alias starts, up to the addresses */
	uint8_t mac[PLAN_MAC_SIZE];
};

struct plan_addr {
	struct prefix addr; /* the pod's, with the length of its subnet; routed: alone */
	struct addr gateway;
};

struct plan {
	const char *netns;
	bool routed; /* then there is no bridge and there are no gateways */
	const char *bridge;
	uint8_t bridge_mac[PLAN_MAC_SIZE];
	struct prefix *gateways; /* the bridge's addresses */
	size_t gateway_count;

	struct plan_identity host;
	char host_alias[PLAN_ALIAS_SIZE]; /* with the addresses */
	bool hairpin;

	const char *pod_ifname;
	uint8_t pod_mac[PLAN_MAC_SIZE];
	struct plan_addr addrs[LEASE_ADDRS_MAX];
	size_t addr_count;
	struct cni_route *routes; /* every gateway filled in */
	size_t route_count;

	uint32_t mtu; /* 0: the uplink's; netlink_apply() fills it in */
	bool has_ipv4, has_ipv6;
};

void plan_identify(const char *network, const char *container, const char *ifname,
	struct plan_identity *identity);

/* The other way round: the lease that a link's alias tells of.  False when the link is
 * no attachment of this network.  addr_count is 0 when the addresses did not fit. */
bool plan_lease_of(const char *alias, const char *network, struct lease *lease);

/* What the request wants of the lease store; it points into the request. */
struct lease_want plan_lease(const struct cni_request *request);

/* CNI_CONFIG when the lease has an address that the request has no range for, or
 * routes cannot be had in this mode. */
int plan_make(const struct cni_request *request, const struct lease *lease, struct arena *mem,
	struct plan *plan, struct err *err);

/* The same for addresses that another IPAM plugin chose, its answer. */
int plan_make_delegated(const struct cni_request *request, const struct cni_result *answer,
	struct arena *mem, struct plan *plan, struct err *err);

/* What ADD made, as prevResult tells it: ranges, bridge and mode of the configuration
 * may be others by now, and a pod stays as it was made.  Of its addresses those of
 * the lease, with a lease; later plugins of the chain may have added some.  It has no
 * routes: CHECK takes those of prevResult. */
int plan_make_previous(const struct cni_request *request, const struct lease *lease,
	struct plan *plan, struct err *err);

/* What ADD answers when only the addresses are ours to give. */
int plan_ipam_result(const struct cni_request *request, const struct lease *lease,
	struct arena *mem, struct cni_result *result, struct err *err);

/* The address that pods send everything to when they are routed. */
struct addr plan_routed_gateway(uint8_t family);

/* Whether the kernel takes both for one route; if their gateways differ, it is one with
 * several ways. */
bool plan_same_route(const struct cni_route *a, const struct cni_route *b);

/* What ADD answers once the plan is done: of the routes those that are ours. */
void plan_result(const struct cni_request *request, const struct plan *plan, struct arena *mem,
	struct cni_result *result);

/* The link-local address that belongs to a MAC address (RFC 4291, appendix A). */
struct addr plan_link_local(const uint8_t mac[PLAN_MAC_SIZE]);

#endif
