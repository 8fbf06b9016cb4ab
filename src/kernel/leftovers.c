/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/leftovers.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/cache.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <string.h>

/* As bird-templates have them. */
#define METRIC_LEARNT 32
#define METRIC_OWN    8192

/* As cni/plan.c makes them. */
#define POD_LINK  "rst"
#define POD_ALIAS "roost "
static const unsigned char bridge_mac[] = {0x0a, 0x58};

/* One kind of thing: how all are read, which are Roost's, how one is removed. */
struct kind {
	const char *what;
	int (*read)(struct nl_sock *sock, struct nl_cache **cache);
	bool (*is_ours)(struct nl_object *object, const char *name);
	int (*remove)(struct nl_sock *sock, struct nl_object *object);
};

static int look(const struct kind *kind, const char *name, bool remove, size_t *n, struct err *err)
{
	struct nl_sock *sock = nl_socket_alloc();
	struct nl_cache *cache = NULL;
	int rc;

	*n = 0;
	if (!sock)
		return err_set(err, ENOMEM, "netlink: out of memory");
	rc = nl_connect(sock, NETLINK_ROUTE);
	if (rc == 0)
		rc = kind->read(sock, &cache);
	if (rc == 0)
		for (struct nl_object *o = nl_cache_get_first(cache); o && rc == 0;
			o = nl_cache_get_next(o)) {
			if (!kind->is_ours(o, name))
				continue;
			++*n;
			if (remove)
				rc = kind->remove(sock, o);
			if (rc == -NLE_OBJ_NOTFOUND || rc == -NLE_NODEV)
				rc = 0; /* went by itself, or with another */
		}
	if (cache)
		nl_cache_free(cache);
	nl_socket_free(sock);
	return rc < 0 ? err_set(err, EIO, "%s: %s", kind->what, nl_geterror(rc)) : 0;
}

/* ---------------------------------------------------------------- routes */

static int read_routes(struct nl_sock *sock, struct nl_cache **cache)
{
	return rtnl_route_alloc_cache(sock, AF_UNSPEC, 0, cache);
}

static bool is_our_route(struct nl_object *object, const char *name)
{
	struct rtnl_route *route = (struct rtnl_route *)object;
	unsigned metric = rtnl_route_get_priority(route);

	(void)name;
	return rtnl_route_get_table(route) == RT_TABLE_MAIN &&
		rtnl_route_get_protocol(route) == RTPROT_BIRD &&
		(metric == METRIC_LEARNT || metric == METRIC_OWN);
}

static int remove_route(struct nl_sock *sock, struct nl_object *object)
{
	return rtnl_route_delete(sock, (struct rtnl_route *)object, 0);
}

int leftover_routes(bool remove, size_t *n, struct err *err)
{
	static const struct kind routes = {"routes", read_routes, is_our_route, remove_route};

	return look(&routes, NULL, remove, n, err);
}

/* ---------------------------------------------------------------- links */

static int read_links(struct nl_sock *sock, struct nl_cache **cache)
{
	return rtnl_link_alloc_cache(sock, AF_UNSPEC, cache);
}

static bool is_pod(struct nl_object *object, const char *name)
{
	struct rtnl_link *link = (struct rtnl_link *)object;
	const char *alias = rtnl_link_get_ifalias(link), *type = rtnl_link_get_type(link);

	(void)name;
	return type && strcmp(type, "veth") == 0 && alias &&
		strncmp(alias, POD_ALIAS, strlen(POD_ALIAS)) == 0 &&
		strncmp(rtnl_link_get_name(link), POD_LINK, strlen(POD_LINK)) == 0;
}

static bool is_our_bridge(struct nl_object *object, const char *name)
{
	struct rtnl_link *link = (struct rtnl_link *)object;
	struct nl_addr *mac = rtnl_link_get_addr(link);
	const char *type = rtnl_link_get_type(link);

	return type && strcmp(type, "bridge") == 0 &&
		strcmp(rtnl_link_get_name(link), name) == 0 && mac &&
		nl_addr_get_len(mac) >= sizeof(bridge_mac) &&
		memcmp(nl_addr_get_binary_addr(mac), bridge_mac, sizeof(bridge_mac)) == 0;
}

static int remove_link(struct nl_sock *sock, struct nl_object *object)
{
	return rtnl_link_delete(sock, (struct rtnl_link *)object);
}

int leftover_pods(bool remove, size_t *n, struct err *err)
{
	static const struct kind pods = {"pods' links", read_links, is_pod, remove_link};

	return look(&pods, NULL, remove, n, err);
}

int leftover_bridge(const char *name, bool remove, size_t *n, struct err *err)
{
	static const struct kind bridge = {"bridge", read_links, is_our_bridge, remove_link};

	return look(&bridge, name, remove, n, err);
}
