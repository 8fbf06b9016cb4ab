/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/history.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#define MAX_BYTES (1u << 20)

static const char *history_path(const char *dir, char room[PATH_MAX])
{
	snprintf(room, PATH_MAX, "%s/history", dir);
	return room;
}

static json_t *load(const char *dir)
{
	_cleanup_buf_ struct buf text = {0};
	char path[PATH_MAX];
	struct err ignored;
	json_t *list = NULL;

	if (file_read(history_path(dir, path), MAX_BYTES, &text, &ignored) == 0)
		list = json_loadb(buf_text(&text), text.len, 0, NULL);
	if (json_is_array(list))
		return list;
	json_decref(list);
	return json_array();
}

static int save(const char *dir, json_t *list, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];

	while (json_array_size(list) > HISTORY_MAX)
		json_array_remove(list, 0);
	text = json_dumps(list, JSON_INDENT(1));
	if (!text)
		return err_set(err, ENOMEM, "history: no JSON");
	return file_replace(history_path(dir, path), text, strlen(text), 0644, err);
}

static const char *text_of(const json_t *entry, const char *key)
{
	const char *text = json_string_value(json_object_get(entry, key));

	return text ? text : "";
}

static unsigned number_of(const json_t *entry)
{
	return (unsigned)json_integer_value(json_object_get(entry, "generation"));
}

static bool is_confirmed(const json_t *entry)
{
	return strcmp(text_of(entry, "outcome"), apply_outcome_name(APPLY_CONFIRMED)) == 0;
}

/* ---------------------------------------------------------------- writing */

/* JSON takes UTF-8 only, and BIRD may say anything. */
static json_t *json_line(const char *text)
{
	_cleanup_free_ char *copy = NULL;
	json_t *json = text && *text ? json_string(text) : json_null();

	if (json)
		return json;
	copy = xstrdup(text);
	for (char *at = copy; *at; at++)
		if ((unsigned char)*at >= 128)
			*at = '?';
	return json_string(copy);
}

static json_t *entry_json(const struct history_entry *entry)
{
	char stamp[STAMP_TEXT_MAX];

	return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:i, s:s, s:i}", "generation",
		entry->generation ? json_integer(entry->generation) : json_null(), "id", entry->id,
		"at", stamp_format(entry->at, stamp), "outcome", apply_outcome_name(entry->outcome), "by",
		json_line(entry->by), "changes", json_line(entry->changes), "reason",
		json_line(entry->reason), "restartsLeft", (int)entry->left, "drain",
		drain_state_name(entry->drain), "times", 1);
}

static bool is_same_refusal(const json_t *a, const json_t *b)
{
	static const char *const keys[] = {"id", "outcome", "reason"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(text_of(a, keys[i]), text_of(b, keys[i])) != 0)
			return false;
	return !is_confirmed(a);
}

int history_add(const char *dir, const struct history_entry *entry, struct err *err)
{
	json_t *list = load(dir), *new = entry_json(entry);
	size_t n = json_array_size(list);
	json_t *last = n ? json_array_get(list, n - 1) : NULL;
	int rc;

	if (last && is_same_refusal(last, new)) {
		json_object_set_new(new, "times",
			json_integer(json_integer_value(json_object_get(last, "times")) + 1));
		json_array_remove(list, n - 1);
	}
	json_array_append_new(list, new);
	rc = save(dir, list, err);
	json_decref(list);
	return rc;
}

int history_note(const char *dir, const struct generation *confirmed, enum drain_state drain,
	struct err *err)
{
	const struct history_entry entry = {.generation = confirmed->number, .id = confirmed->id,
		.at = confirmed->confirmed_at, .outcome = APPLY_CONFIRMED, .drain = drain};
	json_t *list = load(dir), *item;
	bool known = confirmed->number == 0;
	size_t i;

	json_array_foreach(list, i, item)
		known = known || (is_confirmed(item) && number_of(item) == confirmed->number);
	json_decref(list);
	return known ? 0 : history_add(dir, &entry, err);
}

