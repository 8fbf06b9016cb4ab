/* SPDX-License-Identifier: GPL-2.0-or-later */
/* history and hold: what became of each configuration, and where one stays. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/history.h"
#include "agent/hold.h"
#include "base/file.h"
#include "unit.h"

static char dir[] = "check_history.XXXXXX";

#define A "aaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbb"
#define C "cccccccccccccccc"

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

static void write_in(const char *name, const char *text)
{
	char path[100];
	struct err err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	ck_assert_msg(file_replace(path, text, strlen(text), 0644, &err) == 0, "%s", err.msg);
}

static enum drain_state drain; /* of what is written, and now */

static void add(unsigned number, const char *id, enum apply_outcome outcome, size_t left,
	const char *reason)
{
	const struct history_entry entry = {.generation = number, .id = id, .at = 1000 + number,
		.outcome = outcome, .left = left, .drain = drain, .by = "a change", .changes = "add x:v4",
		.reason = reason};
	struct err err;

	ck_assert_msg(history_add(dir, &entry, &err) == 0, "%s", err.msg);
}

/* As apply leaves it. */
static void confirm(unsigned number, const char *id, size_t left)
{
	char text[100], name[64];
	struct err err;

	snprintf(name, sizeof(name), "%s/gen-%u", dir, number);
	ck_assert_int_eq(file_mkdirs(name, 0755, &err), 0);
	snprintf(name, sizeof(name), "gen-%u/bird.conf", number);
	snprintf(text, sizeof(text), "# x\n\ndefine ROOST_CONFIG = \"%s\";\n", id);
	write_in(name, text);
	ck_assert_int_eq(generation_promote(dir, number, id, &err), 0);
	add(number, id, APPLY_CONFIRMED, left, NULL);
}

static int find_target(unsigned number, unsigned *target, char id[CONFIG_ID_LEN + 1],
	struct err *err)
{
	struct generation confirmed;
	struct history_now now = {confirmed.id, drain};

	ck_assert_int_eq(generation_confirmed(dir, &confirmed, err), 0);
	return history_target(dir, number, &now, target, id, err);
}

static void assert_target(unsigned number, unsigned target, const char *id)
{
	char found[CONFIG_ID_LEN + 1];
	unsigned n = 0;
	struct err err;

	ck_assert_msg(find_target(number, &n, found, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(n, target);
	ck_assert_str_eq(found, id);
}

static void assert_no_target(unsigned number, const char *msg)
{
	char found[CONFIG_ID_LEN + 1];
	struct err err;
	unsigned n;

	ck_assert_int_eq(find_target(number, &n, found, &err), -1);
	ck_assert_str_eq(err.msg, msg);
}

START_TEST(newest_is_first_with_all_that_is_known)
{
	_cleanup_free_ char *text = NULL;
	json_t *list;

	set_up();
	confirm(1, A, 0);
	add(2, B, APPLY_REFUSED, 0, "x.conf:1:1 syntax \xff");
	list = history_json(dir);
	text = json_dumps(list, JSON_COMPACT);
	ck_assert_str_eq(text,
		"[{\"generation\":2,\"id\":\"" B "\",\"at\":\"1970-01-01T00:16:42Z\","
		"\"outcome\":\"refused\",\"by\":\"a change\",\"changes\":\"add x:v4\","
		"\"reason\":\"x.conf:1:1 syntax ?\",\"restartsLeft\":0,\"drain\":\"off\",\"times\":1,"
		"\"current\":false,\"kept\":false},"
		"{\"generation\":1,\"id\":\"" A "\",\"at\":\"1970-01-01T00:16:41Z\","
		"\"outcome\":\"confirmed\",\"by\":\"a change\",\"changes\":\"add x:v4\","
		"\"reason\":null,\"restartsLeft\":0,\"drain\":\"off\",\"times\":1,\"current\":true,\"kept\":true}]");
	json_decref(list);
	tear_down();
}
END_TEST

START_TEST(same_refusal_again_is_counted_and_the_list_is_bounded)
{
	json_t *list;

	set_up();
	for (unsigned i = 1; i <= 3; i++)
		add(i, A, APPLY_ROLLED_BACK, 0, "session x");
	list = history_json(dir);
	ck_assert_uint_eq(json_array_size(list), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(list, 0), "times")), 3);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(list, 0), "generation")), 3);
	json_decref(list);
	for (unsigned i = 4; i <= HISTORY_MAX + 10; i++)
		add(i, A, APPLY_CONFIRMED, 0, NULL);
	list = history_json(dir);
	ck_assert_uint_eq(json_array_size(list), HISTORY_MAX);
	json_decref(list);
	tear_down();
}
END_TEST

