/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nat -- the nftables table is kept as the configuration that took effect wants it, also
 * while the file is bad or BIRD is away, and from the next start on: <dir>/masquerade.nft
 * has it.
 *
 * The kernel tells of changes by others: one more "look again".  A failure is logged once,
 * and shown; see kernel/nft.h for who does the work. */
#ifndef ROOST_NAT_H
#define ROOST_NAT_H

#include <event2/event.h>
#include <stdbool.h>

#include "base/err.h"

enum masquerade_state {
	MASQUERADE_OFF,     /* the file does not ask for it, and there is no table of ours */
	MASQUERADE_IDLE,    /* it does, and there is nothing to masquerade on this node */
	MASQUERADE_ON,      /* the table is as it should be */
	MASQUERADE_CHANGED, /* somebody changed or deleted it since */
	MASQUERADE_FAILED,
};

struct masquerade_status {
	enum masquerade_state state;
	struct err err;  /* FAILED: why */
	unsigned writes; /* how often the table was written or removed */
};

struct agent;
struct nat;

/* `dir` is the caller's, `status` the agent's and kept up here. */
struct nat *nat_new(struct event_base *base, struct agent *agent, const char *dir,
	struct masquerade_status *status);
void nat_free(struct nat *nat);

/* The configuration took effect: from now on its table is the one that is kept.  `text`: of
 * kernel/masquerade.h, "": none; `enabled`: the file asks for it. */
void nat_take(struct nat *nat, bool enabled, const char *text);
void nat_keep(struct nat *nat);

/* Is it worth another try? */
bool nat_wants_retry(const struct nat *nat);

/* Whatever was right at the end of the last turn may not be any more. */
struct masquerade_status nat_look(struct nat *nat);

#endif
