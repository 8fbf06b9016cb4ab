/* SPDX-License-Identifier: GPL-2.0-or-later */
/* roostctl: finds the command in the table and runs it. */
#include <getopt.h>
#include <stddef.h>
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
	{"services", "", "addresses of Services: to whom they are announced, or why not",
		ctl_services, TAKES_NOTHING},
	{"explain", "ADDRESS", "why a pod's address is reached from here, or why not", ctl_explain,
		TAKES_ADDRESS},
	{"graph", "", "the BGP topology as Graphviz DOT", ctl_graph, TAKES_NOTHING},
	{"pods", "", "addresses given to pods on this node", ctl_pods, TAKES_NOTHING},
	{"apply", "", "one turn now; prints its outcome", ctl_apply, TAKES_NOTHING},
	{"reload", "", "the same", ctl_apply, TAKES_NOTHING},
	{"history", "", "what became of each configuration, the newest first", ctl_history,
		TAKES_NOTHING},
	{"rollback", "[N]", "back to generation N, or the one before, and stays there",
		ctl_rollback, TAKES_NUMBER},
	{"drain", "", "others take over what they can, before this node goes",
		ctl_drain, TAKES_NOTHING},
	{"undrain", "", "takes that back", ctl_undrain, TAKES_NOTHING},
	{"cleanup", "", "lists, or removes, all that Roost put on this host", ctl_cleanup,
		TAKES_NOTHING},
	{"doctor", "[FILE]", "what on this machine is in Roost's way, and what to do about it",
		ctl_doctor, TAKES_FILE},
	{"check", "[FILE]", "validates the file", ctl_check, TAKES_FILE},
	{"render", "[FILE]", "prints the BIRD configuration of a node", ctl_render, TAKES_FILE},
	{"plan", "[FILE]", "what applying the file would do to each session, and a diff", ctl_plan,
		TAKES_FILE},
};

#define INTERVAL_MAX_SECONDS 3600
#define WRONG_USAGE 64 /* EX_USAGE: 1 and 2 say something about the node */

/* Where its value goes: a text as it stands, or true. */
static const struct option_row {
	int key; /* its letter; from 256 on it has none */
	const char *name, *value, *commands; /* NULL: all commands take it */
	size_t offset;
	const char *help;
} options[] = {
	{'s', "socket", "SOCKET", NULL, offsetof(struct ctl, socket),
		"roostd's socket [/run/roost/roostd.sock]"},
	{'o', "output", "FORMAT", NULL, offsetof(struct ctl, output), "table or json"},
	{256, "no-color", NULL, NULL, offsetof(struct ctl, no_colour),
		"no colours, on a terminal too ($NO_COLOR does the same)"},
	{'n', "node", "NAME", "render plan doctor", offsetof(struct ctl, node),
		"for this node [$NODE_NAME, else the hostname]"},
	{'d', "dir", "DIR", "render", offsetof(struct ctl, dir), "into files below DIR"},
	{260, "nodes", "FILE", "render plan", offsetof(struct ctl, nodes),
		"the Nodes, of kubectl get nodes -o json [/var/lib/roost/cluster.json]"},
	{'w', "watch", NULL, "status nodes peers routes services pods", offsetof(struct ctl, watch),
		"again and again, with what changed marked; q ends it"},
	{261, "interval", "SECONDS", "status nodes peers routes services pods", offsetof(struct ctl, interval),
		"so often, with --watch [2]"},
	{262, "svg", NULL, "graph", offsetof(struct ctl, svg), "draw it, with graphviz's dot"},
	{257, "yes", NULL, "cleanup", offsetof(struct ctl, yes), "remove it, do not only list it"},
	{258, "force", NULL, "apply reload cleanup", offsetof(struct ctl, force),
		"in spite of what holds it back: agent.maxWithdraw; pods that run"},
	{270, "max-restarts", "N", "apply reload", offsetof(struct ctl, max_restarts),
		"refuse what would restart more sessions"},
	{259, "version", NULL, NULL, offsetof(struct ctl, version), "print the version"},
	{'h', "help", NULL, NULL, offsetof(struct ctl, help), "print this, or a command's own"},
};

