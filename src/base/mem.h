/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem -- memory by lifetime.
 *
 * A value that is built, used and dropped as a whole (a document, a cluster, an
 * observation, a request) lives in one arena; freeing the arena frees it all.
 * There are no foo_free() trees.  Memory from an arena is zeroed.  Running out
 * of memory aborts: nobody here could do anything better about it. */
#ifndef ROOST_MEM_H
#define ROOST_MEM_H

#include <stddef.h>

struct arena {
	struct arena_block *blocks;
	size_t used; /* bytes handed out, for limits and tests */
};

void *arena_alloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* An array that grows inside an arena: makes room for one more element behind the
 * *count present ones, counts it and returns it, zeroed.  The array doubles at
 * powers of two, so *items may move; what it outgrew is freed with the arena. */
#define ARENA_PUSH(arena, items, count)                                                            \
	((__typeof__(items))arena_push(arena, (void **)&(items), count, sizeof(*(items))))
void *arena_push(struct arena *arena, void **items, size_t *count, size_t item_size);

void arena_free(struct arena *arena);

/* malloc family that aborts. */
void *xmalloc(size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *text);

/* Scope clean-up: `_cleanup_free_ char *p = NULL;` and friends. */
void cleanup_free(void *p);
void cleanup_close(int *fd);
#define _cleanup_free_ __attribute__((cleanup(cleanup_free)))
#define _cleanup_close_ __attribute__((cleanup(cleanup_close)))
#define _cleanup_arena_ __attribute__((cleanup(arena_free)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
