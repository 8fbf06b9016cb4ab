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
	const char *output; /* "table", "json" */
	bool json;          /* -o json */
	bool colour;        /* stdout is a terminal that wants it */
	const char *file;    /* FILE of check, render, plan; "-": standard input */
	const char *address; /* ADDRESS of explain */
	const char *node;    /* --node */
	const char *dir;     /* render --dir */
	const char *nodes;   /* --nodes: where Nodes are known from, for a file that has none */
	const char *number;  /* N of rollback; NULL: none */
	const char *max_restarts; /* apply --max-restarts; NULL: any */
	bool yes;            /* cleanup --yes */
	bool force;          /* apply, cleanup --force */
	bool svg;            /* graph --svg */
	bool watch;          /* --watch, */
	const char *interval; /* --interval as it was given, */
	unsigned interval_s;  /* and in seconds */
	bool no_colour, version, help;
};

struct command {
	const char *name;
	const char *args; /* "[FILE]" */
	const char *help;
	int (*run)(const struct ctl *ctl);
	enum { TAKES_NOTHING, TAKES_FILE, TAKES_ADDRESS, TAKES_NUMBER } takes;
};

/* show.c: what roostd knows. */
int ctl_status(const struct ctl *ctl);
int ctl_nodes(const struct ctl *ctl);
int ctl_peers(const struct ctl *ctl);
int ctl_routes(const struct ctl *ctl);
int ctl_services(const struct ctl *ctl);
int ctl_explain(const struct ctl *ctl);

/* help.c: a paragraph or two on a command, without a newline at the end. */
const char *help_of(const char *command);

/* history.c */
int ctl_apply(const struct ctl *ctl);
int ctl_rollback(const struct ctl *ctl);
int ctl_history(const struct ctl *ctl);

/* cleanup.c */
int ctl_cleanup(const struct ctl *ctl);

/* watch.c: runs it until somebody ends that. */
int watch(const struct command *command, const struct ctl *ctl);

/* graph.c */
int ctl_graph(const struct ctl *ctl);

/* drain.c */
int ctl_drain(const struct ctl *ctl);
int ctl_undrain(const struct ctl *ctl);

/* local.c: what needs no daemon. */
int ctl_check(const struct ctl *ctl);
int ctl_render(const struct ctl *ctl);
int ctl_plan(const struct ctl *ctl);
int ctl_pods(const struct ctl *ctl);

/* doctor.c: this machine. */
int ctl_doctor(const struct ctl *ctl);

/* local.c, for doctor: the file, also when the Nodes it takes from Kubernetes are not
 * known yet (*nodes_error has a code then); what would be rendered of it, *rendered for BIRD
 * and *masquerade for the kernel (NULL: not wanted), refused when the BIRD of version `bird`
 * (NULL: any) cannot do it; files below a folder. */
struct arena;
struct buf;
struct cluster;
struct fileset;
struct rendered;
int local_load(const struct ctl *ctl, struct arena *arena, struct cluster **cluster,
	struct err *nodes_error, struct err *err);
int local_render(const struct ctl *ctl, struct arena *arena, bool passwords, const char *bird,
	struct rendered *rendered, struct buf *masquerade, struct err *err);
int local_write_tree(const char *dir, const struct fileset *files, struct err *err);

/* client.c: one request over roostd's Unix socket.  *json is the caller's. */
int client_request(const struct ctl *ctl, const char *method, const char *path, json_t **json,
	struct err *err);

/* The same; says what is wrong, and the exit code: 1 when roostd refuses, 2 without one. */
int client_fetch(const struct ctl *ctl, const char *method, const char *path, json_t **json);

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
