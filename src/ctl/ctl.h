/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ctl -- roostctl: a table of commands, each of which gets the same options, prints
 * to stdout and returns the exit code. */
#ifndef ROOST_CTL_H
#define ROOST_CTL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct ctl {
	const char *socket;
	bool json;   /* -o json */
	bool colour; /* stdout is a terminal that wants it */
	const char *file; /* FILE of check, render, plan */
	const char *address; /* ADDRESS of explain */
	const char *node; /* --node */
	const char *dir;  /* render --dir */
};

struct command {
	const char *name;
	const char *args; /* "[FILE]" */
	const char *help;
	int (*run)(const struct ctl *ctl);
	enum { TAKES_NOTHING, TAKES_FILE, TAKES_ADDRESS } takes;
};

/* show.c: what roostd knows. */
int ctl_status(const struct ctl *ctl);
int ctl_nodes(const struct ctl *ctl);
int ctl_peers(const struct ctl *ctl);
int ctl_routes(const struct ctl *ctl);
int ctl_explain(const struct ctl *ctl);
int ctl_apply(const struct ctl *ctl);

/* local.c: what needs no daemon. */
int ctl_check(const struct ctl *ctl);
int ctl_render(const struct ctl *ctl);
int ctl_plan(const struct ctl *ctl);
int ctl_pods(const struct ctl *ctl);

/* client.c: one request over roostd's Unix socket.  *json is the caller's. */
int client_request(const struct ctl *ctl, const char *method, const char *path, json_t **json,
	struct err *err);

/* table.c: rows of JSON objects as a table.  `format` makes a cell's text out of a
 * row (a string of its own that is freed); NULL: the member named `key` as it is. */
struct column {
	const char *title;
	const char *key;
	char *(*format)(const json_t *row);
	bool right;
	/* how a cell is coloured: "green", "red", "yellow", or NULL */
	const char *(*colour)(const json_t *row);
};
void table_print(const struct ctl *ctl, const json_t *rows, const struct column *columns, size_t n);

/* The rows as -o says, a table or JSON; takes them over. */
void rows_print(const struct ctl *ctl, json_t *rows, const struct column *columns, size_t n);

/* "10.0.0.1, fd00::1" of a list of strings, "-" of none; the caller frees it. */
char *text_of_list(const json_t *list);

/* Prints JSON for -o json. */
void json_print(const json_t *json);

#endif
