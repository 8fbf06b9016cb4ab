/* SPDX-License-Identifier: GPL-2.0-or-later */
/* generation: the configurations on disk, a folder each. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "bird/generation.h"
#include "unit.h"

static char dir[] = "check_generation.XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static bool exists(const char *name)
{
	return access(in_dir(name), F_OK) == 0;
}

static void assert_text(const char *name, const char *text)
{
	_cleanup_buf_ struct buf buf = {0};
	struct err err;

	ck_assert_msg(file_read(in_dir(name), 10000, &buf, &err) == 0, "%s", err.msg);
	ck_assert_str_eq(buf_text(&buf), text);
}

static void set_up(void)
{
	struct err err;

	unit_make_dir(dir);
	ck_assert_int_eq(generation_init(dir, &err), 0);
}

static void tear_down(void)
{
	struct err err;

	ck_assert_int_eq(file_remove_tree(dir, &err), 0);
}

static const struct rendered *small(struct arena *arena)
{
	struct rendered *rendered = arena_alloc(arena, sizeof(*rendered));

	fileset_add(&rendered->files, arena, "bird.conf", "include \"bird.d/*.conf\";\n", 25);
	fileset_add(&rendered->files, arena, "bird.d/10-mine.conf", "# mine\n", 7);
	strcpy(rendered->id, "0123456789abcdef");
	return rendered;
}

static unsigned stage(struct arena *arena)
{
	unsigned number = 0;
	struct err err;

	ck_assert_msg(generation_stage(dir, small(arena), &number, &err) == 0, "%s", err.msg);
	return number;
}

static void promote(unsigned number)
{
	struct err err;

	ck_assert_int_eq(generation_promote(dir, number, "0123456789abcdef", &err), 0);
}

static unsigned confirmed(void)
{
	struct generation generation;
	struct err err;

	ck_assert_msg(generation_confirmed(dir, &generation, &err) == 0, "%s", err.msg);
	return generation.number;
}

START_TEST(fresh_folder_gets_generation_nothing_so_that_bird_can_start)
{
	_cleanup_arena_ struct arena arena = {0};
	struct generation generation;
	struct rendered nothing;
	struct err err;

	set_up();
	render_nothing(&arena, &nothing);
	assert_text("gen-0/bird.conf", nothing.files.items[0].text);
	ck_assert_int_eq(generation_confirmed(dir, &generation, &err), 0);
	ck_assert_uint_eq(generation.number, 0);
	ck_assert_str_eq(generation.id, nothing.id);
	ck_assert_int_ge(time(NULL), generation.confirmed_at);
	ck_assert_int_lt(time(NULL) - generation.confirmed_at, 600);
	tear_down();
}
END_TEST

START_TEST(init_keeps_what_is_there)
{
	_cleanup_arena_ struct arena arena = {0};
	struct err err;

	set_up();
	promote(stage(&arena));
	ck_assert_int_eq(generation_init(dir, &err), 0);
	ck_assert_uint_eq(confirmed(), 1);
	tear_down();
}
END_TEST

START_TEST(bird_conf_includes_the_confirmed_one_by_a_relative_name)
{
	_cleanup_arena_ struct arena arena = {0};
	_cleanup_buf_ struct buf buf = {0};
	struct err err;

	set_up();
	promote(stage(&arena));
	ck_assert_int_eq(file_read(in_dir("bird.conf"), 1000, &buf, &err), 0);
	ck_assert_int_eq(strncmp(buf_text(&buf),
		"# Written by roostd: generation 1 (0123456789abcdef), confirmed 20", 66), 0);
	ck_assert_ptr_nonnull(strstr(buf_text(&buf), "\ninclude \"gen-1/bird.conf\";\n"));
	tear_down();
}
END_TEST

START_TEST(staged_generation_is_whole_and_readable_by_bird)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset files;
	struct stat st;
	struct err err;

	umask(077);
	set_up();
	ck_assert_uint_eq(stage(&arena), 1);
	ck_assert_uint_eq(confirmed(), 0);
	ck_assert_int_eq(generation_read(dir, 1, &arena, &files, &err), 0);
	ck_assert(fileset_equal(&files, &small(&arena)->files));
	ck_assert_int_eq(stat(in_dir("gen-1/bird.d/10-mine.conf"), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0644);
	tear_down();
}
END_TEST

START_TEST(generation_without_snippets_has_the_folder_its_include_needs)
{
	_cleanup_arena_ struct arena arena = {0};
	struct rendered rendered = {0};
	unsigned number;
	struct err err;

	set_up();
	fileset_add(&rendered.files, &arena, "bird.conf", "", 0);
	ck_assert_int_eq(generation_stage(dir, &rendered, &number, &err), 0);
	ck_assert(exists("gen-1/bird.d"));
	tear_down();
}
END_TEST

START_TEST(numbers_only_grow)
{
	_cleanup_arena_ struct arena arena = {0};

	set_up();
	promote(stage(&arena));
	ck_assert_uint_eq(stage(&arena), 2);
	ck_assert_uint_eq(stage(&arena), 3); /* 2 was never confirmed */
	ck_assert(!exists("gen-2"));
	ck_assert(exists("gen-1") && exists("gen-3"));
	tear_down();
}
END_TEST

