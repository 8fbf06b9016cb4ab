/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/observe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bird/control.h"

#define ANSWER_SECONDS 10

/* ---------------------------------------------------------------- parsing */

/* Cuts the next blank-separated word out of *text. */
static const char *next_word(struct arena *arena, const char **text)
{
	const char *start = *text + strspn(*text, " \t");
	size_t len = strcspn(start, " \t");

	*text = start + len;
	return arena_strndup(arena, start, len);
}

/* "  Neighbor address: 10.0.0.2" with the key "Neighbor address" -> "10.0.0.2". */
static const char *value_of(const char *line, const char *key)
{
	size_t len = strlen(key);

	line += strspn(line, " \t");
	if (strncmp(line, key, len) != 0 || line[len] != ':')
		return NULL;
	line += len + 1;
	return line + strspn(line, " \t");
}

static const char *trimmed(struct arena *arena, const char *text)
{
	size_t len = strlen(text);

	while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	return arena_strndup(arena, text, len);
}

void parse_status(const struct reply *reply, struct bird_state *state)
{
	static const char reboot[] = "Last reboot on ";
	const struct reply_line *version = reply_find(reply, BIRD_VERSION);

	state->started = "";
	for (size_t i = 0; i < reply->n_lines; i++) {
		const char *text = reply->lines[i].text + strspn(reply->lines[i].text, " ");

		if (strncmp(text, reboot, strlen(reboot)) == 0)
			state->started = trimmed(&state->arena, text + strlen(reboot));
	}
	if (version && strncmp(version->text, "BIRD ", 5) == 0)
		state->version = arena_strdup(&state->arena, version->text + 5);
	state->recovering = reply_find(reply, BIRD_RECOVERY) != NULL;
}

void parse_config_id(const struct reply *reply, char id[CONFIG_ID_LEN + 1])
{
	const char *text = reply_text(reply);

	id[0] = '\0';
	if (reply_code(reply) == BIRD_EVALUATED && strlen(text) == CONFIG_ID_LEN &&
		strspn(text, "0123456789abcdef") == CONFIG_ID_LEN)
		memcpy(id, text, CONFIG_ID_LEN + 1);
}

/* A row "node2:v4   BGP   ---   up   2026-...   Established": NULL unless BGP. */
static struct bird_session *parse_row(const char *line, struct bird_state *state)
{
	const char *name = next_word(&state->arena, &line);
	const char *proto = next_word(&state->arena, &line);
	struct bird_session *session;

	if (strcmp(proto, "BGP") != 0)
		return NULL;
	next_word(&state->arena, &line); /* the table */
	session = ARENA_PUSH(&state->arena, state->sessions, &state->n_sessions);
	session->name = name;
	session->state = next_word(&state->arena, &line);
	session->since = next_word(&state->arena, &line);
	session->info = "";
	session->neighbor = "";
	session->bfd = "";
	/* Info: the BGP state, and behind it the last error. */
	if (*(line += strspn(line, " \t")) && strncmp(line, "Established", 11) != 0)
		session->info = trimmed(&state->arena, line);
	return session;
}

static void parse_detail(const char *line, struct bird_session *session, struct arena *arena)
{
	const char *value;

	if ((value = value_of(line, "BGP state"))) {
		session->state = trimmed(arena, value);
		session->up = strcmp(session->state, "Established") == 0;
	} else if ((value = value_of(line, "Neighbor address"))) {
		session->neighbor = trimmed(arena, value);
	} else if ((value = value_of(line, "Neighbor AS"))) {
		session->neighbor_as = (uint32_t)strtoul(value, NULL, 10);
	} else if ((value = value_of(line, "Last error"))) {
		session->info = trimmed(arena, value);
	} else if ((value = value_of(line, "Import limit"))) {
		if (strstr(value, "[HIT]"))
			session->limit_reached = (unsigned)strtoul(value, NULL, 10);
	} else if ((value = value_of(line, "Import updates"))) {
		unsigned refused;

		/* received, rejected as invalid, filtered, ... */
		if (sscanf(value, "%*u %*u %u", &refused) == 1)
			session->refused += refused; /* of all channels */
	} else if ((value = value_of(line, "Routes"))) {
		unsigned n;
		int used;

		/* "2 imported, 1 filtered, 1 exported, 1 preferred" */
		while (sscanf(value, "%u %n", &n, &used) == 1) {
			value += used;
			if (strncmp(value, "imported", 8) == 0)
				session->imported += n; /* of all channels */
			else if (strncmp(value, "exported", 8) == 0)
				session->exported += n;
			value += strcspn(value, ",");
			value += *value == ',';
		}
	}
}

static int by_name(const void *a, const void *b)
{
	const struct bird_session *x = a, *y = b;

	return strcmp(x->name, y->name);
}

