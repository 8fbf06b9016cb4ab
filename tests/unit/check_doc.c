/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doc: a YAML document as a tree whose nodes know their place. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/doc.h"
#include "unit.h"

static struct doc *parse(const char *text, struct arena *arena)
{
	struct doc *root;
	struct err err;

	ck_assert_msg(doc_parse("f.yaml", text, strlen(text), arena, &root, &err) == 0, "%s: %s",
		text, err.msg);
	return root;
}

static void assert_refused(const char *text, size_t len, const char *msg)
{
	_cleanup_arena_ struct arena arena = {0};
	struct doc *root;
	struct err err;

	ck_assert_msg(doc_parse("f.yaml", text, len, &arena, &root, &err) == -1, "took %s", text);
	ck_assert_str_eq(err.msg, msg);
}

START_TEST(tree_has_the_shape_of_the_text)
{
	_cleanup_arena_ struct arena arena = {0};
	struct doc *root = parse("cluster:\n  name: lab\nnodes:\n- a\n- [b, {c: d}]\n", &arena);
	struct doc *nodes = doc_get(root, "nodes");

	ck_assert_int_eq(root->type, DOC_MAP);
	ck_assert_uint_eq(root->n_items, 2);
	ck_assert_str_eq(doc_get(doc_get(root, "cluster"), "name")->text, "lab");
	ck_assert_int_eq(nodes->type, DOC_LIST);
	ck_assert_str_eq(nodes->items[0]->text, "a");
	ck_assert_str_eq(nodes->items[1]->items[0]->text, "b");
	ck_assert_str_eq(doc_get(nodes->items[1]->items[1], "c")->text, "d");
	ck_assert_str_eq(nodes->items[1]->items[1]->items[0]->key, "c");
}
END_TEST

START_TEST(byte_order_mark_is_not_part_of_the_text)
{
	_cleanup_arena_ struct arena arena = {0};
	static const char text[] = "\xef\xbb\xbf" "a: 1\nb: 2\n";
	struct doc *root;
	struct err err;

	ck_assert_msg(doc_parse("f.yaml", text, strlen(text), &arena, &root, &err) == 0, "%s",
		err.msg);
	ck_assert_uint_eq(root->n_items, 2);
	ck_assert_uint_eq(doc_get(root, "b")->key_column, 1);
	assert_refused("\xef\xbb\xbf", 3, "f.yaml:1:1: the file is empty");
}
END_TEST

START_TEST(json_is_yaml)
{
	_cleanup_arena_ struct arena arena = {0};
	struct doc *root = parse("{\"a\": [1, \"two\", true, null], \"b\": {\"c\": \"\\u00e9\"}}",
		&arena);
	struct doc *a = doc_get(root, "a");

	ck_assert_uint_eq(a->n_items, 4);
	ck_assert(a->items[0]->plain);
	ck_assert(!a->items[1]->plain);
	ck_assert(doc_is_null(a->items[3]));
	ck_assert_str_eq(doc_get(doc_get(root, "b"), "c")->text, "\xc3\xa9");
}
END_TEST

START_TEST(every_value_knows_its_line_and_column)
{
	static const struct {
		const char *path;
		unsigned line, column;
	} rows[] = {
		{"", 2, 1}, {"a", 2, 4}, {"b", 4, 1}, {"b[0]", 4, 3}, {"b[1]", 5, 3}, {"b[1].c", 5, 6},
		{"d", 6, 4}, {"d.e", 6, 8}, {"d.e[1]", 6, 12},
	};
	_cleanup_arena_ struct arena arena = {0};
	struct doc *root = parse("# comment\na: 1\nb:\n- x\n- c: y\nd: {e: [1, 2]}\n", &arena);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct doc *doc = doc_find(root, rows[i].path);

		ck_assert_msg(doc->line == rows[i].line && doc->column == rows[i].column,
			"%s: %u:%u", rows[i].path, doc->line, doc->column);
	}
}
END_TEST

