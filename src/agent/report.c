/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "agent/metrics.h"
#include "agent/report_kube.h"
#include "agent/services.h"
#include "base/clock.h"
#include "kernel/masquerade.h"

/* ---------------------------------------------------------------- small parts */

json_t *report_time(time_t when)
{
	char text[STAMP_TEXT_MAX];

	return when ? json_string(stamp_format(when, text)) : json_null();
}

static json_t *json_text(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *json_addr(const struct addr *addr)
{
	char text[ADDR_TEXT_MAX];

	return addr->family ? json_string(addr_format(addr, text)) : json_null();
}

static json_t *json_prefixes(const struct prefixes *prefixes)
{
	json_t *list = json_array();
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < prefixes->n; i++)
		json_array_append_new(list,
			json_string(prefix_format(&prefixes->items[i], text)));
	return list;
}

/* The wanted sessions' counterparts in BIRD; NULL where BIRD has none. */
static const struct bird_session *have_session(const struct view *view, size_t i)
{
	return bird_find_session(view->bird, view->sessions[i].name);
}

static bool session_is_up(const struct view *view, size_t i)
{
	const struct bird_session *have = have_session(view, i);

	return have && have->up;
}

static size_t sessions_up(const struct view *view)
{
	size_t up = 0;

	for (size_t i = 0; i < view->n_sessions; i++)
		up += !view->sessions[i].leaving && session_is_up(view, i);
	return up;
}

/* Of the topology; what it leaves over may end at any time. */
static size_t sessions_wanted(const struct view *view)
{
	size_t n = 0;

	for (size_t i = 0; i < view->n_sessions; i++)
		n += !view->sessions[i].leaving;
	return n;
}

/* ---------------------------------------------------------------- routes */

enum verdict {
	VERDICT_OK,
	VERDICT_UNKNOWN,          /* BIRD or the kernel could not be asked */
	VERDICT_NOT_IN_BIRD,
	VERDICT_UNREACHABLE,      /* BIRD has it, but no way to its next hop */
	VERDICT_OTHER_NEXT_HOP,
	VERDICT_NOT_IN_KERNEL,
	VERDICT_KERNEL_DIFFERS,
	VERDICT_IN_THE_WAY,       /* a route that is not BIRD's takes the packets */
};

static const char *verdict_text(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_OK:
		return "ok";
	case VERDICT_UNKNOWN:
		return "unknown";
	case VERDICT_NOT_IN_BIRD:
		return "not in BIRD";
	case VERDICT_UNREACHABLE:
		return "next hop unreachable";
	case VERDICT_OTHER_NEXT_HOP:
		return "other next hop in BIRD";
	case VERDICT_NOT_IN_KERNEL:
		return "not in the kernel";
	case VERDICT_KERNEL_DIFFERS:
		return "other next hop in the kernel";
	case VERDICT_IN_THE_WAY:
		break;
	}
	return "a route that is not BIRD's is in the way";
}

/* One podCIDR of the cluster, as it should be on this node. */
struct expected {
	const struct node *node;
	struct prefix prefix;
	struct addr next_hop; /* family 0: our own, or whatever a router says */
	bool own;
	const struct bird_route *bird;
	const struct fib_route *kernel;
	const struct fib_route *in_the_way; /* of this prefix or inside it, NULL: none */
	enum verdict verdict;
};

static int route_by_prefix(const void *a, const void *b)
{
	const struct bird_route *x = *(const struct bird_route *const *)a;
	const struct bird_route *y = *(const struct bird_route *const *)b;
	int order = prefix_cmp(&x->prefix, &y->prefix);

	return order ? order : (int)y->best - (int)x->best;
}

/* BIRD's routes sorted by prefix, the best one of each first. */
struct route_index {
	const struct bird_route **items;
	size_t n;
};