void parse_protocols(const struct reply *reply, struct bird_state *state)
{
	struct bird_session *session = NULL;

	for (size_t i = 0; i < reply->n_lines; i++) {
		const struct reply_line *line = &reply->lines[i];

		if (line->code == BIRD_PROTOCOL)
			session = parse_row(line->text, state);
		else if (line->code == BIRD_PROTOCOL_DETAIL && session)
			parse_detail(line->text, session, &state->arena);
	}
	for (size_t i = 0; i < state->n_sessions; i++)
		if (state->sessions[i].up)
			state->sessions[i].info = ""; /* the last error is history */
	if (state->n_sessions)
		qsort(state->sessions, state->n_sessions, sizeof(*state->sessions), by_name);
}

static enum bird_dest parse_dest(const char *word)
{
	if (strcmp(word, "unicast") == 0)
		return DEST_UNICAST;
	if (strcmp(word, "unreachable") == 0)
		return DEST_UNREACHABLE;
	if (strcmp(word, "blackhole") == 0)
		return DEST_BLACKHOLE;
	return DEST_OTHER;
}

struct route_list {
	struct bird_route *items;
	size_t n;
};

/* "10.244.2.0/24  unicast [node2:v4 2026-... from ...] * (100) [i]", the prefix
 * blank when it is that of the route before. */
static struct bird_route *parse_route(const char *text, struct prefix *net,
	struct route_list *list, struct arena *arena)
{
	const char *line = text, *word = next_word(arena, &line), *bracket;
	struct bird_route *route;

	if (prefix_parse(word, net))
		word = next_word(arena, &line);
	bracket = line + strspn(line, " \t");
	if (*bracket != '[' || !net->addr.family)
		return NULL;
	route = ARENA_PUSH(arena, list->items, &list->n);
	route->prefix = *net;
	route->dest = parse_dest(word);
	route->protocol = arena_strndup(arena, bracket + 1, strcspn(bracket + 1, " ]"));
	route->best = strstr(bracket, "] * ") != NULL;
	return route;
}

static void parse_via(const char *line, struct bird_route *route, struct arena *arena)
{
	line += strspn(line, " \t");
	if (strncmp(line, "via ", 4) != 0 || route->via.family)
		return;
	line += 4;
	if (!addr_parse(next_word(arena, &line), &route->via))
		route->via.family = 0;
}

static void parse_route_list(
	const struct reply *reply, struct route_list *list, struct arena *arena)
{
	struct bird_route *route = NULL;
	struct prefix net = {0};

	for (size_t i = 0; i < reply->n_lines; i++) {
		const struct reply_line *line = &reply->lines[i];

		if (line->code != BIRD_ROUTE || strncmp(line->text, "Table ", 6) == 0)
			continue;
		if (line->text[0] == '\t') {
			if (route)
				parse_via(line->text, route, arena);
		} else {
			route = parse_route(line->text, &net, list, arena);
		}
	}
}

void parse_routes(const struct reply *reply, struct bird_state *state)
{
	struct route_list list = {state->routes, state->n_routes};

	parse_route_list(reply, &list, &state->arena);
	state->routes = list.items;
	state->n_routes = list.n;
}

void parse_marked(const struct reply *reply, struct bird_state *state)
{
	struct route_list list = {state->marked, state->n_marked};

	parse_route_list(reply, &list, &state->arena);
	state->marked = list.items;
	state->n_marked = list.n;
}

/* A link-local neighbour is "fe80::1%eth0". */
static bool is_neighbor(const struct bird_session *session, const char *address,
	const char *interface)
{
	size_t len = strcspn(session->neighbor, "%");

	if (strncmp(session->neighbor, address, len) != 0 || (address[len] && address[len] != '%'))
		return false;
	return !session->neighbor[len] || strcmp(session->neighbor + len + 1, interface) == 0;
}

/* "192.168.1.12  eth0  Up  2026-...  0.300  0.900": state by neighbour address. */
void parse_bfd(const struct reply *reply, struct bird_state *state)
{
	for (size_t i = 0; i < reply->n_lines; i++) {
		const char *line = reply->lines[i].text;
		const char *address = next_word(&state->arena, &line), *interface, *word;

		if (reply->lines[i].code != BIRD_BFD)
			continue;
		interface = next_word(&state->arena, &line);
		word = next_word(&state->arena, &line);
		for (size_t j = 0; j < state->n_sessions; j++)
			if (is_neighbor(&state->sessions[j], address, interface))
				state->sessions[j].bfd = word;
	}
}

const struct bird_session *bird_find_session(const struct bird_state *state, const char *name)
{
	struct bird_session key = {.name = name};

	if (!state->n_sessions)
		return NULL;
	return bsearch(&key, state->sessions, state->n_sessions, sizeof(key), by_name);
}

void bird_state_free(struct bird_state *state)
{
	if (!state)
		return;
	arena_free(&state->arena);
	free(state);
}

/* ---------------------------------------------------------------- asking */

struct observation {
	struct control *control;
	struct bird_state *state;
	struct prefixes pod_cidrs;
	size_t next_cidr;
	uint32_t mark_as;
	bool ask_marked; /* the second round, for the mark */
	observe_fn *done;
	void *arg;
};

static void ask_routes(struct observation *o);

static void finish(struct observation *o)
{
	struct bird_state *state = o->state;
	observe_fn *done = o->done;
	void *arg = o->arg;

	o->state = NULL;
	observe_cancel(o);
	done(state, arg);
}

