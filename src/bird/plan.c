/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/plan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"

/* A session's options, or a template's: its lines without blanks and comments. */
struct block {
	const char *name;
	const char *template; /* what a session is "from"; NULL: nothing */
	const char **lines;
	size_t n_lines;
	uint64_t hash; /* of all of its text: two blocks of one hash are the same */
};

struct config {
	struct block *sessions, *templates, *kernels;
	size_t n_sessions, n_templates, n_kernels;
	struct block defines; /* the whole lines "define X = ...", and the router id */
	uint64_t filters;     /* hash of all named filters and functions */
};

const char *plan_action_name(enum plan_action action)
{
	switch (action) {
	case PLAN_KEEP:
		return "keep";
	case PLAN_REFRESH:
		return "refresh";
	case PLAN_RESTART:
		return "RESTART";
	case PLAN_ADD:
		return "add";
	case PLAN_REMOVE:
		break;
	}
	return "remove";
}

/* ---------------------------------------------------------------- reading */

/* A copy without comments (# to the end of the line, and the other kind), so that
 * what is in them cannot be taken for braces or blocks.  Strings are kept. */
static char *without_comments(struct arena *arena, const struct file_text *file)
{
	char *text = arena_strndup(arena, file->text, file->len);
	enum { CODE, STRING, LINE, BLOCK } in = CODE;

	for (size_t i = 0; i < file->len; i++) {
		char c = text[i], next = text[i + 1];

		if (in == CODE && c == '#')
			in = LINE;
		else if (in == CODE && c == '/' && next == '*')
			in = BLOCK;
		else if (c == '"' && (in == CODE || in == STRING))
			in = in == CODE ? STRING : CODE;
		else if (in == LINE && c == '\n')
			in = CODE;
		else if (in == BLOCK && c == '*' && next == '/') {
			text[i++] = ' ';
			text[i] = ' ';
			in = CODE;
		}
		if ((in == LINE || in == BLOCK) && c != '\n')
			text[i] = ' ';
	}
	return text;
}

static const char *trimmed_line(struct arena *arena, const char *text, size_t len)
{
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	while (len && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	return arena_strndup(arena, text, len);
}

static int depth_change(const char *line)
{
	bool in_string = false;
	int change = 0;

	for (; *line; line++) {
		in_string ^= *line == '"';
		if (!in_string)
			change += (*line == '{') - (*line == '}');
	}
	return change;
}

/* "protocol bgp 'node2:v4' from roost4 {" or "template bgp roost4 {". */
static bool parse_head(struct arena *arena, const char *line, const char *kind,
	struct block *block)
{
	char name[65], from[65] = "";
	int matched;

	if (strncmp(line, kind, strlen(kind)) != 0)
		return false;
	line += strlen(kind);
	matched = sscanf(line, " '%64[^']' from %64[A-Za-z0-9_]", name, from);
	if (matched < 1)
		matched = sscanf(line, " %64[A-Za-z0-9_] from %64[A-Za-z0-9_]", name, from);
	if (matched < 1)
		return false;
	memset(block, 0, sizeof(*block));
	block->name = arena_strdup(arena, name);
	block->template = from[0] ? arena_strdup(arena, from) : NULL;
	return true;
}

/* Where a line belongs that begins at the top level. */
enum top { TOP_OTHER, TOP_SESSION, TOP_TEMPLATE, TOP_KERNEL, TOP_FILTER, TOP_DEFINE };

static enum top top_of(struct arena *arena, const char *line, struct block *head)
{
	if (parse_head(arena, line, "protocol bgp", head))
		return TOP_SESSION;
	if (parse_head(arena, line, "template bgp", head))
		return TOP_TEMPLATE;
	if (parse_head(arena, line, "protocol kernel", head))
		return TOP_KERNEL;
	if (strncmp(line, "filter ", 7) == 0 || strncmp(line, "function ", 9) == 0)
		return TOP_FILTER;
	if ((strncmp(line, "define ", 7) == 0 && strncmp(line, "define ROOST_CONFIG ", 20) != 0) ||
		strncmp(line, "router id ", 10) == 0)
		return TOP_DEFINE;
	return TOP_OTHER;
}

struct reader {
	struct config *config;
	struct arena *arena;
	enum top top;
	struct block *open; /* the session or template that the line is in */
	int depth;
	bool inside; /* its first brace has come */
};

static void open_block(struct reader *in, const char *line)
{
	struct config *config = in->config;
	struct block head = {0};

	in->top = top_of(in->arena, line, &head);
	in->open = NULL;
	in->inside = false;
	if (in->top == TOP_SESSION)
		in->open = ARENA_PUSH(in->arena, config->sessions, &config->n_sessions);
	else if (in->top == TOP_TEMPLATE)
		in->open = ARENA_PUSH(in->arena, config->templates, &config->n_templates);
	else if (in->top == TOP_KERNEL)
		in->open = ARENA_PUSH(in->arena, config->kernels, &config->n_kernels);
	else if (in->top == TOP_DEFINE)
		*ARENA_PUSH(in->arena, config->defines.lines, &config->defines.n_lines) = line;
	if (in->open) {
		*in->open = head;
		in->open->hash = HASH_START;
	}
}

static void read_line(struct reader *in, const char *line)
{
	bool brace = strcmp(line, "}") == 0 || strcmp(line, "};") == 0 || strcmp(line, "{") == 0;
	bool first = in->depth == 0 && !(in->open && !in->inside);

	if (first)
		open_block(in, line);
	if (in->top == TOP_FILTER)
		in->config->filters = hash_add(in->config->filters, line, strlen(line) + 1);
	if (in->open) {
		in->open->hash = hash_add(in->open->hash, line, strlen(line) + 1);
		if (!first && !brace)
			*ARENA_PUSH(in->arena, in->open->lines, &in->open->n_lines) = line;
	}
	in->depth += depth_change(line);
	in->inside = in->inside || strchr(line, '{') != NULL;
	if (in->depth <= 0) {
		in->depth = 0;
		if (in->inside)
			in->open = NULL;
	}
}

static void read_file(struct config *config, const struct file_text *file, struct arena *arena)
{
	const char *at = without_comments(arena, file), *end = at + file->len;
	struct reader in = {.config = config, .arena = arena};

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = newline ? (size_t)(newline - at) : (size_t)(end - at);
		const char *line = trimmed_line(arena, at, len);

		at += len + (newline != NULL);
		if (line[0])
			read_line(&in, line);
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct block *)a)->name, ((const struct block *)b)->name);
}

