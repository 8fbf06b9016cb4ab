/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "doc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
	yaml_parser_t yaml;
	const char *name, *text;
	size_t len;
	struct arena *arena;
	struct err *err;
	size_t values; /* so far */
};

/* A limit of doc.h in a message. */
#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

static int parse_node(struct reader *in, const yaml_event_t *event, unsigned depth,
	struct doc **out);

static int fail_at(struct reader *in, const yaml_mark_t *mark, const char *what)
{
	return err_set(in->err, EINVAL, "%s:%zu:%zu: %s", in->name, mark->line + 1,
		mark->column + 1, what);
}

/* A byte that is no text: libyaml knows its offset only. */
static int fail_at_byte(struct reader *in, size_t offset, const char *what)
{
	yaml_mark_t mark = {0};

	for (size_t i = 0; i < offset; i++) {
		mark.column = in->text[i] == '\n' ? 0 : mark.column + 1;
		mark.line += in->text[i] == '\n';
	}
	return fail_at(in, &mark, what);
}

/* libyaml says of it only that it cannot start any token. */
static bool is_tab(const struct reader *in, const yaml_mark_t *mark)
{
	const char *at = in->text;

	/* Its index counts characters, a character's further bytes are 10xxxxxx. */
	for (size_t i = 0; i < mark->index && at < in->text + in->len; i++)
		do
			at++;
		while (at < in->text + in->len && ((unsigned char)*at & 0xc0) == 0x80);
	return at < in->text + in->len && *at == '\t';
}

static int next_event(struct reader *in, yaml_event_t *event)
{
	const yaml_parser_t *yaml = &in->yaml;

	if (yaml_parser_parse(&in->yaml, event))
		return 0;
	if (yaml->error == YAML_READER_ERROR)
		return fail_at_byte(in, yaml->problem_offset, yaml->problem);
	if (yaml->error == YAML_SCANNER_ERROR && is_tab(in, &yaml->problem_mark))
		return fail_at(in, &yaml->problem_mark, "a tab: YAML is indented with spaces");
	if (yaml->context)
		return err_set(in->err, EINVAL, "%s:%zu:%zu: %s (%s that began in line %zu)",
			in->name, yaml->problem_mark.line + 1, yaml->problem_mark.column + 1,
			yaml->problem, yaml->context, yaml->context_mark.line + 1);
	return fail_at(in, &yaml->problem_mark, yaml->problem ? yaml->problem : "not YAML");
}

static int parse_scalar(struct reader *in, const yaml_event_t *event, struct doc *doc)
{
	const char *value = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;

	if (memchr(value, '\0', len))
		return fail_at(in, &event->start_mark, "a NUL byte in a string");
	doc->type = DOC_SCALAR;
	doc->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	doc->text = arena_strndup(in->arena, value, len);
	return 0;
}

static int parse_list(struct reader *in, unsigned depth, struct doc *doc)
{
	doc->type = DOC_LIST;
	for (;;) {
		yaml_event_t event;
		struct doc *item;
		int rc;

		if (next_event(in, &event) < 0)
			return -1;
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			return 0;
		}
		rc = parse_node(in, &event, depth, &item);
		yaml_event_delete(&event);
		if (rc < 0)
			return -1;
		*ARENA_PUSH(in->arena, doc->items, &doc->n_items) = item;
	}
}

static int parse_key(struct reader *in, const yaml_event_t *event, const struct doc *map,
	struct doc *key)
{
	const struct doc *twin;

	if (event->type != YAML_SCALAR_EVENT)
		return fail_at(in, &event->start_mark, "expected a key");
	if (parse_scalar(in, event, key) < 0)
		return -1;
	key->line = (unsigned)event->start_mark.line + 1;
	key->column = (unsigned)event->start_mark.column + 1;
	twin = doc_get(map, key->text);
	if (twin)
		return err_set(in->err, EINVAL, "%s:%zu:%zu: %s: the key stands twice (also in line %u)",
			in->name, event->start_mark.line + 1, event->start_mark.column + 1,
			key->text, twin->key_line);
	return 0;
}

static int parse_map(struct reader *in, unsigned depth, struct doc *doc)
{
	doc->type = DOC_MAP;
	for (;;) {
		struct doc key = {0}, *item;
		yaml_event_t event;
		int rc;

		if (next_event(in, &event) < 0)
			return -1;
		if (event.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&event);
			return 0;
		}
		rc = doc->n_items >= DOC_MAX_KEYS ?
			fail_at(in, &event.start_mark, "more than " TEXT_OF(DOC_MAX_KEYS) " keys in one map") :
			parse_key(in, &event, doc, &key);
		yaml_event_delete(&event);
		if (rc < 0 || next_event(in, &event) < 0)
			return -1;
		rc = parse_node(in, &event, depth, &item);
		yaml_event_delete(&event);
		if (rc < 0)
			return -1;
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): parse_node() was content */
		item->key = key.text;
		item->key_line = key.line;
		item->key_column = key.column;
		*ARENA_PUSH(in->arena, doc->items, &doc->n_items) = item;
	}
}

