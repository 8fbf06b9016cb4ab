/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/observe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bird/control.h"

#define MAX_TOLD 100 /* questions of one look who is told of our podCIDRs */
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

/* "kernel4    Kernel     master4    up     2026-..." */
static bool is_kernel_up(const char *line)
{
	int end = 0;

	sscanf(line, "%*s Kernel %*s up %n", &end);
	return end > 0;
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
		unsigned updates, refused;

		/* received, rejected as invalid, filtered, ... */
		if (sscanf(value, "%u %*u %u", &updates, &refused) == 2) {
			session->updates += updates; /* of all channels */
			session->refused += refused;
		}
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
			else if (strncmp(value, "preferred", 9) == 0)
				session->preferred += n;
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

/* BIRD 2 takes no more once the limit was reached, even below it.  BIRD 3 does, and goes
 * on saying [HIT]. */
static bool hit_is_over(const struct bird_state *state, const struct bird_session *session)
{
	return state->version && atoi(state->version) >= 3 &&
		session->imported < session->limit_reached;
}

static struct bird_session *find_parent(const struct bird_state *state, const char *child)
{
	size_t len = strcspn(child, (const char[]){RENDER_DYNAMIC, '\0'});

	for (size_t i = 0; child[len] && i < state->n_sessions; i++)
		if (strncmp(state->sessions[i].name, child, len) == 0 && !state->sessions[i].name[len])
			return &state->sessions[i];
	return NULL;
}

/* "tor-a:peer" only listens: what it is about is its child, the last that came, or the
 * one that is up. */
static void fold_dynamic(struct bird_state *state)
{
	size_t kept = 0;

	for (size_t i = 0; i < state->n_sessions; i++) {
		struct bird_session *child = &state->sessions[i];
		struct bird_session *parent = find_parent(state, child->name);
		const char *name;

		if (!parent) {
			state->sessions[kept++] = *child;
		} else if (!parent->up) {
			name = parent->name;
			*parent = *child;
			parent->name = name;
			parent->dynamic = true;
		}
	}
	state->n_sessions = kept;
}

void parse_protocols(const struct reply *reply, struct bird_state *state)
{
	struct bird_session *session = NULL;
	bool kernel = false;

	for (size_t i = 0; i < reply->n_lines; i++) {
		const struct reply_line *line = &reply->lines[i];
		const char *value;

		/* Each channel says so, as long as BIRD recovers. */
		if (line->code == BIRD_PROTOCOL_DETAIL && value_of(line->text, "GR recovery"))
			state->recovering = true;
		if (line->code == BIRD_PROTOCOL) {
			kernel = is_kernel_up(line->text);
			session = parse_row(line->text, state);
		} else if (line->code == BIRD_PROTOCOL_DETAIL && session) {
			parse_detail(line->text, session, &state->arena);
		} else if (kernel && (value = value_of(line->text, "Export state"))) {
			state->starting |= strncmp(value, "DOWN", 4) == 0;
		}
	}
	for (size_t i = 0; i < state->n_sessions; i++) {
		session = &state->sessions[i];
		if (session->up)
			session->info = ""; /* the last error is history */
		if (hit_is_over(state, session))
			session->limit_reached = 0;
	}
	if (state->n_sessions)
		qsort(state->sessions, state->n_sessions, sizeof(*state->sessions), by_name);
	fold_dynamic(state);
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
	route->protocol = arena_strndup(arena, bracket + 1,
		strcspn(bracket + 1, (const char[]){' ', ']', RENDER_DYNAMIC, '\0'}));
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

void observe_told_command(
	char room[OBSERVE_TOLD_MAX], const struct prefix *prefix, const char *session)
{
	char text[PREFIX_TEXT_MAX];

	snprintf(room, OBSERVE_TOLD_MAX, "show route %s export '%s'", prefix_format(prefix, text),
		session);
}

bool bird_is_told(const struct bird_state *state, const struct bird_session *session,
	const struct prefix *prefix)
{
	if (!session->told)
		return session->exported > 0;
	for (size_t i = 0; i < state->own.n; i++)
		if (prefix_cmp(&state->own.items[i], prefix) == 0)
			return session->told[i];
	return false;
}

time_t bird_time(const char *text)
{
	struct tm tm = {0};
	long offset;

	if (!strptime(text, "%Y-%m-%dT%H:%M:%S%z", &tm))
		return 0;
	offset = tm.tm_gmtoff; /* timegm() makes it 0 */
	return timegm(&tm) - offset;
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
	struct prefixes cidrs; /* whose routes are asked for: the cluster's and the Services' */
	size_t next_cidr;
	const char *mark; /* NULL: none */
	bool ask_marked;  /* the second round, for the mark */
	size_t asked;     /* so many questions of ask_told() */
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
	/* BIRD 3 does not know the name of a table that nothing uses, as in generation 0. */
	if (reply_code(reply) != BIRD_NOT_UNDERSTOOD && is_refused(o, reply))
		return;
	if (o->ask_marked)
		parse_marked(reply, o->state);
	else
		parse_routes(reply, o->state);
	ask_routes(o);
}

static void find_own(struct bird_state *state)
{
	for (size_t i = 0; i < state->n_routes; i++)
		if (strcmp(state->routes[i].protocol, "pods4") == 0 ||
			strcmp(state->routes[i].protocol, "pods6") == 0)
			*ARENA_PUSH(&state->arena, state->own.items, &state->own.n) =
				state->routes[i].prefix;
}

/* Is it told of more than our podCIDRs of its family?  BIRD has no word for the name of one
 * that it made itself. */
static bool is_mixed(const struct bird_state *state, const struct bird_session *session)
{
	enum family family = strchr(session->neighbor, ':') ? IPV6 : IPV4;
	unsigned n = 0;

	for (size_t i = 0; i < state->own.n; i++)
		n += family_of(&state->own.items[i].addr) == family;
	return session->up && !session->dynamic && session->exported > n;
}

/* Of a reflector with many clients the count has to do: a look is to be short. */
static bool is_long(const struct bird_state *state)
{
	size_t n = 0;

	for (size_t i = 0; i < state->n_sessions; i++)
		n += is_mixed(state, &state->sessions[i]) ? state->own.n : 0;
	return n > MAX_TOLD;
}

static void ask_told(struct observation *o);

static void on_told(const struct reply *reply, const struct err *err, void *arg)
{
	struct observation *o = arg;
	struct bird_state *state = o->state;

	if (failed(o, reply, err) || (reply_code(reply) != BIRD_NO_NETWORK &&
					     reply_code(reply) != BIRD_NOT_UNDERSTOOD &&
					     is_refused(o, reply)))
		return;
	state->sessions[o->asked / state->own.n].told[o->asked % state->own.n] =
		reply_find(reply, BIRD_ROUTE) != NULL;
	o->asked++;
	ask_told(o);
}

/* Of each session and each of our podCIDRs, from number `asked` on. */
static void ask_told(struct observation *o)
{
	struct bird_state *state = o->state;
	const size_t n = state->own.n;
	char command[OBSERVE_TOLD_MAX];

	for (; o->asked < state->n_sessions * n; o->asked++) {
		struct bird_session *session = &state->sessions[o->asked / n];

		if (!is_mixed(state, session))
			continue;
		if (!session->told)
			session->told = arena_alloc(&state->arena, n * sizeof(*session->told));
		observe_told_command(command, &state->own.items[o->asked % n], session->name);
		control_send(o->control, command, ANSWER_SECONDS, on_told, o);
		return;
	}
	finish(o);
}

/* Only what lies in the cluster: a router may send us a whole Internet. */
static void ask_routes(struct observation *o)
{
	char text[PREFIX_TEXT_MAX], mark[OBSERVE_MARK_MAX + 8] = "", command[320];
	const struct prefix *cidr;

	if (o->next_cidr == o->cidrs.n && o->mark && !o->ask_marked) {
		o->ask_marked = true;
		o->next_cidr = 0;
	}
	if (o->next_cidr == o->cidrs.n && o->mark) {
		finish(o);
		return;
	}
	if (o->next_cidr == o->cidrs.n) {
		find_own(o->state);
		if (is_long(o->state))
			finish(o);
		else
			ask_told(o);
		return;
	}
	cidr = &o->cidrs.items[o->next_cidr++];
	if (o->ask_marked)
		snprintf(mark, sizeof(mark), " && %s", o->mark);
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

static void add_cidrs(struct observation *o, const struct prefixes *cidrs)
{
	for (size_t i = 0; i < cidrs->n; i++)
		*ARENA_PUSH(&o->state->arena, o->cidrs.items, &o->cidrs.n) = cidrs->items[i];
}

struct observation *observe_start(struct event_base *base, const struct cluster *cluster,
	const char *mark, observe_fn *done, void *arg)
{
	struct observation *o = xmalloc(sizeof(*o));

	memset(o, 0, sizeof(*o));
	o->state = xmalloc(sizeof(*o->state));
	memset(o->state, 0, sizeof(*o->state));
	o->state->version = o->state->started = "";
	/* The cluster may be replaced while we wait. */
	add_cidrs(o, &cluster->pod_cidrs);
	add_cidrs(o, &cluster->service_cidrs);
	o->mark = mark ? arena_strdup(&o->state->arena, mark) : NULL;
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
