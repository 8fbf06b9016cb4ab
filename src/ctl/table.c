/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ctl/ctl.h"

/* A JSON value as a person writes it. */
static char *value_text(const json_t *value)
{
	char number[32];

	if (json_is_string(value))
		return xstrdup(json_string_value(value));
	if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
		return xstrdup(number);
	}
	if (json_is_boolean(value))
		return xstrdup(json_is_true(value) ? "yes" : "no");
	return xstrdup("-");
}

static void fill_line(struct libscols_line *line, const json_t *row, const struct column *columns,
	size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct column *column = &columns[i];
		char *text = column->format ? column->format(row)
					    : value_text(json_object_get(row, column->key));
		const char *colour = column->colour ? column->colour(row) : NULL;

		scols_line_refer_data(line, i, text); /* takes it over */
		if (colour)
			scols_cell_set_color(scols_line_get_cell(line, i), colour);
	}
}

void table_print(const struct ctl *ctl, const json_t *rows, const struct column *columns, size_t n)
{
	struct libscols_table *table;
	const json_t *row;
	size_t i;

	if (json_array_size(rows) == 0) { /* libsmartcols would not even print this */
		for (i = 0; i < n; i++)
			printf("%s%s", i ? " " : "", columns[i].title);
		putchar('\n');
		return;
	}
	table = scols_new_table();
	if (!table)
		abort();
	scols_table_enable_colors(table, ctl->colour);
	for (i = 0; i < n; i++)
		if (!scols_table_new_column(table, columns[i].title, 0,
			    columns[i].right ? SCOLS_FL_RIGHT : 0))
			abort();
	json_array_foreach(rows, i, row)
		fill_line(scols_table_new_line(table, NULL), row, columns, n);
	scols_print_table(table);
	scols_unref_table(table);
}

void rows_print(const struct ctl *ctl, json_t *rows, const struct column *columns, size_t n)
{
	if (ctl->json)
		json_print(rows);
	else
		table_print(ctl, rows, columns, n);
	json_decref(rows);
}

char *text_of_list(const json_t *list)
{
	struct buf text = {0};
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		buf_printf(&text, "%s%s", i ? ", " : "", json_string_value(item));
	if (!text.len)
		buf_puts(&text, "-");
	return text.text;
}

void json_print(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}
