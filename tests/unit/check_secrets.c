/* SPDX-License-Identifier: GPL-2.0-or-later */
/* secrets: no password is shown, and a changed one is still seen. */
#include <string.h>

#include "bird/secrets.h"
#include "unit.h"

START_TEST(every_password_is_hidden_and_nothing_else)
{
	_cleanup_arena_ struct arena arena = {0};
	static const char *const rows[][2] = {
		{"password \"abc\";", "password \"(hidden 1)\";"},
		{"password\t\n \"a'b;}\" ; password \"\"", "password\t\n \"(hidden 1)\" ; password \"(hidden 2)\""},
		{"password \"a\"; x password \"b\"; password \"a\"",
			"password \"(hidden 1)\"; x password \"(hidden 2)\"; password \"(hidden 1)\""},
		{"description \"password\"; hold time 9;", "description \"password\"; hold time 9;"},
		{"# the password is \"x\"", "# the password is \"x\""},
		{"password \"without an end", "password \"without an end"},
		{"# say password \"so\npassword \"x\"", "# say password \"so\npassword \"(hidden 1)\""},
		{"description \"password\";\ndescription \"b\";", "description \"password\";\ndescription \"b\";"},
		{"passwords { key \"abc\" { id 1; }; password \"d\"; };",
			"passwords { key \"(hidden 1)\" { id 1; }; password \"(hidden 2)\"; };"},
		{"password ", "password "},
		{"", ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct secrets secrets = {0};

		ck_assert_str_eq(secrets_hide_text(&secrets, rows[i][0], &arena), rows[i][1]);
	}
}
END_TEST

static const char *hidden(struct secrets *secrets, const char *text, struct arena *arena)
{
	struct fileset set = {0}, out;

	fileset_add(&set, arena, "sessions.conf", text, strlen(text));
	out = secrets_hide(secrets, &set, arena);
	ck_assert_uint_eq(out.n, 1);
	ck_assert_str_eq(out.items[0].name, "sessions.conf");
	ck_assert_uint_eq(strlen(out.items[0].text), out.items[0].len);
	return out.items[0].text;
}

START_TEST(changed_password_is_another_number_in_the_second_fileset)
{
	_cleanup_arena_ struct arena arena = {0};
	struct secrets secrets = {0};

	ck_assert_str_eq(hidden(&secrets, "a password \"x\"; b password \"y\";", &arena),
		"a password \"(hidden 1)\"; b password \"(hidden 2)\";");
	ck_assert_str_eq(hidden(&secrets, "a password \"y\"; b password \"z\";", &arena),
		"a password \"(hidden 2)\"; b password \"(hidden 3)\";");
}
END_TEST

START_TEST(file_with_a_password_is_known)
{
	static const struct file_text with = {"a", "\tpassword \"x\";\n", 15, false};
	static const struct file_text without = {"a", "# no password\n", 14, false};

	ck_assert(secrets_in(&with));
	ck_assert(!secrets_in(&without));
}
END_TEST

UNIT(secrets, every_password_is_hidden_and_nothing_else,
	changed_password_is_another_number_in_the_second_fileset, file_with_a_password_is_known)
