/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/explain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/services.h"

struct explanation {
	const struct view *view;
	const struct addr *addr;
	const struct fib_lookup *lookup;
	char address[ADDR_TEXT_MAX];
	json_t *steps;
};

/* Adds a step; returns whether to go on. */
static bool step(struct explanation *e, const char *name, bool ok, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static bool step(struct explanation *e, const char *name, bool ok, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(
		e->steps, json_pack("{s:s, s:b, s:s}", "step", name, "ok", ok, "text", text));
	return ok;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* ---------------------------------------------------------------- file */

static const struct node *node_with_address(const struct cluster *cluster, const struct addr *addr)
{
	for (size_t i = 0; i < cluster->n_nodes; i++)
		if (addr_cmp(&cluster->nodes[i].address[family_of(addr)], addr) == 0)
			return &cluster->nodes[i];
	return NULL;
}

static const struct prefix *pod_cidr_of(
	const struct cluster *cluster, const struct addr *addr, const struct node **node)
{
	for (size_t i = 0; i < cluster->n_nodes; i++)
		for (size_t j = 0; j < cluster->nodes[i].pod_cidrs.n; j++) {
			const struct prefix *cidr = &cluster->nodes[i].pod_cidrs.items[j];

			if (!prefix_contains_addr(cidr, addr))
				continue;
			*node = &cluster->nodes[i];
			return cidr;
		}
	return NULL;
}

static bool is_in_cluster(const struct cluster *cluster, const struct addr *addr)
{
	for (size_t i = 0; i < cluster->pod_cidrs.n; i++)
		if (prefix_contains_addr(&cluster->pod_cidrs.items[i], addr))
			return true;
	return false;
}

/* ---------------------------------------------------------------- sessions */

/* May this session bring the node's routes? */
static bool may_bring(
	const struct view *view, const struct session_want *session, const struct node *node)
{
	switch (view->cluster->topology) {
	case TOPOLOGY_MESH:
		return session->node == node;
	case TOPOLOGY_REFLECTOR:
		return session->node && (session->node == node || session->node->reflector);
	case TOPOLOGY_NONE:
		break;
	}
	return session->peer != NULL;
}

/* "Up" is as fresh as the last word from there. */
static bool explain_up(struct explanation *e, const struct session_want *want,
	const struct bird_session *have)
{
	const char *plural = have->imported == 1 ? "" : "s";

	if (want->options->bfd)
		return step(e, "session", true, "%s is up since %s, with %u route%s", want->name,
			have->since, have->imported, plural);
	return step(e, "session", true,
		"%s is up since %s, with %u route%s; without BFD it would be so for up to %u s after "
		"the neighbour is gone",
		want->name, have->since, have->imported, plural, want->options->hold_time);
}

static bool explain_sessions(struct explanation *e, const struct node *node)
{
	const struct view *view = e->view;
	const struct session_want *down = NULL;
	const struct bird_session *have;
	json_t *why;

	if (view->bird->err.code)
		return step(e, "BIRD", false, "%s", view->bird->err.msg);
	for (size_t i = 0; i < view->n_sessions; i++) {
		const struct session_want *want = &view->sessions[i];

		if (!session_carries(want, family_of(e->addr)) || !may_bring(view, want, node))
			continue;
		have = bird_find_session(view->bird, want->name);
		if (have && have->up)
			return explain_up(e, want, have);
		down = want;
	}
	if (!down)
		return step(e, "session", false,
			"this node has no %s session that could bring %s's routes",
			family_name(family_of(e->addr)), node->name);
	have = bird_find_session(view->bird, down->name);
	why = report_why_down(view, down, have);
	step(e, "session", false, "%s is %s: %s", down->name, have ? have->state : "not there",
		json_string_value(why) ? json_string_value(why) : "no reason is known");
	json_decref(why);
	return false;
}

/* Do the others know where it is? */
static bool explain_announced(struct explanation *e, const struct prefix *cidr)
{
	int told = report_announced_to(e->view, cidr);
	char text[PREFIX_TEXT_MAX];

	prefix_format(cidr, text);
	if (e->view->bird->err.code)
		return step(e, "BIRD", false, "%s", e->view->bird->err.msg);
	if (told == 0 && e->view->n_sessions)
		return step(e, "session", false, "%s is announced to nobody", text);
	return step(e, "session", true, "%s is announced to %d neighbour%s", text, told,
		told == 1 ? "" : "s");
}

/* ---------------------------------------------------------------- BIRD and kernel */

/* What the import filters of the sessions that could bring the route have turned down. */
static unsigned count_refused(const struct view *view, const struct addr *addr, const struct node *node)
{
	unsigned n = 0;

	for (size_t i = 0; i < view->n_sessions; i++) {
		const struct session_want *want = &view->sessions[i];
		const struct bird_session *have = bird_find_session(view->bird, want->name);

		if (have && have->up && session_carries(want, family_of(addr)) &&
			may_bring(view, want, node))
			n += have->refused;
	}
	return n;
}

static bool explain_no_route(struct explanation *e, const struct node *node, const char *prefix)
{
	unsigned refused = count_refused(e->view, e->addr, node);

	if (!refused)
		return step(e, "BIRD", false,
			"no route to %s: %s does not announce it, or its file and ours differ", prefix,
			node->name);
	return step(e, "BIRD", false,
		"no route to %s: %s does not announce it, or the import filter turned it down, as it did "
		"with %u update%s: see roostctl peers, the files may differ",
		prefix, node->name, refused, refused == 1 ? "" : "s");
}

static bool explain_bird(struct explanation *e, const struct node *node, const json_t *row)
{
	const json_t *bird = json_object_get(row, "bird");
	const char *verdict = text_of(row, "verdict"), *prefix = text_of(row, "prefix");
	const char *via = text_of(bird, "nextHop");

	if (!json_is_object(bird))
		return explain_no_route(e, node, prefix);
	if (strcmp(verdict, "next hop unreachable") == 0 ||
		strcmp(verdict, "other next hop in BIRD") == 0)
		return step(e, "BIRD", false, "%s from %s: %s%s%s", prefix, text_of(bird, "protocol"),
			verdict, *via ? ", " : "", via);
	return step(e, "BIRD", true, "%s %s%s from %s", prefix,
		*via ? "via " : text_of(bird, "type"), via, text_of(bird, "protocol"));
}

static const char *route_text(const struct fib_lookup *lookup, char room[160])
{
	char prefix[PREFIX_TEXT_MAX], via[ADDR_TEXT_MAX], protocol[12];

	snprintf(room, 160, "%s%s%s dev %s proto %s metric %u",
		prefix_format(&lookup->prefix, prefix), lookup->via.family ? " via " : "",
		lookup->via.family ? addr_format(&lookup->via, via) : "", lookup->interface,
		fib_protocol_name(lookup->protocol, protocol), lookup->metric);
	return room;
}

/* `row`: what there should be; NULL for an address that Roost makes no route to. */
static bool explain_kernel(struct explanation *e, const json_t *row)
{
	const struct fib_lookup *lookup = e->lookup;
	const char *verdict = text_of(row, "verdict");
	struct prefix want;
	char room[160];

	if (!lookup)
		return step(e, "kernel", false, "could not be asked");
	if (lookup->error == EHOSTUNREACH && row && json_is_true(json_object_get(row, "own")))
		return step(e, "kernel", false,
			"unreachable: the pods' bridge is not up, or no pod has this address");
	if (lookup->error)
		return step(e, "kernel", false, "%s", strerror(lookup->error));
	if (row && prefix_parse(text_of(row, "prefix"), &want) && lookup->prefix.len > want.len &&
		!json_is_true(json_object_get(row, "own")))
		return step(e, "kernel", false, "a more specific route takes it: %s",
			route_text(lookup, room));
	if (row && strcmp(verdict, "ok") != 0)
		return step(e, "kernel", false, "%s: %s", verdict, route_text(lookup, room));
	return step(e, "kernel", true, "%s", route_text(lookup, room));
}

static bool explain_neighbour(struct explanation *e)
{
	const struct fib_lookup *lookup = e->lookup;
	const struct addr *hop = lookup->via.family ? &lookup->via : e->addr;
	char text[ADDR_TEXT_MAX];

	addr_format(hop, text);
	switch (lookup->neighbour) {
	case NEIGHBOUR_FAILED:
		return step(e, "neighbour", false, "%s does not answer on %s", text, lookup->interface);
	case NEIGHBOUR_NONE:
		return step(e, "neighbour", true, "%s has not been asked for on %s yet", text,
			lookup->interface);
	case NEIGHBOUR_KNOWN:
		break;
	}
	return step(e, "neighbour", true, "%s is known on %s", text, lookup->interface);
}

static bool explain_forwarding(struct explanation *e)
{
	enum family family = family_of(e->addr);

	return !e->view->lacks_forwarding[family] ||
	       step(e, "forwarding", false, "this node does not forward %s packets of pods",
		       family_name(family));
}

/* ---------------------------------------------------------------- the whole */

static const json_t *find_row(const json_t *rows, const char *prefix)
{
	const json_t *row;
	size_t i;

	json_array_foreach (rows, i, row)
		if (strcmp(text_of(row, "prefix"), prefix) == 0)
			return row;
	return NULL;
}

static void explain_pod(struct explanation *e, const struct node *node, const struct prefix *cidr)
{
	bool own = node == e->view->self;
	char prefix[PREFIX_TEXT_MAX];
	const json_t *row;
	json_t *rows;

	step(e, "file", true, "%s is in %s's podCIDR %s", e->address, own ? "this node" : node->name,
		prefix_format(cidr, prefix));
	if (!(own ? explain_announced(e, cidr) : explain_sessions(e, node)))
		return;
	rows = report_routes(e->view); /* it has a row: there is a session of the family */
	row = find_row(rows, prefix);
	if (explain_bird(e, node, row) && explain_kernel(e, row) && explain_neighbour(e))
		explain_forwarding(e);
	json_decref(rows);
}

/* That only other nodes announce it may be as it should be.  The kernel is not asked:
 * what it does with the packets is for kube-proxy's rules, of which it does not tell. */
static void explain_service(
	struct explanation *e, const struct service_address *item, const json_t *row)
{
	bool elsewhere = item->verdict == SERVICE_NOT_HERE || item->verdict == SERVICE_EXCLUDED ||
			 item->verdict == SERVICE_DRAINED;
	const json_t *router;
	size_t i;

	step(e, "service", true, "%s is the %s of %s", e->address, service_kind_name(item->kind),
		item->service);
	if (!json_is_true(json_object_get(row, "announced")))
		step(e, "announced", elsewhere, "not by this node: %s", text_of(row, "reason"));
	json_array_foreach (json_object_get(row, "announcedTo"), i, router)
		step(e, "announced", true, "to %s", json_string_value(router));
}

/* Each Service with this address; what is announced comes last, as it counts. */
static bool explain_services(struct explanation *e)
{
	const struct services *services = &e->view->cluster->services;
	const size_t n = services->n;
	json_t *rows = report_services(e->view); /* one per item */
	bool found = false;

	for (size_t i = 0; n && i < 2 * n; i++) {
		const struct service_address *item = &services->items[i % n];
		const json_t *row = json_array_get(rows, i % n);
		bool announced = json_is_true(json_object_get(row, "announced"));

		if (addr_cmp(&item->prefix.addr, e->addr) != 0 || announced != (i >= n))
			continue;
		found = true;
		explain_service(e, item, row);
	}
	json_decref(rows);
	return found;
}

static void explain_address(struct explanation *e)
{
	const struct cluster *cluster = e->view->cluster;
	const struct node *node;
	const struct prefix *cidr;

	if (!cluster) {
		step(e, "file", false, "%s",
			e->view->status->load_error.code ? e->view->status->load_error.msg
							 : "no configuration was loaded yet");
		return;
	}
	cidr = pod_cidr_of(cluster, e->addr, &node);
	if (cidr) {
		explain_pod(e, node, cidr);
	} else if (explain_services(e)) {
		return;
	} else if (is_in_cluster(cluster, e->addr)) {
		step(e, "file", false, "%s is in cluster.podCIDRs, but in no node's podCIDR", e->address);
	} else if ((node = node_with_address(cluster, e->addr))) {
		step(e, "file", true, "%s is %s's own address: Roost makes no route to it", e->address,
			node->name);
		if (explain_kernel(e, NULL))
			explain_neighbour(e);
	} else {
		step(e, "file", false, "%s is outside cluster.podCIDRs: Roost makes no route to it",
			e->address);
	}
}

json_t *explain(const struct view *view, const struct addr *addr, const struct fib_lookup *lookup)
{
	struct explanation e = {.view = view, .addr = addr, .lookup = lookup, .steps = json_array()};
	const json_t *last;

	addr_format(addr, e.address);
	explain_address(&e);
	last = json_array_get(e.steps, json_array_size(e.steps) - 1);
	return json_pack("{s:s, s:b, s:o}", "address", e.address, "broken",
		!json_is_true(json_object_get(last, "ok")), "steps", e.steps);
}
