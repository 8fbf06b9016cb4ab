/* SPDX-License-Identifier: GPL-2.0-or-later */
/* node -- a Kubernetes Node as one of ours.  Pure, in two steps: what the API server
 * sends is reduced to the few fields that matter (and that are kept, compared and
 * written to cluster.json), and these are made a struct node at each turn. */
#ifndef ROOST_KUBE_NODE_H
#define ROOST_KUBE_NODE_H

#include <jansson.h>

#include "model/cluster.h"
#include "model/decode.h"

/* Which labels the file asks for; the others are not kept. */
struct label_keys {
	const char **items; /* sorted, each once */
	size_t n;
};
void label_keys_of(const struct cluster *cluster, struct arena *arena, struct label_keys *keys);

/* A new object with name, uid, created, ready, addresses, podCIDRs and labels, as far as
 * they are there and of the right kind; an error only when it has no name. */
json_t *reduce_node(const json_t *object, const struct label_keys *keys, struct err *err);

/* Appends the node, for which there is room in found->items, or, when it cannot be one
 * of ours, why to found->left_out.  All in `arena`. */
void node_decode(const json_t *reduced, const struct cluster *cluster, struct arena *arena,
	struct found_nodes *found);

#endif
