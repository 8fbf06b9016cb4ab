/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/explain.h"
#include "agent/graph.h"
#include "agent/metrics.h"
#include "agent/services.h"
#include "base/log.h"

#define MAX_BODY_BYTES 4096
#define MAX_HEADER_BYTES 8192
#define IDLE_SECONDS 30
/* Answers that are being made or read on the metrics address; with thousands of nodes each
 * is megabytes, and somebody may not read them. */
#define MAX_ANSWERS 32

struct endpoint {
	const char *path;
	enum evhttp_cmd_type method;
	bool local_only; /* Unix socket */
	void (*handle)(struct server *server, struct evhttp_request *request);
};

struct listener {
	struct server *server;
	struct evhttp *http;
	struct evhttp_bound_socket *bound;
	struct event *resume; /* after the descriptors had run out */
	bool local;
	unsigned answers; /* not local: that are not read to their end */
	char address[128]; /* what it listens on, to see whether that changed */
	dev_t dev;         /* local: the socket file that is ours */
	ino_t ino;
};

/* An evhttp that does not listen any more, but may still have to answer. */
struct retired {
	struct retired *next;
	struct evhttp *http;
};

struct server {
	struct event_base *base;
	struct agent *agent;
	struct listener local, metrics;
	struct retired *retired;
};

/* ---------------------------------------------------------------- answers */

static void send_text(struct evhttp_request *request, int status, const char *type,
	const char *text, size_t len)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *body = evbuffer_new();

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Connection", "close");
	evbuffer_add(body, text, len);
	evhttp_send_reply(request, status, NULL, body);
	evbuffer_free(body);
}

static void send_line(struct evhttp_request *request, int status, const char *text)
{
	_cleanup_buf_ struct buf line = {0};

	buf_printf(&line, "%s\n", text);
	send_text(request, status, "text/plain; charset=utf-8", line.text, line.len);
}

/* Takes over `json`. */
static void send_json(struct evhttp_request *request, json_t *json)
{
	_cleanup_free_ char *text = json_dumps(json, JSON_INDENT(2));
	_cleanup_buf_ struct buf body = {0};

	json_decref(json);
	buf_printf(&body, "%s\n", text ? text : "null");
	send_text(request, 200, "application/json", body.text, body.len);
}

/* ---------------------------------------------------------------- endpoints */

static void get_healthz(struct server *server, struct evhttp_request *request)
{
	(void)server;
	send_line(request, 200, "alive");
}

static void show_ready(const struct view *view, void *request)
{
	struct err why;

	if (report_ready(view, &why) == 0)
		send_line(request, 200, "ready");
	else
		send_line(request, 503, why.msg);
}

static void show_metrics(const struct view *view, void *request)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(request), "Accept");
	_cleanup_buf_ struct buf text = {0}, plain = {0};

	report_metrics(view, &text);
	if (accept && strstr(accept, "application/openmetrics-text")) {
		send_text(request, 200,
			"application/openmetrics-text; version=1.0.0; charset=utf-8", text.text,
			text.len);
		return;
	}
	metrics_as_text(&text, &plain);
	send_text(request, 200, "text/plain; version=0.0.4; charset=utf-8", plain.text, plain.len);
}

static void show_status(const struct view *view, void *request)
{
	send_json(request, report_status(view));
}

static void show_nodes(const struct view *view, void *request)
{
	send_json(request, report_nodes(view));
}

static void show_peers(const struct view *view, void *request)
{
	send_json(request, report_peers(view));
}

static void show_routes(const struct view *view, void *request)
{
	send_json(request, report_routes(view));
}

static void show_services(const struct view *view, void *request)
{
	send_json(request, report_services(view));
}

static void show_graph(const struct view *view, void *request)
{
	send_json(request, report_graph(view));
}

struct explaining {
	struct evhttp_request *request;
	struct addr addr;
};

static void show_explained(const struct view *view, void *arg)
{
	struct explaining *explaining = arg;
	struct fib_lookup lookup;
	struct err err;
	bool looked = fib_lookup(&explaining->addr, &lookup, &err) == 0;

	send_json(explaining->request, explain(view, &explaining->addr, looked ? &lookup : NULL));
	free(explaining);
}