static bool has_anchor(const yaml_event_t *event)
{
	return (event->type == YAML_SCALAR_EVENT && event->data.scalar.anchor) ||
		(event->type == YAML_SEQUENCE_START_EVENT && event->data.sequence_start.anchor) ||
		(event->type == YAML_MAPPING_START_EVENT && event->data.mapping_start.anchor);
}

static int parse_node(struct reader *in, const yaml_event_t *event, unsigned depth,
	struct doc **out)
{
	struct doc *doc = arena_alloc(in->arena, sizeof(*doc));

	if (depth > DOC_MAX_DEPTH)
		return fail_at(in, &event->start_mark,
			"nested deeper than " TEXT_OF(DOC_MAX_DEPTH) " levels");
	if (++in->values > DOC_MAX_VALUES)
		return fail_at(in, &event->start_mark,
			"more than " TEXT_OF(DOC_MAX_VALUES) " values");
	if (event->type == YAML_ALIAS_EVENT || has_anchor(event))
		return fail_at(in, &event->start_mark, "anchors (&) and aliases (*) are not supported");
	doc->line = (unsigned)event->start_mark.line + 1;
	doc->column = (unsigned)event->start_mark.column + 1;
	*out = doc;
	if (event->type == YAML_SCALAR_EVENT)
		return parse_scalar(in, event, doc);
	if (event->type == YAML_SEQUENCE_START_EVENT)
		return parse_list(in, depth + 1, doc);
	if (event->type == YAML_MAPPING_START_EVENT)
		return parse_map(in, depth + 1, doc);
	return fail_at(in, &event->start_mark, "expected a value");
}

/* Stream start, document start, one node, document end, stream end. */
static int parse_stream(struct reader *in, struct doc **root)
{
	yaml_event_type_t type;
	*root = NULL;

	do {
		yaml_event_t event;
		int rc = 0;

		if (next_event(in, &event) < 0)
			return -1;
		type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT && *root)
			rc = fail_at(in, &event.start_mark, "a second document (---) in one file");
		else if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT ||
			type == YAML_MAPPING_START_EVENT || type == YAML_ALIAS_EVENT)
			rc = parse_node(in, &event, 0, root);
		yaml_event_delete(&event);
		if (rc < 0)
			return -1;
	} while (type != YAML_STREAM_END_EVENT);
	if (!*root)
		return err_set(in->err, EINVAL, "%s:1:1: the file is empty", in->name);
	return 0;
}

int doc_parse(const char *name, const char *text, size_t len, struct arena *arena,
	struct doc **root, struct err *err)
{
	static const char bom[] = "\xef\xbb\xbf"; /* some editors' first character */
	struct reader in = {.name = name, .arena = arena, .err = err};
	int rc;

	if (len >= strlen(bom) && memcmp(text, bom, strlen(bom)) == 0) {
		text += strlen(bom);
		len -= strlen(bom);
	}
	in.text = text;
	in.len = len;
	if (!yaml_parser_initialize(&in.yaml))
		abort(); /* out of memory */
	yaml_parser_set_encoding(&in.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&in.yaml, (const unsigned char *)text, len);
	rc = parse_stream(&in, root);
	yaml_parser_delete(&in.yaml);
	return rc;
}

struct doc *doc_get(const struct doc *map, const char *key)
{
	if (map->type != DOC_MAP)
		return NULL;
	for (size_t i = 0; i < map->n_items; i++)
		if (strcmp(map->items[i]->key, key) == 0)
			return map->items[i];
	return NULL;
}

const struct doc *doc_find(const struct doc *root, const char *path)
{
	const struct doc *at = root;

	while (*path) {
		const struct doc *next = NULL;

		if (*path == '[') {
			size_t index = strtoul(path + 1, NULL, 10);

			if (at->type == DOC_LIST && index < at->n_items)
				next = at->items[index];
			path += strcspn(path, "]");
			path += *path == ']';
		} else {
			size_t len = strcspn(path, ".[");

			for (size_t i = 0; at->type == DOC_MAP && i < at->n_items; i++)
				if (strncmp(at->items[i]->key, path, len) == 0 &&
					at->items[i]->key[len] == '\0')
					next = at->items[i];
			path += len;
		}
		if (!next)
			break;
		at = next;
		path += *path == '.';
	}
	return at;
}

bool doc_is_null(const struct doc *doc)
{
	return doc->type == DOC_SCALAR && doc->plain &&
		(doc->text[0] == '\0' || strcmp(doc->text, "~") == 0 ||
			strcmp(doc->text, "null") == 0);
}

const char *doc_type_name(const struct doc *doc)
{
	switch (doc->type) {
	case DOC_LIST:
		return "a list";
	case DOC_MAP:
		return "a map";
	case DOC_SCALAR:
		break;
	}
	return doc_is_null(doc) ? "nothing" : "a string";
}
