/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fileset: a handful of named texts that belong together. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "bird/fileset.h"
#include "unit.h"

static void add(struct fileset *set, struct arena *arena, const char *name, const char *text)
{
	fileset_add(set, arena, name, text, strlen(text));
}

START_TEST(added_text_is_found_by_its_name)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset set = {0};
	char text[] = "router id 10.0.0.1;";

	fileset_add(&set, &arena, "node.conf", text, 9);
	text[0] = 'x';
	ck_assert_str_eq(fileset_find(&set, "node.conf")->text, "router id");
	ck_assert_uint_eq(fileset_find(&set, "node.conf")->len, 9);
	ck_assert_ptr_null(fileset_find(&set, "node"));
}
END_TEST

START_TEST(sorted_by_name_as_bytes)
{
	static const char *const sorted[] = {"Z.conf", "a.conf", "bird.d/1.conf", "bird.d/10.conf",
		"node.conf"};
	static const int order[] = {4, 1, 3, 0, 2};
	_cleanup_arena_ struct arena arena = {0};
	struct fileset set = {0};

	fileset_sort(&set);
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		add(&set, &arena, sorted[order[i]], "");
	fileset_sort(&set);
	for (size_t i = 0; i < set.n; i++)
		ck_assert_str_eq(set.items[i].name, sorted[i]);
}
END_TEST

START_TEST(equal_means_the_same_names_and_bytes)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset a = {0}, b = {0}, renamed = {0}, changed = {0}, longer = {0}, empty = {0};

	add(&a, &arena, "f", "text");
	add(&b, &arena, "f", "text");
	add(&renamed, &arena, "g", "text");
	add(&changed, &arena, "f", "Text");
	add(&longer, &arena, "f", "text.");
	ck_assert(fileset_equal(&a, &b));
	ck_assert(!fileset_equal(&a, &renamed));
	ck_assert(!fileset_equal(&a, &changed));
	ck_assert(!fileset_equal(&a, &longer));
	ck_assert(!fileset_equal(&a, &empty));
	add(&b, &arena, "g", "");
	ck_assert(!fileset_equal(&a, &b));
	ck_assert(fileset_equal(&empty, &(struct fileset){0}));
}
END_TEST

/* ---------------------------------------------------------------- folders */

static char dir[] = "check_fileset.XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	struct err err;

	ck_assert_int_eq(file_create(in_dir(name), text, strlen(text), 0644, &err), 0);
}

static void remove_dir(void)
{
	struct err err;

	ck_assert_int_eq(file_remove_tree(dir, &err), 0);
}

START_TEST(folder_gives_its_conf_files_and_no_others)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset set = {0};
	struct err err;

	unit_make_dir(dir);
	write_file("20-b.conf", "b");
	write_file("10-a.conf", "a");
	write_file(".hidden.conf", "x");
	write_file(".conf", "x");
	write_file("10-a.conf~", "x");
	write_file("README", "x");
	ck_assert_int_eq(symlink("10-a.conf", in_dir("30-link.conf")), 0);
	ck_assert_int_eq(fileset_read_dir(&set, &arena, dir, "bird.d/", &err), 0);
	fileset_sort(&set);
	ck_assert_uint_eq(set.n, 3);
	ck_assert_str_eq(set.items[0].name, "bird.d/10-a.conf");
	ck_assert_str_eq(set.items[0].text, "a");
	ck_assert_str_eq(set.items[1].name, "bird.d/20-b.conf");
	ck_assert_str_eq(set.items[2].name, "bird.d/30-link.conf");
	ck_assert_str_eq(set.items[2].text, "a");
	remove_dir();
}
END_TEST

START_TEST(file_that_not_everybody_may_read_is_closed)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset set = {0};
	struct err err;

	unit_make_dir(dir);
	write_file("10-open.conf", "a");
	write_file("20-closed.conf", "b");
	ck_assert_int_eq(chmod(in_dir("10-open.conf"), 0644), 0);
	ck_assert_int_eq(chmod(in_dir("20-closed.conf"), 0640), 0);
	ck_assert_int_eq(fileset_read_dir(&set, &arena, dir, "", &err), 0);
	fileset_sort(&set);
	ck_assert(!set.items[0].closed);
	ck_assert(set.items[1].closed);
	remove_dir();
}
END_TEST

START_TEST(missing_folder_has_no_files)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset set = {0};
	struct err err;

	ck_assert_int_eq(fileset_read_dir(&set, &arena, "/nonexistent/bird.d", "", &err), 0);
	ck_assert_uint_eq(set.n, 0);
}
END_TEST

START_TEST(what_cannot_be_read_is_named)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset set = {0};
	struct err err;

	unit_make_dir(dir);
	ck_assert_int_eq(symlink("nowhere", in_dir("dangling.conf")), 0);
	ck_assert_int_eq(fileset_read_dir(&set, &arena, dir, "", &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_ptr_nonnull(strstr(err.msg, "/dangling.conf: No such file or directory"));
	ck_assert_int_eq(unlink(in_dir("dangling.conf")), 0);
	ck_assert_int_eq(mkdir(in_dir("folder.conf"), 0755), 0);
	ck_assert_int_eq(fileset_read_dir(&set, &arena, dir, "", &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "/folder.conf: not a regular file"));
	write_file("plain", "");
	ck_assert_int_eq(fileset_read_dir(&set, &arena, in_dir("plain"), "", &err), -1);
	ck_assert_int_eq(err.code, ENOTDIR);
	remove_dir();
}
END_TEST

START_TEST(number_of_files_is_limited)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset set = {0};
	char name[32];
	struct err err;

	unit_make_dir(dir);
	for (int i = 0; i <= FILESET_MAX_FILES; i++) {
		snprintf(name, sizeof(name), "%d.conf", i);
		write_file(name, "");
	}
	ck_assert_int_eq(fileset_read_dir(&set, &arena, dir, "", &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, ": more than 256 *.conf files"));
	ck_assert_int_eq(unlink(in_dir("7.conf")), 0);
	set = (struct fileset){0};
	ck_assert_int_eq(fileset_read_dir(&set, &arena, dir, "", &err), 0);
	ck_assert_uint_eq(set.n, FILESET_MAX_FILES);
	remove_dir();
}
END_TEST

UNIT(fileset, added_text_is_found_by_its_name, sorted_by_name_as_bytes,
	equal_means_the_same_names_and_bytes, folder_gives_its_conf_files_and_no_others,
	file_that_not_everybody_may_read_is_closed,
	missing_folder_has_no_files, what_cannot_be_read_is_named, number_of_files_is_limited)
