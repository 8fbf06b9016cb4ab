/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fib -- what the kernel has: the routes of its main table that lie inside the
 * cluster, read with libnl.  Needs no privilege. */
#ifndef ROOST_FIB_H
#define ROOST_FIB_H

#include "base/err.h"
#include "base/mem.h"
#include "model/cluster.h"

enum fib_type { FIB_UNICAST, FIB_UNREACHABLE, FIB_BLACKHOLE, FIB_OTHER };

struct fib_route {
	struct prefix prefix;
	enum fib_type type;
	struct addr *via; /* next hops, more than one with ECMP; none: on link, unreachable */
	size_t n_via;
	unsigned metric;
	unsigned char protocol; /* RTPROT_*; RTPROT_BIRD is 12 */
};

struct fib {
	struct fib_route *items; /* by prefix, then metric: the first of a prefix is used */
	size_t n;
};

/* The routes inside any of `within`; in `arena`. */
int fib_read(const struct prefixes *within, struct arena *arena, struct fib *fib, struct err *err);

/* The route the kernel takes for this very prefix, NULL when it has none. */
const struct fib_route *fib_find(const struct fib *fib, const struct prefix *prefix);

/* The MTU in bytes of the interface that has this address; 0 when none has it. */
int fib_uplink_mtu(const struct addr *addr, unsigned *mtu, struct err *err);

/* Does the kernel forward packets of this family?  True when it cannot be told. */
bool fib_forwards(enum family family);

#endif
