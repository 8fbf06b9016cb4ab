/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "links.h"

#include "batch.h"
#include "code.h"
#include "plan.h"

#define TRIES 100

struct listing {
	const char *network;
	struct arena *mem;
	struct lease *leases;
	size_t count;
};

static void link_seen(const struct link *link, void *data)
{
	struct listing *listing = data;
	struct lease lease;

	if (plan_lease_of(link->alias, listing->network, &lease))
		*ARENA_PUSH(listing->mem, listing->leases, &listing->count) = lease;
}

int links_list(struct netlink *netlink, const char *network, struct arena *mem,
	struct lease **leases, size_t *count, struct err *err)
{
	for (int i = 0; i < TRIES; i++) {
		struct listing listing = {.network = network, .mem = mem};
		bool torn;

		if (batch_dump_links(netlink->fd, &netlink->seq, "veth", link_seen, &listing, &torn,
			    err) < 0)
			return -1;
		*leases = listing.leases;
		*count = listing.count;
		if (!torn)
			return 0;
	}
	return err_set(
		err, CNI_TRY_LATER, "the links of this node change faster than they can be read");
}