START_TEST(confirmed_one_is_kept_whatever_its_age)
{
	_cleanup_arena_ struct arena arena = {0};

	set_up();
	for (unsigned i = 1; i <= GENERATIONS_KEPT + 4; i++)
		promote(stage(&arena));
	promote(4); /* the oldest that is left, as it was restored by hand */
	ck_assert_uint_eq(stage(&arena), GENERATIONS_KEPT + 5);
	ck_assert(exists("gen-4") && exists("gen-15"));
	ck_assert(!exists("gen-14"));
	tear_down();
}
END_TEST

START_TEST(newest_are_kept)
{
	_cleanup_arena_ struct arena arena = {0};

	set_up();
	for (unsigned i = 1; i <= GENERATIONS_KEPT + 4; i++)
		promote(stage(&arena));
	stage(&arena);
	ck_assert(!exists("gen-0") && !exists("gen-4"));
	for (unsigned i = 5; i <= GENERATIONS_KEPT + 5; i++) {
		char name[32];

		snprintf(name, sizeof(name), "gen-%u", i);
		ck_assert_msg(exists(name), "%s is gone", name);
	}
	tear_down();
}
END_TEST

/* kill -9 in the middle of writing. */
START_TEST(half_written_generation_is_cleared_away)
{
	_cleanup_arena_ struct arena arena = {0};
	struct err err;

	set_up();
	ck_assert_int_eq(file_mkdirs(in_dir("gen-1.tmp/bird.d"), 0755, &err), 0);
	ck_assert_int_eq(file_mkdirs(in_dir("gen-7.tmp"), 0755, &err), 0);
	stage(&arena);
	ck_assert(!exists("gen-1.tmp"));
	stage(&arena);
	ck_assert(!exists("gen-7.tmp"));
	tear_down();
}
END_TEST

START_TEST(rejected_generation_is_kept_with_its_reason_until_the_next)
{
	_cleanup_arena_ struct arena arena = {0};
	struct err err;

	set_up();
	ck_assert_int_eq(generation_reject(dir, stage(&arena), "first: syntax error", &err), 0);
	assert_text("rejected/reason", "generation 1: first: syntax error\n");
	assert_text("rejected/bird.d/10-mine.conf", "# mine\n");
	ck_assert(!exists("gen-1"));
	ck_assert_int_eq(generation_reject(dir, stage(&arena), "second", &err), 0);
	assert_text("rejected/reason", "generation 2: second\n");
	ck_assert_uint_eq(confirmed(), 0);
	tear_down();
}
END_TEST

START_TEST(foreign_bird_conf_is_not_ours)
{
	_cleanup_arena_ struct arena arena = {0};
	struct generation generation;
	unsigned number;
	struct err err;

	set_up();
	ck_assert_int_eq(file_replace(in_dir("bird.conf"), "router id 1;\n", 13, 0644, &err), 0);
	ck_assert_int_eq(generation_confirmed(dir, &generation, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "/bird.conf: not written by roostd"));
	ck_assert_int_eq(generation_stage(dir, small(&arena), &number, &err), -1);
	ck_assert_int_eq(generation_init(dir, &err), 0); /* and it stays */
	assert_text("bird.conf", "router id 1;\n");
	tear_down();
}
END_TEST

START_TEST(missing_generation_is_an_error)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset files;
	struct err err;

	set_up();
	ck_assert_int_eq(generation_read(dir, 3, &arena, &files, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_int_eq(generation_reject(dir, 3, "why", &err), -1);
	tear_down();
}
END_TEST

START_TEST(file_with_a_password_is_not_for_everybody)
{
	_cleanup_arena_ struct arena arena = {0};
	struct rendered rendered = {.id = "0123456789abcdef"};
	mode_t mask = umask(0022);
	unsigned number;
	struct stat st;
	struct err err;

	set_up();
	fileset_add(&rendered.files, &arena, "bird.conf", "# nothing\n", 10);
	fileset_add(&rendered.files, &arena, "sessions.conf", "\tpassword \"x\";\n", 15);
	fileset_add(&rendered.files, &arena, "bird.d/10-mine.conf", "define KEY = \"x\";\n", 18);
	rendered.files.items[2].closed = true;
	ck_assert_int_eq(generation_stage(dir, &rendered, &number, &err), 0);
	ck_assert_int_eq(stat(in_dir("gen-1/sessions.conf"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0640);
	ck_assert_int_eq(stat(in_dir("gen-1/bird.d/10-mine.conf"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0640);
	ck_assert_int_eq(stat(in_dir("gen-1/bird.conf"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0644);
	umask(mask);
	tear_down();
}
END_TEST

UNIT(generation, fresh_folder_gets_generation_nothing_so_that_bird_can_start,
	init_keeps_what_is_there, bird_conf_includes_the_confirmed_one_by_a_relative_name,
	staged_generation_is_whole_and_readable_by_bird,
	generation_without_snippets_has_the_folder_its_include_needs, numbers_only_grow,
	newest_are_kept, confirmed_one_is_kept_whatever_its_age,
	half_written_generation_is_cleared_away,
	rejected_generation_is_kept_with_its_reason_until_the_next, foreign_bird_conf_is_not_ours,
	missing_generation_is_an_error, file_with_a_password_is_not_for_everybody)