static const struct bird_route *find_route(const struct route_index *index,
	const struct prefix *prefix)
{
	size_t low = 0, high = index->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (prefix_cmp(&index->items[middle]->prefix, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == index->n || prefix_cmp(&index->items[low]->prefix, prefix) != 0)
		return NULL;
	return index->items[low];
}

static enum verdict judge_own(const struct view *view, const struct expected *e)
{
	if (!e->bird)
		return VERDICT_NOT_IN_BIRD;
	if (view->fib_error->code)
		return VERDICT_UNKNOWN;
	if (!e->kernel)
		return VERDICT_NOT_IN_KERNEL;
	/* The bridge, or what BIRD put there: nothing that leads away. */
	return e->kernel->n_via ? VERDICT_KERNEL_DIFFERS : VERDICT_OK;
}

static bool fib_goes_via(const struct fib_route *route, const struct addr *via)
{
	for (size_t i = 0; i < route->n_via; i++)
		if (addr_cmp(&route->via[i], via) == 0)
			return true;
	return false;
}

static bool is_link_local(const struct addr *addr)
{
	return addr->family == AF_INET6 && addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

/* Of the prefix itself, with BIRD's metric or a better one, it takes all packets; a more
 * specific one takes some, whatever its metric. */
static const struct fib_route *find_in_the_way(const struct fib *fib, const struct expected *e)
{
	for (size_t i = fib_position(fib, &e->prefix); i < fib->n; i++) {
		const struct fib_route *route = &fib->items[i];

		if (!prefix_contains(&e->prefix, &route->prefix))
			break;
		if (route->protocol == RTPROT_BIRD ||
			(route != e->kernel && route->prefix.len == e->prefix.len))
			continue;
		if (route->type != FIB_UNICAST || !e->bird || !fib_goes_via(route, &e->bird->via))
			return route;
	}
	return NULL;
}

static enum verdict judge(const struct view *view, const struct expected *e)
{
	if (view->bird->err.code)
		return VERDICT_UNKNOWN;
	if (e->own)
		return judge_own(view, e);
	if (!e->bird)
		return VERDICT_NOT_IN_BIRD;
	if (e->bird->dest != DEST_UNICAST)
		return VERDICT_UNREACHABLE;
	/* IPv6 neighbours on one link announce their link-local address as well, and
	 * BIRD prefers it. */
	if (e->next_hop.family && !is_link_local(&e->bird->via) &&
		addr_cmp(&e->bird->via, &e->next_hop) != 0)
		return VERDICT_OTHER_NEXT_HOP;
	if (view->fib_error->code)
		return VERDICT_UNKNOWN;
	if (e->in_the_way)
		return VERDICT_IN_THE_WAY;
	if (!e->kernel)
		return VERDICT_NOT_IN_KERNEL;
	/* BIRD's best is one of several with equal cost (merge paths). */
	if (e->kernel->type != FIB_UNICAST || !fib_goes_via(e->kernel, &e->bird->via))
		return VERDICT_KERNEL_DIFFERS;
	return VERDICT_OK;
}

static struct expected *expected_routes(const struct view *view, struct arena *arena, size_t *n)
{
	const struct cluster *cluster = view->cluster;
	struct route_index index = {.n = view->bird->n_routes};
	struct expected *list = NULL;

	*n = 0;
	index.items = arena_alloc(arena, (index.n + 1) * sizeof(*index.items));
	for (size_t i = 0; i < index.n; i++)
		index.items[i] = &view->bird->routes[i];
	qsort(index.items, index.n, sizeof(*index.items), route_by_prefix);
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct node *node = &cluster->nodes[i];

		for (size_t j = 0; j < node->pod_cidrs.n; j++) {
			enum family f = family_of(&node->pod_cidrs.items[j].addr);
			struct expected *e;

			if (!view->self->address[f].family)
				continue; /* this node has no way to speak that family */
			e = ARENA_PUSH(arena, list, n);
			e->node = node;
			e->prefix = node->pod_cidrs.items[j];
			e->own = node == view->self;
			/* A reflector leaves the next hop as it is. */
			if (!e->own && cluster->topology != TOPOLOGY_NONE)
				e->next_hop = node->address[f];
			e->bird = find_route(&index, &e->prefix);
			e->kernel = fib_find(view->fib, &e->prefix);
			e->in_the_way = e->own ? NULL : find_in_the_way(view->fib, e);
			e->verdict = judge(view, e);
		}
	}
	return list;
}

static json_t *bird_route_json(const struct bird_route *route)
{
	static const char *const dest[] = {
		[DEST_UNICAST] = "unicast",
		[DEST_UNREACHABLE] = "unreachable",
		[DEST_BLACKHOLE] = "blackhole",
		[DEST_OTHER] = "other",
	};

	if (!route)
		return json_null();
	return json_pack("{s:s, s:s, s:o}", "type", dest[route->dest], "protocol", route->protocol,
		"nextHop", json_addr(&route->via));
}

static json_t *fib_route_json(const struct fib_route *route)
{
	static const char *const type[] = {
		[FIB_UNICAST] = "unicast",
		[FIB_UNREACHABLE] = "unreachable",
		[FIB_BLACKHOLE] = "blackhole",
		[FIB_OTHER] = "other",
	};
	json_t *hops;

	if (!route)
		return json_null();
	hops = json_array();
	for (size_t i = 0; i < route->n_via; i++)
		json_array_append_new(hops, json_addr(&route->via[i]));
	return json_pack("{s:s, s:i, s:i, s:o}", "type", type[route->type], "metric",
		(int)route->metric, "protocol", (int)route->protocol, "nextHops", hops);
}

/* NULL: nothing that a person could do. */
static const char *advice_on(const struct expected *e, struct arena *arena)
{
	char room[FIB_ROUTE_TEXT_MAX];

	if (e->verdict != VERDICT_IN_THE_WAY)
		return NULL;
	return arena_printf(arena, "if nobody needs it: ip -%c route del %s",
		e->prefix.addr.family == AF_INET ? '4' : '6', fib_route_text(e->in_the_way, room));
}

json_t *report_routes(const struct view *view)
{
	_cleanup_arena_ struct arena arena = {0};
	json_t *list = json_array();
	struct expected *expected;
	size_t n = 0;

	if (!view->cluster)
		return list;
	expected = expected_routes(view, &arena, &n);
	for (size_t i = 0; i < n; i++) {
		const struct expected *e = &expected[i];
		char text[PREFIX_TEXT_MAX];

		json_array_append_new(list,
			json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:s, s:o}", "prefix",
				prefix_format(&e->prefix, text), "node", e->node->name, "own",
				e->own, "wantedNextHop", json_addr(&e->next_hop), "bird",
				bird_route_json(e->bird), "kernel", fib_route_json(e->kernel),
				"verdict", verdict_text(e->verdict), "advice",
				json_text(advice_on(e, &arena))));
	}
	return list;
}

