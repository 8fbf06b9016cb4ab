/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gc -- takes away what no container is left for: GC of the CNI specification.
 *
 * One look at the links and one at the leases tell what is stale; then the links go one
 * by one, and the leases of those that are gone in one write.  What goes wrong with one
 * attachment is noted and stops no other, but the lease of a link that is still there
 * stays taken.  The runtime is told of all that went wrong in one message. */
#ifndef ROOST_CNI_GC_H
#define ROOST_CNI_GC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "ipam.h"
#include "netlink.h"
#include "protocol.h"

struct gc {
	size_t failed;	     /* attachments that are left */
	size_t told;	     /* of them, those that `problems` names */
	bool links_left;     /* addresses of other IPAM plugins may still be in use */
	struct err problems; /* "" when there is none; the code is that of the first */
};

/* Removes all attachments of the network that the request does not list. */
void gc_sweep(const struct cni_request *request, struct netlink *netlink,
	const struct ipam_place *place, struct gc *gc);

/* Adds one that has to do with no single attachment. */
void gc_note(struct gc *gc, const struct err *problem);

/* 0 when nothing went wrong; else -1 and all of it. */
int gc_result(const struct gc *gc, struct err *err);

#endif
