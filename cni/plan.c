/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/hash.h"

/* 0a:58 and the last four bytes of the IP address, the way kubenet and the early
 * bridge plugin did it: unique on a bridge whose pods are. */
static void mac_from_addr(const struct addr *addr, uint8_t mac[PLAN_MAC_SIZE])
{
	mac[0] = 0x0a;
	mac[1] = 0x58;
	memcpy(mac + 2, addr->bytes + addr_size(addr->family) - 4, 4);
}

void plan_identify(const char *network, const char *container, const char *ifname,
	struct plan_identity *identity)
{
	uint64_t hash = HASH_START;

	/* With their NULs, so that "a","bc" and "ab","c" are two names. */
	hash = hash_add(hash, network, strlen(network) + 1);
	hash = hash_add(hash, container, strlen(container) + 1);
	hash = hash_add(hash, ifname, strlen(ifname) + 1);
	hash ^= hash >> 32; /* FNV mixes upwards: let the low digits have it, too */
	snprintf(identity->ifname, sizeof(identity->ifname), "rst%011llx",
		(unsigned long long)(hash & UINT64_C(0xfffffffffff)));
	/* Fits: CNI_NETWORK_MAX + LEASE_CONTAINER_MAX + 15 + 9 < 256. */
	snprintf(identity->alias, sizeof(identity->alias), "roost %s %s %s ", network, container,
		ifname);
	/* fe: a bridge takes the lowest of its ports' addresses if it has none of its own. */
	identity->mac[0] = 0xfe;
	for (size_t i = 1; i < PLAN_MAC_SIZE; i++)
		identity->mac[i] = (uint8_t)(hash >> (8 * i));
}

struct addr plan_link_local(const uint8_t mac[PLAN_MAC_SIZE])
{
	return (struct addr){
		.family = AF_INET6,
		.bytes = {0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4],
			mac[5]},
	};
}

/* The range that has it; else, for a lease from before the ranges were changed, one
 * of the same subnet. */
static const struct range *find_range(const struct cni_request *request, const struct addr *addr)
{
	const struct range *subnets = NULL;

	for (size_t i = 0; i < request->set_count; i++)
		for (size_t k = 0; k < request->sets[i].count; k++) {
			const struct range *range = &request->sets[i].ranges[k];

			if (range_index(range, addr) < range_size(range))
				return range;
			if (prefix_contains_addr(&range->subnet, addr))
				subnets = range;
		}
	return subnets;
}

static void add_addr(struct plan *plan, const struct prefix *addr, const struct addr *gateway)
{
	plan->addrs[plan->addr_count++] = (struct plan_addr){*addr, *gateway};
	if (addr->addr.family == AF_INET)
		plan->has_ipv4 = true;
	else
		plan->has_ipv6 = true;
}

static int add_addrs(struct plan *plan, const struct cni_request *request,
	const struct lease *lease, struct err *err)
{
	for (size_t i = 0; i < lease->addr_count; i++) {
		const struct prefix addr = {lease->addrs[i], 0};
		const struct range *range = find_range(request, &addr.addr);
		char text[ADDR_TEXT_MAX];

		if (!range)
			return err_set(err, CNI_CONFIG, "%s is in no range of this configuration",
				addr_format(&addr.addr, text));
		add_addr(plan, &(struct prefix){addr.addr, range->subnet.len}, &range->gateway);
	}
	return 0;
}

/* An IPAM plugin need not name a gateway; the first address of the subnet is what
 * the reference plugin bridge takes then. */
static int add_answered(struct plan *plan, const struct cni_ip *ip, struct err *err)
{
	struct addr gateway = ip->gateway, start = prefix_first(&ip->address);
	char text[PREFIX_TEXT_MAX];

	if (plan->addr_count == LEASE_ADDRS_MAX)
		return err_set(
			err, CNI_CONFIG, "more than %d addresses for a pod", LEASE_ADDRS_MAX);
	if (!gateway.family)
		addr_add(&start, 1, &gateway);
	/* Routed, nobody asks where the subnet ends. */
	if (!plan->routed && (!prefix_contains_addr(&ip->address, &gateway) ||
				     addr_cmp(&ip->address.addr, &gateway) == 0))
		return err_set(err, CNI_CONFIG,
			"%s and no gateway in its subnet, the bridge needs one",
			prefix_format(&ip->address, text));
	add_addr(plan, &ip->address, &gateway);
	return 0;
}