static bool is_drift(enum verdict verdict)
{
	return verdict == VERDICT_NOT_IN_KERNEL || verdict == VERDICT_KERNEL_DIFFERS ||
		verdict == VERDICT_IN_THE_WAY;
}

struct report_drift report_drift(const struct view *view, struct arena *arena)
{
	struct report_drift drift = {0};
	struct expected *expected;
	size_t n = 0;

	if (!view->cluster)
		return drift;
	expected = expected_routes(view, arena, &n);
	for (size_t i = 0; i < n; i++) {
		const struct expected *e = &expected[i];
		const char *advice = advice_on(e, arena);

		if (is_drift(e->verdict))
			*ARENA_PUSH(arena, drift.items, &drift.n) = (struct drift_route){
				.prefix = e->prefix,
				.is_ours = e->verdict != VERDICT_IN_THE_WAY,
				.text = arena_printf(arena, "%s%s%s", verdict_text(e->verdict),
					advice ? "; " : "", advice ? advice : "")};
	}
	return drift;
}

/* ---------------------------------------------------------------- nodes, peers */

json_t *report_nodes(const struct view *view)
{
	json_t *list = json_array();

	for (size_t i = 0; view->cluster && i < view->cluster->n_nodes; i++) {
		const struct node *node = &view->cluster->nodes[i];
		json_t *addresses = json_array();
		size_t total = 0, up = 0;

		for (enum family f = 0; f < FAMILIES; f++)
			if (node->address[f].family)
				json_array_append_new(addresses, json_addr(&node->address[f]));
		for (size_t j = 0; j < view->n_sessions; j++)
			if (view->sessions[j].node == node && !view->sessions[j].leaving) {
				total++;
				up += session_is_up(view, j);
			}
		json_array_append_new(list,
			json_pack("{s:s, s:b, s:o, s:I, s:o, s:b, s:{s:i, s:i}, s:o}", "name",
				node->name, "self", node == view->self, "addresses", addresses,
				"asNumber", (json_int_t)node->as_number, "podCIDRs",
				json_prefixes(&node->pod_cidrs), "ready", !node->not_ready,
				"sessions", "up", (int)up, "total", (int)total, "drain",
				node == view->self ? json_string(drain_state_name(view->drain.state))
						   : json_null()));
	}
	return list;
}

static bool waits_for_answer(const struct bird_session *have)
{
	return strcmp(have->state, "Connect") == 0 || strcmp(have->state, "Active") == 0 ||
		strcmp(have->state, "Passive") == 0;
}

json_t *report_why_down(const struct view *view, const struct session_want *want,
	const struct bird_session *have)
{
	bool known; /* without an error BIRD says the state once more */

	if (view->bird->err.code)
		return json_text(view->bird->err.msg);
	if (!have)
		return json_string(
			"BIRD has no such session: its configuration is not the wanted one");
	known = have->info[0] && strcmp(have->info, have->state) != 0;
	/* The kernel drops packets with a wrong TCP-MD5 signature, and tells nobody:
	 * neither side hears the other. */
	if (waits_for_answer(have) && want->options->password)
		return json_sprintf("%s; no answer, as if the password was another one there",
			known ? have->info : have->state);
	if (waits_for_answer(have) && !known)
		return json_string(want->peer && (want->peer->passive || want->peer->unnumbered)
				? "it has not connected"
				: "no answer");
	if (strstr(have->info, "Bad BGP identifier"))
		return json_sprintf("%s; it has this node's router id", have->info);
	return json_text(have->info);
}

