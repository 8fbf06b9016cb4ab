/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/spread.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define STEP_MARK "\n# A step: sessions that are still to restart: "

/* sessions.conf in pieces: what is before the first session, and each session's block
 * with what belongs to it before that (a table of next hops). */
struct piece {
	const char *name; /* NULL: the head */
	const char *text;
	size_t len;
};

struct pieces {
	struct piece *items;
	size_t n;
};

static bool starts(const char *line, const char *start)
{
	return strncmp(line, start, strlen(start)) == 0;
}

static bool begins_piece(const char *line)
{
	return starts(line, "protocol bgp '") || starts(line, "ipv4 table '") ||
		starts(line, "ipv6 table '");
}

static const char *line_after(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

static struct pieces cut(const struct fileset *files, struct arena *arena)
{
	const struct file_text *file = fileset_find(files, "sessions.conf");
	const char *text = file ? arena_strndup(arena, file->text, file->len) : "";
	const char *line = text, *begin = text, *name = NULL;
	struct pieces pieces = {0};

	while (*line && !begins_piece(line))
		line = line_after(line);
	*ARENA_PUSH(arena, pieces.items, &pieces.n) =
		(struct piece){NULL, begin, (size_t)(line - begin)};
	for (begin = line; *line; line = line_after(line)) {
		if (starts(line, "protocol bgp '"))
			name = arena_strndup(arena, line + 14, strcspn(line + 14, "'"));
		if (!name || !starts(line, "}\n"))
			continue;
		*ARENA_PUSH(arena, pieces.items, &pieces.n) =
			(struct piece){name, begin, (size_t)(line_after(line) - begin)};
		begin = line_after(line);
		name = NULL;
	}
	return pieces;
}

static const struct piece *find_piece(const struct pieces *pieces, const char *name)
{
	for (size_t i = 1; i < pieces->n; i++)
		if (strcmp(pieces->items[i].name, name) == 0)
			return &pieces->items[i];
	return NULL;
}

/* ---------------------------------------------------------------- whose turn */

enum group { ROUTERS, NODES_IPV4, NODES_IPV6, GROUPS };

static enum group group_of(const char *session)
{
	size_t len = strlen(session);

	if (len > 3 && strcmp(session + len - 3, ":v4") == 0)
		return NODES_IPV4;
	if (len > 3 && strcmp(session + len - 3, ":v6") == 0)
		return NODES_IPV6;
	return ROUTERS;
}

/* Never all of them, whatever may be lost. */
#define MOST_PERCENT 50

/* How many of a group may restart in one step. */
static void set_limits(size_t limits[GROUPS], const struct plan_row *rows, size_t n,
	const struct spread_rules *rules)
{
	unsigned percent = rules->percent < MOST_PERCENT ? rules->percent : MOST_PERCENT;
	size_t sizes[GROUPS] = {0};

	for (size_t i = 0; i < n; i++)
		sizes[group_of(rows[i].session)]++;
	for (enum group g = 0; g < GROUPS; g++) {
		limits[g] = g == ROUTERS || rules->nodes_one_by_one
			? 1
			: sizes[g] * percent / 100;
		if (!limits[g])
			limits[g] = 1;
	}
}

/* Marks the sessions whose turn has not come. */
static size_t defer(bool *later, const struct plan_row *rows, size_t n, const struct pieces *have,
	const struct pieces *want, const struct spread_rules *rules)
{
	size_t limits[GROUPS], n_later = 0;

	set_limits(limits, rows, n, rules);
	for (size_t i = 0; i < n; i++) {
		size_t *limit = &limits[group_of(rows[i].session)];

		if (rows[i].shared == PLAN_RESTART)
			return 0; /* a template: they all restart */
		if (rows[i].action != PLAN_RESTART || !find_piece(have, rows[i].session) ||
			!find_piece(want, rows[i].session))
			continue;
		later[i] = *limit == 0;
		n_later += later[i];
		*limit -= *limit > 0;
	}
	return n_later;
}

static bool is_later(
	const char *session, const bool *later, const struct plan_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].session, session) == 0)
			return later[i];
	return false;
}

/* ---------------------------------------------------------------- the step */

static bool has_bfd(const struct piece *head)
{
	static const char bfd[] = "\nprotocol bfd ";

	return memmem(head->text, head->len, bfd, strlen(bfd)) != NULL;
}

size_t spread_step(const struct fileset *have_files, const struct rendered *want,
	const struct plan_row *rows, size_t n_rows, const struct spread_rules *rules,
	struct arena *arena, struct rendered *step)
{
	struct pieces have = cut(have_files, arena), wanted = cut(&want->files, arena);
	bool *later = arena_alloc(arena, n_rows + 1);
	size_t n_later = defer(later, rows, n_rows, &have, &wanted, rules);
	_cleanup_buf_ struct buf text = {0};
	char mark[80];

	*step = *want;
	if (!n_later)
		return 0;
	for (size_t i = 0; i < wanted.n; i++) {
		const struct piece *piece = &wanted.items[i];

		if (i > 0 && is_later(piece->name, later, rows, n_rows))
			piece = find_piece(&have, piece->name);
		buf_add(&text, piece->text, piece->len);
		/* BFD of the sessions that keep their block needs its protocol. */
		if (i == 0 && has_bfd(&have.items[0]) && !has_bfd(piece))
			buf_puts(&text, "\nprotocol bfd roost_bfd {\n}\n");
	}
	snprintf(mark, sizeof(mark), STEP_MARK "%zu\n", n_later);
	render_with_sessions(want, text.text, text.len, mark, arena, step);
	return n_later;
}

bool spread_is_step(const char *bird_conf)
{
	return strstr(bird_conf, STEP_MARK) != NULL;
}
