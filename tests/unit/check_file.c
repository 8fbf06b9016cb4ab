/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file: whole files, read with a limit and replaced atomically. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "unit.h"

/* Each test works in a folder of its own and removes it. */
static char dir[] = "check_file.XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[2][300];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static void make_dir(void)
{
	unit_make_dir(dir);
}

static void remove_dir(void)
{
	struct err err;

	ck_assert_int_eq(file_remove_tree(dir, &err), 0);
	ck_assert_int_eq(access(dir, F_OK), -1);
}

START_TEST(read_appends_all_bytes)
{
	_cleanup_buf_ struct buf buf = {0};
	_cleanup_free_ char *data = xmalloc(100000);
	struct err err;

	make_dir();
	memset(data, 'x', 100000);
	data[50000] = '\0';
	buf_puts(&buf, "before:");
	ck_assert_int_eq(file_create(in_dir("f"), data, 100000, 0600, &err), 0);
	ck_assert_int_eq(file_read(in_dir("f"), 100000, &buf, &err), 0);
	ck_assert_uint_eq(buf.len, 100007);
	ck_assert_mem_eq(buf.text + 7, data, 100000);
	remove_dir();
}
END_TEST

START_TEST(file_over_the_limit_is_refused)
{
	_cleanup_buf_ struct buf buf = {0};
	struct err err;

	make_dir();
	ck_assert_int_eq(file_create(in_dir("f"), "1234", 4, 0600, &err), 0);
	ck_assert_int_eq(file_read(in_dir("f"), 3, &buf, &err), -1);
	ck_assert_int_eq(err.code, EFBIG);
	ck_assert_ptr_nonnull(strstr(err.msg, "/f: larger than 3 bytes"));
	remove_dir();
}
END_TEST