/* /v1/explain?address=10.244.2.7 */
static void get_explain(struct server *server, struct evhttp_request *request)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	struct explaining *explaining;
	struct evkeyvalq values;
	const char *text;
	struct addr addr;
	bool good;

	if (!query || evhttp_parse_query_str(query, &values) < 0) {
		send_line(request, 400, "address=... is missing");
		return;
	}
	text = evhttp_find_header(&values, "address");
	good = text && addr_parse(text, &addr);
	evhttp_clear_headers(&values);
	if (!good) {
		send_line(request, 400, "address is no IPv4 or IPv6 address");
		return;
	}
	explaining = xmalloc(sizeof(*explaining));
	*explaining = (struct explaining){request, addr};
	agent_observe(server->agent, show_explained, explaining);
}

#define ENDPOINT_VIEW(name)                                                                        \
	static void get_##name(struct server *server, struct evhttp_request *request)              \
	{                                                                                          \
		agent_observe(server->agent, show_##name, request);                                \
	}
ENDPOINT_VIEW(ready)
ENDPOINT_VIEW(metrics)
ENDPOINT_VIEW(status)
ENDPOINT_VIEW(nodes)
ENDPOINT_VIEW(peers)
ENDPOINT_VIEW(routes)
ENDPOINT_VIEW(services)
ENDPOINT_VIEW(graph)

struct applying {
	struct server *server;
	struct evhttp_request *request;
};

static void show_applied(const struct apply_result *result, void *arg)
{
	struct applying *applying = arg;
	const struct agent_status *status = agent_status(applying->server->agent);
	const char *outcome = result ? apply_outcome_name(result->outcome) : "invalid";
	const struct err *err = result ? &result->err : &status->load_error;

	send_json(applying->request,
		json_pack("{s:s, s:i, s:o, s:o}", "outcome", outcome, "generation",
			(int)status->confirmed.number, "hold",
			status->hold.active ? json_integer(status->hold.generation) : json_null(),
			"reason", err->code ? json_string(err->msg) : json_null()));
	free(applying);
}

/* A parameter of the query, "" when it is not there. */
static void get_parameter(const struct evhttp_request *request, const char *name, char room[16])
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	struct evkeyvalq values;
	const char *text;

	room[0] = '\0';
	if (!query || evhttp_parse_query_str(query, &values) < 0)
		return;
	text = evhttp_find_header(&values, name);
	if (text)
		snprintf(room, 16, "%s", text);
	evhttp_clear_headers(&values);
}

/* -1, and an answer was sent, when it is there and no number. */
static int get_number(struct evhttp_request *request, const char *name, bool *given, unsigned *out)
{
	char text[16], line[64];

	get_parameter(request, name, text);
	*given = text[0] != '\0';
	if (strlen(text) <= 9 && strspn(text, "0123456789") == strlen(text)) {
		*out = (unsigned)strtoul(text, NULL, 10);
		return 0;
	}
	snprintf(line, sizeof(line), "%s is no number", name);
	send_line(request, 400, line);
	return -1;
}

/* /v1/apply?force=1&max-restarts=2 */
static void post_apply(struct server *server, struct evhttp_request *request)
{
	struct agent_ask ask = {.follow = true, .by = "roostctl apply"};
	struct applying *applying;
	char force[16];

	get_parameter(request, "force", force);
	ask.force = strcmp(force, "1") == 0;
	if (get_number(request, "max-restarts", &ask.limited, &ask.max_restarts) < 0)
		return;
	applying = xmalloc(sizeof(*applying));
	*applying = (struct applying){server, request};
	agent_apply(server->agent, &ask, show_applied, applying);
}

/* /v1/rollback?generation=7, or to the one before */
static void post_rollback(struct server *server, struct evhttp_request *request)
{
	struct apply_result impossible = {.outcome = APPLY_FAILED};
	struct applying *applying;
	unsigned number = 0;
	bool given;

	if (get_number(request, "generation", &given, &number) < 0)
		return;
	applying = xmalloc(sizeof(*applying));
	*applying = (struct applying){server, request};
	if (agent_rollback(server->agent, number, show_applied, applying, &impossible.err) < 0)
		show_applied(&impossible, applying);
}

static void get_history(struct server *server, struct evhttp_request *request)
{
	send_json(request, agent_history(server->agent));
}

