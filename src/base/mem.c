/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	max_align_t data[];
};

#define BLOCK_SIZE 4000

static void out_of_memory(void)
{
	static const char msg[] = "out of memory\n";

	if (write(STDERR_FILENO, msg, sizeof(msg) - 1) < 0)
		_exit(255);
	abort();
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *xrealloc(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

char *xstrdup(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(xmalloc(size), text, size);
}

/* Behind what was taken last; not zeroed. */
static void *arena_take(struct arena *arena, size_t size, size_t align)
{
	struct arena_block *block = arena->blocks;
	size_t at = block ? (block->used + align - 1) / align * align : 0;

	if (size > SIZE_MAX / 2)
		out_of_memory();
	if (!block || block->size < at || block->size - at < size) {
		size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

		block = xmalloc(sizeof(*block) + room);
		block->size = room;
		block->next = arena->blocks;
		arena->blocks = block;
		at = 0;
	}
	block->used = at + size;
	arena->used += size;
	return (char *)block->data + at;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return memset(arena_take(arena, size, _Alignof(max_align_t)), 0, size);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_take(arena, len + 1, 1);

	copy[len] = '\0';
	return memcpy(copy, text, len);
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		abort();
	text = arena_take(arena, (size_t)len + 1, 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return text;
}

void *arena_push(struct arena *arena, void **items, size_t *count, size_t item_size)
{
	size_t n = *count;

	if ((n & (n - 1)) == 0) { /* 0, 1, 2, 4, 8 ...: full, so double */
		void *bigger = arena_alloc(arena, (n ? 2 * n : 1) * item_size);

		if (n)
			memcpy(bigger, *items, n * item_size);
		*items = bigger;
	}
	(*count)++;
	return (char *)*items + n * item_size;
}

void arena_free(struct arena *arena)
{
	struct arena_block *block = arena->blocks;

	while (block) {
		struct arena_block *next = block->next;

		free(block);
		block = next;
	}
	memset(arena, 0, sizeof(*arena));
}

void cleanup_free(void *p)
{
	free(*(void **)p);
}

void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
