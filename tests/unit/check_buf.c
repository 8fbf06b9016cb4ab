/* SPDX-License-Identifier: GPL-2.0-or-later */
/* buf: text that grows. */
#include <string.h>

#include "base/buf.h"
#include "unit.h"

START_TEST(text_of_a_new_buf_is_empty)
{
	struct buf buf = {0};

	ck_assert_str_eq(buf_text(&buf), "");
	ck_assert_ptr_null(buf.text);
	buf_free(&buf);
}
END_TEST

START_TEST(pieces_follow_each_other_and_are_ended)
{
	_cleanup_buf_ struct buf buf = {0};

	buf_puts(&buf, "router id ");
	buf_printf(&buf, "%d.%d.%d.%d", 10, 0, 0, 1);
	buf_add(&buf, ";xyz", 1);
	ck_assert_str_eq(buf_text(&buf), "router id 10.0.0.1;");
	ck_assert_uint_eq(buf.len, 19);
}
END_TEST

START_TEST(empty_piece_changes_nothing_but_ends_the_text)
{
	_cleanup_buf_ struct buf buf = {0};

	buf_add(&buf, NULL, 0);
	ck_assert_ptr_nonnull(buf.text);
	ck_assert_str_eq(buf_text(&buf), "");
	buf_puts(&buf, "x");
	buf_puts(&buf, "");
	buf_printf(&buf, "%s", "");
	ck_assert_str_eq(buf_text(&buf), "x");
	ck_assert_uint_eq(buf.len, 1);
}
END_TEST

START_TEST(bytes_may_be_anything)
{
	_cleanup_buf_ struct buf buf = {0};

	buf_add(&buf, "a\0b", 3);
	buf_puts(&buf, "c");
	ck_assert_uint_eq(buf.len, 4);
	ck_assert_mem_eq(buf.text, "a\0bc", 5);
}
END_TEST

START_TEST(grows_through_every_size)
{
	_cleanup_buf_ struct buf buf = {0};

	for (size_t i = 0; i < 5000; i++) {
		if (i % 2)
			buf_printf(&buf, "%c", (int)('a' + i % 26));
		else
			buf_add(&buf, &(char){(char)('a' + i % 26)}, 1);
		ck_assert_uint_eq(strlen(buf.text), i + 1);
		ck_assert_uint_gt(buf.size, buf.len);
	}
	for (size_t i = 0; i < buf.len; i++)
		ck_assert_int_eq(buf.text[i], (char)('a' + i % 26));
}
END_TEST

START_TEST(one_piece_may_be_larger_than_all_before)
{
	_cleanup_buf_ struct buf buf = {0};

	buf_puts(&buf, "<");
	buf_printf(&buf, "%0*d", 100000, 7);
	buf_puts(&buf, ">");
	ck_assert_uint_eq(buf.len, 100002);
	ck_assert_str_eq(buf.text + 99999, "07>");
}
END_TEST

START_TEST(freed_buf_may_be_used_again)
{
	struct buf buf = {0};

	buf_puts(&buf, "one");
	buf_free(&buf);
	ck_assert_str_eq(buf_text(&buf), "");
	buf_puts(&buf, "two");
	ck_assert_str_eq(buf_text(&buf), "two");
	buf_free(&buf);
	buf_free(&buf);
}
END_TEST

UNIT(buf, text_of_a_new_buf_is_empty, pieces_follow_each_other_and_are_ended,
	empty_piece_changes_nothing_but_ends_the_text, bytes_may_be_anything,
	grows_through_every_size, one_piece_may_be_larger_than_all_before,
	freed_buf_may_be_used_again)
