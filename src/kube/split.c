/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/split.h"

#include <errno.h>
#include <string.h>

#define MAX_DEPTH 200

void split_begin(struct split *split, enum split_what what, split_fn *found, void *arg)
{
	split_free(split);
	*split = (struct split){.what = what, .found = found, .arg = arg};
}

void split_free(struct split *split)
{
	buf_free(&split->object);
	buf_free(&split->rest);
}

/* Does it end with this key, in its quotes, and a colon? */
static bool ends_with(const struct buf *text, const char *key)
{
	size_t end = text->len, len = strlen(key);

	while (end && (text->text[end - 1] == ':' || text->text[end - 1] == ' ' ||
			      text->text[end - 1] == '\n' || text->text[end - 1] == '\t'))
		end--;
	return end >= len && memcmp(text->text + end - len, key, len) == 0;
}

static bool is_dropped(const struct split *split)
{
	return split->in_object && (ends_with(&split->object, "\"managedFields\"") ||
					   ends_with(&split->object, "\"images\""));
}

static int keep(struct split *split, const char *data, size_t len, struct err *err)
{
	struct buf *buf = split->in_object ? &split->object : &split->rest;
	size_t max = split->in_object ? SPLIT_MAX_OBJECT : SPLIT_MAX_REST;

	if (split->what == SPLIT_WATCH && !split->in_object) /* blanks between events */
		return 0;
	if (split->dropping)
		return 0;
	if (buf->len + len > max)
		return err_set(err, EFBIG, "%s of more than %zu KiB",
			split->in_object ? "an object" : "a list's head", max >> 10);
	buf_add(buf, data, len);
	return 0;
}

static int object_done(struct split *split, struct err *err)
{
	int rc = split->found(split->object.text, split->object.len, split->arg, err);

	split->in_object = false;
	split->object.len = 0;
	if (split->object.size > 65536) /* one large object is no reason to keep its room */
		buf_free(&split->object);
	return rc;
}

static int opens(struct split *split, char c, struct err *err)
{
	unsigned top = split->what == SPLIT_LIST ? 2 : 0; /* depth around an object */

	if (split->depth >= MAX_DEPTH)
		return err_set(err, EINVAL, "nested deeper than %d", MAX_DEPTH);
	if (split->what == SPLIT_WATCH && split->depth == 0 && c != '{')
		return err_set(err, EINVAL, "expected an object");
	if (!split->in_object && c == '{' && split->depth == top &&
		(split->in_items || split->what == SPLIT_WATCH))
		split->in_object = true;
	if (split->what == SPLIT_LIST && split->depth == 1 && c == '[' && ends_with(&split->rest, "\"items\""))
		split->in_items = true;
	split->depth++;
	if (c == '[' && !split->dropping && is_dropped(split)) {
		if (keep(split, "null", 4, err) < 0)
			return -1;
		split->dropping = split->depth;
	}
	return keep(split, &c, 1, err);
}

static int closes(struct split *split, char c, struct err *err)
{
	unsigned top = split->what == SPLIT_LIST ? 2 : 0;

	if (split->depth == 0)
		return err_set(err, EINVAL, "a \"%c\" too many", c);
	if (keep(split, &c, 1, err) < 0)
		return -1;
	if (split->dropping == split->depth)
		split->dropping = 0;
	split->depth--;
	if (split->in_object && split->depth == top)
		return object_done(split, err);
	if (split->depth == 1)
		split->in_items = false;
	return 0;
}

/* The bytes up to the end of the string, or of what is there of it. */
static size_t string_len(struct split *split, const char *data, size_t len)
{
	size_t i = 0;

	while (i < len) {
		char c = data[i++];

		if (split->escaped)
			split->escaped = false;
		else if (c == '\\')
			split->escaped = true;
		else if (c == '"') {
			split->in_string = false;
			break;
		}
	}
	return i;
}

/* Outside of strings: the bytes that neither open nor close anything. */
static size_t plain_len(const char *data, size_t len)
{
	size_t i = 0;

	while (i < len && data[i] != '"' && data[i] != '{' && data[i] != '}' && data[i] != '[' &&
		data[i] != ']')
		i++;
	return i;
}

/* Only an object may stand in a watch, and between a list's items only commas. */
static int check_plain(const struct split *split, const char *data, size_t len, struct err *err)
{
	bool outside = split->what == SPLIT_WATCH ? split->depth == 0
						  : split->in_items && !split->in_object;

	for (size_t i = 0; outside && i < len; i++)
		if (!strchr(split->what == SPLIT_WATCH ? " \t\r\n" : " \t\r\n,", data[i]) || !data[i])
			return err_set(err, EINVAL, "expected an object");
	return 0;
}

int split_feed(struct split *split, const char *data, size_t len, struct err *err)
{
	while (len) {
		size_t n = split->in_string ? string_len(split, data, len) : plain_len(data, len);

		if (n) {
			if (!split->in_string && !split->in_object &&
				check_plain(split, data, n, err) < 0)
				return -1;
			/* Commas between items are of no use to `rest`. */
			if (!(split->in_items && !split->in_object) && keep(split, data, n, err) < 0)
				return -1;
			data += n;
			len -= n;
			continue;
		}
		if (*data == '"') {
			if (check_plain(split, data, 1, err) < 0 || keep(split, data, 1, err) < 0)
				return -1;
			split->in_string = true;
		} else if ((*data == '{' || *data == '[' ? opens : closes)(split, *data, err) < 0) {
			return -1;
		}
		data++;
		len--;
	}
	return 0;
}

int split_end(const struct split *split, struct err *err)
{
	if (split->depth || split->in_string)
		return err_set(err, EINVAL, "the answer ends in the middle");
	return 0;
}