/* Every answer comes through here: an error ends the observation. */
static bool failed(struct observation *o, const struct reply *reply, const struct err *err)
{
	if (reply)
		return false;
	arena_free(&o->state->arena);
	*o->state = (struct bird_state){.version = "", .started = "", .err = *err};
	if (!o->state->err.code)
		o->state->err.code = EIO;
	finish(o);
	return true;
}

/* 8004, a reconfiguration came between, and the like: half a table is none. */
static bool is_refused(struct observation *o, const struct reply *reply)
{
	struct err err;

	if (reply_code(reply) < 8000)
		return false;
	err_set(&err, EAGAIN, "%04d %s", reply_code(reply), reply_text(reply));
	return failed(o, NULL, &err);
}

static void on_routes(const struct reply *reply, const struct err *err, void *arg)
{
	struct observation *o = arg;

	if (failed(o, reply, err))
		return;
	if (is_refused(o, reply))
		return;
	if (o->ask_marked)
		parse_marked(reply, o->state);
	else
		parse_routes(reply, o->state);
	ask_routes(o);
}

/* Only what lies in the cluster: a router may send us a whole Internet. */
static void ask_routes(struct observation *o)
{
	char text[PREFIX_TEXT_MAX], mark[80] = "", command[240];
	const struct prefix *cidr;

	if (o->next_cidr == o->pod_cidrs.n && o->mark_as && !o->ask_marked) {
		o->ask_marked = true;
		o->next_cidr = 0;
	}
	if (o->next_cidr == o->pod_cidrs.n) {
		finish(o);
		return;
	}
	cidr = &o->pod_cidrs.items[o->next_cidr++];
	if (o->ask_marked)
		snprintf(mark, sizeof(mark),
			" && source = RTS_BGP && " RENDER_MARK " ~ bgp_large_community", o->mark_as);
	snprintf(command, sizeof(command), "show route table master%c where net ~ [ %s+ ]%s",
		family_of(&cidr->addr) == IPV4 ? '4' : '6', prefix_format(cidr, text), mark);
	control_send(o->control, command, ANSWER_SECONDS, on_routes, o);
}

static void on_bfd(const struct reply *reply, const struct err *err, void *arg)
{
	struct observation *o = arg;

	if (failed(o, reply, err))
		return;
	parse_bfd(reply, o->state); /* no BFD protocol is running: nothing in it */
	ask_routes(o);
}

static void on_protocols(const struct reply *reply, const struct err *err, void *arg)
{
	struct observation *o = arg;

	if (failed(o, reply, err))
		return;
	if (is_refused(o, reply))
		return;
	parse_protocols(reply, o->state);
	control_send(o->control, "show bfd sessions", ANSWER_SECONDS, on_bfd, o);
}

static void on_config_id(const struct reply *reply, const struct err *err, void *arg)
{
	struct observation *o = arg;

	if (failed(o, reply, err))
		return;
	parse_config_id(reply, o->state->config_id);
	control_send(o->control, "show protocols all", ANSWER_SECONDS, on_protocols, o);
}

static void on_configure_status(const struct reply *reply, const struct err *err, void *arg)
{
	struct observation *o = arg;

	if (failed(o, reply, err))
		return;
	o->state->unconfirmed = reply_find(reply, BIRD_UNDO_SCHEDULED) != NULL;
	control_send(o->control, "eval ROOST_CONFIG", ANSWER_SECONDS, on_config_id, o);
}

static void on_status(const struct reply *reply, const struct err *err, void *arg)
{
	struct observation *o = arg;

	if (failed(o, reply, err))
		return;
	parse_status(reply, o->state);
	control_send(o->control, "configure status", ANSWER_SECONDS, on_configure_status, o);
}

static void on_greeting(const struct reply *reply, const struct err *err, void *arg)
{
	struct observation *o = arg;

	if (failed(o, reply, err))
		return;
	control_send(o->control, "show status", ANSWER_SECONDS, on_status, o);
}

struct observation *observe_start(struct event_base *base, const struct cluster *cluster,
	uint32_t mark_as, observe_fn *done, void *arg)
{
	struct observation *o = xmalloc(sizeof(*o));

	memset(o, 0, sizeof(*o));
	o->state = xmalloc(sizeof(*o->state));
	memset(o->state, 0, sizeof(*o->state));
	o->state->version = o->state->started = "";
	/* The cluster may be replaced while we wait. */
	o->pod_cidrs.n = cluster->pod_cidrs.n;
	o->pod_cidrs.items = arena_alloc(&o->state->arena, o->pod_cidrs.n * sizeof(struct prefix));
	memcpy(o->pod_cidrs.items, cluster->pod_cidrs.items,
		o->pod_cidrs.n * sizeof(struct prefix));
	o->mark_as = mark_as;
	o->done = done;
	o->arg = arg;
	o->control = control_open(base, cluster->bird.socket, ANSWER_SECONDS, on_greeting, o);
	return o;
}

void observe_cancel(struct observation *o)
{
	if (!o)
		return;
	control_close(o->control);
	bird_state_free(o->state);
	free(o);
}
