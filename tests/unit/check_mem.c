/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem: arenas, growing arrays in them, scope clean-up. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

START_TEST(arena_memory_is_zeroed_aligned_and_apart)
{
	_cleanup_arena_ struct arena arena = {0};
	char *pieces[200];

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		pieces[i] = arena_alloc(&arena, i);
		ck_assert_uint_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < i; j++)
			ck_assert_int_eq(pieces[i][j], 0);
		memset(pieces[i], (int)i, i);
	}
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_int_eq((unsigned char)pieces[i][j], (int)i);
}
END_TEST

START_TEST(arena_takes_pieces_larger_than_a_block)
{
	_cleanup_arena_ struct arena arena = {0};
	char *small = arena_strdup(&arena, "before");
	char *large = arena_alloc(&arena, 1 << 20);

	memset(large, 'x', 1 << 20);
	ck_assert_str_eq(small, "before");
	ck_assert_str_eq(arena_strdup(&arena, "after"), "after");
	ck_assert_uint_ge(arena.used, 1 << 20);
}
END_TEST

START_TEST(freed_arena_is_empty_and_may_be_used_again)
{
	struct arena arena = {0};

	arena_strdup(&arena, "one");
	arena_free(&arena);
	ck_assert_uint_eq(arena.used, 0);
	ck_assert_ptr_null(arena.blocks);
	ck_assert_str_eq(arena_strdup(&arena, "two"), "two");
	arena_free(&arena);
	arena_free(&arena);
}
END_TEST

START_TEST(strings_are_copied_and_ended)
{
	_cleanup_arena_ struct arena arena = {0};
	char text[] = "10.244.1.0/24";
	char *copy = arena_strdup(&arena, text), *part = arena_strndup(&arena, text, 10);

	text[0] = 'x';
	ck_assert_str_eq(copy, "10.244.1.0/24");
	ck_assert_str_eq(part, "10.244.1.0");
	ck_assert_str_eq(arena_printf(&arena, "%s is %d", "this", 7), "this is 7");
	ck_assert_str_eq(arena_strndup(&arena, "", 0), "");
}
END_TEST

START_TEST(pushed_elements_are_zeroed_and_keep_their_order)
{
	_cleanup_arena_ struct arena arena = {0};
	struct pair {
		size_t number;
		char rest[24];
	} *pairs = NULL;
	size_t n = 0;

	for (size_t i = 0; i < 1000; i++) {
		struct pair *pair = ARENA_PUSH(&arena, pairs, &n);

		ck_assert_uint_eq(n, i + 1);
		ck_assert_uint_eq(pair->number, 0);
		ck_assert_int_eq(pair->rest[23], 0);
		pair->number = i;
		memset(pair->rest, 0xff, sizeof(pair->rest));
	}
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(pairs[i].number, i);
}
END_TEST

START_TEST(growing_costs_a_constant_factor_of_memory)
{
	_cleanup_arena_ struct arena arena = {0};
	uint64_t *items = NULL;
	size_t n = 0;

	for (size_t i = 0; i < 100000; i++)
		*ARENA_PUSH(&arena, items, &n) = i;
	ck_assert_uint_le(arena.used, 4 * n * sizeof(*items));
}
END_TEST

START_TEST(size_nobody_has_says_so_and_aborts)
{
	char said[64] = "";
	int ends[2], status;
	pid_t child;

	ck_assert_int_eq(pipe(ends), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		struct arena arena = {0};

		dup2(ends[1], STDERR_FILENO);
		arena_alloc(&arena, SIZE_MAX - 3);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	ck_assert_int_gt(read(ends[0], said, sizeof(said) - 1), 0);
	ck_assert_str_eq(said, "out of memory\n");
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(scope_clean_up_frees_and_closes)
{
	int fd, duplicate;

	{
		_cleanup_free_ char *text = xstrdup("freed at the end of the scope");
		_cleanup_close_ int scoped = open("/dev/null", O_RDONLY | O_CLOEXEC);
		_cleanup_close_ int never_opened = -1;

		ck_assert_ptr_nonnull(text);
		ck_assert_int_eq(never_opened, -1);
		fd = scoped;
		ck_assert_int_ge(fd, 0);
	}
	duplicate = dup(fd);
	ck_assert_int_eq(duplicate, -1);
}
END_TEST

UNIT(mem, arena_memory_is_zeroed_aligned_and_apart, arena_takes_pieces_larger_than_a_block,
	freed_arena_is_empty_and_may_be_used_again, strings_are_copied_and_ended,
	pushed_elements_are_zeroed_and_keep_their_order, growing_costs_a_constant_factor_of_memory,
	size_nobody_has_says_so_and_aborts, scope_clean_up_frees_and_closes)