#define LATELY_SECONDS 300
#define START_SECONDS  10 /* in which sessions come up when BIRD starts */

/* A session that came up neither long ago nor with BIRD: whoever looks at a neighbour
 * that comes and goes will mostly see it up, and its last error BIRD forgets then. */
static bool is_up_lately(const struct view *view, const struct bird_session *have)
{
	time_t since = bird_time(have->since), started = bird_time(view->bird->started);

	return since && started && since - started >= START_SECONDS && view->now >= since &&
		view->now - since < LATELY_SECONDS;
}

static void add_note(struct buf *notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_note(struct buf *notes, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(notes, "%s%s", notes->len ? "; " : "", text);
}

static bool is_limited(const struct session_want *want, const struct bird_session *have)
{
	return have && have->up && have->limit_reached && !want->options->import_limit.only_warn;
}

/* How many podCIDRs a router speaks of, of which a node's own word counts for more.
 * BIRD lists the routes to one prefix together, the best one first. */
static unsigned count_outdone(const struct bird_state *bird, const char *session)
{
	const struct bird_route *best = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < bird->n_routes; i++) {
		const struct bird_route *route = &bird->routes[i];

		if (route->best)
			best = route;
		else if (strcmp(route->protocol, session) == 0 && best &&
			prefix_cmp(&best->prefix, &route->prefix) == 0 &&
			!strstr(best->protocol, ":peer"))
			n++;
	}
	return n;
}

/* Of a session that is up and still not all right. */
static json_t *notes_on_up(const struct view *view, const struct session_want *want,
	const struct bird_session *have)
{
	unsigned outdone = want->node ? 0 : count_outdone(view->bird, want->name);
	_cleanup_buf_ struct buf notes = {0};

	if (have->limit_reached)
		add_note(&notes, "import limit of %u routes reached%s", have->limit_reached,
			is_limited(want, have) ? ": no more are taken" : "");
	if (outdone)
		add_note(&notes, "%u podCIDR%s not used: nodes announce %s themselves", outdone,
			outdone == 1 ? "" : "s", outdone == 1 ? "it" : "them");
	/* Routers say more than import takes as a matter of course. */
	if (have->refused && !want->node)
		add_note(&notes, "%u update%s outside import, not taken", have->refused,
			have->refused == 1 ? "" : "s");
	else if (have->refused)
		add_note(&notes, "%u update%s refused: not %s podCIDRs", have->refused,
			have->refused == 1 ? "" : "s",
			want->node->reflector ? "other nodes'" : "its");
	if (is_up_lately(view, have))
		add_note(&notes, "up for only %lld s",
			(long long)(view->now - bird_time(have->since)));
	return json_text(notes.text);
}

json_t *report_peers(const struct view *view)
{
	json_t *list = json_array();

	for (size_t i = 0; i < view->n_sessions; i++) {
		const struct session_want *want = &view->sessions[i];
		const struct bird_session *have = have_session(view, i);

		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:o, s:I, s:s, s:b, s:o, s:i, s:i, s:i, s:o, s:o, s:b}",
				"session", want->name, "name",
				want->node ? want->node->name : want->peer->name, "kind",
				!want->node             ? "router"
				: want->node->reflector ? "reflector"
							: "node",
				"address",
				want->peer && want->peer->unnumbered
					? json_text(have ? have->neighbor : NULL)
					: json_addr(&want->neighbor),
				"asNumber",
				(json_int_t)(have && have->neighbor_as ? have->neighbor_as : want->neighbor_as), "state",
				have ? have->state : "unknown", "up", have && have->up, "since",
				json_text(have ? have->since : NULL), "routesIn",
				have ? (int)have->imported : 0, "routesOut",
				have ? (int)have->exported : 0, "updatesRefused",
				have ? (int)have->refused : 0, "bfd",
				json_text(have ? have->bfd : NULL), "reason",
				have && have->up ? notes_on_up(view, want, have)
						 : report_why_down(view, want, have),
				"leaving", want->leaving));
	}
	return list;
}

/* ---------------------------------------------------------------- status */

