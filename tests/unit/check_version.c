/* SPDX-License-Identifier: GPL-2.0-or-later */
/* version: which BIRD it is, and what it lacks of what is wanted. */
#include <string.h>

#include "bird/version.h"
#include "unit.h"

START_TEST(version_is_read_from_every_greeting)
{
	static const struct {
		const char *text;
		struct bird_version version;
	} rows[] = {
		{"BIRD 2.0.12 ready.", {2, 0, 12}},
		{"BIRD 2.14 ready.", {2, 14, 0}},
		{"BIRD v3.3.2 ready.", {3, 3, 2}},
		{"BIRD 2.19.2+detached.1d201ed0360c ready.", {2, 19, 2}},
		{"BIRD 3.0-alpha2 ready.", {3, 0, 0}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bird_version version;

		ck_assert_msg(version_parse(rows[i].text, &version), "%s", rows[i].text);
		ck_assert_msg(memcmp(&version, &rows[i].version, sizeof(version)) == 0, "%s",
			rows[i].text);
	}
}
END_TEST

START_TEST(what_names_no_version_has_none)
{
	static const char *const texts[] = {"", "BIRD", "BIRD ", "BIRD ready.", "BIRD v2 ready.",
		"BIRD 2", "2.0.12", "FRR 8.4", "BIRD a.b.c"};
	struct bird_version version;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		ck_assert_msg(!version_parse(texts[i], &version), "%s", texts[i]);
}
END_TEST

static void assert_check(struct bird_version have, unsigned send_hold_time, const char *msg)
{
	const struct peer tor = {.name = "tor"};
	const struct session plain = {0}, held = {.send_hold_time = send_hold_time};
	const struct session_want sessions[] = {
		{.name = "node2:v4", .options = &plain},
		{.name = "tor:peer", .peer = &tor, .options = &held},
	};
	struct err err = {0};
	int rc = version_check(&have, sessions, ARRAY_LEN(sessions), &err);

	ck_assert_int_eq(rc, *msg ? -1 : 0);
	ck_assert_str_eq(err.msg, msg);
}

START_TEST(versions_are_compared_by_number)
{
	static const struct bird_version good[] = {{2, 0, 12}, {2, 0, 13}, {2, 13, 0}, {3, 0, 0},
		{10, 0, 0}};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_check(good[i], 0, "");
	assert_check((struct bird_version){2, 0, 9}, 0,
		"this BIRD is 2.0.9, and Roost needs BIRD 2.0.12 or newer");
	assert_check((struct bird_version){1, 99, 99}, 0,
		"this BIRD is 1.99.99, and Roost needs BIRD 2.0.12 or newer");
}
END_TEST

START_TEST(option_names_who_asks_for_it_and_both_versions)
{
	assert_check((struct bird_version){2, 0, 12}, 300,
		"peer tor: sendHoldTime needs BIRD 2.15 or newer, and this BIRD is 2.0.12");
	assert_check((struct bird_version){2, 14, 0}, 300,
		"peer tor: sendHoldTime needs BIRD 2.15 or newer, and this BIRD is 2.14");
	assert_check((struct bird_version){2, 15, 0}, 300, "");
	assert_check((struct bird_version){3, 0, 0}, 300, "");
}
END_TEST

UNIT(version, version_is_read_from_every_greeting, what_names_no_version_has_none,
	versions_are_compared_by_number, option_names_who_asks_for_it_and_both_versions)