START_TEST(going_back_is_to_the_whole_change_before)
{
	set_up();
	assert_no_target(0, "there is no generation before to go back to; see roostctl history");
	confirm(1, A, 0);
	add(2, C, APPLY_ROLLED_BACK, 0, "session x");
	confirm(3, B, 2);
	confirm(4, C, 0);
	assert_target(0, 1, A); /* over the step */
	assert_target(3, 3, B); /* but who wants it gets it */
	assert_no_target(4, "generation 4 is what runs already");
	assert_no_target(2, "there is no generation 2 to go back to; see roostctl history");
	confirm(5, A, 0); /* it went back */
	assert_target(0, 4, C);
	tear_down();
}
END_TEST

/* Nobody says of draining by going back what is not so. */
START_TEST(going_back_leads_over_no_drain)
{
	set_up();
	confirm(1, A, 0);
	drain = DRAIN_LEAVING;
	confirm(2, B, 0);
	assert_no_target(0, "there is no generation before to go back to that was drained, as this node is now: "
			    "roostctl undrain first; see roostctl history");
	assert_no_target(1, "generation 1 is from when drain was off, and now it is leaving: "
			    "roostctl undrain first");
	drain = DRAIN_OFF;
	confirm(3, C, 0);
	assert_target(0, 1, A);
	assert_no_target(2, "generation 2 is from when drain was leaving, and now it is off: "
			    "roostctl drain first");
	tear_down();
}
END_TEST

/* As long as a change is on trial, back is to what is confirmed. */
START_TEST(going_back_from_a_trial_is_to_what_is_confirmed)
{
	const struct history_now now = {C, DRAIN_OFF};
	char found[CONFIG_ID_LEN + 1];
	unsigned n = 0;
	struct err err;

	set_up();
	confirm(1, A, 0);
	confirm(2, B, 0);
	ck_assert_int_eq(history_target(dir, 0, &now, &n, found, &err), 0);
	ck_assert_uint_eq(n, 2);
	tear_down();
}
END_TEST

START_TEST(what_is_no_longer_on_disk_is_no_target)
{
	char path[64];
	struct err err;

	set_up();
	confirm(1, A, 0);
	confirm(2, B, 0);
	confirm(3, C, 0);
	snprintf(path, sizeof(path), "%s/gen-2", dir);
	ck_assert_int_eq(file_remove_tree(path, &err), 0);
	assert_target(0, 1, A);
	assert_no_target(2, "there is no generation 2 to go back to; see roostctl history");
	tear_down();
}
END_TEST

START_TEST(lost_or_damaged_it_begins_anew)
{
	static const char odd[] = "[1, null, {}, {\"id\": 3, \"outcome\": \"confirmed\"}]";
	static const char *const texts[] = {"", "[", "{}", odd};
	struct generation confirmed = {.number = 7, .id = A, .confirmed_at = 1000};
	struct err err;
	json_t *list;

	set_up();
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		write_in("history", texts[i]);
		assert_no_target(0, "there is no generation before to go back to; see roostctl history");
		/* A crash kept it out. */
		ck_assert_int_eq(history_note(dir, &confirmed, DRAIN_OFF, &err), 0);
		ck_assert_int_eq(history_note(dir, &confirmed, DRAIN_OFF, &err), 0);
		list = history_json(dir);
		ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(list, 0),
			"generation")), 7);
		ck_assert_uint_le(json_array_size(list), 3);
		json_decref(list);
	}
	tear_down();
}
END_TEST

START_TEST(hold_is_read_back_until_it_is_removed)
{
	const struct hold hold = {true, 7, A, B, 1234};
	struct hold again;
	struct err err;

	set_up();
	ck_assert(!hold_read(dir).active);
	ck_assert_int_eq(hold_write(dir, &hold, &err), 0);
	again = hold_read(dir);
	ck_assert(again.active && again.generation == 7 && again.since == 1234);
	ck_assert_str_eq(again.id, A);
	ck_assert_str_eq(again.held_back, B);
	write_in("hold", "generation 7\n");
	ck_assert(!hold_read(dir).active);
	ck_assert_int_eq(hold_remove(dir, &err), 0);
	ck_assert_int_eq(hold_remove(dir, &err), 0);
	tear_down();
}
END_TEST

UNIT(history, newest_is_first_with_all_that_is_known,
	same_refusal_again_is_counted_and_the_list_is_bounded, going_back_is_to_the_whole_change_before,
	going_back_leads_over_no_drain, going_back_from_a_trial_is_to_what_is_confirmed,
	what_is_no_longer_on_disk_is_no_target, lost_or_damaged_it_begins_anew,
	hold_is_read_back_until_it_is_removed)