static void add_problem(json_t *problems, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void add_problem(json_t *problems, const char *fmt, ...)
{
	char text[1600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(problems, json_string(text));
}

/* The last apply's outcome as long as it stands in the way. */
static const struct apply_result *standing_refusal(const struct agent_status *status)
{
	if (!status->applied || status->last.outcome == APPLY_CONFIRMED ||
		status->last.outcome == APPLY_UNCHANGED)
		return NULL;
	return &status->last;
}

static void refusal_problem(
	const struct agent_status *status, const struct apply_result *refusal, json_t *problems)
{
	char stamp[STAMP_TEXT_MAX], next[64] = "";

	if (refusal->outcome == APPLY_ROLLED_BACK && status->retry_at)
		snprintf(next, sizeof(next), "; it is tried again at %s",
			stamp_format(status->retry_at, stamp));
	add_problem(problems, "the configuration was not applied (%s): %s%s",
		apply_outcome_name(refusal->outcome), refusal->err.msg, next);
}

static void source_problems(const struct view *view, json_t *problems)
{
	const struct agent_status *status = view->status;
	const struct apply_result *refusal = standing_refusal(status);

	if (status->load_error.code)
		add_problem(problems, "%s", status->load_error.msg);
	if (status->hold.active)
		add_problem(problems,
			"roostctl rollback holds generation %u: what %s says is not in force, until it "
			"changes or roostctl apply follows it again",
			status->hold.generation, status->source_path);
	if (refusal)
		refusal_problem(status, refusal, problems);
	if (status->own_error.code)
		add_problem(problems, "%s", status->own_error.msg);
}

static void host_problems(const struct view *view, json_t *problems)
{
	static const char *const forwarding[FAMILIES] = {
		[IPV4] = "net.ipv4.ip_forward",
		[IPV6] = "net.ipv6.conf.all.forwarding",
	};
	char text[ADDR_TEXT_MAX];

	for (enum family f = 0; f < FAMILIES; f++) {
		if (view->lacks_forwarding[f])
			add_problem(problems, "%s is 0: packets of pods are not forwarded",
				forwarding[f]);
		if (view->lacks_address[f])
			add_problem(problems, "%s's address %s is on no interface of this machine",
				view->self->name, addr_format(&view->self->address[f], text));
	}
	if (view->drain.waits.code)
		add_problem(problems, "drain: %s", view->drain.waits.msg);
	if (view->n_stray_pods)
		add_problem(problems,
			"%zu pod%s with an address outside this node's podCIDRs, such as %s: nobody "
			"reaches them, they must be made anew",
			view->n_stray_pods, view->n_stray_pods == 1 ? "" : "s", addr_format(&view->stray_pod, text));
}

static const char *masquerade_state_name(enum masquerade_state state)
{
	switch (state) {
	case MASQUERADE_OFF:
		return "off";
	case MASQUERADE_IDLE:
		return "idle";
	case MASQUERADE_ON:
		return "on";
	case MASQUERADE_CHANGED:
		return "changed";
	case MASQUERADE_FAILED:
		break;
	}
	return "failed";
}

static bool masquerade_is_right(const struct view *view)
{
	return view->masquerade.state != MASQUERADE_CHANGED &&
		view->masquerade.state != MASQUERADE_FAILED;
}

static void masquerade_problems(const struct view *view, json_t *problems)
{
	if (view->masquerade.state == MASQUERADE_CHANGED)
		add_problem(problems,
			"masquerade: somebody changed or deleted the nftables table " MASQUERADE_TABLE
			"; roostctl apply puts it right");
	else if (view->masquerade.state == MASQUERADE_FAILED)
		add_problem(problems, "masquerade: %s", view->masquerade.err.msg);
}

static json_t *masquerade_json(const struct view *view)
{
	const struct masquerade_status *masquerade = &view->masquerade;

	return json_pack("{s:s, s:s, s:i, s:o}", "state",
		masquerade_state_name(masquerade->state), "table", MASQUERADE_TABLE, "writes",
		(int)masquerade->writes, "reason",
		masquerade->err.code ? json_string(masquerade->err.msg) : json_null());
}

#define MAX_DOWN_NAMED 3

/* The first few with the reason, so that most need not look further. */
static void add_sessions_down(const struct view *view, json_t *problems, size_t down, size_t wanted)
{
	_cleanup_buf_ struct buf text = {0};
	size_t named = 0;

	for (size_t i = 0; i < view->n_sessions && named < MAX_DOWN_NAMED; i++) {
		const struct session_want *want = &view->sessions[i];
		json_t *why;

		if (want->leaving || session_is_up(view, i))
			continue;
		why = report_why_down(view, want, have_session(view, i));
		buf_printf(&text, "%s%s%s%s", named++ ? "; " : ": ", want->name,
			json_is_string(why) ? ", " : "", json_is_string(why) ? json_string_value(why) : "");
		json_decref(why);
	}
	add_problem(problems, "%zu of %zu sessions are down%s%s", down, wanted, buf_text(&text),
		down > named ? "; ..." : "");
}

/* BIRD takes a session that BFD has never seen for a good one: what BFD was for is
 * missing, and nothing else tells.  A session that came up just now has a moment. */
static bool lacks_bfd(const struct session_want *want, const struct bird_session *have)
{
	return want->options->bfd && have && have->up && *have->bfd && strcmp(have->bfd, "Up") != 0;
}

static void bird_problems(const struct view *view, json_t *problems)
{
	const struct bird_state *bird = view->bird;
	size_t up = sessions_up(view), wanted = sessions_wanted(view);

	if (bird->err.code) {
		add_problem(problems, "%s%s", strncmp(bird->err.msg, "BIRD", 4) == 0 ? "" : "BIRD: ",
			bird->err.msg);
		return;
	}
	if (view->config_id && strcmp(bird->config_id, view->config_id) != 0)
		add_problem(problems, "BIRD does not run the wanted configuration");
	else if (view->config_id && bird->unconfirmed)
		add_problem(problems, "BIRD's configuration waits for confirmation");
	if (bird->recovering)
		add_problem(problems, "BIRD recovers from a restart and withholds routes");
	if (up < wanted)
		add_sessions_down(view, problems, wanted - up, wanted);
	for (size_t i = 0; i < view->n_sessions; i++)
		if (lacks_bfd(&view->sessions[i], have_session(view, i)))
			add_problem(problems, "%s: BGP is up, and BFD is %s: UDP port 3784 does not get "
				"through, or the neighbour does no BFD", view->sessions[i].name,
				have_session(view, i)->bfd);
	for (size_t i = 0; i < view->n_sessions; i++)
		if (is_limited(&view->sessions[i], have_session(view, i)))
			add_problem(problems, "%s: import limit of %u routes reached: no more are taken",
				view->sessions[i].name, have_session(view, i)->limit_reached);
}

struct route_count {
	size_t expected, ok;
	size_t drift; /* BIRD has it right and the kernel has not */
};

static struct route_count count_routes(const struct view *view)
{
	_cleanup_arena_ struct arena arena = {0};
	struct route_count count = {0};
	struct expected *expected;

	if (!view->cluster)
		return count;
	expected = expected_routes(view, &arena, &count.expected);
	for (size_t i = 0; i < count.expected; i++) {
		count.ok += expected[i].verdict == VERDICT_OK;
		count.drift += is_drift(expected[i].verdict);
	}
	return count;
}

static bool tells_of_pods(const struct session_want *want)
{
	return want->node || (want->peer->export & (EXPORT_PODS | EXPORT_CLUSTER));
}

int report_announced_to(const struct view *view, const struct prefix *prefix)
{
	int announced = 0;

	for (size_t i = 0; i < view->n_sessions; i++) {
		const struct bird_session *have = have_session(view, i);

		announced += have && have->up && bird_is_told(view->bird, have, prefix) &&
			session_carries(&view->sessions[i], family_of(&prefix->addr)) &&
			tells_of_pods(&view->sessions[i]);
	}
	return announced;
}

static json_t *own_pod_cidrs(const struct view *view)
{
	json_t *list = json_array();

	for (size_t i = 0; view->self && i < view->self->pod_cidrs.n; i++) {
		const struct prefix *prefix = &view->self->pod_cidrs.items[i];
		char text[PREFIX_TEXT_MAX];

		json_array_append_new(list, json_pack("{s:s, s:i}", "prefix",
						    prefix_format(prefix, text), "announcedTo",
						    report_announced_to(view, prefix)));
	}
	return list;
}

static json_t *configuration_json(const struct view *view)
{
	const struct agent_status *status = view->status;
	const struct apply_result *refusal = standing_refusal(status);
	json_t *json = json_pack("{s:i, s:o, s:o, s:b, s:o, s:o, s:o}", "generation",
		(int)status->confirmed.number, "id", json_text(status->confirmed.id), "confirmedAt",
		report_time(status->confirmed.number ? status->confirmed.confirmed_at : 0), "applying",
		status->applying, "lastOutcome",
		status->applied ? json_string(apply_outcome_name(status->last.outcome))
				: json_null(),
		"lastAttemptAt", report_time(status->last_at), "lastRefusal", json_null());

	json_object_set_new(json, "hold",
		!status->hold.active ? json_null()
				     : json_pack("{s:i, s:o}", "generation",
					       (int)status->hold.generation, "since",
					       report_time(status->hold.since)));
	if (refusal)
		json_object_set_new(json, "lastRefusal",
			json_pack("{s:s, s:s, s:o, s:o}", "outcome",
				apply_outcome_name(refusal->outcome), "reason", refusal->err.msg,
				"at", report_time(status->last_at), "nextTryAt",
				report_time(refusal->outcome == APPLY_REFUSED ? 0 : status->retry_at)));
	return json;
}

static json_t *warnings_json(const struct cluster *cluster)
{
	json_t *list = json_array();

	for (size_t i = 0; cluster && i < cluster->n_warnings; i++)
		json_array_append_new(list, json_string(cluster->warnings[i]));
	return list;
}

static json_t *source_json(const struct view *view)
{
	const struct agent_status *status = view->status;

	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "path", status->source_path, "loadedAt",
		report_time(status->loaded_at), "ageSeconds",
		status->loaded_at ? json_integer(view->now - status->loaded_at) : json_null(),
		"error", status->load_error.code ? json_string(status->load_error.msg) : json_null(),
		"kubernetes", report_kube(view));
}

static json_t *drain_json(const struct drain_status *drain)
{
	return json_pack("{s:s, s:o, s:o}", "state", drain_state_name(drain->state), "since",
		report_time(drain->since), "waits",
		drain->waits.code ? json_string(drain->waits.msg) : json_null());
}

static json_t *drift_json(const struct drift_status *drift)
{
	return json_pack("{s:i, s:i, s:o, s:o}", "seen", (int)drift->seen, "repairs",
		(int)drift->repairs, "lastAt", report_time(drift->last_at), "last",
		json_text(drift->last));
}

/* What nobody but a person puts right is said at once. */
static const char *first_in_the_way(const struct view *view, struct arena *arena)
{
	struct report_drift drift = report_drift(view, arena);
	char prefix[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < drift.n; i++)
		if (!drift.items[i].is_ours)
			return arena_printf(arena, "; %s: %s",
				prefix_format(&drift.items[i].prefix, prefix), drift.items[i].text);
	return "";
}

json_t *report_status(const struct view *view)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct bird_state *bird = view->bird;
	struct route_count routes = count_routes(view);
	json_t *problems = json_array(), *json;

	source_problems(view, problems);
	report_kube_problems(view, problems);
	host_problems(view, problems);
	masquerade_problems(view, problems);
	bird_problems(view, problems);
	if (!bird->err.code && routes.ok < routes.expected)
		add_problem(problems, "%zu of %zu routes differ, see roostctl routes%s",
			routes.expected - routes.ok, routes.expected,
			first_in_the_way(view, &arena));
	json = json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o}", "version", PACKAGE_VERSION, "node",
		view->status->node_name, "cluster", json_text(view->cluster ? view->cluster->name : ""),
		"health", json_array_size(problems) ? "degraded" : "healthy", "problems", problems,
		"warnings", warnings_json(view->cluster), "source", source_json(view));
	json_object_set_new(json, "configuration", configuration_json(view));
	json_object_set_new(json, "bird",
		json_pack("{s:b, s:o, s:o, s:o, s:b, s:b}", "reachable", bird->err.code == 0,
			"version", json_text(bird->version), "configuration",
			json_text(bird->config_id), "error",
			bird->err.code ? json_string(bird->err.msg) : json_null(), "unconfirmed",
			bird->unconfirmed, "recovering", bird->recovering));
	json_object_set_new(json, "sessions",
		json_pack("{s:i, s:i, s:i}", "up", (int)sessions_up(view), "total",
			(int)sessions_wanted(view), "leaving",
			(int)(view->n_sessions - sessions_wanted(view))));
	json_object_set_new(json, "podCIDRs", own_pod_cidrs(view));
	json_object_set_new(json, "services", report_services_count(view));
	json_object_set_new(json, "masquerade", masquerade_json(view));
	json_object_set_new(json, "drain", drain_json(&view->drain));
	json_object_set_new(json, "routes",
		json_pack("{s:i, s:i, s:i}", "expected", (int)routes.expected, "ok", (int)routes.ok,
			"drift", (int)routes.drift));
	json_object_set_new(json, "drift", drift_json(&view->status->drift));
	return json;
}

