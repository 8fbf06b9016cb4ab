/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links -- the attachments that the kernel's links tell of.
 *
 * The host's end of every pair says in its alias whose it is and which addresses it
 * has (plan.c).  So there is a second copy of the leases that nobody can delete by
 * accident, and one that is never wrong about who is alive.  It takes a dump of all
 * pairs: not for every ADD, but for a store that is gone or damaged, a range that is
 * used up, and GC. */
#ifndef ROOST_CNI_LINKS_H
#define ROOST_CNI_LINKS_H

#include <net/if.h>

#include "base/mem.h"
#include "lease.h"
#include "netlink.h"

/* The attachments of a network, each as a held lease.  addr_count is 0 where the
 * addresses are not known.  CNI_TRY_LATER when links come and go too fast. */
int links_list(struct netlink *netlink, const char *network, struct arena *mem,
	struct lease **leases, size_t *count, struct err *err);

/* The names of all networks that have attachments, in no order, each once. */
int links_networks(struct netlink *netlink, struct arena *mem, const char ***networks,
	size_t *count, struct err *err);

struct linked {
	char ifname[IFNAMSIZ];
	bool known; /* an attachment of this network: `lease` */
	struct lease lease;
};

/* Those, and the pairs without an alias, which may be one that was cut off before it got
 * it; in the order of their names.  For GC. */
int links_survey(struct netlink *netlink, const char *network, struct arena *mem,
	struct linked **links, size_t *count, struct err *err);

#endif