static void add_gateway(struct plan *plan, struct prefix gateway, struct arena *mem)
{
	for (size_t n = 0; n < plan->gateway_count; n++)
		if (prefix_cmp(&plan->gateways[n], &gateway) == 0)
			return;
	*ARENA_PUSH(mem, plan->gateways, &plan->gateway_count) = gateway;
}

/* Every range's, not only those of this pod: pods with addresses of the other
 * ranges live on the same bridge. */
static void add_gateways(struct plan *plan, const struct cni_request *request, struct arena *mem)
{
	for (size_t i = 0; i < request->set_count; i++)
		for (size_t k = 0; k < request->sets[i].count; k++) {
			const struct range *range = &request->sets[i].ranges[k];

			add_gateway(plan, (struct prefix){range->gateway, range->subnet.len}, mem);
		}
}

/* NULL when the pod has no address of that family. */
static const struct addr *gateway_of(const struct plan *plan, uint8_t family)
{
	for (size_t i = 0; i < plan->addr_count; i++)
		if (plan->addrs[i].addr.addr.family == family)
			return &plan->addrs[i].gateway;
	return NULL;
}

/* One default route per family, via the gateway of the first address of it. */
static void add_default_routes(struct plan *plan, struct arena *mem)
{
	for (size_t i = 0; i < plan->addr_count; i++) {
		const struct plan_addr *addr = &plan->addrs[i];

		if (gateway_of(plan, addr->addr.addr.family) != &addr->gateway)
			continue;
		*ARENA_PUSH(mem, plan->routes, &plan->route_count) = (struct cni_route){
			.dst = {.addr = {.family = addr->addr.addr.family}},
			.gateway = addr->gateway,
			.priority = CNI_UNSET,
			.table = CNI_UNSET,
			.scope = CNI_UNSET,
		};
	}
}

/* A pod from before the configuration had a family does without its routes. */
static void add_routes(
	struct plan *plan, const struct cni_route *routes, size_t count, struct arena *mem)
{
	for (size_t i = 0; i < count; i++) {
		struct cni_route route = routes[i];
		const struct addr *gateway = gateway_of(plan, route.dst.addr.family);

		if (!gateway)
			continue;
		/* A route of scope link or host goes to no gateway. */
		if (!route.gateway.family && route.scope < RT_SCOPE_LINK)
			route.gateway = *gateway;
		*ARENA_PUSH(mem, plan->routes, &plan->route_count) = route;
	}
}

/* "roost NETWORK CONTAINER INTERFACE ADDRESS,ADDRESS": what a lost store is
 * rebuilt from.  An address that does not fit, behind names of 200 letters, is left
 * out whole; the comma before it tells so. */
static void write_alias(struct plan *plan)
{
	size_t len = strlen(plan->host.alias);
	const char *comma = "";

	memcpy(plan->host_alias, plan->host.alias, len + 1);
	for (size_t i = 0; i < plan->addr_count; i++) {
		char text[ADDR_TEXT_MAX];

		addr_format(&plan->addrs[i].addr.addr, text);
		len += (size_t)snprintf(
			plan->host_alias + len, sizeof(plan->host_alias) - len, "%s", comma);
		/* One byte more, for the next comma. */
		if (len + strlen(text) + 1 >= sizeof(plan->host_alias))
			return;
		len += (size_t)snprintf(
			plan->host_alias + len, sizeof(plan->host_alias) - len, "%s", text);
		comma = ",";
	}
}

/* The next word of *text, up to `end`, into `room`; false when it is none or too long. */
static bool take_word(const char **text, char end, char *room, size_t size)
{
	const char *stop = strchrnul(*text, end);
	size_t len = (size_t)(stop - *text);

	if (len == 0 || len >= size)
		return false;
	memcpy(room, *text, len);
	room[len] = '\0';
	*text = *stop ? stop + 1 : stop;
	return true;
}

