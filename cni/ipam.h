/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ipam -- the store's file: who may change it, and when.
 *
 * <dataDir>/<network>/ is the lock (flock on the folder itself), `leases` in it is
 * the data.  The file is world-readable, `roostctl pods` needs no root; the folder
 * is not (0711), because whoever can open something can flock it, and an ordinary
 * user must not be able to hold up every pod of the node.  A lock file of its own
 * was refused: it can be deleted while it is held, a folder with `leases` in it
 * cannot be removed.
 *
 * One pwrite of one slot is a change.  Nothing is fsynced: what a power cut destroys
 * belongs to a boot that is over.
 *
 * A store that is not there, or damaged, is made from the slots that are sound, what
 * the kernel's links tell (links.h), and host-local's folder (import.h); written
 * aside and renamed, so that a process that is killed has done all or nothing.  This
 * and a range that is used up are the only times that the lock is held over a netlink
 * call.  A range that is used up gets the addresses back of those who have no link
 * any more: a link lives as long as the pod's namespace, and ADD makes it a moment
 * after it took the lease, so five minutes later it is there or it will never be.
 *
 * There is no cool-down to configure: an address is used again when all others were
 * used after it, so it has rested for as long as is possible without refusing.  And to
 * refuse would be worse: a full node could replace no pod, for the sake of a new owner
 * who has to answer packets of old connections with a reset. */
#ifndef ROOST_CNI_IPAM_H
#define ROOST_CNI_IPAM_H

#include "lease.h"

struct netlink;

/* Networks that take from the node's podCIDRs could give one address to two pods, each by
 * its own store.  So one that does looks through the stores of all networks beside it and
 * takes what is held there for held.  The lock of <dataDir>/.node keeps two of them from
 * looking at the same time; it is taken before the locks of the stores, and only here is
 * there more than one of these.  One store for them all was refused: a lease would have to
 * tell its network, and a network that is given ranges of its own would change stores with
 * its pods running.  So was a first network that keeps the subnets for itself: then a
 * network could not get another name before its last pod is gone. */

/* Which store, and what it is made from. */
struct ipam_place {
	const char *data_dir;
	const char *network;
	const char *import_dir; /* host-local's folder; "": none */
	struct netlink *links;	/* NULL: this network has no links of ours; then a damaged
				   store is CNI_IO, and nobody is ever taken for gone */
	bool shared;		/* the subnets are the node's, and what any network of data_dir
				   holds of them is taken */
};

/* Takes addresses.  Codes as lease_choose() has them, CNI_IO, and CNI_TRY_LATER
 * when SIGALRM came before the lock. */
int ipam_acquire(const struct ipam_place *place, const struct lease_want *want, struct lease *lease,
	struct err *err);

/* Gives back what this attachment holds; holding nothing is fine.  Its link has to be
 * gone.  *damaged tells that slots cannot be read and the lease may be in one of them. */
int ipam_release(const struct ipam_place *place, const char *container, const char *ifname,
	bool *damaged, struct err *err);

/* Gives back all of these, in one write, for GC.  One that was given back meanwhile, or
 * is another by now, is left alone.  *damaged as above. */
int ipam_release_all(const struct ipam_place *place, const struct lease *leases, size_t count,
	bool *damaged, struct err *err);

/* The lease of this attachment, for CHECK: CNI_DIFFERS when it has none. */
int ipam_find(const struct ipam_place *place, const char *container, const char *ifname,
	struct lease *lease, struct err *err);

/* Whether ipam_acquire() would succeed, without taking anything, for STATUS. */
int ipam_probe(const struct ipam_place *place, const struct lease_want *want, struct err *err);

/* All held leases of the network, for GC. */
int ipam_list(const struct ipam_place *place, struct arena *mem, struct lease **leases,
	size_t *count, struct err *err);

#endif
