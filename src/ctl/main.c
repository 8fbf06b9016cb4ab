/* SPDX-License-Identifier: GPL-2.0-or-later */
/* roostctl: finds the command in the table and runs it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/prefix.h"
#include "ctl/ctl.h"

static const struct command commands[] = {
	{"status", "", "node, configuration, sessions, routes and what is wrong", ctl_status, TAKES_NOTHING},
	{"nodes", "", "the cluster's nodes", ctl_nodes, TAKES_NOTHING},
	{"peers", "", "this node's BGP sessions, and why one is down", ctl_peers, TAKES_NOTHING},
	{"routes", "", "each podCIDR: wanted, in BIRD, in the kernel", ctl_routes, TAKES_NOTHING},
	{"explain", "ADDRESS", "why a pod's address is reached from here, or why not", ctl_explain,
		TAKES_ADDRESS},
	{"pods", "", "addresses given to pods on this node", ctl_pods, TAKES_NOTHING},
	{"apply", "", "one turn now; prints its outcome", ctl_apply, TAKES_NOTHING},
	{"reload", "", "the same", ctl_apply, TAKES_NOTHING},
	{"check", "[FILE]", "validates the file", ctl_check, TAKES_FILE},
	{"render", "[FILE]", "prints the BIRD configuration of a node", ctl_render, TAKES_FILE},
	{"plan", "[FILE]", "what applying the file would do to each session, and a diff", ctl_plan,
		TAKES_FILE},
};

#define WRONG_USAGE 64 /* EX_USAGE: 1 and 2 say something about the node */

static void print_usage(FILE *out)
{
	fputs("usage: roostctl [-s SOCKET] [-o table|json] [--no-color] COMMAND\n\n", out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-7s %-7s %s\n", commands[i].name, commands[i].args,
			commands[i].help);
	fputs("\nWithout a command: status.  FILE is /etc/roost/roost.yaml when not given; check,\n"
	      "render, plan and pods need no roostd.\n"
	      "\n"
	      "  -s, --socket SOCKET  roostd's socket [/run/roost/roostd.sock]\n"
	      "  -o, --output FORMAT  table or json\n"
	      "      --no-color       no colours, on a terminal too ($NO_COLOR does the same)\n"
	      "  -n, --node NAME      render, plan: for this node [$NODE_NAME, else the hostname]\n"
	      "  -d, --dir DIR        render: into files below DIR\n"
	      "      --version        print the version\n"
	      "  -h, --help           print this\n"
	      "\n"
	      "Exit: 0 well, 1 not (degraded, refused, differs), 2 no roostd, 64 wrong usage;\n"
	      "plan: 0 nothing changes, 2 something does, 1 cannot tell.\n",
		out);
}

static int usage_error(const char *what, const char *value)
{
	fprintf(stderr, "roostctl: %s \"%s\"; see roostctl --help\n", what, value);
	return WRONG_USAGE;
}

enum { OPT_NO_COLOR = 256, OPT_VERSION };

/* -1: go on; else the exit code. */
static int parse_options(int argc, char **argv, struct ctl *ctl)
{
	static const struct option known[] = {
		{"socket", required_argument, NULL, 's'},
		{"output", required_argument, NULL, 'o'},
		{"node", required_argument, NULL, 'n'},
		{"dir", required_argument, NULL, 'd'},
		{"no-color", no_argument, NULL, OPT_NO_COLOR},
		{"version", no_argument, NULL, OPT_VERSION},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "s:o:n:d:h", known, NULL)) != -1) {
		if (c == 's') {
			ctl->socket = optarg;
		} else if (c == 'o') {
			ctl->json = strcmp(optarg, "json") == 0;
			if (!ctl->json && strcmp(optarg, "table") != 0)
				return usage_error("no such output format", optarg);
		} else if (c == 'n') {
			ctl->node = optarg;
		} else if (c == 'd') {
			ctl->dir = optarg;
		} else if (c == OPT_NO_COLOR) {
			ctl->colour = false;
		} else if (c == OPT_VERSION) {
			puts("roostctl " PACKAGE_VERSION);
			return 0;
		} else {
			print_usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : WRONG_USAGE;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {
		.socket = "/run/roost/roostd.sock",
		.file = "/etc/roost/roost.yaml",
		.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
	};
	int rc = parse_options(argc, argv, &ctl);
	const char *name = rc == -1 && optind < argc ? argv[optind++] : "status";
	const struct command *command = NULL;

	if (rc != -1)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			command = &commands[i];
	if (!command)
		return usage_error("no such command", name);
	if (command->takes == TAKES_FILE && optind < argc)
		ctl.file = argv[optind++];
	if (command->takes == TAKES_ADDRESS) {
		struct addr addr;

		if (optind == argc)
			return usage_error("an address is missing behind", name);
		ctl.address = argv[optind++];
		if (!addr_parse(ctl.address, &addr))
			return usage_error("no IPv4 or IPv6 address:", ctl.address);
	}
	if (optind < argc)
		return usage_error("unexpected argument", argv[optind]);
	rc = command->run(&ctl);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("roostctl: standard output");
		return 1;
	}
	return rc;
}
