/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report -- what should be beside what is, as JSON and as metrics.  Pure: one
 * struct view in, text out.  The JSON is what `roostctl -o json` prints. */
#ifndef ROOST_REPORT_H
#define ROOST_REPORT_H

#include <jansson.h>
#include <time.h>

#include "agent/drain.h"
#include "agent/drift.h"
#include "agent/hold.h"
#include "agent/nat.h"
#include "base/buf.h"
#include "bird/apply.h"
#include "bird/observe.h"
#include "cni/counters.h"
#include "kernel/fib.h"
#include "kube/kube.h"
#include "model/cluster.h"

/* What the agent remembers of its own doings. */
struct agent_status {
	const char *node_name; /* as asked for or found, even when the file lacks it */
	const char *source_path;
	time_t loaded_at;      /* last good load, 0: never */
	struct err load_error; /* code 0: the file is fine */
	unsigned loads, renders, events;
	unsigned outcomes[APPLY_FAILED + 1]; /* how many applies ended how */
	bool applied;                        /* is `last` set? */
	struct apply_result last;
	time_t last_at;
	struct hold hold; /* active: `roostctl rollback` is in force */
	time_t retry_at; /* what was not applied is tried again; 0: not by itself */
	struct generation confirmed; /* the one BIRD starts from */
	struct err own_error;        /* node.json, conflist: code 0: fine */
	struct masquerade_status masquerade; /* at the end of the last turn */
	bool applying;
	struct drift_status drift;
};

struct view {
	const struct agent_status *status;
	const struct cluster *cluster; /* NULL until a first good load */
	const struct node *self;
	const struct session_want *sessions;
	size_t n_sessions;
	const char *config_id;         /* the wanted configuration's */
	struct kube_status kube;
	const struct bird_state *bird;
	const struct fib *fib;
	const struct err *fib_error;   /* code 0: fib was read */
	bool lacks_address[FAMILIES];  /* self's address is on no interface here */
	bool lacks_forwarding[FAMILIES];
	size_t n_stray_pods;           /* with an address outside self's podCIDRs, */
	struct addr stray_pod;         /* such as this one */
	struct masquerade_status masquerade; /* now */
	struct drain_status drain;
	size_t pods_used[FAMILIES]; /* addresses of the podCIDRs that pods have */
	struct counters cni;
	time_t now;
};

json_t *report_time(time_t when); /* null for 0 */

/* What is known of why a session is down; `have` NULL: BIRD has no such session. */
json_t *report_why_down(const struct view *view, const struct session_want *want,
	const struct bird_session *have);

json_t *report_status(const struct view *view);
json_t *report_nodes(const struct view *view);
json_t *report_peers(const struct view *view);
json_t *report_routes(const struct view *view);

/* The routes that BIRD has right and the kernel has not, in `arena`. */
struct drift_route {
	struct prefix prefix;
	const char *text; /* what is wrong, and with a route of somebody else what to do */
	bool is_ours;     /* BIRD only has to write it again */
};
struct report_drift {
	struct drift_route *items;
	size_t n;
};
struct report_drift report_drift(const struct view *view, struct arena *arena);

/* To how many neighbours this node announces a podCIDR of its own. */
int report_announced_to(const struct view *view, const struct prefix *prefix);

/* OpenMetrics 1.0 text. */
void report_metrics(const struct view *view, struct buf *out);

/* 0 when this node's configuration is confirmed and its routes are announced. */
int report_ready(const struct view *view, struct err *why);

#endif
