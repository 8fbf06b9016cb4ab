/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doc -- a YAML (so also JSON) document as a tree whose nodes know their place.
 *
 * Only what a configuration file needs: one document, maps with unique plain
 * keys, lists, scalars.  Anchors and aliases are refused (a few bytes of them can
 * mean gigabytes), and so are nesting deeper than DOC_MAX_DEPTH and more than
 * DOC_MAX_VALUES scalars, lists and maps; all before any memory is spent on them.
 * The tree lives in the caller's arena. */
#ifndef ROOST_DOC_H
#define ROOST_DOC_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "mem.h"

#define DOC_MAX_DEPTH 16
#define DOC_MAX_KEYS 256 /* of one map; keys are compared pairwise */
#define DOC_MAX_VALUES 1000000

enum doc_type { DOC_SCALAR, DOC_LIST, DOC_MAP };

struct doc {
	enum doc_type type;
	unsigned line, column; /* from 1 */
	const char *text;      /* scalar: its value, no NUL byte inside */
	bool plain;            /* scalar: written without quotes, so may be a number */
	const char *key;       /* within a map: its key, */
	unsigned key_line, key_column; /* and where that stands */
	struct doc **items;    /* list or map: what is in it, in file order */
	size_t n_items;
};

/* Parses `len` bytes.  `name` is what errors call the file:
 * "roost.yaml:3:1: did not find expected key". */
int doc_parse(const char *name, const char *text, size_t len, struct arena *arena,
	struct doc **root, struct err *err);

/* The value of a key, NULL when it is not there or `map` is no map. */
struct doc *doc_get(const struct doc *map, const char *key);

/* What a path such as "nodes[2].podCIDRs[0]" names; the deepest part of it that
 * is there, so that a missing key is reported at the map that lacks it. */
const struct doc *doc_find(const struct doc *root, const char *path);

/* An explicit or implicit null: `key:`, `key: ~`, `key: null`. */
bool doc_is_null(const struct doc *doc);

/* "a list", "a map", "a string" -- for messages. */
const char *doc_type_name(const struct doc *doc);

#endif
