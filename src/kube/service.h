/* SPDX-License-Identifier: GPL-2.0-or-later */
/* service -- which addresses of Kubernetes Services this node announces.  Pure, in two
 * steps: what the API server sends is reduced to the few fields that matter (and that
 * are kept, compared and written to cluster.json), and these are judged at each turn.
 *
 * A Service's addresses are announced by every node while it has an endpoint anywhere;
 * where its policy is Local, by the nodes with an endpoint of their own.  That is
 * externalTrafficPolicy, for a ClusterIP internalTrafficPolicy: packets that come in by
 * a route are judged by them in kube-proxy too.  Of endpoints, ready ones count; only
 * where there are none at all do those count that still serve while they terminate
 * (KEP-1669): so a node is left before its last pod is gone, and a lone pod that is
 * being replaced keeps its connections.  Each family counts for itself. */
#ifndef ROOST_KUBE_SERVICE_H
#define ROOST_KUBE_SERVICE_H

#include <jansson.h>

#include "model/cluster.h"

/* On nodes that load balancers leave alone, as kubeadm marks its control plane. */
#define SERVICE_EXCLUDE_LABEL "node.kubernetes.io/exclude-from-external-load-balancers"

/* A new object; NULL and *err when `object` cannot be one.  What is missing, null or of
 * another kind inside is left out, and so is a Service that no node serves (headless,
 * ExternalName, being deleted, some other proxy's): it has no addresses then. */
json_t *reduce_service(const json_t *object, struct err *err);
json_t *reduce_slice(const json_t *object, const char *node_name, struct err *err);

/* cluster->services as `self` sees them, out of arrays of what the two functions above
 * made.  All in `arena`. */
void services_decode(const json_t *services, const json_t *slices, struct cluster *cluster,
	const struct node *self, struct arena *arena);

#endif
