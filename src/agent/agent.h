/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agent -- one idempotent turn: load, decode, render, apply, write what the plugin
 * needs; and the waiting between turns.
 *
 * Level-triggered: whatever happens only says "look again".  A crash, a missed
 * event and a restart are the same case.  Between turns nothing runs: no timer, no
 * polling; questions (roostctl, /metrics) are answered by looking at BIRD and at
 * the kernel when they are asked. */
#ifndef ROOST_AGENT_H
#define ROOST_AGENT_H

#include <event2/event.h>

#include "agent/report.h"

struct agent_options {
	const char *config;    /* path of roost.yaml */
	const char *node_name;
	const char *state_dir; /* the generations: /var/lib/roost/bird */
	const char *var_dir;   /* cluster.json: /var/lib/roost */
	const char *run_dir;   /* node.json: /run/roost */
	const char *drain_file; /* see drain.h; NULL: none */
	bool once;             /* one turn, then leave the loop */
};

struct agent;

struct agent *agent_new(struct event_base *base, const struct agent_options *options);
void agent_free(struct agent *agent);

/* Look again, soon; many calls make one turn. */
void agent_look_again(struct agent *agent);

/* How the operator wants it. */
struct agent_ask {
	bool force; /* however many routes go, and without the nodes that are held back */
	bool follow; /* the files, although a generation is held */
	bool limited; /* no more restarts of sessions than this */
	unsigned max_restarts;
	const char *by; /* for the history */
};

/* A turn now, also for bytes that were refused before.  `done` is called with its
 * outcome, or with NULL when the file itself is bad (status has the error). */
typedef void agent_turn_fn(const struct apply_result *result, void *arg);
void agent_apply(
	struct agent *agent, const struct agent_ask *ask, agent_turn_fn *done, void *arg);

/* Goes back to a generation (0: to the one before) and stays there, see hold.h.  -1, and
 * `done` is not called, when there is none. */
int agent_rollback(
	struct agent *agent, unsigned number, agent_turn_fn *done, void *arg, struct err *err);

/* What became of each configuration, see history.h; the caller's. */
json_t *agent_history(const struct agent *agent);

/* Drains this node, or takes that back (drain.h), and makes a turn.  -1, and `done` is not
 * called, when it could not be remembered. */
int agent_drain(struct agent *agent, bool on, agent_turn_fn *done, void *arg, struct err *err);

/* -1 when `roostctl rollback` holds a generation, so that no turn announces anything else. */
int agent_follows_files(const struct agent *agent, struct err *err);

/* Looks at BIRD and the kernel; `done` gets the view, valid during the call. */
typedef void agent_view_fn(const struct view *view, void *arg);
void agent_observe(struct agent *agent, agent_view_fn *done, void *arg);

const struct agent_status *agent_status(const struct agent *agent);

/* The accepted file's `agent` section; NULL before there is one. */
const struct cluster *agent_cluster(const struct agent *agent);
const struct node *agent_self(const struct agent *agent);

/* Called after each turn, for what depends on the accepted file. */
void agent_on_turn(struct agent *agent, void (*turned)(void *), void *arg);

#endif
