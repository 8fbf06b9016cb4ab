/* SPDX-License-Identifier: GPL-2.0-or-later */
/* roostd: options, signals, and the loop around the agent. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/notify.h"
#include "agent/server.h"
#include "base/file.h"
#include "base/log.h"
#include "model/decode.h"
#include "source/file.h"

#define WRONG_USAGE    64 /* EX_USAGE, as roostctl */
#define DEFAULT_SOCKET "/run/roost/roostd.sock"
#define SERVE_AGAIN_SECONDS 5

static const char usage_text[] =
	"usage: roostd [-c FILE] [--node NAME] [--once | --check] [-v]\n"
	"\n"
	"Makes BIRD carry this node's pod routes as FILE says, and keeps it so.\n"
	"\n"
	"  -c, --config FILE   the cluster's file [/etc/roost/roost.yaml]\n"
	"      --node NAME     which node of it this is [$NODE_NAME, else the hostname]\n"
	"      --once          one turn; exit 0 only if BIRD confirmed the configuration\n"
	"      --check         only read and validate FILE\n"
	"  -v, --verbose       say more\n"
	"      --version       print the version\n"
	"  -h, --help          print this\n"
	"\n"
	"See roostd(8), roost.yaml(5); roostctl shows what it does.\n";

struct daemon {
	struct event_base *base;
	struct agent *agent;
	struct server *server;
	struct notify *notify;
	struct event *serve_again;         /* while one of them cannot be had: */
	struct err no_socket, no_metrics;
};

enum { OPT_NODE = 256, OPT_ONCE, OPT_CHECK, OPT_VERSION };

struct options {
	struct agent_options agent;
	bool check, verbose;
};

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"node", required_argument, NULL, OPT_NODE},
		{"once", no_argument, NULL, OPT_ONCE},
		{"check", no_argument, NULL, OPT_CHECK},
		{"verbose", no_argument, NULL, 'v'},
		{"version", no_argument, NULL, OPT_VERSION},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:vh", known, NULL)) != -1) {
		if (c == 'c')
			options->agent.config = optarg;
		else if (c == OPT_NODE)
			options->agent.node_name = optarg;
		else if (c == OPT_ONCE)
			options->agent.once = true;
		else if (c == OPT_CHECK)
			options->check = true;
		else if (c == 'v')
			options->verbose = true;
		else if (c == OPT_VERSION) {
			puts("roostd " PACKAGE_VERSION);
			exit(0);
		} else {
			fputs(usage_text, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : WRONG_USAGE);
		}
	}
	if (optind != argc) {
		fprintf(stderr, "roostd: unexpected argument \"%s\"\n%s", argv[optind], usage_text);
		exit(WRONG_USAGE);
	}
}

static int check(const struct options *options)
{
	_cleanup_arena_ struct arena arena = {0};
	const char *path = options->agent.config;
	_cleanup_buf_ struct buf yaml = {0};
	struct cluster *cluster;
	struct err err;

	if (file_read(path, DECODE_MAX_BYTES, &yaml, &err) < 0 ||
		decode_cluster(path, buf_text(&yaml), yaml.len, &arena, &cluster, &err) < 0) {
		fprintf(stderr, "roostd: %s\n", err.msg);
		return 1;
	}
	source_warn_of_open_files(path, cluster, NULL, &arena);
	for (size_t i = 0; i < cluster->n_warnings; i++)
		fprintf(stderr, "roostd: warning: %s\n", cluster->warnings[i]);
	return 0;
}

static void on_stop(evutil_socket_t signal, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)what;
	log_info("roostd: stopping on signal %d; BIRD goes on as it is", (int)signal);
	notify_stopping(daemon->notify);
	event_base_loopbreak(daemon->base);
}

static void on_hangup(evutil_socket_t signal, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)signal;
	(void)what;
	agent_look_again(daemon->agent);
}

/* Logged when it is new, and when it is over. */
static bool note_listening(int rc, const char *where, const struct err *err, struct err *last)
{
	if (rc < 0) {
		if (strcmp(last->msg, err->msg) != 0)
			log_error("server: %s; tried again until it works", err->msg);
		*last = *err;
		return false;
	}
	if (last->code)
		log_info("server: listening on %s now", where);
	memset(last, 0, sizeof(*last));
	return true;
}