int report_ready(const struct view *view, struct err *why)
{
	const struct bird_state *bird = view->bird;

	if (!view->cluster || !view->config_id)
		return err_set(why, 1, "no configuration was loaded yet");
	if (bird->err.code)
		return err_set(why, 1, "BIRD: %s", bird->err.msg);
	if (strcmp(bird->config_id, view->config_id) != 0 || bird->unconfirmed)
		return err_set(why, 1, "the configuration is not confirmed");
	if (bird->recovering)
		return err_set(why, 1, "BIRD recovers from a restart and withholds routes");
	/* A cluster of one node has nobody to announce anything to. */
	for (size_t i = 0; view->n_sessions && i < view->self->pod_cidrs.n; i++) {
		const struct prefix *prefix = &view->self->pod_cidrs.items[i];
		char text[PREFIX_TEXT_MAX];

		if (report_announced_to(view, prefix) == 0)
			return err_set(why, 1, "%s is announced to nobody, %zu of %zu sessions are up",
				prefix_format(prefix, text), sessions_up(view), sessions_wanted(view));
	}
	return 0;
}

/* ---------------------------------------------------------------- metrics */

static void family_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
	family_head(out, name, "gauge", help);
	buf_printf(out, "%s %.17g\n", name, value);
}

static void session_series(const struct view *view, struct buf *out, const char *name,
	const char *help, unsigned (*value)(const struct bird_session *))
{
	family_head(out, name, "gauge", help);
	for (size_t i = 0; i < view->n_sessions; i++) {
		const struct bird_session *have = have_session(view, i);

		buf_printf(out, "%s{session=\"%s\"} %u\n", name, view->sessions[i].name,
			have ? value(have) : 0);
	}
}

