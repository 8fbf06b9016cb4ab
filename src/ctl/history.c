/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is done to the configuration, and what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ctl/ctl.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static long long number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static bool is_confirmed(const json_t *object)
{
	return strcmp(text_of(object, "outcome"), "confirmed") == 0;
}

/* ---------------------------------------------------------------- apply, rollback */

static int post(const struct ctl *ctl, const char *path)
{
	json_t *result;
	int rc = client_fetch(ctl, "POST", path, &result);

	if (rc != 0)
		return rc;
	rc = is_confirmed(result) || strcmp(text_of(result, "outcome"), "unchanged") == 0 ? 0 : 1;
	if (ctl->json)
		json_print(result);
	else if (rc == 0 && json_is_integer(json_object_get(result, "hold")))
		printf("%s: generation %lld, which is generation %lld again; roostctl apply ends that\n",
			text_of(result, "outcome"), number_of(result, "generation"),
			number_of(result, "hold"));
	else if (rc == 0)
		printf("%s: generation %lld\n", text_of(result, "outcome"),
			number_of(result, "generation"));
	else
		printf("%s: %s\ngeneration %lld stays\n", text_of(result, "outcome"),
			text_of(result, "reason"), number_of(result, "generation"));
	json_decref(result);
	return rc;
}

int ctl_apply(const struct ctl *ctl)
{
	char path[100];

	snprintf(path, sizeof(path), "/v1/apply?%s%s%s", ctl->force ? "force=1&" : "",
		ctl->max_restarts ? "max-restarts=" : "",
		ctl->max_restarts ? ctl->max_restarts : "");
	return post(ctl, path);
}

int ctl_rollback(const struct ctl *ctl)
{
	char path[100];

	snprintf(path, sizeof(path), "/v1/rollback%s%s", ctl->number ? "?generation=" : "",
		ctl->number ? ctl->number : "");
	return post(ctl, path);
}

/* ---------------------------------------------------------------- history */

static char *entry_generation(const json_t *row)
{
	struct buf text = {0};

	if (!json_is_integer(json_object_get(row, "generation")))
		return xstrdup("-");
	buf_printf(&text, "%lld%s", number_of(row, "generation"),
		json_is_true(json_object_get(row, "current")) ? " *" : "");
	return text.text;
}

static char *entry_outcome(const json_t *row)
{
	struct buf text = {0};

	buf_puts(&text, text_of(row, "outcome"));
	if (number_of(row, "restartsLeft"))
		buf_puts(&text, ", a step");
	if (number_of(row, "times") > 1)
		buf_printf(&text, ", %lld times", number_of(row, "times"));
	return text.text;
}

static const char *entry_colour(const json_t *row)
{
	return is_confirmed(row) ? "green" : "red";
}

/* What changed, and of what did not take effect why. */
static char *entry_text(const json_t *row)
{
	const char *changes = text_of(row, "changes");
	struct buf text = {0};

	buf_puts(&text, changes);
	if (!is_confirmed(row))
		buf_printf(&text, ": %s", text_of(row, "reason"));
	return text.text;
}

static char *entry_kept(const json_t *row)
{
	return xstrdup(json_is_true(json_object_get(row, "kept")) ? "yes" : "no");
}

int ctl_history(const struct ctl *ctl)
{
	static const struct column columns[] = {
		{.title = "GENERATION", .format = entry_generation},
		{.title = "AT", .key = "at"},
		{.title = "OUTCOME", .format = entry_outcome, .colour = entry_colour},
		{.title = "KEPT", .format = entry_kept},
		{.title = "BY", .key = "by"},
		{.title = "WHAT", .format = entry_text},
	};
	json_t *rows;
	int rc = client_fetch(ctl, "GET", "/v1/history", &rows);

	if (rc == 0)
		rows_print(ctl, rows, columns, ARRAY_LEN(columns));
	return rc;
}