/* All of them or none: a half-known lease would give away the other half. */
static size_t read_addrs(const char *text, struct addr addrs[LEASE_ADDRS_MAX])
{
	char word[ADDR_TEXT_MAX];
	size_t count = 0;
	bool more = true;

	for (; more; count++) {
		more = strchr(text, ',') != NULL;
		if (count == LEASE_ADDRS_MAX || !take_word(&text, ',', word, sizeof(word)) ||
			!addr_parse(word, &addrs[count]))
			return 0;
	}
	return count;
}

bool plan_lease_of(const char *alias, const char *network, struct lease *lease)
{
	char word[CNI_NETWORK_MAX + 1];

	*lease = (struct lease){.state = LEASE_HELD};
	if (!take_word(&alias, ' ', word, sizeof(word)) || strcmp(word, "roost") != 0 ||
		!take_word(&alias, ' ', word, sizeof(word)) || strcmp(word, network) != 0 ||
		!take_word(&alias, ' ', lease->container, sizeof(lease->container)) ||
		!take_word(&alias, ' ', lease->ifname, sizeof(lease->ifname)))
		return false;
	lease->addr_count = read_addrs(alias, lease->addrs);
	return true;
}

struct addr plan_routed_gateway(uint8_t family)
{
	static const struct addr ipv4 = {.family = AF_INET, .bytes = {169, 254, 1, 1}},
				 ipv6 = {.family = AF_INET6, .bytes = {0xfe, 0x80, [15] = 1}};

	return family == AF_INET ? ipv4 : ipv6;
}

static bool is_gateway(const struct plan *plan, const struct addr *addr)
{
	for (size_t i = 0; i < plan->gateway_count; i++)
		if (addr_cmp(&plan->gateways[i].addr, addr) == 0)
			return true;
	return false;
}

/* Turns a plan with a bridge into one without: where it says "the node", by whichever
 * gateway address, it means the link-local one now.  There is no one else on the link. */
static int make_routed(struct plan *plan, struct err *err)
{
	for (size_t i = 0; i < plan->route_count; i++) {
		struct cni_route *route = &plan->routes[i];
		struct addr gateway = plan_routed_gateway(route->dst.addr.family);
		char text[PREFIX_TEXT_MAX];

		if (!is_gateway(plan, &route->gateway) && addr_cmp(&route->gateway, &gateway) != 0)
			return err_set(err, CNI_CONFIG,
				"mode routed: the route to %s can only go by the node, without gw",
				prefix_format(&route->dst, text));
		route->gateway = gateway;
	}
	for (size_t i = 0; i < plan->addr_count; i++) {
		struct plan_addr *addr = &plan->addrs[i];

		addr->addr.len = addr_bits(addr->addr.addr.family);
		addr->gateway = plan_routed_gateway(addr->addr.addr.family);
	}
	plan->gateway_count = 0;
	return 0;
}

static int64_t kernels_table(const struct cni_route *route)
{
	return route->table == CNI_UNSET || route->table == RT_TABLE_UNSPEC ? RT_TABLE_MAIN
									    : route->table;
}

static int64_t kernels_priority(const struct cni_route *route)
{
	if (route->priority != CNI_UNSET && route->priority != 0)
		return route->priority;
	return route->dst.addr.family == AF_INET6 ? 1024 : 0; /* IP6_RT_PRIO_USER */
}

bool plan_same_route(const struct cni_route *a, const struct cni_route *b)
{
	return prefix_cmp(&a->dst, &b->dst) == 0 && kernels_table(a) == kernels_table(b) &&
	       kernels_priority(a) == kernels_priority(b);
}

/* The second route to a place is another way of the first, if it can be; the same one
 * again, as two gateways of the node are in routed mode, is left out. */