static void read_config(struct config *config, const struct fileset *files, struct arena *arena)
{
	memset(config, 0, sizeof(*config));
	config->filters = HASH_START;
	for (size_t i = 0; i < files->n; i++)
		read_file(config, &files->items[i], arena);
	if (config->n_sessions)
		qsort(config->sessions, config->n_sessions, sizeof(struct block), by_name);
}

/* ---------------------------------------------------------------- comparing */

static bool has_line(const struct block *block, const char *line)
{
	for (size_t i = 0; block && i < block->n_lines; i++)
		if (strcmp(block->lines[i], line) == 0)
			return true;
	return false;
}

static bool starts(const char *line, const char *start)
{
	return strncmp(line, start, strlen(start)) == 0;
}

static bool has_start(const struct block *block, const char *start)
{
	for (size_t i = 0; block && i < block->n_lines; i++)
		if (starts(block->lines[i], start))
			return true;
	return false;
}

/* What a change of an option does, by how it begins; what is not here restarts.  The
 * first that fits counts.  It goes when `other` has no such option at all. */
static enum plan_action action_of(const char *line, const struct block *other, bool goes)
{
	static const struct {
		const char *start;
		enum plan_action action, when_it_goes;
	} known[] = {
		{"description ", PLAN_KEEP, PLAN_KEEP},
		/* Our side keeps the session, but the other one misses its BFD packets. */
		{"bfd ", PLAN_KEEP, PLAN_RESTART},
		{"import limit ", PLAN_KEEP, PLAN_KEEP},
		{"import table ", PLAN_RESTART, PLAN_RESTART},
		{"import ", PLAN_REFRESH, PLAN_REFRESH},
		{"export table ", PLAN_RESTART, PLAN_RESTART},
		{"export ", PLAN_REFRESH, PLAN_REFRESH},
		{"next hop self", PLAN_REFRESH, PLAN_REFRESH},
		{"preference ", PLAN_REFRESH, PLAN_REFRESH},
		/* Inside of a filter. */
		{"if ", PLAN_REFRESH, PLAN_REFRESH},
		{"bgp_", PLAN_REFRESH, PLAN_REFRESH},
		{"krt_", PLAN_REFRESH, PLAN_REFRESH},
		{"accept;", PLAN_REFRESH, PLAN_REFRESH},
		{"reject;", PLAN_REFRESH, PLAN_REFRESH},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (starts(line, known[i].start))
			return goes && !has_start(other, known[i].start) ? known[i].when_it_goes
									: known[i].action;
	return PLAN_RESTART;
}

static void note(struct plan_row *row, enum plan_action action, const char *why)
{
	if (action > row->action || (action == row->action && !row->why[0])) {
		row->action = action;
		row->why = why;
	}
}

/* Lines that `a` has and `b` has not. */
static bool compare_lines(struct plan_row *row, const struct block *a, const struct block *b,
	bool goes)
{
	bool differ = false;

	for (size_t i = 0; a && i < a->n_lines; i++)
		if (!has_line(b, a->lines[i])) {
			note(row, action_of(a->lines[i], b, goes), a->lines[i]);
			differ = true;
		}
	return differ;
}

/* Where the text differs and no line explains how, the worst is assumed. */
static void compare_blocks(struct plan_row *row, const struct block *old, const struct block *new)
{
	bool comes, goes;

	if (!old && !new)
		return;
	if (old && new && old->hash == new->hash)
		return;
	comes = compare_lines(row, new, old, false);
	goes = compare_lines(row, old, new, true);
	if (!comes && !goes)
		note(row, PLAN_RESTART, "written in another way");
}

static const struct block *find_template(const struct config *config, const char *name)
{
	for (size_t i = 0; name && i < config->n_templates; i++)
		if (strcmp(config->templates[i].name, name) == 0)
			return &config->templates[i];
	return NULL;
}

/* Does a filter line of the block use the constant, other than to export? */
static bool mentions(const struct block *block, const char *constant, bool *import)
{
	size_t len = strlen(constant);
	bool found = false;

	for (size_t i = 0; block && i < block->n_lines; i++)
		for (const char *at = block->lines[i]; (at = strstr(at, constant)); at += len)
			if (!isalnum((unsigned char)at[len]) && at[len] != '_') {
				found = true;
				*import |= !starts(block->lines[i], "export ");
			}
	return found;
}

static void compare_defines(struct plan_row *row, const struct config *a, const struct config *b,
	const struct block *session)
{
	const struct block *template = find_template(a, session->template);

	for (size_t i = 0; i < a->defines.n_lines; i++) {
		const char *line = a->defines.lines[i];
		bool by_session, by_template;
		char constant[65];

		if (has_line(&b->defines, line))
			continue;
		if (strncmp(line, "router id ", 10) == 0)
			note(row, PLAN_RESTART, line);
		if (sscanf(line, "define %64[A-Za-z0-9_]", constant) != 1)
			continue;
		by_session = mentions(session, constant, &row->import_again);
		by_template = mentions(template, constant, &row->import_again);
		if (by_session || by_template)
			note(row, PLAN_REFRESH, line);
	}
}

/* Is there a line of the import, or one that cannot be told from it, that the other
 * has not? */
static bool has_other_import(const struct block *block, const struct block *other)
{
	for (size_t i = 0; block && i < block->n_lines; i++) {
		const char *line = block->lines[i];

		if (!has_line(other, line) && !starts(line, "export ") &&
			(starts(line, "add paths ") ||
				action_of(line, other, false) == PLAN_REFRESH))
			return true;
	}
	return false;
}

static void compare(struct plan_row *row, const struct config *have, const struct block *old,
	const struct config *want, const struct block *new)
{
	const struct block *old_template = find_template(have, old->template);
	const struct block *new_template = find_template(want, new->template);
	struct plan_row shared = {.why = ""};

	compare_blocks(row, old, new);
	row->takes_other = has_other_import(old, new) || has_other_import(new, old);
	compare_blocks(&shared, old_template, new_template);
	compare_defines(&shared, want, have, new);
	compare_defines(&shared, have, want, new);
	row->shared = shared.action;
	row->import_again = row->takes_other || shared.import_again ||
		have->filters != want->filters || has_other_import(old_template, new_template) ||
		has_other_import(new_template, old_template);
	note(row, shared.action, shared.why);
	/* BIRD reloads the channels that use them; we do not look which. */
	if (have->filters != want->filters && row->action == PLAN_KEEP)
		note(row, PLAN_REFRESH, "a filter or function differs");
}

struct plan_row *plan_sessions(const struct fileset *have_files, const struct fileset *want_files,
	struct arena *arena, size_t *n)
{
	struct config have, want;
	struct plan_row *rows = NULL;
	size_t i = 0, j = 0;

