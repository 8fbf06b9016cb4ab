/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kube/write -- the little that Roost tells the API server, where it is permitted.
 *
 * That this node's network works: its Node's condition NetworkUnavailable becomes False.
 * And for each Node that is left out an Event, so that whoever looks at the Node sees why.
 * An Event's name follows from what it says: of a thousand nodes that leave out the same
 * Node one creates it, the others hear that it is there.
 *
 * Nothing depends on any of it.  One request is under way at a time; what failed is tried
 * again after a while, what is forbidden is said once and tried again after an hour. */
#ifndef ROOST_KUBE_WRITE_H
#define ROOST_KUBE_WRITE_H

#include <jansson.h>

#include "kube/http.h"
#include "model/cluster.h"

struct writer;
struct writer *writer_new(struct event_base *base, struct http *http, const char *self);
void writer_free(struct writer *writer);

/* As whom from now on; NULL: what is to be told waits. */
void writer_use(struct writer *writer, const struct kube_credentials *credentials);

/* This node's routes are announced.  `uid` is its Node's: one that was deleted and made
 * anew is told again. */
void writer_tell_announced(struct writer *writer, const char *uid);

/* All Nodes that are left out now. */
void writer_tell_left_out(struct writer *writer, const struct left_out *items, size_t n);

/* What is sent; the caller frees it. */
json_t *write_condition(time_t now);
json_t *write_event(const char *node, const char *why, const char *self, time_t now);

#endif