/* The file may have moved the sockets; somebody else may have the address, and leave it
 * without a word to us. */
static void serve(struct daemon *daemon)
{
	const struct cluster *cluster = agent_cluster(daemon->agent);
	const struct timeval later = {.tv_sec = SERVE_AGAIN_SECONDS};
	struct err err;
	bool good;
	int rc;

	if (!cluster)
		return;
	rc = server_listen_socket(daemon->server, cluster->agent.socket, &err);
	good = note_listening(rc, cluster->agent.socket, &err, &daemon->no_socket);
	rc = server_listen_metrics(daemon->server, cluster->agent.metrics, &err);
	if (!note_listening(rc, cluster->agent.metrics, &err, &daemon->no_metrics) || !good)
		evtimer_add(daemon->serve_again, &later);
	else
		evtimer_del(daemon->serve_again);
}

static void on_serve_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	serve(arg);
}

static void on_turn(void *arg)
{
	struct daemon *daemon = arg;

	serve(daemon);
	notify_status(daemon->notify, agent_status(daemon->agent));
}

static bool succeeded(const struct agent_status *status)
{
	return status->applied && !status->load_error.code && !status->own_error.code &&
		status->masquerade.state != MASQUERADE_FAILED &&
		(status->last.outcome == APPLY_CONFIRMED || status->last.outcome == APPLY_UNCHANGED);
}

static int run(const struct options *options)
{
	struct daemon daemon = {.base = event_base_new()};
	_cleanup_close_ int lock = -1;
	struct event *signals[3];
	struct err err;
	int rc = 0;

	if (!daemon.base) {
		log_error("roostd: no event loop");
		return 1;
	}
	if (generation_init(options->agent.state_dir, &err) < 0 ||
		generation_lock(options->agent.state_dir, &lock, &err) < 0) {
		log_error("roostd: %s", err.msg);
		event_base_free(daemon.base);
		return 1;
	}
	daemon.agent = agent_new(daemon.base, &options->agent);
	daemon.server = server_new(daemon.base, daemon.agent);
	daemon.notify = notify_new(daemon.base);
	daemon.serve_again = evtimer_new(daemon.base, on_serve_again, &daemon);
	signals[0] = evsignal_new(daemon.base, SIGTERM, on_stop, &daemon);
	signals[1] = evsignal_new(daemon.base, SIGINT, on_stop, &daemon);
	signals[2] = evsignal_new(daemon.base, SIGHUP, on_hangup, &daemon);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		event_add(signals[i], NULL);
	if (!options->agent.once) {
		if (server_listen_socket(daemon.server, DEFAULT_SOCKET, &err) < 0)
			log_error("server: %s", err.msg);
		agent_on_turn(daemon.agent, on_turn, &daemon);
		log_info("roostd: started version=%s node=%s file=%s", PACKAGE_VERSION,
			options->agent.node_name, options->agent.config);
		notify_ready(daemon.notify);
	}
	agent_look_again(daemon.agent);
	event_base_dispatch(daemon.base);
	if (options->agent.once)
		rc = succeeded(agent_status(daemon.agent)) ? 0 : 1;
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		event_free(signals[i]);
	agent_free(daemon.agent); /* first: it still answers who waits for a turn */
	server_free(daemon.server);
	notify_free(daemon.notify);
	event_free(daemon.serve_again);
	event_base_free(daemon.base);
	libevent_global_shutdown();
	return rc;
}

int main(int argc, char **argv)
{
	struct options options = {.agent = {
		.config = "/etc/roost/roost.yaml",
		.state_dir = "/var/lib/roost/bird",
		.var_dir = "/var/lib/roost",
		.run_dir = "/run/roost",
		.drain_file = DRAIN_FILE,
	}};

	char hostname[256];

	parse_options(argc, argv, &options);
	options.agent.node_name = source_node_name(options.agent.node_name, hostname);
	log_init(options.verbose);
	signal(SIGPIPE, SIG_IGN);
	return options.check ? check(&options) : run(&options);
}
