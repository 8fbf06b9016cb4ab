/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph: the topology as Graphviz DOT, or drawn by its dot(1). */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "ctl/ctl.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* Names are of letters, digits, '-', '_' and '.': nothing to escape in a quoted DOT id. */
static void print_vertex(FILE *out, const json_t *vertex)
{
	static const struct {
		const char *kind, *shape;
	} shapes[] = {{"node", "ellipse"}, {"reflector", "doubleoctagon"}, {"router", "box"}};
	const char *shape = "ellipse";

	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		if (strcmp(shapes[i].kind, text_of(vertex, "kind")) == 0)
			shape = shapes[i].shape;
	fprintf(out, "\t\"%s\" [shape=%s%s];\n", text_of(vertex, "name"), shape,
		json_is_true(json_object_get(vertex, "self")) ? ", style=bold, penwidth=3" : "");
}

static void print_edge(FILE *out, const json_t *edge)
{
	bool up = json_is_true(json_object_get(edge, "up"));

	fprintf(out, "\t\"%s\" -- \"%s\"", text_of(edge, "a"), text_of(edge, "b"));
	if (!json_is_string(json_object_get(edge, "session")))
		fputs(" [color=gray, style=dotted];\n", out);
	else
		fprintf(out, " [color=%s%s, tooltip=\"%s: %s\"%s%s%s];\n", up ? "darkgreen" : "red",
			up ? "" : ", fontcolor=red", text_of(edge, "session"),
			text_of(edge, "state"), up ? "" : ", label=\"",
			up ? "" : text_of(edge, "state"), up ? "" : "\"");
}

static void print_dot(FILE *out, const json_t *graph)
{
	const json_t *item;
	size_t i;

	fprintf(out, "graph roost {\n\tlabel=\"BGP as %s knows it: green is up, red is down, "
		     "gray is others'\";\n",
		text_of(graph, "node"));
	fputs("\tlayout=neato;\n\toverlap=false;\n\tsplines=true;\n"
	      "\tnode [fontname=\"sans-serif\"];\n\tedge [fontname=\"sans-serif\", fontsize=10];\n",
		out);
	json_array_foreach(json_object_get(graph, "vertices"), i, item)
		print_vertex(out, item);
	json_array_foreach(json_object_get(graph, "edges"), i, item)
		print_edge(out, item);
	fputs("}\n", out);
}

/* dot(1) writes to our standard output. */
static int draw(const json_t *graph)
{
	FILE *dot;
	int status;

	signal(SIGPIPE, SIG_IGN); /* without dot nobody reads: that is said below */
	dot = popen("command -v dot >/dev/null || exit 127; exec dot -Tsvg", "we");
	if (!dot) {
		perror("roostctl: dot");
		return 1;
	}
	print_dot(dot, graph);
	status = pclose(dot);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fputs(WIFEXITED(status) && WEXITSTATUS(status) == 127
			? "roostctl: --svg needs the program dot: apt-get install graphviz\n"
			: "roostctl: dot could not draw it\n",
		stderr);
	return 1;
}

int ctl_graph(const struct ctl *ctl)
{
	json_t *graph;
	int rc = client_fetch(ctl, "GET", "/v1/graph", &graph);

	if (rc != 0)
		return rc;
	if (ctl->json)
		json_print(graph);
	else if (ctl->svg)
		rc = draw(graph);
	else
		print_dot(stdout, graph);
	json_decref(graph);
	return rc;
}