static void drain(struct server *server, struct evhttp_request *request, bool on)
{
	struct applying *applying = xmalloc(sizeof(*applying));
	struct err err;

	*applying = (struct applying){server, request};
	if (agent_drain(server->agent, on, show_applied, applying, &err) == 0)
		return;
	send_line(request, err.code == EBUSY ? 409 : 500, err.msg);
	free(applying);
}

static void post_drain(struct server *server, struct evhttp_request *request)
{
	drain(server, request, true);
}

static void post_undrain(struct server *server, struct evhttp_request *request)
{
	drain(server, request, false);
}

static const struct endpoint endpoints[] = {
	{"/healthz", EVHTTP_REQ_GET, false, get_healthz},
	{"/readyz", EVHTTP_REQ_GET, false, get_ready},
	{"/metrics", EVHTTP_REQ_GET, false, get_metrics},
	{"/v1/status", EVHTTP_REQ_GET, false, get_status},
	{"/v1/nodes", EVHTTP_REQ_GET, false, get_nodes},
	{"/v1/peers", EVHTTP_REQ_GET, false, get_peers},
	{"/v1/routes", EVHTTP_REQ_GET, false, get_routes},
	{"/v1/services", EVHTTP_REQ_GET, false, get_services},
	{"/v1/graph", EVHTTP_REQ_GET, false, get_graph},
	{"/v1/explain", EVHTTP_REQ_GET, true, get_explain},
	{"/v1/history", EVHTTP_REQ_GET, true, get_history},
	{"/v1/apply", EVHTTP_REQ_POST, true, post_apply},
	{"/v1/rollback", EVHTTP_REQ_POST, true, post_rollback},
	{"/v1/drain", EVHTTP_REQ_POST, true, post_drain},
	{"/v1/undrain", EVHTTP_REQ_POST, true, post_undrain},
};

static void on_answered(struct evhttp_connection *connection, void *arg)
{
	struct listener *listener = arg;

	(void)connection;
	listener->answers--;
}

/* Each connection is for one request. */
static bool is_too_many(struct listener *listener, struct evhttp_request *request)
{
	if (listener->local)
		return false;
	if (listener->answers >= MAX_ANSWERS)
		return true;
	listener->answers++;
	evhttp_connection_set_closecb(
		evhttp_request_get_connection(request), on_answered, listener);
	return false;
}

static void on_request(struct evhttp_request *request, void *arg)
{
	struct listener *listener = arg;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;

	for (size_t i = 0; path && i < ARRAY_LEN(endpoints); i++) {
		if (strcmp(path, endpoints[i].path) != 0)
			continue;
		if (evhttp_request_get_command(request) != endpoints[i].method)
			send_line(request, 405, "method not allowed");
		else if (endpoints[i].local_only && !listener->local)
			send_line(request, 403, "on the Unix socket only");
		else if (is_too_many(listener, request))
			send_line(request, 503, "too many answers are not read to their end");
		else
			endpoints[i].handle(listener->server, request);
		return;
	}
	send_line(request, 404, "no such page");
}

/* ---------------------------------------------------------------- listening */

/* Only the file that we made: another roostd may have put its own there. */
static void remove_socket(const struct listener *listener)
{
	struct stat st;

	if (lstat(listener->address, &st) == 0 && st.st_dev == listener->dev &&
		st.st_ino == listener->ino)
		unlink(listener->address);
}

/* Stops listening; who was heard is still answered. */
static void stop(struct listener *listener)
{
	struct retired *retired;

	if (!listener->http)
		return;
	retired = xmalloc(sizeof(*retired));
	*retired = (struct retired){listener->server->retired, listener->http};
	listener->server->retired = retired;
	evhttp_del_accept_socket(listener->http, listener->bound);
	event_free(listener->resume);
	if (listener->local)
		remove_socket(listener);
	listener->http = NULL;
	listener->address[0] = '\0';
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(evhttp_bound_socket_get_listener(listener->bound));
}

/* libevent gives the callback below a pointer of its own; a process has one server. */
static struct server *the_server;

/* accept(2) fails, as a rule because there are no descriptors left: try again in a
 * second and not in a loop. */
static void on_accept_error(struct evconnlistener *accepting, void *http)
{
	static const struct timeval pause = {.tv_sec = 1};
	struct listener *listener =
		http == the_server->local.http ? &the_server->local : &the_server->metrics;

	evconnlistener_disable(accepting);
	evtimer_add(listener->resume, &pause);
}

