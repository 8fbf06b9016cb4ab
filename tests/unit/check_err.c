/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err: set at the bottom, wrapped on the way up, printed once at the top. */
#include <errno.h>
#include <string.h>

#include "unit.h"

START_TEST(set_fills_code_and_text_and_returns_minus_one)
{
	struct err err;

	ck_assert_int_eq(err_set(&err, EINVAL, "asn: expected %d..%d", 1, 7), -1);
	ck_assert_int_eq(err.code, EINVAL);
	ck_assert_str_eq(err.msg, "asn: expected 1..7");
}
END_TEST

START_TEST(errno_becomes_code_and_reason)
{
	struct err err;

	errno = ENOENT;
	ck_assert_int_eq(err_errno(&err, "%s", "/none"), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_str_eq(err.msg, "/none: No such file or directory");
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(wrapped_message_reads_from_outside_in)
{
	struct err err;

	err_set(&err, EBUSY, "still running");
	ck_assert_int_eq(err_wrap(&err, "configure %s", "gen-7"), -1);
	err_wrap(&err, "apply");
	ck_assert_str_eq(err.msg, "apply: configure gen-7: still running");
	ck_assert_int_eq(err.code, EBUSY);
}
END_TEST

START_TEST(too_long_message_is_cut_not_overrun)
{
	char text[3000];
	struct err err;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, 1, "%s", text);
	ck_assert_uint_eq(strlen(err.msg), sizeof(err.msg) - 1);
	err_wrap(&err, "outer");
	ck_assert_uint_eq(strlen(err.msg), sizeof(err.msg) - 1);
	ck_assert_int_eq(strncmp(err.msg, "outer: xxx", 10), 0);
	err_wrap(&err, "%s", text);
	ck_assert_uint_eq(strlen(err.msg), sizeof(err.msg) - 1);
	errno = EIO;
	err_errno(&err, "%s", text);
	ck_assert_uint_eq(strlen(err.msg), sizeof(err.msg) - 1);
}
END_TEST

/* What is quoted comes from files, from BIRD, from the network; the message goes
 * into the journal, onto terminals and into JSON. */
START_TEST(message_is_one_line_of_utf8_whatever_it_quotes)
{
	static const struct {
		const char *quoted, *shown;
	} rows[] = {
		{"a\nb\r\tc", "a?b??c"},
		{"\x1b[2J", "?[2J"},
		{"del\x7f", "del?"},
		{"K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x90\x94", "K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x90\x94"},
		{"\xc2\x9b" "31m", "??31m"},			  /* C1 control: CSI */
		{"\xc3", "?"},					  /* cut */
		{"\xe2\x82", "??"},				  /* cut */
		{"\xf0\x9f\x90", "???"},			  /* cut */
		{"\x80 \xbf \xff \xfe", "? ? ? ?"},		  /* never a first byte */
		{"\xc0\xaf", "??"},				  /* overlong */
		{"\xe0\x80\xaf", "???"},			  /* overlong */
		{"\xed\xa0\x80", "???"},			  /* surrogate */
		{"\xf4\x90\x80\x80", "????"},			  /* above U+10FFFF */
		{"\xfc\x80\x80\x80\x80\x80", "??????"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err;

		err_set(&err, 1, "%s", rows[i].quoted);
		ck_assert_str_eq(err.msg, rows[i].shown);
		err_wrap(&err, "%s", rows[i].quoted);
		ck_assert_ptr_null(strpbrk(err.msg, "\n\r\t\x1b"));
		errno = EIO;
		err_errno(&err, "%s", rows[i].quoted);
		ck_assert_int_eq(strncmp(err.msg, rows[i].shown, strlen(rows[i].shown)), 0);
	}
}
END_TEST

START_TEST(character_cut_at_the_end_of_the_room_leaves_no_half)
{
	struct err err;
	char text[2 * sizeof(err.msg)];

	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'x', shift);
		for (size_t i = shift; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 4);
		err_set(&err, 1, "%s", text);
		for (size_t i = shift; err.msg[i]; i += err.msg[i] == '?' ? 1 : 3)
			ck_assert(err.msg[i] == '?' || memcmp(err.msg + i, "\xe2\x82\xac", 3) == 0);
	}
}
END_TEST

UNIT(err, set_fills_code_and_text_and_returns_minus_one, errno_becomes_code_and_reason,
	wrapped_message_reads_from_outside_in, too_long_message_is_cut_not_overrun,
	message_is_one_line_of_utf8_whatever_it_quotes,
	character_cut_at_the_end_of_the_room_leaves_no_half)