static int check_way(const struct plan *plan, size_t i, bool *again, struct err *err)
{
	const struct cni_route *route = &plan->routes[i];
	char text[PREFIX_TEXT_MAX];

	for (size_t k = 0; k < i; k++) {
		const struct cni_route *first = &plan->routes[k];

		if (!plan_same_route(first, route))
			continue;
		*again |= addr_cmp(&first->gateway, &route->gateway) == 0;
		if (first->mtu != route->mtu || first->advmss != route->advmss ||
			first->scope != route->scope || !first->gateway.family ||
			!route->gateway.family)
			return err_set(err, CNI_CONFIG,
				"two routes to %s that are no two ways of one: give them gw, and "
				"the same mtu, advmss and scope, or another priority or table",
				prefix_format(&route->dst, text));
	}
	return 0;
}

static int join_routes(struct plan *plan, struct err *err)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->route_count; i++) {
		bool again = false;

		plan->routes[count] = plan->routes[i];
		if (check_way(plan, count, &again, err) < 0)
			return -1;
		count += !again;
	}
	plan->route_count = count;
	return 0;
}

static void start(struct plan *plan, const struct cni_request *request)
{
	*plan = (struct plan){
		.netns = request->netns,
		.routed = request->routed,
		.bridge = request->bridge,
		.hairpin = request->hairpin,
		.pod_ifname = request->ifname,
		.mtu = request->mtu,
	};
	plan_identify(request->network, request->container, request->ifname, &plan->host);
}

static int finish(struct plan *plan, const struct cni_request *request, struct err *err)
{
	write_alias(plan);
	if (plan->gateway_count)
		mac_from_addr(&plan->gateways[0].addr, plan->bridge_mac);
	if (request->has_mac)
		memcpy(plan->pod_mac, request->mac, PLAN_MAC_SIZE);
	else if (plan->addr_count)
		mac_from_addr(&plan->addrs[0].addr.addr, plan->pod_mac);
	if (plan->routed && make_routed(plan, err) < 0)
		return -1;
	return join_routes(plan, err);
}

struct lease_want plan_lease(const struct cni_request *request)
{
	return (struct lease_want){
		.container = request->container,
		.ifname = request->ifname,
		.sets = request->sets,
		.set_count = request->set_count,
		.requested = request->requested,
		.requested_count = request->requested_count,
		.foreign = request->ipam_only,
	};
}

int plan_make(const struct cni_request *request, const struct lease *lease, struct arena *mem,
	struct plan *plan, struct err *err)
{
	start(plan, request);
	if (add_addrs(plan, request, lease, err) < 0)
		return -1;
	add_gateways(plan, request, mem);
	if (request->has_routes)
		add_routes(plan, request->routes, request->route_count, mem);
	else
		add_default_routes(plan, mem);
	return finish(plan, request, err);
}

/* In a result of ADD there may be interfaces, of other plugins of the chain, too. */
static bool is_pods(
	const struct cni_request *request, const struct cni_result *result, const struct cni_ip *ip)
{
	const struct cni_interface *interface;

	if (ip->interface == CNI_UNSET)
		return true;
	interface = &result->interfaces[ip->interface];
	return *interface->sandbox && strcmp(interface->name, request->ifname) == 0;
}

int plan_make_delegated(const struct cni_request *request, const struct cni_result *answer,
	struct arena *mem, struct plan *plan, struct err *err)
{
	start(plan, request);
	for (size_t i = 0; i < answer->ip_count; i++)
		if (is_pods(request, answer, &answer->ips[i]) &&
			add_answered(plan, &answer->ips[i], err) < 0)
			return -1;
	for (size_t i = 0; i < plan->addr_count; i++)
		add_gateway(plan, (struct prefix){plan->addrs[i].gateway, plan->addrs[i].addr.len},
			mem);
	if (answer->route_count)
		add_routes(plan, answer->routes, answer->route_count, mem);
	else
		add_default_routes(plan, mem);
	return finish(plan, request, err);
}

static bool is_leased(const struct lease *lease, const struct addr *addr)
{
	for (size_t i = 0; i < lease->addr_count; i++)
		if (addr_cmp(&lease->addrs[i], addr) == 0)
			return true;
	return false;
}

