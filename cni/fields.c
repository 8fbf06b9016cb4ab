/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fields.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "code.h"

/* jansson gives up at a depth of 2048; that is 2048 frames of ours later on, and
 * nothing real is deeper than ten. */
static int check_depth(const char *bytes, size_t len, struct err *err)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
			depth++;
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
		if (depth > FIELDS_DEPTH_MAX)
			return err_set(
				err, CNI_DECODE, "nested more than %d deep", FIELDS_DEPTH_MAX);
	}
	return 0;
}

json_t *fields_parse(const char *bytes, size_t len, struct err *err)
{
	json_error_t error;
	json_t *json;

	if (check_depth(bytes, len, err) < 0)
		return NULL;
	json = json_loadb(bytes ? bytes : "", len, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		err_set(err, CNI_DECODE, "line %d, column %d: %s", error.line, error.column,
			error.text);
	return json;
}

int field_wrong(const struct fields *fields, const char *key, enum cni_code code, struct err *err,
	const char *what)
{
	return err_set(
		err, code, "%s%s%s: %s", fields->path, *fields->path && *key ? "." : "", key, what);
}

/* Go's decoder takes null for "absent", and so do the runtimes that write it. */
json_t *field_get(const struct fields *fields, const char *key)
{
	json_t *value = json_object_get(fields->json, key);

	return json_is_null(value) ? NULL : value;
}

int field_get_string(
	const struct fields *fields, const char *key, const char **text, struct err *err)
{
	json_t *value = field_get(fields, key);

	if (!value)
		return 0;
	if (!json_is_string(value))
		return field_wrong(fields, key, CNI_DECODE, err, "expected a string");
	*text = json_string_value(value);
	return 0;
}

int field_get_bool(const struct fields *fields, const char *key, bool *flag, struct err *err)
{
	json_t *value = field_get(fields, key);

	if (!value)
		return 0;
	if (!json_is_boolean(value))
		return field_wrong(fields, key, CNI_DECODE, err, "expected true or false");
	*flag = json_is_true(value);
	return 0;
}

int field_get_number(const struct fields *fields, const char *key, int64_t min, int64_t max,
	int64_t *number, struct err *err)
{
	json_t *value = field_get(fields, key);
	char what[80];

	if (!value)
		return 0;
	if (!json_is_integer(value))
		return field_wrong(fields, key, CNI_DECODE, err, "expected a whole number");
	if (json_integer_value(value) < min || json_integer_value(value) > max) {
		snprintf(what, sizeof(what), "expected %lld to %lld", (long long)min,
			(long long)max);
		return field_wrong(fields, key, CNI_CONFIG, err, what);
	}
	*number = json_integer_value(value);
	return 0;
}

int field_get_u32(const struct fields *fields, const char *key, uint32_t *number, struct err *err)
{
	int64_t wide = *number;

	if (field_get_number(fields, key, 0, UINT32_MAX, &wide, err) < 0)
		return -1;
	*number = (uint32_t)wide;
	return 0;
}

int field_get_object(const struct fields *fields, const char *key, struct arena *mem,
	struct fields *inner, struct err *err)
{
	*inner = (struct fields){field_get(fields, key), key};
	if (inner->json && !json_is_object(inner->json))
		return field_wrong(fields, key, CNI_DECODE, err, "expected an object");
	if (*fields->path)
		inner->path = arena_printf(mem, "%s.%s", fields->path, key);
	return 0;
}

int field_get_array(
	const struct fields *fields, const char *key, size_t limit, json_t **array, struct err *err)
{
	*array = field_get(fields, key);
	if (*array && !json_is_array(*array))
		return field_wrong(fields, key, CNI_DECODE, err, "expected an array");
	if (*array && json_array_size(*array) > limit)
		return field_wrong(fields, key, CNI_CONFIG, err, "too many entries");
	return 0;
}

/* Element i of an array as an object. */
int field_get_element(json_t *array, size_t i, const char *path, struct arena *mem,
	struct fields *element, struct err *err)
{
	*element = (struct fields){json_array_get(array, i), arena_printf(mem, "%s[%zu]", path, i)};
	if (!json_is_object(element->json))
		return field_wrong(element, "", CNI_DECODE, err, "expected an object");
	return 0;
}

int field_get_addr(const struct fields *fields, const char *key, struct addr *addr, struct err *err)
{
	const char *text = "";

	if (field_get_string(fields, key, &text, err) < 0)
		return -1;
	if (*text && !addr_parse(text, addr))
		return field_wrong(fields, key, CNI_CONFIG, err, "expected an IP address");
	return 0;
}

int field_get_prefix(
	const struct fields *fields, const char *key, struct prefix *prefix, struct err *err)
{
	const char *text = NULL;

	if (field_get_string(fields, key, &text, err) < 0)
		return -1;
	if (!text)
		return field_wrong(fields, key, CNI_CONFIG, err, "missing");
	if (!prefix_parse(text, prefix))
		return field_wrong(
			fields, key, CNI_CONFIG, err, "expected an address with prefix length");
	return 0;
}

/* The reference plugins are written in Go, whose decoder takes "Subnet" for
 * "subnet".  Ignoring such a key would lose a setting in silence; taking it would
 * let two spellings contradict each other. */
int field_check_spelling(const struct fields *fields, const char *const known[], struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(fields->json, key,
		value) for (size_t i = 0; known[i];
			    i++) if (strcasecmp(key, known[i]) == 0 &&
				     strcmp(key, known[i]) != 0) return err_set(err, CNI_CONFIG,
		"%s%s%.32s: write %s", fields->path, *fields->path ? "." : "", key, known[i]);
	return 0;
}
