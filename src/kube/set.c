/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/set.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Where the key is, or would be. */
static size_t find(const struct kube_set *set, const char *key, bool *found)
{
	size_t low = 0, high = set->n;

	/* Lists come sorted: mostly it is the end. */
	if (high && strcmp(set->items[high - 1].key, key) < 0)
		low = high;
	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(set->items[middle].key, key);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* How many sets have it; the key and the text stand behind that. */
struct shared {
	unsigned sets;
	char key[];
};

static struct shared *shared_of(const struct kube_item *item)
{
	return (struct shared *)(item->key - offsetof(struct shared, key));
}

static struct kube_item item_new(const char *key, const char *text)
{
	size_t key_size = strlen(key) + 1, text_size = strlen(text) + 1;
	struct shared *shared = xmalloc(sizeof(*shared) + key_size + text_size);

	shared->sets = 1;
	memcpy(shared->key, key, key_size);
	memcpy(shared->key + key_size, text, text_size);
	return (struct kube_item){shared->key, shared->key + key_size};
}

static void item_drop(const struct kube_item *item)
{
	struct shared *shared = shared_of(item);

	if (--shared->sets == 0)
		free(shared);
}

/* Where it has to be written; NULL: it is there already. */
static struct kube_item *place(struct kube_set *set, const char *key, const char *text)
{
	bool found;
	size_t at = find(set, key, &found);

	if (found && strcmp(set->items[at].text, text) == 0)
		return NULL;
	if (found) {
		item_drop(&set->items[at]);
		return &set->items[at];
	}
	if (set->n == set->room) {
		set->room = set->room ? set->room * 2 : 16;
		set->items = xrealloc(set->items, set->room * sizeof(*set->items));
	}
	memmove(set->items + at + 1, set->items + at, (set->n - at) * sizeof(*set->items));
	set->n++;
	return &set->items[at];
}

bool set_put(struct kube_set *set, const char *key, const char *text)
{
	struct kube_item *at = place(set, key, text);

	if (at)
		*at = item_new(key, text);
	return at != NULL;
}

bool set_share(struct kube_set *set, const struct kube_item *item)
{
	struct kube_item *at = place(set, item->key, item->text);

	if (!at)
		return false;
	shared_of(item)->sets++;
	*at = *item;
	return true;
}

bool set_remove(struct kube_set *set, const char *key)
{
	bool found;
	size_t at = find(set, key, &found);

	if (!found)
		return false;
	item_drop(&set->items[at]);
	set->n--;
	memmove(set->items + at, set->items + at + 1, (set->n - at) * sizeof(*set->items));
	return true;
}

const char *set_get(const struct kube_set *set, const char *key)
{
	bool found;
	size_t at = find(set, key, &found);

	return found ? set->items[at].text : NULL;
}

void set_clear(struct kube_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		item_drop(&set->items[i]);
	free(set->items);
	*set = (struct kube_set){0};
}

void set_move(struct kube_set *to, struct kube_set *from)
{
	set_clear(to);
	*to = *from;
	*from = (struct kube_set){0};
}

bool set_equal(const struct kube_set *a, const struct kube_set *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->items[i].key, b->items[i].key) != 0 ||
			strcmp(a->items[i].text, b->items[i].text) != 0)
			return false;
	return true;
}
