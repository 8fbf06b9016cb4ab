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

/* Where the routes of this prefix and of what is inside it begin. */
size_t fib_position(const struct fib *fib, const struct prefix *prefix);

/* As ip-route(8) has it: "10.244.2.0/24 via 192.168.1.99 proto static metric 5". */
#define FIB_ROUTE_TEXT_MAX 200
const char *fib_route_text(const struct fib_route *route, char room[FIB_ROUTE_TEXT_MAX]);

/* "static", "bird", or the number; into `room` at most. */
const char *fib_protocol_name(unsigned protocol, char room[12]);

/* The route the kernel takes for this very prefix, NULL when it has none. */
const struct fib_route *fib_find(const struct fib *fib, const struct prefix *prefix);

/* Does the next hop answer, as far as the kernel knows? */
enum fib_neighbour { NEIGHBOUR_NONE, NEIGHBOUR_KNOWN, NEIGHBOUR_FAILED };

/* What the kernel does with a packet from this machine to an address. */
struct fib_lookup {
	int error; /* ENETUNREACH: no route; EHOSTUNREACH: an unreachable one ...; 0: this one: */
	struct prefix prefix;
	unsigned metric;
	unsigned char protocol;
	struct addr via; /* the first next hop; family 0: the address is on link */
	char interface[16];
	enum fib_neighbour neighbour; /* `via`, or the address itself */
};

int fib_lookup(const struct addr *to, struct fib_lookup *lookup, struct err *err);

/* The MTU in bytes of the interface that has this address; 0 when none has it. */
int fib_uplink_mtu(const struct addr *addr, unsigned *mtu, struct err *err);

/* Does the kernel forward packets of this family?  True when it cannot be told. */
bool fib_forwards(enum family family);

#endif
