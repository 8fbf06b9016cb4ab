/* SPDX-License-Identifier: GPL-2.0-or-later */
/* refusal: what did not take effect, and when it may be tried again by ourselves. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/refusal.h"
#include "base/file.h"
#include "unit.h"

static char dir[] = "check_refusal.XXXXXX";

#define A "aaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbb"
#define FILES "1111111111111111"
#define OTHERS "2222222222222222"

static struct refusal rolled_back(const char *id, const char *source_id)
{
	struct refusal new = {.outcome = APPLY_ROLLED_BACK, .at = 1795000000,
		.reason = {ETIMEDOUT, "session tor:peer was up before"}};

	strcpy(new.id, id);
	strcpy(new.source_id, source_id);
	return new;
}

static struct refusal refused(const char *id, const char *source_id)
{
	struct refusal new = rolled_back(id, source_id);

	new.outcome = APPLY_REFUSED;
	return new;
}

START_TEST(rolled_back_waits_twice_as_long_each_time_up_to_16_minutes)
{
	static const long seconds[] = {60, 120, 240, 480, 960, 960, 960};
	const struct refusal new = rolled_back(A, FILES);
	struct refusal refusal = {0};
	long now = 1000;

	ck_assert(!refusal_bars(&refusal, A, FILES, now));
	for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
		refusal_note(&refusal, &new, now);
		ck_assert_int_eq(refusal.not_before, now + seconds[i]);
		ck_assert(refusal_bars(&refusal, A, FILES, now + seconds[i] - 1));
		now += seconds[i];
		ck_assert(!refusal_bars(&refusal, A, FILES, now));
	}
}
END_TEST

/* A Node that comes or goes makes other bytes of the same files. */
START_TEST(rolled_back_files_wait_whatever_nodes_they_are_for)
{
	const struct refusal new = rolled_back(A, FILES), next = rolled_back(B, FILES);
	struct refusal refusal = {0};

	refusal_note(&refusal, &new, 0);
	ck_assert(refusal_bars(&refusal, B, FILES, 59));
	ck_assert(!refusal_bars(&refusal, B, OTHERS, 0));
	refusal_note(&refusal, &next, 60);
	ck_assert_uint_eq(refusal.tries, 2);
}
END_TEST

START_TEST(files_that_are_not_to_blame_do_not_wait)
{
	const struct refusal new = rolled_back(A, "");
	struct refusal refusal = {0};

	refusal_note(&refusal, &new, 0);
	ck_assert(refusal_bars(&refusal, A, FILES, 59));
	ck_assert(!refusal_bars(&refusal, B, FILES, 0));
	ck_assert(!refusal_bars(&refusal, B, "", 0));
}
END_TEST

START_TEST(other_files_begin_with_a_minute)
{
	const struct refusal new = rolled_back(A, FILES), other = rolled_back(B, OTHERS);
	struct refusal refusal = {0};

	refusal_note(&refusal, &new, 0);
	refusal_note(&refusal, &new, 0);
	refusal_note(&refusal, &other, 0);
	ck_assert_int_eq(refusal.not_before, 60);
	ck_assert(!refusal_bars(&refusal, A, FILES, 0));
}
END_TEST

/* The old file, and then the bad one again: that is as dear as the first time. */
START_TEST(what_ran_meanwhile_does_not_shorten_the_minute)
{
	const struct refusal new = rolled_back(A, FILES);
	struct refusal refusal = {0};

	ck_assert(!refusal_passed(&refusal, A, FILES));
	refusal_note(&refusal, &new, 0);
	ck_assert(!refusal_passed(&refusal, B, OTHERS));
	ck_assert(refusal_bars(&refusal, A, FILES, 59));
	ck_assert(refusal_passed(&refusal, B, FILES));
	ck_assert(!refusal_bars(&refusal, A, FILES, 59));
}
END_TEST

START_TEST(refused_bytes_are_not_tried_until_others_have_run)
{
	const struct refusal new = refused(A, FILES);
	struct refusal refusal = {0};

	refusal_note(&refusal, &new, 0);
	ck_assert(refusal_bars(&refusal, A, FILES, 1000000));
	ck_assert(!refusal_bars(&refusal, B, FILES, 0));
	ck_assert(refusal_passed(&refusal, B, OTHERS));
	ck_assert(!refusal_bars(&refusal, A, FILES, 0));
}
END_TEST

static struct refusal write_and_read(const struct refusal *refusal)
{
	struct err err;

	ck_assert_msg(refusal_write(dir, refusal, &err) == 0, "%s", err.msg);
	return refusal_read(dir, 5000);
}

START_TEST(rolled_back_outlives_roostd_and_waits_anew)
{
	const struct refusal new = rolled_back(A, FILES);
	struct refusal refusal = {0}, read;
	struct err err;

	unit_make_dir(dir);
	ck_assert(!refusal_read(dir, 0).active);
	refusal_note(&refusal, &new, 0);
	refusal_note(&refusal, &new, 100);
	read = write_and_read(&refusal);
	ck_assert(read.active && !read.limited);
	ck_assert_int_eq(read.outcome, APPLY_ROLLED_BACK);
	ck_assert_str_eq(read.id, A);
	ck_assert_str_eq(read.source_id, FILES);
	ck_assert_str_eq(read.reason.msg, "session tor:peer was up before");
	ck_assert_int_eq(read.at, 1795000000);
	ck_assert_int_eq(read.not_before, 5000 + 120);
	refusal.source_id[0] = '\0';
	ck_assert_str_eq(write_and_read(&refusal).source_id, "");
	ck_assert(!write_and_read(&(struct refusal){0}).active);
	ck_assert_int_eq(file_remove_tree(dir, &err), 0);
}
END_TEST

START_TEST(limit_outlives_roostd_and_birds_refusal_does_not)
{
	struct refusal refusal = {0}, new = refused(A, FILES), read;
	struct err err;

	unit_make_dir(dir);
	new.limited = true;
	refusal_note(&refusal, &new, 0);
	read = write_and_read(&refusal);
	ck_assert(read.limited && read.max_restarts == 0);
	ck_assert_int_eq(read.outcome, APPLY_REFUSED);
	ck_assert(refusal_bars(&read, A, FILES, 1000000));
	refusal.limited = false;
	ck_assert(!write_and_read(&refusal).active);
	ck_assert_int_eq(file_remove_tree(dir, &err), 0);
}
END_TEST

START_TEST(damaged_it_says_nothing)
{
	static const char *const texts[] = {"", "rolled-back\n", "rolled-back " A " - tries 0 at 1 limit -1: x\n",
		"rolled-back " A " - tries 1 at 1 limit", "\xff\xff"};
	char path[64];
	struct err err;

	unit_make_dir(dir);
	snprintf(path, sizeof(path), "%s/refused", dir);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		ck_assert_int_eq(file_replace(path, texts[i], strlen(texts[i]), 0644, &err), 0);
		ck_assert(!refusal_read(dir, 0).active);
	}
	ck_assert_int_eq(file_remove_tree(dir, &err), 0);
}
END_TEST

UNIT(refusal, rolled_back_waits_twice_as_long_each_time_up_to_16_minutes,
	rolled_back_files_wait_whatever_nodes_they_are_for, files_that_are_not_to_blame_do_not_wait,
	other_files_begin_with_a_minute, what_ran_meanwhile_does_not_shorten_the_minute,
	refused_bytes_are_not_tried_until_others_have_run, rolled_back_outlives_roostd_and_waits_anew,
	limit_outlives_roostd_and_birds_refusal_does_not, damaged_it_says_nothing)
