/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode -- roost.yaml's bytes into a checked cluster.  Pure.
 *
 * Strict: an unknown key, a wrong type, a value out of its range or a clash
 * between two values refuses the whole document with one message that reads
 * "roost.yaml:12:7: nodes[2].podCIDRs[0]: 10.244.1.0/24 overlaps node1's 10.244.1.0/24".
 * The keys of each map stand in one table; a new key is a line there. */
#ifndef ROOST_DECODE_H
#define ROOST_DECODE_H

#include "model/cluster.h"

#define DECODE_MAX_BYTES (16u << 20)
#define DECODE_MAX_NODES 10000
#define DECODE_MAX_PEERS 4096

/* `name` is what messages call the document.  The cluster and everything it points
 * to live in `arena`. */
int decode_cluster(const char *name, const char *text, size_t len, struct arena *arena,
	struct cluster **cluster, struct err *err);

/* The nodes of a file that says `kubernetes` and not `nodes`.  Those of them that the
 * others, or the file, leave no room for are left out; the rest are the cluster's. */
struct found_nodes {
	struct node *items; /* without AS numbers */
	size_t n;
	struct left_out *left_out;
	size_t n_left_out;
};

/* Finds them: `file` is all else that the file says. */
typedef int node_finder_fn(const struct cluster *file, struct arena *arena,
	struct found_nodes *found, void *arg, struct err *err);

/* As decode_cluster(), which knows nobody to ask: it then says nothing of nodes. */
int decode_cluster_with(const char *name, const char *text, size_t len, node_finder_fn *find,
	void *arg, struct arena *arena, struct cluster **cluster, struct err *err);

#endif
