/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kube -- the API server as the source of nodes.
 *
 * It watches no more than this node's configuration depends on: everybody in a mesh and
 * on a reflector; itself and the reflectors as a client of theirs; itself when it speaks
 * to routers only.  What the last turn used is `accepted`: it is in cluster.json too, so
 * that a node boots with no API server, and whoever vanishes from it all of a sudden is
 * held for a while (agent.maxWithdraw), because a broken API server looks just like a
 * cluster without nodes.  It is `gone` then: with whom it clashes, that one is right. */
#ifndef ROOST_KUBE_KUBE_H
#define ROOST_KUBE_KUBE_H

#include <event2/event.h>
#include <time.h>

#include "base/err.h"
#include "kube/node.h"
#include "kube/set.h"
#include "model/cluster.h"

struct kube;

/* `changed` says "look again".  cluster.json is in `dir`.  NULL and *err: no libcurl. */
struct kube *kube_new(struct event_base *base, const char *dir, const char *node_name,
	void (*changed)(void *), void *arg, struct err *err);
void kube_free(struct kube *kube);

/* What the turn that asks wants to be known. */
struct kube_question {
	struct kube *kube;
	bool first; /* of this roostd: cluster.json alone will do, if there is one */
	bool wide;  /* sessions with others than the topology's may still be up */
	bool force; /* let go of those that are held back */
};

/* A node_finder_fn; `arg` is a struct kube_question.  Watches from now on what this
 * question needs, and fails when nothing is known yet. */
int kube_find_nodes(const struct cluster *file, struct arena *arena, struct found_nodes *found,
	void *arg, struct err *err);

/* Puts into `cluster` the Services as `self` announces them, and watches them from now on;
 * only while it announces any.  Until the API server has told of them, and while it does
 * not answer, they are those that were known before, if there are any. */
void kube_find_services(struct kube *kube, struct cluster *cluster, const struct node *self,
	struct arena *arena);

/* Writes cluster.json if what is accepted has changed since. */
int kube_save(struct kube *kube, const struct cluster *cluster, struct err *err);

/* To the API server, as far as it permits that (kube/write.h): that this node's routes are
 * announced, and which Nodes are left out. */
void kube_tell_announced(struct kube *kube);
void kube_tell_left_out(struct kube *kube, const struct cluster *cluster);

/* For whoever has no daemon: the Nodes of a cluster.json, or of a NodeList as
 * `kubectl get nodes -o json` prints it. `arg` points to its path
 * (const char **). */
int kube_find_nodes_in_file(const struct cluster *file, struct arena *arena,
	struct found_nodes *found, void *arg, struct err *err);

/* The same with the Services of a cluster.json; where endpoints are is told as seen from
 * the node that wrote it. */
int kube_find_services_in_file(const char *path, struct cluster *cluster, const struct node *self,
	struct arena *arena, struct err *err);

struct kube_status {
	bool used;
	char server[256];
	bool synced;         /* all was listed; else cluster.json's is used */
	time_t heard_at;     /* last sign of life of the API server, 0: none */
	time_t saved_at;     /* of what cluster.json had; 0: there was none */
	struct err err;      /* code 0: the watch stands */
	struct err services_err; /* of the watches for Services */
	unsigned long events, lists;
	size_t n_held;       /* nodes that are gone, and held back ... */
	time_t held_since;   /* ... since then */
};
void kube_status(const struct kube *kube, struct kube_status *status);

#endif