/* ---------------------------------------------------------------- help */

static bool takes(const struct option_row *option, const char *command)
{
	size_t len = strlen(command);
	const char *at = option->commands;

	while ((at = strstr(at, command))) {
		if ((at == option->commands || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
		at += len;
	}
	return false;
}

static void print_option(FILE *out, const struct option_row *option)
{
	char left[40] = "    ";

	if (option->key < 256)
		snprintf(left, sizeof(left), "-%c, ", option->key);
	snprintf(left + 4, sizeof(left) - 4, "--%s%s%s", option->name, option->value ? " " : "",
		option->value ? option->value : "");
	fprintf(out, "  %-20s %s", left, option->help);
	if (option->commands)
		fprintf(out, " (%s)", option->commands);
	fputc('\n', out);
}

static void print_usage(FILE *out)
{
	fputs("usage: roostctl [OPTION]... [COMMAND]\n\n", out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-8s %-7s %s\n", commands[i].name, commands[i].args,
			commands[i].help);
	fputs("\nWithout a command: status.  FILE is /etc/roost/roost.yaml when not given, and\n"
	      "- is standard input; doctor, check, render, plan, pods and cleanup need no roostd.\n\n",
		out);
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		print_option(out, &options[i]);
	fputs("\n"
	      "Exit: 0 well, 1 not (degraded, refused, differs), 2 no roostd, 64 wrong usage;\n"
	      "plan: 0 nothing changes, 2 something does, 1 cannot tell.\n"
	      "roostctl COMMAND --help says more about one; roostctl(8) about all.\n",
		out);
}

static void print_command_help(const struct command *command)
{
	printf("usage: roostctl %s", command->name);
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (options[i].commands && takes(&options[i], command->name))
			printf(" [--%s%s%s]", options[i].name, options[i].value ? " " : "",
				options[i].value ? options[i].value : "");
	printf("%s%s\n\n%s\n\n", command->args[0] ? " " : "", command->args,
		help_of(command->name));
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (!options[i].commands || takes(&options[i], command->name))
			print_option(stdout, &options[i]);
}

static int usage_error(const char *what, const char *value)
{
	fprintf(stderr, "roostctl: %s \"%s\"; see roostctl --help\n", what, value);
	return WRONG_USAGE;
}

/* ---------------------------------------------------------------- options */

struct known {
	char letters[3 * ARRAY_LEN(options) + 1];
	struct option names[ARRAY_LEN(options) + 1];
};

static void make_known(struct known *known)
{
	char *at = known->letters;

	memset(known, 0, sizeof(*known));
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const struct option_row *row = &options[i];

		known->names[i] = (struct option){row->name,
			row->value ? required_argument : no_argument, NULL, row->key};
		if (row->key < 256)
			at += sprintf(at, "%c%s", row->key, row->value ? ":" : "");
	}
}

/* Which were given is noted in `given`, by their rows. */
static int parse_options(int argc, char **argv, struct ctl *ctl, bool *given)
{
	struct known known;
	char *end;
	int c;

	make_known(&known);
	while ((c = getopt_long(argc, argv, known.letters, known.names, NULL)) != -1) {
		size_t i = 0;

		while (i < ARRAY_LEN(options) && options[i].key != c)
			i++;
		if (i == ARRAY_LEN(options)) { /* getopt has said what is wrong */
			fputs("see roostctl --help\n", stderr);
			return WRONG_USAGE;
		}
		given[i] = true;
		if (options[i].value)
			memcpy((char *)ctl + options[i].offset, &optarg, sizeof(optarg));
		else
			*(bool *)((char *)ctl + options[i].offset) = true;
	}
	ctl->json = strcmp(ctl->output, "json") == 0;
	ctl->colour = !ctl->no_colour && !ctl->json && isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	if (!ctl->json && strcmp(ctl->output, "table") != 0)
		return usage_error("no such output format", ctl->output);
	ctl->interval_s = (unsigned)strtoul(ctl->interval, &end, 10);
	if (*end || ctl->interval_s < 1 || ctl->interval_s > INTERVAL_MAX_SECONDS)
		return usage_error("expected 1 to 3600 seconds and not", ctl->interval);
	return 0;
}

static int check_options(const struct command *command, const bool *given)
{
	char what[64];

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (given[i] && options[i].commands && !takes(&options[i], command->name)) {
			snprintf(what, sizeof(what), "%s takes no option", command->name);
			return usage_error(what, options[i].name);
		}
	return 0;
}

/* ---------------------------------------------------------------- commands */

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static bool is_number(const char *text)
{
	return *text && strlen(text) <= 9 && strspn(text, "0123456789") == strlen(text);
}

static int take_arguments(const struct command *command, struct ctl *ctl, char **argv)
{
	struct addr addr;

	if (command->takes == TAKES_FILE && *argv)
		ctl->file = *argv++;
	if (command->takes == TAKES_NUMBER && *argv) {
		ctl->number = *argv++;
		if (!is_number(ctl->number) || strcmp(ctl->number, "0") == 0)
			return usage_error("no number of a generation:", ctl->number);
	}
	if (command->takes == TAKES_ADDRESS) {
		if (!*argv)
			return usage_error("an address is missing behind", command->name);
		ctl->address = *argv++;
		if (!addr_parse(ctl->address, &addr))
			return usage_error("no IPv4 or IPv6 address:", ctl->address);
	}
	if (ctl->max_restarts && !is_number(ctl->max_restarts))
		return usage_error("--max-restarts: no number:", ctl->max_restarts);
	return *argv ? usage_error("unexpected argument", *argv) : 0;
}

static int run(const struct command *command, const struct ctl *ctl)
{
	int rc = ctl->watch ? watch(command, ctl) : command->run(ctl);

	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("roostctl: standard output");
		return 1;
	}
	return rc;
}

