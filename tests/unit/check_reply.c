/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reply: BIRD's answers, put together from lines.  The lines here are BIRD 2.0.12's. */
#include <errno.h>
#include <string.h>

#include "bird/reply.h"
#include "unit.h"

static void take(struct reply *reply, const char *const *lines)
{
	for (; *lines; lines++) {
		struct err err;

		ck_assert_msg(!reply->complete, "complete before \"%s\"", *lines);
		ck_assert_int_eq(reply_add_line(reply, *lines, &err), 0);
	}
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void assert_line(const struct reply *reply, size_t i, int code, const char *text)
{
	ck_assert_uint_lt(i, reply->n_lines);
	ck_assert_int_eq(reply->lines[i].code, code);
	ck_assert_str_eq(reply->lines[i].text, text);
}

START_TEST(code_and_blank_end_the_answer)
{
	static const char *const rows[] = {"0001 BIRD 2.0.12 ready.", "0000 ", "0018 Reconfiguration confirmed",
		"8002 /x:9:18 syntax error", "9001 syntax error", "8007 Access denied"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reply reply = {0};

		take(&reply, LINES(rows[i]));
		ck_assert(reply.complete);
		ck_assert_uint_eq(reply.n_lines, 1);
		ck_assert_str_eq(reply_text(&reply), rows[i] + 5);
		reply_free(&reply);
	}
}
END_TEST

START_TEST(code_and_dash_go_on)
{
	struct reply reply = {0};

	take(&reply, LINES("0002-Reading configuration from /x/bird.conf", "0003 Reconfigured"));
	ck_assert(reply.complete);
	assert_line(&reply, 0, 2, "Reading configuration from /x/bird.conf");
	assert_line(&reply, 1, 3, "Reconfigured");
	ck_assert_int_eq(reply_code(&reply), 3);
	reply_free(&reply);
}
END_TEST

START_TEST(blank_repeats_the_code_of_the_line_before)
{
	struct reply reply = {0};

	take(&reply, LINES("1000-BIRD 2.0.12", "1011-Router ID is 10.0.0.1", " Hostname is vm", " ",
		"0024-Graceful restart recovery in progress", "   Waiting for 1 channels to recover",
		"0013 Daemon is up and running"));
	ck_assert_uint_eq(reply.n_lines, 7);
	assert_line(&reply, 2, 1011, "Hostname is vm");
	assert_line(&reply, 3, 1011, "");
	assert_line(&reply, 5, 24, "  Waiting for 1 channels to recover");
	reply_free(&reply);
}
END_TEST

START_TEST(what_is_no_line_of_an_answer_is_no_part_of_it)
{
	struct reply reply = {0};

	take(&reply, LINES("+p1: State changed to up", " before any code", "<3 messages lost>", "", "0",
		"000", "0000", "0000x", "00000 ", "x0000 ", "1000-BIRD", "+again", "<line overflow>",
		"0000 "));
	ck_assert_uint_eq(reply.n_lines, 2);
	assert_line(&reply, 0, 1000, "BIRD");
	assert_line(&reply, 1, 0, "");
	reply_free(&reply);
}
END_TEST

START_TEST(empty_answer_has_no_code)
{
	struct reply reply = {0};

	ck_assert_int_eq(reply_code(&reply), -1);
	ck_assert_str_eq(reply_text(&reply), "");
	ck_assert_ptr_null(reply_find(&reply, 0));
	reply_free(&reply);
}
END_TEST

START_TEST(find_gives_the_first_line_of_a_code)
{
	struct reply reply = {0};

	take(&reply, LINES("0003-Daemon is up and running",
		"0022-Configuration unconfirmed, undo in 2.999 s", "0022-more", "0000 "));
	ck_assert_str_eq(reply_find(&reply, BIRD_UNDO_SCHEDULED)->text,
		"Configuration unconfirmed, undo in 2.999 s");
	ck_assert_ptr_null(reply_find(&reply, BIRD_RECOVERY));
	reply_free(&reply);
}
END_TEST

/* It may quote what a neighbour sent; jansson drops a string that is no UTF-8. */
START_TEST(text_is_utf8_without_control_characters)
{
	struct reply reply = {0};

	take(&reply, LINES("1006-Last error: Received: \xff\x1b[2J", " \t\tvia 10.0.0.1\ton eth0",
		"0000 K\xc3\xb6ln"));
	assert_line(&reply, 0, 1006, "Last error: Received: ??[2J");
	assert_line(&reply, 1, 1006, "\t\tvia 10.0.0.1?on eth0");
	assert_line(&reply, 2, 0, "K\xc3\xb6ln");
	reply_free(&reply);
}
END_TEST

START_TEST(freed_reply_may_be_used_again)
{
	struct reply reply = {0};

	take(&reply, LINES("0000 "));
	reply_free(&reply);
	take(&reply, LINES("0001-a", "0000 "));
	ck_assert_uint_eq(reply.n_lines, 2);
	reply_free(&reply);
}
END_TEST

START_TEST(answer_without_end_is_given_up)
{
	_cleanup_free_ char *line = xmalloc(1 << 20);
	struct reply reply = {0};
	struct err err;
	int taken = 0;

	memset(line, 'x', 1 << 20);
	memcpy(line, "1007-", 5);
	line[(1 << 20) - 1] = '\0';
	while (reply_add_line(&reply, line, &err) == 0)
		ck_assert_int_lt(++taken, 100);
	ck_assert_int_eq(err.code, EFBIG);
	ck_assert_str_eq(err.msg, "BIRD's answer is larger than 67108864 bytes");
	reply_free(&reply);
}
END_TEST

UNIT(reply, code_and_blank_end_the_answer, code_and_dash_go_on,
	blank_repeats_the_code_of_the_line_before, what_is_no_line_of_an_answer_is_no_part_of_it,
	empty_answer_has_no_code, find_gives_the_first_line_of_a_code,
	text_is_utf8_without_control_characters,
	freed_reply_may_be_used_again, answer_without_end_is_given_up)
