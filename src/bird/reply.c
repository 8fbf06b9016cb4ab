/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/reply.h"

#include <errno.h>
#include <string.h>

static bool has_code(const char *line)
{
	for (int i = 0; i < 4; i++)
		if (line[i] < '0' || line[i] > '9')
			return false;
	return line[4] == ' ' || line[4] == '-';
}

static void add(struct reply *reply, int code, const char *text)
{
	char *copy = arena_strdup(&reply->arena, text);

	make_one_line(copy + strspn(copy, "\t")); /* a tab in front means something */
	*ARENA_PUSH(&reply->arena, reply->lines, &reply->n_lines) = (struct reply_line){code, copy};
}

int reply_add_line(struct reply *reply, const char *line, struct err *err)
{
	if (reply->arena.used + strlen(line) > REPLY_MAX_BYTES)
		return err_set(err, EFBIG, "BIRD's answer is larger than %u bytes",
			REPLY_MAX_BYTES);
	if (has_code(line)) {
		int code = (line[0] - '0') * 1000 + (line[1] - '0') * 100 + (line[2] - '0') * 10 +
			(line[3] - '0');

		add(reply, code, line + 5);
		reply->complete = line[4] == ' ';
	} else if (line[0] == ' ' && reply->n_lines) {
		add(reply, reply->lines[reply->n_lines - 1].code, line + 1);
	}
	return 0;
}

void reply_free(struct reply *reply)
{
	arena_free(&reply->arena);
	memset(reply, 0, sizeof(*reply));
}

int reply_code(const struct reply *reply)
{
	return reply->n_lines ? reply->lines[reply->n_lines - 1].code : -1;
}

const char *reply_text(const struct reply *reply)
{
	return reply->n_lines ? reply->lines[reply->n_lines - 1].text : "";
}

const struct reply_line *reply_find(const struct reply *reply, int code)
{
	for (size_t i = 0; i < reply->n_lines; i++)
		if (reply->lines[i].code == code)
			return &reply->lines[i];
	return NULL;
}
