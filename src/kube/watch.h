/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watch -- keeps a set equal to what the API server has of one resource: a list in
 * pages, then a watch from there on, for as long as there is somebody to ask.
 *
 * Whatever goes wrong ends in one of two ways: the watch is opened again where it
 * stopped, or, when the server no longer knows that place (410, 400) or does not know it
 * yet (it opens watches and says nothing), the list is read anew.  Both wait longer after
 * each failure, and as long as the server asks for, and try another connection.  The set
 * changes with each event, and as a whole at the end of a list; until then, and while
 * nobody answers, it stays as it was. */
#ifndef ROOST_KUBE_WATCH_H
#define ROOST_KUBE_WATCH_H

#include <jansson.h>

#include "kube/http.h"
#include "kube/set.h"

/* One resource, or the part of it that a selector names. */
struct watch_want {
	const char *resource; /* "nodes": for messages, as RBAC writes it */
	const char *path;     /* "/api/v1/nodes" */
	const char *list_kind; /* "NodeList" */
	const char *selector; /* "fieldSelector=metadata.name%3Dnode1", or "" */
	unsigned silence;     /* seconds after which a watch is opened again */
	/* The few fields that matter, as a new object; NULL and *err: it can be none. */
	json_t *(*reduce)(const json_t *object, const void *arg, struct err *err);
	const void *reduce_arg;
};

struct watch_status {
	bool synced;        /* was listed once, since watch_new() */
	time_t heard_at;    /* last sign of life, 0: none yet */
	struct err err;     /* code 0: all is well */
	bool told;          /* *err was logged */
	unsigned long events, lists;
};

struct watch;
/* `changed`: the set, or the status' synced or err, is no longer the same. */
typedef void watch_fn(void *arg);
struct watch *watch_new(struct event_base *base, struct http *http,
	const struct kube_credentials *credentials, const struct watch_want *want,
	watch_fn *changed, void *arg);
void watch_free(struct watch *watch);

const struct kube_set *watch_set(const struct watch *watch);
const struct watch_status *watch_status(const struct watch *watch);

#endif