/* How many of its descriptors roostd may have open and still take a connection: what it
 * must read and whom it must ask go first, then the Unix socket, then everybody. */
static unsigned long connections_below(const struct listener *listener)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	return limit.rlim_cur / 4 * (listener->local ? 3 : 2);
}

/* Called for each connection; NULL leaves it to libevent to make what is wanted.  The
 * lowest free descriptor is as good as their number. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
	static const struct timeval pause = {.tv_sec = 1};
	struct listener *listener = arg;
	int lowest = fcntl(evhttp_bound_socket_get_fd(listener->bound), F_DUPFD_CLOEXEC, 0);

	(void)base;
	if (lowest < 0 || (unsigned long)lowest >= connections_below(listener)) {
		evconnlistener_disable(evhttp_bound_socket_get_listener(listener->bound));
		evtimer_add(listener->resume, &pause);
	}
	if (lowest >= 0)
		close(lowest);
	return NULL;
}

static void listen_on(struct listener *listener, int fd, const char *address)
{
	struct event_base *base = listener->server->base;

	listener->http = evhttp_new(base);
	evhttp_set_max_headers_size(listener->http, MAX_HEADER_BYTES);
	evhttp_set_max_body_size(listener->http, MAX_BODY_BYTES);
	evhttp_set_timeout(listener->http, IDLE_SECONDS);
	evhttp_set_allowed_methods(listener->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_gencb(listener->http, on_request, listener);
	evhttp_set_bevcb(listener->http, on_connection, listener);
	listener->bound = evhttp_accept_socket_with_handle(listener->http, fd);
	listener->resume = evtimer_new(base, on_resume, listener);
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(listener->bound),
		on_accept_error);
	snprintf(listener->address, sizeof(listener->address), "%s", address);
}

static int bind_socket(int fd, const struct sockaddr *addr, socklen_t len, const char *name,
	struct err *err)
{
	if (fd < 0 || bind(fd, addr, len) < 0 || listen(fd, 64) < 0) {
		err_errno(err, "listening on %s", name);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return 0;
}

int server_listen_socket(struct server *server, const char *path, struct err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct stat st;
	mode_t mask;
	int fd, rc;

	if (strcmp(server->local.address, path) == 0)
		return 0;
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, ENAMETOOLONG, "%s: path too long for a socket", path);
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_set(err, EEXIST, "%s: is there and is no socket", path);
	stop(&server->local);
	strcpy(addr.sun_path, path);
	unlink(path); /* of a roostd that was killed; two of them on a node fight anyway */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(0117); /* 0660: whoever may write may apply */
	rc = bind_socket(fd, (struct sockaddr *)&addr, sizeof(addr), path, err);
	umask(mask);
	if (rc < 0)
		return -1;
	listen_on(&server->local, fd, path);
	if (lstat(path, &st) == 0) {
		server->local.dev = st.st_dev;
		server->local.ino = st.st_ino;
	}
	return 0;
}

int server_listen_metrics(struct server *server, const char *address, struct err *err)
{
	struct sockaddr_storage addr;
	int len = sizeof(addr), fd, on = 1;

	if (strcmp(server->metrics.address, address) == 0)
		return 0;
	stop(&server->metrics);
	if (!*address)
		return 0;
	if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&addr, &len) < 0)
		return err_set(err, EINVAL, "%s: not an address and port", address);
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind_socket(fd, (struct sockaddr *)&addr, (socklen_t)len, address, err) < 0)
		return -1;
	listen_on(&server->metrics, fd, address);
	return 0;
}

struct server *server_new(struct event_base *base, struct agent *agent)
{
	struct server *server = xmalloc(sizeof(*server));

	memset(server, 0, sizeof(*server));
	server->base = base;
	server->agent = agent;
	server->local = (struct listener){.server = server, .local = true};
	server->metrics = (struct listener){.server = server};
	the_server = server;
	return server;
}

void server_free(struct server *server)
{
	if (!server)
		return;
	stop(&server->local);
	stop(&server->metrics);
	while (server->retired) {
		struct retired *retired = server->retired;

		server->retired = retired->next;
		evhttp_free(retired->http);
		free(retired);
	}
	free(server);
}
