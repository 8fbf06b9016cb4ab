/* SPDX-License-Identifier: GPL-2.0-or-later */
/* masquerade -- which packets leave with the node's address instead of the pod's
 * (cni.masquerade), as the text of one nftables table.  Pure; nft.h brings it to
 * the kernel.
 *
 * Masqueraded is what comes from this node's own podCIDRs and goes to none of
 * cluster.podCIDRs, masquerade.except, link-local and multicast addresses.  That
 * is two sets and one rule for a family, however many pods and nodes there are.
 *
 * What others do, and why this:
 * - Calico (natOutgoing): source in a pool with NAT, destination in no pool; so do
 *   we.  Not its source, every pod of the cluster: each node does it for its own
 *   pods, and what another node sends through this one is that node's business.
 * - kube-router also leaves out all nodes' addresses.  Here `except` says that, by
 *   the net that nodes are in: the rules then stay the same when a node comes.
 * - ip-masq-agent leaves out all of RFC 1918 unless told otherwise, which surprises
 *   who has a router there; and link-local, as we do.
 * - All three leave out the machine's own addresses.  What a pod sends there is
 *   delivered here and never comes to postrouting; what the node sends to itself
 *   does, by way of lo, and is left out by that.
 * - All three ask for random ports: two packets that look for a free port at the
 *   same time otherwise find the same one, and one of them is dropped.
 *
 * A TCP connection that is met in its middle, because the kernel began to track
 * connections only now, keeps the address it began with: switching masquerading on
 * cuts off nobody. */
#ifndef ROOST_MASQUERADE_H
#define ROOST_MASQUERADE_H

#include "base/buf.h"
#include "model/cluster.h"

#define MASQUERADE_TABLE_NAME "roost"
#define MASQUERADE_TABLE "inet " MASQUERADE_TABLE_NAME

/* Appends the table as `nft list table` shows it; nothing when this node is to have
 * none: masquerading is off, the node has no podCIDR, or `except` is everything.
 * Overlapping and adjacent prefixes become one element: nft's own auto-merge differs
 * from version to version, and the text would not be what is read back. */
void masquerade_render(const struct cluster *cluster, const struct node *self, struct buf *out);

#endif