	*n = 0;
	read_config(&have, have_files, arena);
	read_config(&want, want_files, arena);
	while (i < have.n_sessions || j < want.n_sessions) { /* both are sorted: merge */
		const struct block *old = i < have.n_sessions ? &have.sessions[i] : NULL;
		const struct block *new = j < want.n_sessions ? &want.sessions[j] : NULL;
		int order = !old ? 1 : !new ? -1 : strcmp(old->name, new->name);
		struct plan_row *row = ARENA_PUSH(arena, rows, n);

		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): one of the two is there */
		row->session = order <= 0 ? old->name : new->name;
		row->why = "";
		if (order < 0)
			row->action = PLAN_REMOVE;
		else if (order > 0)
			row->action = PLAN_ADD;
		else
			compare(row, &have, old, &want, new);
		i += order <= 0;
		j += order >= 0;
	}
	return rows;
}

/* ---------------------------------------------------------------- kernel protocols */

/* The first line of `a` that `b` has not and that is a restart; NULL: none. */
static const char *kernel_restarts(const struct block *a, const struct block *b)
{
	static const char several[] = "merge paths on";

	for (size_t i = 0; i < a->n_lines; i++) {
		const char *line = a->lines[i];

		if (!has_line(b, line) && !starts(line, "persist") &&
			!starts(line, "graceful restart") &&
			!(starts(line, several) && has_start(b, several)) &&
			action_of(line, b, false) == PLAN_RESTART)
			return line;
	}
	return NULL;
}

