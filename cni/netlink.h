/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netlink -- makes the kernel hold what a plan says, checks that it does, undoes it.
 *
 * An ADD is four or five sends (batch.h): look around, make the pair, configure the
 * pod, look until the port forwards and IPv6 addresses are in use.  No dumps, no
 * caches, but for CHECK.
 *
 * The pair is made with both ends where they belong.  Moving one later costs an
 * RCU grace period under the RTNL lock, which is what makes other plugins slow
 * when many pods start at once.  Two facts shape the order (Linux 6.1, 6.18): the
 * peer of a new pair cannot be up before the pair exists, so the host's end is the
 * main one and is born up; an alias in the message that creates a link is ignored. */
#ifndef ROOST_CNI_NETLINK_H
#define ROOST_CNI_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "plan.h"
#include "protocol.h"

/* A socket stays in the network namespace it was opened in, so the host's serves
 * after netlink_apply() and netlink_check() have left for the pod's. */
struct netlink {
	int fd; /* in the host's namespace */
	uint32_t seq;
	bool created; /* netlink_apply() made the pair */
};

#define NETLINK_CLOSED ((struct netlink){.fd = -1})

int netlink_open(struct netlink *netlink, struct err *err);
void netlink_close(struct netlink *netlink);
#define _cleanup_netlink_ __attribute__((cleanup(netlink_close)))

/* Opens CNI_NETNS for netlink_apply() and netlink_check(): CNI_ENVIRONMENT when
 * this is no network namespace, CNI_NETNS when it is our own and `own` is false. */
int netlink_open_netns(const char *path, bool own, int *fd, struct err *err);

/* Whether the path is our own namespace; anything that is none at all is not. */
bool netlink_is_own_netns(const char *path);

/* Whether netlink_apply() could have the node forward packets of this family; CNI_KERNEL. */
int netlink_check_forwarding(uint8_t family, struct err *err);

/* CNI_EXISTS when this attachment has its link already. */
int netlink_check_free(
	struct netlink *netlink, const struct plan_identity *identity, struct err *err);

/* Fills in what the kernel decides (MTU, the MAC address of a bridge that was
 * there before).  When it fails, netlink_undo() cleans up. */
int netlink_apply(struct netlink *netlink, int netns, struct plan *plan, struct err *err);
int netlink_undo(struct netlink *netlink, const struct plan *plan, struct err *err);

/* Compares the kernel with the plan and with what ADD answered then; CNI_DIFFERS. */
int netlink_check(struct netlink *netlink, int netns, const struct plan *plan,
	const struct cni_result *previous, struct err *err);

/* Removes the pair, which takes the pod's addresses and routes along.  No pair, or
 * a link of that name that belongs to something else, is fine. */
int netlink_remove(struct netlink *netlink, const struct plan_identity *identity, struct err *err);

/* For check.c, the other half of this module. */
struct link;
bool netlink_is_ours(const struct link *link, const struct plan_identity *identity);
int netlink_enter(int netns, struct err *err); /* for good; a socket in there */

#endif
