/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state -- cluster.json: what is known of the cluster, in a file.
 *
 * One object with the reduced objects as its "items", and a hash over them: a file that
 * was cut off or changed is refused as a whole.  The printout of `kubectl get nodes -o
 * json` is read too: its items are not reduced yet. */
#ifndef ROOST_KUBE_STATE_H
#define ROOST_KUBE_STATE_H

#include <jansson.h>
#include <time.h>

#include "base/err.h"
#include "kube/set.h"

#define STATE_MAX_BYTES (256u << 20)

/* The kinds that are kept. */
enum kube_kind { KIND_NODE, KIND_SERVICE, KIND_SLICE, KUBE_KINDS };

struct kube_state {
	struct kube_set sets[KUBE_KINDS];
	time_t saved_at; /* 0: unknown */
};

void state_clear(struct kube_state *state);

/* `cluster` is the name in roost.yaml. */
int state_save(const char *path, const char *cluster, const struct kube_state *state,
	struct err *err);

/* How an object that is not reduced becomes one; NULL: such files are refused. */
typedef json_t *state_reduce_fn(const json_t *object, const void *arg, struct err *err);

/* Replaces *state, or leaves it.  err->code is ENOENT when there is no file. */
int state_load(const char *path, const char *cluster, state_reduce_fn *reduce, const void *arg,
	struct kube_state *state, struct err *err);

#endif