/* For the shells' completions: "NAME:help" of each command, or of each option of one. */
static int complete(const char *name)
{
	const struct command *command = name ? find_command(name) : NULL;

	for (size_t i = 0; !name && i < ARRAY_LEN(commands); i++)
		printf("%s:%s\n", commands[i].name, commands[i].help);
	for (size_t i = 0; name && i < ARRAY_LEN(options); i++)
		if (!options[i].commands || (command && takes(&options[i], command->name)))
			printf("--%s%s:%s\n", options[i].name, options[i].value ? "=" : "",
				options[i].help);
	return 0;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {
		.socket = "/run/roost/roostd.sock",
		.output = "table",
		.file = "/etc/roost/roost.yaml",
		.nodes = "/var/lib/roost/cluster.json",
		.interval = "2",
	};
	bool given[ARRAY_LEN(options)] = {false};
	const struct command *command;
	int rc = parse_options(argc, argv, &ctl, given);

	if (rc != 0)
		return rc;
	if (ctl.version) {
		puts("roostctl " PACKAGE_VERSION);
		return 0;
	}
	if (ctl.help && optind == argc) {
		print_usage(stdout);
		return 0;
	}
	argv += optind;
	if (*argv && strcmp(*argv, "__complete") == 0)
		return complete(argv[1]);
	command = find_command(*argv ? *argv : "status");
	if (!command)
		return usage_error("no such command", *argv);
	argv += *argv != NULL;
	if (ctl.help) {
		print_command_help(command);
		return 0;
	}
	rc = check_options(command, given);
	if (rc == 0)
		rc = take_arguments(command, &ctl, argv);
	return rc != 0 ? rc : run(command, &ctl);
}
