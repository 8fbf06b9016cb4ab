/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "code.h"
#include "plan.h"

#define TRIES 100

/* Calls `seen` for every pair, from the start again whenever links came or went
 * meanwhile; `restart` forgets what was seen until then. */
static int survey(struct netlink *netlink, void (*seen)(const struct link *, void *),
	void (*restart)(void *), void *data, struct err *err)
{
	for (int i = 0; i < TRIES; i++) {
		bool torn;

		restart(data);
		if (batch_dump_links(netlink->fd, &netlink->seq, "veth", seen, data, &torn, err) <
			0)
			return -1;
		if (!torn)
			return 0;
	}
	return err_set(
		err, CNI_TRY_LATER, "the links of this node change faster than they can be read");
}

/* ---------------------------------------------------------------- attachments */

struct listing {
	const char *network;
	struct arena *mem;
	struct lease *leases;
	size_t count;
};

static void listing_restart(void *data)
{
	struct listing *listing = data;

	listing->leases = NULL;
	listing->count = 0;
}

static void list_link(const struct link *link, void *data)
{
	struct listing *listing = data;
	struct lease lease;

	if (plan_lease_of(link->alias, listing->network, &lease))
		*ARENA_PUSH(listing->mem, listing->leases, &listing->count) = lease;
}

int links_list(struct netlink *netlink, const char *network, struct arena *mem,
	struct lease **leases, size_t *count, struct err *err)
{
	struct listing listing = {.network = network, .mem = mem};

	if (survey(netlink, list_link, listing_restart, &listing, err) < 0)
		return -1;
	*leases = listing.leases;
	*count = listing.count;
	return 0;
}

/* ---------------------------------------------------------------- networks */

struct networks {
	struct arena *mem;
	const char **names;
	size_t count;
};

static void networks_restart(void *data)
{
	struct networks *networks = data;

	networks->names = NULL;
	networks->count = 0;
}

static void note_network(const struct link *link, void *data)
{
	struct networks *networks = data;
	char name[CNI_NETWORK_MAX + 1];
	struct lease ignored;

	/* "roost NETWORK ...": the format is plan's, which has the last word. */
	if (sscanf(link->alias, "%*s %79s", name) != 1 ||
		!plan_lease_of(link->alias, name, &ignored))
		return;
	for (size_t i = 0; i < networks->count; i++)
		if (strcmp(networks->names[i], name) == 0)
			return;
	*ARENA_PUSH(networks->mem, networks->names, &networks->count) =
		arena_strdup(networks->mem, name);
}

int links_networks(struct netlink *netlink, struct arena *mem, const char ***names, size_t *count,
	struct err *err)
{
	struct networks networks = {.mem = mem};

	if (survey(netlink, note_network, networks_restart, &networks, err) < 0)
		return -1;
	*names = networks.names;
	*count = networks.count;
	return 0;
}

/* ---------------------------------------------------------------- all of ours */

struct ours {
	const char *network;
	struct arena *mem;
	struct linked *links;
	size_t count;
};

static void ours_restart(void *data)
{
	struct ours *ours = data;

	ours->links = NULL;
	ours->count = 0;
}

static void note_ours(const struct link *link, void *data)
{
	struct ours *ours = data;
	struct linked linked = {0};

	linked.known = plan_lease_of(link->alias, ours->network, &linked.lease);
	if (!linked.known && *link->alias)
		return;
	memcpy(linked.ifname, link->name, sizeof(linked.ifname));
	*ARENA_PUSH(ours->mem, ours->links, &ours->count) = linked;
}

static int compare_links(const void *a, const void *b)
{
	return strcmp(((const struct linked *)a)->ifname, ((const struct linked *)b)->ifname);
}

int links_survey(struct netlink *netlink, const char *network, struct arena *mem,
	struct linked **links, size_t *count, struct err *err)
{
	struct ours ours = {.network = network, .mem = mem};

	if (survey(netlink, note_ours, ours_restart, &ours, err) < 0)
		return -1;
	if (ours.count)
		qsort(ours.links, ours.count, sizeof(*ours.links), compare_links);
	*links = ours.links;
	*count = ours.count;
	return 0;
}