/* ---------------------------------------------------------------- reading */

json_t *history_json(const char *dir)
{
	json_t *list = load(dir), *newest_first = json_array();
	struct generation confirmed = {0};
	struct err ignored;

	generation_confirmed(dir, &confirmed, &ignored);
	for (size_t i = json_array_size(list); i-- > 0;) {
		json_t *entry = json_array_get(list, i);
		bool current = is_confirmed(entry) && number_of(entry) == confirmed.number;
		unsigned number;

		if (!json_is_object(entry))
			continue;
		json_object_set_new(entry, "current", json_boolean(current));
		json_object_set_new(entry, "kept",
			json_boolean(is_confirmed(entry) &&
				generation_find(dir, text_of(entry, "id"), &number, &ignored) == 0));
		json_array_append(newest_first, entry);
	}
	json_decref(list);
	return newest_first;
}

/* Under the number it had then, or a newer one with the same bytes. */
static bool find_kept(const char *dir, const json_t *entry, unsigned *target,
	char id[CONFIG_ID_LEN + 1])
{
	struct err ignored;

	if (strlen(text_of(entry, "id")) != CONFIG_ID_LEN ||
		generation_find(dir, text_of(entry, "id"), target, &ignored) < 0)
		return false;
	strcpy(id, text_of(entry, "id"));
	*target = number_of(entry);
	return true;
}

/* An older roost did not note it. */
static const char *drain_of(const json_t *entry)
{
	const char *name = text_of(entry, "drain");

	return *name ? name : drain_state_name(DRAIN_OFF);
}

static int find_number(const char *dir, const json_t *list, unsigned number,
	const char *drain, unsigned *target, char id[CONFIG_ID_LEN + 1], struct err *err)
{
	struct err ignored;
	json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) {
		if (number_of(entry) != number || !is_confirmed(entry) ||
			!find_kept(dir, entry, target, id))
			continue;
		if (strcmp(drain_of(entry), drain) == 0)
			return 0;
		return err_set(err, EBUSY,
			"generation %u is from when drain was %s, and now it is %s: roostctl %s first",
			number, drain_of(entry), drain,
			strcmp(drain_of(entry), drain_state_name(DRAIN_OFF)) == 0 ? "undrain"
										  : "drain");
	}
	*target = number;
	if (generation_id(dir, number, id, &ignored) == 0)
		return 0; /* of a roost that kept no history */
	return err_set(err, ENOENT,
		"there is no generation %u to go back to; see roostctl history", number);
}

static int find_previous(const char *dir, const json_t *list, const char *current,
	const char *drain, unsigned *target, char id[CONFIG_ID_LEN + 1], struct err *err)
{
	for (size_t i = json_array_size(list); i-- > 0;) {
		const json_t *entry = json_array_get(list, i);

		if (is_confirmed(entry) && strcmp(text_of(entry, "id"), current) != 0 &&
			strcmp(drain_of(entry), drain) == 0 &&
			json_integer_value(json_object_get(entry, "restartsLeft")) == 0 &&
			find_kept(dir, entry, target, id))
			return 0;
	}
	return err_set(err, ENOENT, "there is no generation before to go back to%s; see roostctl history",
		strcmp(drain, drain_state_name(DRAIN_OFF)) == 0
			? ""
			: " that was drained, as this node is now: roostctl undrain first");
}

int history_target(const char *dir, unsigned number, const struct history_now *now,
	unsigned *target, char id[CONFIG_ID_LEN + 1], struct err *err)
{
	const char *drain = drain_state_name(now->drain);
	json_t *list = load(dir);
	int rc = number ? find_number(dir, list, number, drain, target, id, err)
			: find_previous(dir, list, now->id, drain, target, id, err);

	json_decref(list);
	if (rc == 0 && strcmp(id, now->id) == 0)
		return err_set(err, EALREADY, "generation %u is what runs already", *target);
	return rc;
}
