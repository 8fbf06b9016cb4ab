/* SPDX-License-Identifier: GPL-2.0-or-later */
/* set -- objects of one kind by name, each as the small text it was reduced to.
 *
 * Equal text means that nothing we care for has changed; so a heartbeat is a
 * comparison and nothing else.  Sorted by key; an item is one allocation, which sets
 * may share. */
#ifndef ROOST_KUBE_SET_H
#define ROOST_KUBE_SET_H

#include <stdbool.h>
#include <stddef.h>

struct kube_item {
	char *key; /* "node1", "default/web" */
	const char *text;
};

struct kube_set {
	struct kube_item *items;
	size_t n, room;
};

/* True when that changed something. */
bool set_put(struct kube_set *set, const char *key, const char *text);
/* The same with another set's item, which is then in both. */
bool set_share(struct kube_set *set, const struct kube_item *item);
bool set_remove(struct kube_set *set, const char *key);

/* NULL: not in it. */
const char *set_get(const struct kube_set *set, const char *key);

void set_clear(struct kube_set *set);

/* `from` becomes empty. */
void set_move(struct kube_set *to, struct kube_set *from);

bool set_equal(const struct kube_set *a, const struct kube_set *b);

#endif