START_TEST(quotes_and_blocks_are_strings_and_never_plain)
{
	static const struct {
		const char *yaml, *text;
		bool plain;
	} rows[] = {
		{"1", "1", true}, {"'1'", "1", false}, {"\"1\"", "1", false}, {"'it''s'", "it's", false},
		{"\"a\\nb\"", "a\nb", false}, {"|\n a\n b\n", "a\nb\n", false}, {"a b", "a b", true},
		{">-\n a\n b\n", "a b", false}, {"fd00::1", "fd00::1", true}, {"a#b", "a#b", true},
		{"a #b", "a", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		struct doc *doc = parse(rows[i].yaml, &arena);

		ck_assert_str_eq(doc->text, rows[i].text);
		ck_assert(doc->plain == rows[i].plain);
	}
}
END_TEST

START_TEST(null_is_written_in_three_ways_and_never_in_quotes)
{
	_cleanup_arena_ struct arena arena = {0};
	struct doc *root = parse("a:\nb: ~\nc: null\nd: ''\ne: 'null'\nf: nil\n", &arena);

	ck_assert(doc_is_null(doc_get(root, "a")));
	ck_assert(doc_is_null(doc_get(root, "b")));
	ck_assert(doc_is_null(doc_get(root, "c")));
	ck_assert(!doc_is_null(doc_get(root, "d")));
	ck_assert(!doc_is_null(doc_get(root, "e")));
	ck_assert(!doc_is_null(doc_get(root, "f")));
	ck_assert(!doc_is_null(root));
}
END_TEST

START_TEST(types_have_names_for_messages)
{
	_cleanup_arena_ struct arena arena = {0};

	ck_assert_str_eq(doc_type_name(parse("[]", &arena)), "a list");
	ck_assert_str_eq(doc_type_name(parse("{}", &arena)), "a map");
	ck_assert_str_eq(doc_type_name(parse("x", &arena)), "a string");
	ck_assert_str_eq(doc_type_name(parse("~", &arena)), "nothing");
}
END_TEST

START_TEST(get_finds_keys_of_maps_only)
{
	_cleanup_arena_ struct arena arena = {0};
	struct doc *root = parse("a: [b]", &arena);

	ck_assert_ptr_nonnull(doc_get(root, "a"));
	ck_assert_ptr_null(doc_get(root, "b"));
	ck_assert_ptr_null(doc_get(root, ""));
	ck_assert_ptr_null(doc_get(doc_get(root, "a"), "b"));
}
END_TEST

START_TEST(find_stops_at_the_deepest_part_that_is_there)
{
	_cleanup_arena_ struct arena arena = {0};
	struct doc *root = parse("nodes: [{podCIDRs: [x, y]}, z]\n", &arena);
	const struct doc *nodes = doc_get(root, "nodes");

	ck_assert_ptr_eq(doc_find(root, ""), root);
	ck_assert_str_eq(doc_find(root, "nodes[0].podCIDRs[1]")->text, "y");
	ck_assert_str_eq(doc_find(root, "nodes[1]")->text, "z");
	ck_assert_ptr_eq(doc_find(root, "nodes[2].name"), nodes);
	ck_assert_ptr_eq(doc_find(root, "nodes[0].name"), nodes->items[0]);
	ck_assert_ptr_eq(doc_find(root, "nodes.name"), nodes);
	ck_assert_ptr_eq(doc_find(root, "node"), root);
	ck_assert_ptr_eq(doc_find(root, "nodes[99999999999999999999999]"), nodes);
}
END_TEST

/* ---------------------------------------------------------------- what is refused */

START_TEST(refusal_says_where_and_why)
{
	static const char *const rows[][2] = {
		{"", "1:1: the file is empty"},
		{"# only a comment\n", "1:1: the file is empty"},
		{"a: 1\na: 2\n", "2:1: a: the key stands twice (also in line 1)"},
		{"\"a\\nb\": 1\n\"a\\nb\": 2\n", "2:1: a?b: the key stands twice (also in line 1)"},
		{"--- 1\n--- 2\n", "2:1: a second document (---) in one file"},
		{"a: &x 1\nb: *x\n", "1:4: anchors (&) and aliases (*) are not supported"},
		{"b: *x\n", "1:4: anchors (&) and aliases (*) are not supported"},
		{"*x", "1:1: anchors (&) and aliases (*) are not supported"},
		{"a: &x [1]\n", "1:4: anchors (&) and aliases (*) are not supported"},
		{"- &x {a: b}\n", "1:3: anchors (&) and aliases (*) are not supported"},
		{"? [a]\n: 1\n", "1:3: expected a key"},
		{"{{a: 1}: 2}", "1:2: expected a key"},
		{"a: \"x\\0y\"\n", "1:4: a NUL byte in a string"},
		{"\"x\\0y\": 1\n", "1:1: a NUL byte in a string"},
		{"a: 1\n  b: 2\n", "2:4: mapping values are not allowed in this context"},
		{"a: [1, 2\n", "2:1: did not find expected ',' or ']' "
			       "(while parsing a flow sequence that began in line 1)"},
		{"\ta: 1\n", "1:1: a tab: YAML is indented with spaces"},
		{"\xc3\xa4: \xe2\x82\xac\nb:\n  \t- 1\n",
			"3:3: a tab: YAML is indented with spaces"},
		{"a: 1\nb: @\n", "2:4: found character that cannot start any token "
				 "(while scanning for the next token that began in line 2)"},
		{"a: 1\nb: 'x", "2:6: found unexpected end of stream "
				"(while scanning a quoted scalar that began in line 2)"},
		{"a: 1\n...\nb: 2\n", "3:1: did not find expected <document start>"},
		{"%YAML 3.0\n---\na: 1\n", "1:1: found incompatible YAML document"},
		{"a: 1\nb: \x01\n", "2:4: control characters are not allowed"},
		{"a: 1\nb: \xff\n", "2:4: invalid leading UTF-8 octet"},
		{"a: 1\nb:\xc3", "2:3: incomplete UTF-8 octet sequence"},
		{"\xfe\xff", "1:1: invalid leading UTF-8 octet"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char msg[300];

		snprintf(msg, sizeof(msg), "f.yaml:%s", rows[i][1]);
		assert_refused(rows[i][0], strlen(rows[i][0]), msg);
	}
}
END_TEST

START_TEST(nul_byte_in_the_file_is_refused)
{
	assert_refused("a: 1\n\0b: 2\n", 11, "f.yaml:2:1: control characters are not allowed");
}
END_TEST

START_TEST(sixteen_levels_are_enough_for_everybody)
{
	_cleanup_arena_ struct arena arena = {0};
	char text[100] = "";

	memset(text, '[', 16);
	memset(text + 16, ']', 16);
	parse(text, &arena);
	memset(text, '[', 30);
	assert_refused(text, strlen(text), "f.yaml:1:18: nested deeper than 16 levels");
}
END_TEST

/* Memory is counted, not time: a reader that stops early uses little of either. */
START_TEST(ten_megabytes_of_nesting_cost_nothing)
{
	static const char *const openers[] = {"[", "{", "- ", "? ", "{a: ", "- [", "- - ", "{? ", "[ "};

	for (size_t i = 0; i < ARRAY_LEN(openers); i++) {
		_cleanup_arena_ struct arena arena = {0};
		_cleanup_buf_ struct buf buf = {0};
		struct doc *root;
		struct err err;

		while (buf.len < 10000000)
			buf_puts(&buf, openers[i]);
		ck_assert_int_eq(doc_parse("f.yaml", buf.text, buf.len, &arena, &root, &err), -1);
		ck_assert_msg(arena.used < 4096, "%s: %zu bytes", openers[i], arena.used);
	}
}
END_TEST

START_TEST(keys_of_one_map_are_limited)
{
	_cleanup_arena_ struct arena arena = {0};
	_cleanup_buf_ struct buf buf = {0};
	struct doc *root;

	for (int i = 0; i < DOC_MAX_KEYS; i++)
		buf_printf(&buf, "k%d: 1\n", i);
	root = parse(buf_text(&buf), &arena);
	ck_assert_uint_eq(root->n_items, DOC_MAX_KEYS);
	buf_puts(&buf, "more: 1\n");
	assert_refused(buf.text, buf.len, "f.yaml:257:1: more than 256 keys in one map");
}
END_TEST

START_TEST(values_of_one_document_are_limited)
{
	_cleanup_buf_ struct buf buf = {0};

	buf_puts(&buf, "[");
	while (buf.len < 2 * DOC_MAX_VALUES + 100)
		buf_puts(&buf, "1,");
	assert_refused(buf.text, buf.len, "f.yaml:1:2000000: more than 1000000 values");
}
END_TEST

UNIT(doc, tree_has_the_shape_of_the_text, json_is_yaml,
	byte_order_mark_is_not_part_of_the_text, every_value_knows_its_line_and_column,
	quotes_and_blocks_are_strings_and_never_plain,
	null_is_written_in_three_ways_and_never_in_quotes, types_have_names_for_messages,
	get_finds_keys_of_maps_only, find_stops_at_the_deepest_part_that_is_there,
	refusal_says_where_and_why, nul_byte_in_the_file_is_refused,
	sixteen_levels_are_enough_for_everybody, ten_megabytes_of_nesting_cost_nothing,
	keys_of_one_map_are_limited, values_of_one_document_are_limited)
