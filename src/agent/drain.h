/* SPDX-License-Identifier: GPL-2.0-or-later */
/* drain -- this node will be taken away on purpose, and others do its part first.
 *
 * The podCIDR of a node has no other way than to that node, so it stays announced as
 * long as pods run.  What moves is what others can do as well: routes it reflects,
 * services, transit.  `roostctl drain` goes through
 *
 *   leaving   all that routers hear, and what is reflected, carries GRACEFUL_SHUTDOWN
 *             (RFC 8326) and the lowest LOCAL_PREF, and is announced still: whoever has
 *             another way takes that one, and no packet is lost
 *   drained   ten seconds later it reflects no more and announces no service address.
 *             A reflector waits until another one passes on all that it passes on itself,
 *             and does not say that it will go, too
 *
 * It is remembered in a file, which outlives roostd and the machine, until `undrain`. */
#ifndef ROOST_DRAIN_H
#define ROOST_DRAIN_H

#include <event2/event.h>
#include <stdbool.h>
#include <time.h>

#include "bird/observe.h"
#include "model/cluster.h"

struct drain_status {
	enum drain_state state;
	time_t since;     /* when it began; 0: unknown */
	struct err waits; /* LEAVING: code 0, or why it is not drained yet */
};

#define DRAIN_FILE "/var/lib/roost/drain"

/* What the file says; none is DRAIN_OFF, and one that cannot be read is LEAVING: somebody
 * meant something by it. */
struct drain_status drain_read(const char *path);

struct agent;
struct drain;
/* `path` is the caller's, NULL: nothing is remembered. */
struct drain *drain_new(struct event_base *base, struct agent *agent, const char *path);
void drain_free(struct drain *drain);
const struct drain_status *drain_status(const struct drain *drain);

/* Begins or ends it; the next turn shows.  -1: it could not be written, and nothing changes. */
int drain_set(struct drain *drain, bool on, struct err *err);

/* A configuration took effect: the ten seconds run from here. */
void drain_announced(struct drain *drain);

/* A condition for observe_start(): routes that nobody means to take away. */
#define DRAIN_STAYS "source = RTS_BGP && !((65535, 0) ~ bgp_community)"

/* May this reflector stop to reflect?  -1 and *waits when nobody else has told us, among
 * the routes of DRAIN_STAYS, what we pass on.  Pure. */
int drain_is_replaced(const struct cluster *cluster, const struct node *self,
	const struct bird_state *bird, struct err *waits);

#endif