/* A result of ours begins with the bridge and the node's end, or with the latter. */
static void read_interfaces(struct plan *plan, const struct cni_result *previous)
{
	const struct cni_interface *interfaces = previous->interfaces;

	for (size_t i = 0; i < previous->interface_count; i++)
		if (*interfaces[i].sandbox && strcmp(interfaces[i].name, plan->pod_ifname) == 0)
			mac_parse(interfaces[i].mac, plan->pod_mac);
	if (previous->interface_count && strcmp(interfaces[0].name, plan->host.ifname) == 0)
		plan->routed = true;
	if (previous->interface_count < 2 || strcmp(interfaces[1].name, plan->host.ifname) != 0)
		return;
	plan->routed = false;
	plan->bridge = interfaces[0].name;
}

int plan_make_previous(const struct cni_request *request, const struct lease *lease,
	struct plan *plan, struct err *err)
{
	const struct cni_result *previous = &request->previous;

	start(plan, request);
	read_interfaces(plan, previous);
	for (size_t i = 0; i < previous->ip_count; i++) {
		const struct cni_ip *ip = &previous->ips[i];

		if (!is_pods(request, previous, ip) ||
			(lease && !is_leased(lease, &ip->address.addr)))
			continue;
		if (add_answered(plan, ip, err) < 0)
			return err_wrap(err, "prevResult");
	}
	if (lease && plan->addr_count < lease->addr_count)
		return err_set(err, CNI_DIFFERS, "prevResult has not all of the lease on %s",
			plan->pod_ifname);
	return 0;
}

int plan_ipam_result(const struct cni_request *request, const struct lease *lease,
	struct arena *mem, struct cni_result *result, struct err *err)
{
	struct plan plan = {0};

	if (add_addrs(&plan, request, lease, err) < 0)
		return -1;
	*result = (struct cni_result){
		.routes = request->routes,
		.route_count = request->route_count,
		.dns = request->dns, /* ipam.resolvConf's: the rest is the main plugin's */
	};
	for (size_t i = 0; i < plan.addr_count; i++)
		*ARENA_PUSH(mem, result->ips, &result->ip_count) =
			(struct cni_ip){plan.addrs[i].addr, plan.addrs[i].gateway, CNI_UNSET};
	return 0;
}

static const char *mac_text(const uint8_t mac[PLAN_MAC_SIZE], struct arena *mem)
{
	return mac_format(mac, arena_alloc(mem, MAC_TEXT_MAX));
}

static void add_interface(struct cni_result *result, struct arena *mem, const char *name,
	const uint8_t mac[PLAN_MAC_SIZE], const char *sandbox, uint32_t mtu)
{
	*ARENA_PUSH(mem, result->interfaces, &result->interface_count) =
		(struct cni_interface){name, mac_text(mac, mem), sandbox, mtu};
}

static bool is_taken(const struct plan *plan, const struct cni_route *route)
{
	for (size_t i = 0; i < plan->route_count; i++)
		if (plan->routes[i].taken && plan_same_route(&plan->routes[i], route))
			return true;
	return false;
}

void plan_result(const struct cni_request *request, const struct plan *plan, struct arena *mem,
	struct cni_result *result)
{
	*result = (struct cni_result){.dns = dns_overlay(&request->dns, &request->dns_wish)};
	for (size_t i = 0; i < plan->route_count; i++)
		if (!is_taken(plan, &plan->routes[i]))
			*ARENA_PUSH(mem, result->routes, &result->route_count) = plan->routes[i];
	if (!plan->routed)
		add_interface(result, mem, plan->bridge, plan->bridge_mac, "", plan->mtu);
	add_interface(result, mem, plan->host.ifname, plan->host.mac, "", plan->mtu);
	add_interface(result, mem, plan->pod_ifname, plan->pod_mac, plan->netns, plan->mtu);
	for (size_t i = 0; i < plan->addr_count; i++)
		*ARENA_PUSH(mem, result->ips, &result->ip_count) =
			(struct cni_ip){plan->addrs[i].addr, plan->addrs[i].gateway,
				(int)result->interface_count - 1};
}