START_TEST(only_regular_files_are_read_and_a_fifo_does_not_hang)
{
	_cleanup_buf_ struct buf buf = {0};
	struct err err;

	make_dir();
	ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
	ck_assert_int_eq(file_read(in_dir("fifo"), 10, &buf, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "not a regular file"));
	ck_assert_int_eq(file_read(dir, 10, &buf, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "not a regular file"));
	ck_assert_int_eq(file_read("/dev/zero", 10, &buf, &err), -1);
	ck_assert_int_eq(file_read(in_dir("none"), 10, &buf, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	remove_dir();
}
END_TEST

START_TEST(replace_leaves_one_file_with_the_new_bytes_and_mode)
{
	_cleanup_buf_ struct buf buf = {0};
	struct stat st;
	struct err err;

	make_dir();
	ck_assert_int_eq(file_replace(in_dir("f"), "old", 3, 0600, &err), 0);
	/* What a crash between write and rename left behind. */
	ck_assert_int_eq(file_create(in_dir(".f.tmp"), "half", 4, 0600, &err), 0);
	umask(077);
	ck_assert_int_eq(file_replace(in_dir("f"), "new", 3, 0644, &err), 0);
	ck_assert_int_eq(file_read(in_dir("f"), 10, &buf, &err), 0);
	ck_assert_str_eq(buf_text(&buf), "new");
	ck_assert_int_eq(stat(in_dir("f"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0644);
	ck_assert_int_eq(access(in_dir(".f.tmp"), F_OK), -1);
	remove_dir();
}
END_TEST

START_TEST(replace_works_in_the_current_folder_too)
{
	char back[4096];
	struct err err;

	make_dir();
	ck_assert_ptr_nonnull(getcwd(back, sizeof(back)));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(file_replace("plain", "x", 1, 0600, &err), 0);
	ck_assert_int_eq(access("plain", F_OK), 0);
	ck_assert_int_eq(chdir(back), 0);
	remove_dir();
}
END_TEST

START_TEST(failed_replace_keeps_the_old_file_and_says_why)
{
	struct err err;

	make_dir();
	ck_assert_int_eq(mkdir(in_dir("f"), 0700), 0);
	ck_assert_int_eq(file_replace(in_dir("f"), "x", 1, 0600, &err), -1);
	ck_assert_int_eq(err.code, EISDIR);
	ck_assert_int_eq(access(in_dir(".f.tmp"), F_OK), -1);
	ck_assert_int_eq(file_replace(in_dir("none/f"), "x", 1, 0600, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	remove_dir();
}
END_TEST

START_TEST(create_never_overwrites_nor_follows_a_link)
{
	_cleanup_buf_ struct buf buf = {0};
	struct err err;

	make_dir();
	ck_assert_int_eq(file_create(in_dir("f"), "1", 1, 0600, &err), 0);
	ck_assert_int_eq(file_create(in_dir("f"), "2", 1, 0600, &err), -1);
	ck_assert_int_eq(err.code, EEXIST);
	ck_assert_int_eq(symlink("target", in_dir("link")), 0);
	ck_assert_int_eq(file_create(in_dir("link"), "2", 1, 0600, &err), -1);
	ck_assert_int_eq(access(in_dir("target"), F_OK), -1);
	ck_assert_int_eq(file_read(in_dir("f"), 10, &buf, &err), 0);
	ck_assert_str_eq(buf_text(&buf), "1");
	remove_dir();
}
END_TEST

START_TEST(mkdirs_makes_every_part_and_keeps_what_is_there)
{
	struct stat st;
	struct err err;

	make_dir();
	ck_assert_int_eq(mkdir(in_dir("a"), 0700), 0);
	ck_assert_int_eq(file_mkdirs(in_dir("a/b/c"), 0755, &err), 0);
	ck_assert_int_eq(file_mkdirs(in_dir("a/b/c"), 0755, &err), 0);
	ck_assert_int_eq(stat(in_dir("a"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(stat(in_dir("a/b/c"), &st), 0);
	ck_assert(S_ISDIR(st.st_mode));
	ck_assert_int_eq(file_mkdirs("", 0755, &err), -1);
	remove_dir();
}
END_TEST

START_TEST(mkdirs_says_when_a_file_stands_in_the_way)
{
	struct err err;

	make_dir();
	ck_assert_int_eq(file_create(in_dir("f"), "", 0, 0600, &err), 0);
	ck_assert_int_eq(file_mkdirs(in_dir("f/b"), 0755, &err), -1);
	ck_assert_int_eq(err.code, ENOTDIR);
	ck_assert_int_eq(file_mkdirs(in_dir("f"), 0755, &err), -1);
	ck_assert_int_eq(err.code, ENOTDIR);
	remove_dir();
}
END_TEST

START_TEST(remove_tree_takes_links_not_their_targets)
{
	struct err err;

	make_dir();
	ck_assert_int_eq(file_mkdirs(in_dir("keep"), 0755, &err), 0);
	ck_assert_int_eq(file_create(in_dir("keep/f"), "", 0, 0600, &err), 0);
	ck_assert_int_eq(file_mkdirs(in_dir("gone/deep"), 0755, &err), 0);
	ck_assert_int_eq(symlink("../../keep", in_dir("gone/deep/link")), 0);
	ck_assert_int_eq(file_remove_tree(in_dir("gone"), &err), 0);
	ck_assert_int_eq(access(in_dir("gone"), F_OK), -1);
	ck_assert_int_eq(access(in_dir("keep/f"), F_OK), 0);
	ck_assert_int_eq(file_remove_tree(in_dir("gone"), &err), 0);
	remove_dir();
}
END_TEST

UNIT(file, read_appends_all_bytes, file_over_the_limit_is_refused,
	only_regular_files_are_read_and_a_fifo_does_not_hang,
	replace_leaves_one_file_with_the_new_bytes_and_mode,
	replace_works_in_the_current_folder_too, failed_replace_keeps_the_old_file_and_says_why,
	create_never_overwrites_nor_follows_a_link,
	mkdirs_makes_every_part_and_keeps_what_is_there,
	mkdirs_says_when_a_file_stands_in_the_way, remove_tree_takes_links_not_their_targets)