static unsigned value_up(const struct bird_session *session)
{
	return session->up;
}

static unsigned value_imported(const struct bird_session *session)
{
	return session->imported;
}

static unsigned value_exported(const struct bird_session *session)
{
	return session->exported;
}

void report_metrics(const struct view *view, struct buf *out)
{
	const struct agent_status *status = view->status;
	struct route_count routes = count_routes(view);

	family_head(out, "roost_build", "info", "What is running.");
	buf_printf(out, "roost_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	gauge(out, "roost_bird_up", "1 when BIRD answers on its control socket.",
		view->bird->err.code == 0);
	gauge(out, "roost_source_ok", "1 when roost.yaml and what it names could be used, read last.",
		status->load_error.code == 0 && status->loaded_at != 0);
	gauge(out, "roost_source_loaded_timestamp_seconds", "When it was last accepted.",
		(double)status->loaded_at);
	report_kube_metrics(view, out);
	gauge(out, "roost_generation", "Number of the confirmed configuration.",
		status->confirmed.number);
	gauge(out, "roost_generation_confirmed_timestamp_seconds", "When it was confirmed.",
		(double)status->confirmed.confirmed_at);
	gauge(out, "roost_configuration_running",
		"1 when BIRD runs the wanted configuration, confirmed.",
		view->config_id && strcmp(view->bird->config_id, view->config_id) == 0 &&
			!view->bird->unconfirmed);
	family_head(out, "roost_applies", "counter", "Transactions with BIRD by their outcome.");
	for (enum apply_outcome o = 0; o <= APPLY_FAILED; o++)
		buf_printf(out, "roost_applies_total{outcome=\"%s\"} %u\n", apply_outcome_name(o),
			status->outcomes[o]);
	family_head(out, "roost_loads", "counter", "Reads of roost.yaml.");
	buf_printf(out, "roost_loads_total %u\n", status->loads);
	family_head(out, "roost_renders", "counter", "Configurations rendered.");
	buf_printf(out, "roost_renders_total %u\n", status->renders);
	gauge(out, "roost_routes_expected", "podCIDRs of the cluster.", (double)routes.expected);
	gauge(out, "roost_routes_ok", "Those that are right in BIRD and in the kernel.",
		(double)routes.ok);
	gauge(out, "roost_routes_drift", "Those right in BIRD and not in the kernel.",
		(double)routes.drift);
	family_head(out, "roost_drift", "counter",
		"Routes found to be right in BIRD and not in the kernel.");
	buf_printf(out, "roost_drift_total %u\n", status->drift.seen);
	family_head(out, "roost_drift_repairs", "counter",
		"How often BIRD was asked to write its routes again.");
	buf_printf(out, "roost_drift_repairs_total %u\n", status->drift.repairs);
	gauge(out, "roost_masquerade_ok", "1 when the NAT rules are as roost.yaml wants them.",
		masquerade_is_right(view));
	family_head(out, "roost_masquerade_writes", "counter",
		"How often the NAT rules were written or removed.");
	buf_printf(out, "roost_masquerade_writes_total %u\n", view->masquerade.writes);
	gauge(out, "roost_services_announced", "Addresses of Services this node is to announce.",
		(double)services_to_announce(view));
	session_series(view, out, "roost_session_up", "1 when the BGP session is established.",
		value_up);
	session_series(view, out, "roost_session_routes_in", "Routes accepted from the neighbour.",
		value_imported);
	session_series(view, out, "roost_session_routes_out", "Routes announced to the neighbour.",
		value_exported);
	metrics_of_node(view, out);
	buf_puts(out, "# EOF\n");
}