static const char *kernel_warning(
	const struct block *old, const struct block *new, struct arena *arena)
{
	const char *why = new ? kernel_restarts(new, old) : "it is removed";

	if (!why)
		why = kernel_restarts(old, new);
	if (!why)
		return NULL;
	return arena_printf(arena, "protocol %s restarts (%s): %s", old->name, why,
		starts(why, "metric ")
			? "routes with the old metric stay in the kernel until somebody deletes them"
		: has_line(old, "persist;")
			? "its routes stay in the kernel meanwhile"
			: "all its routes leave the kernel, and pods their network, for a moment");
}

const char **plan_kernel_warnings(const struct fileset *have_files, const struct fileset *want_files,
	struct arena *arena, size_t *n)
{
	struct config have, want;
	const char **list = NULL;

	*n = 0;
	read_config(&have, have_files, arena);
	read_config(&want, want_files, arena);
	for (size_t i = 0; i < have.n_kernels; i++) {
		const struct block *old = &have.kernels[i], *new = NULL;
		const char *warning;

		for (size_t j = 0; j < want.n_kernels; j++)
			if (strcmp(want.kernels[j].name, old->name) == 0)
				new = &want.kernels[j];
		warning = kernel_warning(old, new, arena);
		if (warning)
			*ARENA_PUSH(arena, list, n) = warning;
	}
	return list;
}

/* ---------------------------------------------------------------- in a line */

static void add_rows(struct buf *text, const struct plan_row *rows, size_t n,
	enum plan_action action)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i].action == action && ++count <= 3)
			buf_printf(text, "%s%s %s", count > 1 ? "," : text->len ? "; " : "",
				count > 1 ? "" : plan_action_name(action), rows[i].session);
	if (count > 3)
		buf_printf(text, ", %zu more", count - 3);
}

static void add_files(struct buf *text, const struct fileset *a, const struct fileset *b, bool both)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct file_text *file = &a->items[i], *other = fileset_find(b, file->name);

		if (strcmp(file->name, "bird.conf") == 0) /* it has the id */
			continue;
		if (!other || (both && (file->len != other->len ||
					memcmp(file->text, other->text, file->len) != 0)))
			buf_printf(text, "%s%s", text->len ? ", " : "", file->name);
	}
}

void plan_summary(const struct plan_row *rows, size_t n, const struct fileset *have,
	const struct fileset *want, char *room, size_t size)
{
	static const enum plan_action order[] = {PLAN_RESTART, PLAN_REMOVE, PLAN_ADD, PLAN_REFRESH};
	_cleanup_buf_ struct buf text = {0};

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		add_rows(&text, rows, n, order[i]);
	if (!text.len) {
		add_files(&text, want, have, true);
		add_files(&text, have, want, false);
	}
	snprintf(room, size, "%s", buf_text(&text));
}
