/* SPDX-License-Identifier: GPL-2.0-or-later */
/* split -- cuts what an API server sends into objects while it arrives.
 *
 * A list may be tens of megabytes and a watch never ends, so neither is ever held as
 * a whole: each item of a list, or each event of a watch, is handed on as soon as its
 * last brace is there, and forgotten.  jansson reads whole documents only, hence these
 * few states; what an object means, and whether it is good JSON at all, is left to it.
 * The lists that make most of a Node and that nobody here reads, managedFields and images,
 * become null on the way.
 * Pure; bytes in pieces of any size. */
#ifndef ROOST_KUBE_SPLIT_H
#define ROOST_KUBE_SPLIT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define SPLIT_MAX_OBJECT (4u << 20) /* bytes; an API server keeps no larger ones than 1.5 MiB */
#define SPLIT_MAX_REST   (256u << 10)

enum split_what {
	SPLIT_LIST,  /* one object: what its "items" holds */
	SPLIT_WATCH, /* objects one after the other */
};

/* One object's text, valid during the call.  -1 and *err end the splitting. */
typedef int split_fn(const char *text, size_t len, void *arg, struct err *err);

struct split {
	enum split_what what;
	split_fn *found;
	void *arg;
	struct buf object; /* the one that has begun */
	struct buf rest;   /* a list without its items */
	unsigned depth, dropping; /* depth of the list that is dropped; 0: none */
	bool in_items, in_object, in_string, escaped;
};

void split_begin(struct split *split, enum split_what what, split_fn *found, void *arg);
int split_feed(struct split *split, const char *data, size_t len, struct err *err);
/* Did it end where an object may end?  A list is then in `rest`, without its items. */
int split_end(const struct split *split, struct err *err);
void split_free(struct split *split);

#endif
