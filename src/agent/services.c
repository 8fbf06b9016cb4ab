/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/services.h"

#include <stdlib.h>
#include <string.h>

static const char *verdict_text(enum service_verdict verdict)
{
	switch (verdict) {
	case SERVICE_ANNOUNCED:
		return "";
	case SERVICE_OUTSIDE:
		return "outside cluster.serviceCIDRs";
	case SERVICE_TAKEN:
		return "it is the address of a node or router";
	case SERVICE_PROXY_MODE:
		return "ipMode is Proxy: its load balancer takes the packets itself";
	case SERVICE_EXCLUDED:
		return "this node is labelled node.kubernetes.io/exclude-from-external-load-balancers";
	case SERVICE_DRAINED:
		return "this node is drained";
	case SERVICE_NO_ENDPOINT:
		return "the Service has no ready endpoint";
	case SERVICE_NOT_HERE:
		break;
	}
	return "no ready endpoint on this node, and the Service's traffic policy is Local";
}

/* Does this session carry addresses of Services of the family? */
static bool is_for_services(const struct session_want *want, enum family family)
{
	const struct peer *peer = want->peer;

	return peer && (peer->export & EXPORT_SERVICES) && session_carries(want, family);
}

static bool is_up(const struct view *view, const struct session_want *want)
{
	const struct bird_session *have = bird_find_session(view->bird, want->name);

	return have && have->up;
}

/* What is the same for all rows. */
struct announcements {
	const struct view *view;
	struct prefix *in_bird; /* sorted */
	size_t n_in_bird;
	json_t *routers[FAMILIES]; /* sessions that are up */
};

static int prefix_order(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static void look_at_bird(struct announcements *a, struct arena *arena)
{
	const struct bird_state *bird = a->view->bird;

	for (size_t i = 0; i < bird->n_routes; i++)
		if (strcmp(bird->routes[i].protocol, "services4") == 0 ||
			strcmp(bird->routes[i].protocol, "services6") == 0)
			*ARENA_PUSH(arena, a->in_bird, &a->n_in_bird) = bird->routes[i].prefix;
	if (a->n_in_bird)
		qsort(a->in_bird, a->n_in_bird, sizeof(*a->in_bird), prefix_order);
}

static void look_at_sessions(struct announcements *a)
{
	for (enum family f = 0; f < FAMILIES; f++) {
		a->routers[f] = json_array();
		for (size_t i = 0; i < a->view->n_sessions; i++) {
			const struct session_want *want = &a->view->sessions[i];

			if (is_for_services(want, f) && is_up(a->view, want))
				json_array_append_new(a->routers[f], json_string(want->name));
		}
	}
}

/* Why nobody is told of what should be announced; NULL when somebody is. */
static const char *silence(const struct announcements *a, const struct prefix *prefix)
{
	enum family family = family_of(&prefix->addr);

	if (a->view->bird->err.code)
		return a->view->bird->err.msg;
	if (!a->n_in_bird ||
		!bsearch(prefix, a->in_bird, a->n_in_bird, sizeof(*prefix), prefix_order))
		return "BIRD does not have it: its configuration is not the wanted one";
	if (json_array_size(a->routers[family]))
		return NULL;
	for (size_t i = 0; i < a->view->n_sessions; i++)
		if (is_for_services(&a->view->sessions[i], family))
			return "no session to a router with export: [services] is up";
	return family == IPV4 ? "no router with export: [services] has an IPv4 session"
			      : "no router with export: [services] has an IPv6 session";
}

static json_t *row_json(const struct announcements *a, const struct service_address *item)
{
	const char *reason = item->verdict == SERVICE_ANNOUNCED ? silence(a, &item->prefix)
								: verdict_text(item->verdict);
	char address[ADDR_TEXT_MAX];

	return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "address",
		addr_format(&item->prefix.addr, address), "service", item->service, "type",
		service_kind_name(item->kind), "announced", !reason, "announcedTo",
		reason ? json_array() : json_incref(a->routers[family_of(&item->prefix.addr)]),
		"reason", reason ? json_string(reason) : json_null());
}

json_t *report_services(const struct view *view)
{
	struct announcements announcements = {.view = view};
	_cleanup_arena_ struct arena arena = {0};
	json_t *list = json_array();

	if (!view->cluster)
		return list;
	look_at_bird(&announcements, &arena);
	look_at_sessions(&announcements);
	for (size_t i = 0; i < view->cluster->services.n; i++)
		json_array_append_new(list,
			row_json(&announcements, &view->cluster->services.items[i]));
	for (enum family f = 0; f < FAMILIES; f++)
		json_decref(announcements.routers[f]);
	return list;
}

size_t services_to_announce(const struct view *view)
{
	return view->cluster ? view->cluster->services.announced.n : 0;
}

json_t *report_services_count(const struct view *view)
{
	size_t routers = 0, outside = 0;
	const struct services *services;

	if (!view->cluster || !cluster_exports_services(view->cluster, view->self))
		return json_null();
	services = &view->cluster->services;
	for (size_t i = 0; i < services->n; i++)
		outside += services->items[i].verdict == SERVICE_OUTSIDE;
	for (size_t i = 0; i < view->n_sessions; i++)
		routers += view->sessions[i].peer &&
			   (view->sessions[i].peer->export & EXPORT_SERVICES) &&
			   is_up(view, &view->sessions[i]);
	return json_pack("{s:i, s:i, s:i, s:i}", "addresses", (int)services->n, "announced",
		(int)services->announced.n, "outside", (int)outside, "routers", (int)routers);
}
