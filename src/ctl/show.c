/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ctl/ctl.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static long long number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static int show_rows(const struct ctl *ctl, const char *path, const struct column *columns,
	size_t n)
{
	json_t *rows;
	int rc = client_fetch(ctl, "GET", path, &rows);

	if (rc == 0)
		rows_print(ctl, rows, columns, n);
	return rc;
}

/* ---------------------------------------------------------------- nodes */

static char *node_addresses(const json_t *row)
{
	return text_of_list(json_object_get(row, "addresses"));
}

static char *node_pod_cidrs(const json_t *row)
{
	return text_of_list(json_object_get(row, "podCIDRs"));
}

static char *node_sessions(const json_t *row)
{
	const json_t *sessions = json_object_get(row, "sessions");
	struct buf text = {0};

	const char *drain = text_of(row, "drain");

	if (is_true(row, "self"))
		buf_printf(&text, "this node%s%s", strcmp(drain, "off") == 0 ? "" : ", ",
			strcmp(drain, "off") == 0 ? "" : drain);
	else if (number_of(sessions, "total") == 0)
		buf_puts(&text, "-");
	else
		buf_printf(&text, "%lld/%lld up", number_of(sessions, "up"),
			number_of(sessions, "total"));
	return text.text;
}

static const char *node_colour(const json_t *row)
{
	const json_t *sessions = json_object_get(row, "sessions");

	return number_of(sessions, "up") < number_of(sessions, "total") ? "red" : NULL;
}

int ctl_nodes(const struct ctl *ctl)
{
	static const struct column columns[] = {
		{.title = "NODE", .key = "name"},
		{.title = "ADDRESSES", .format = node_addresses},
		{.title = "AS", .key = "asNumber", .right = true},
		{.title = "PODCIDRS", .format = node_pod_cidrs},
		{.title = "SESSIONS", .format = node_sessions, .colour = node_colour},
	};
	return show_rows(ctl, "/v1/nodes", columns, ARRAY_LEN(columns));
}

/* ---------------------------------------------------------------- peers */

static const char *peer_colour(const json_t *row)
{
	return is_true(row, "up") ? "green" : "red";
}

/* "Established, leaving": of the topology before. */
static char *peer_state(const json_t *row)
{
	struct buf text = {0};

	buf_printf(&text, "%s%s", text_of(row, "state"),
		is_true(row, "leaving") ? ", leaving" : "");
	return text.text;
}

int ctl_peers(const struct ctl *ctl)
{
	static const struct column columns[] = {
		{.title = "SESSION", .key = "session"},
		{.title = "KIND", .key = "kind"},
		{.title = "ADDRESS", .key = "address"},
		{.title = "AS", .key = "asNumber", .right = true},
		{.title = "STATE", .format = peer_state, .colour = peer_colour},
		{.title = "SINCE", .key = "since"},
		{.title = "IN", .key = "routesIn", .right = true},
		{.title = "OUT", .key = "routesOut", .right = true},
		{.title = "BFD", .key = "bfd"},
		{.title = "REASON", .key = "reason"},
	};
	return show_rows(ctl, "/v1/peers", columns, ARRAY_LEN(columns));
}

/* ---------------------------------------------------------------- routes */

/* "via 192.168.1.12" or "unreachable" or "-". */
static char *route_text(const json_t *route)
{
	const json_t *hops = json_object_get(route, "nextHops");
	struct buf text = {0};

	if (!json_is_object(route))
		buf_puts(&text, "-");
	else if (json_is_string(json_object_get(route, "nextHop")))
		buf_printf(&text, "via %s", text_of(route, "nextHop"));
	else if (json_array_size(hops) > 0) {
		char *list = text_of_list(hops);

		buf_printf(&text, "via %s", list);
		free(list);
	} else
		buf_puts(&text, text_of(route, "type"));
	return text.text;
}

static char *route_wanted(const json_t *row)
{
	struct buf text = {0};

	if (is_true(row, "own"))
		buf_puts(&text, "this node");
	else if (json_is_string(json_object_get(row, "wantedNextHop")))
		buf_printf(&text, "via %s", text_of(row, "wantedNextHop"));
	else
		buf_puts(&text, "any");
	return text.text;
}

static char *route_bird(const json_t *row)
{
	return route_text(json_object_get(row, "bird"));
}

static char *route_kernel(const json_t *row)
{
	const json_t *kernel = json_object_get(row, "kernel");

	/* The bridge is there: the connected route, with our unreachable behind it. */
	if (is_true(row, "own") && json_is_object(kernel) &&
		strcmp(text_of(kernel, "type"), "unicast") == 0 &&
		json_array_size(json_object_get(kernel, "nextHops")) == 0)
		return xstrdup("bridge");
	return route_text(kernel);
}

static bool route_is_ok(const json_t *row)
{
	return strcmp(text_of(row, "verdict"), "ok") == 0;
}

/* And what to do about it, where a person has to. */
static char *route_verdict(const json_t *row)
{
	struct buf text = {0};

	buf_puts(&text, text_of(row, "verdict"));
	if (json_is_string(json_object_get(row, "advice")))
		buf_printf(&text, "; %s", text_of(row, "advice"));
	return text.text;
}

static const char *route_colour(const json_t *row)
{
	return route_is_ok(row) ? "green" : "red";
}

int ctl_routes(const struct ctl *ctl)
{
	static const struct column columns[] = {
		{.title = "PREFIX", .key = "prefix"},
		{.title = "NODE", .key = "node"},
		{.title = "WANTED", .format = route_wanted},
		{.title = "BIRD", .format = route_bird},
		{.title = "KERNEL", .format = route_kernel},
		{.title = "VERDICT", .format = route_verdict, .colour = route_colour},
	};
	const json_t *row;
	json_t *rows;
	int rc = client_fetch(ctl, "GET", "/v1/routes", &rows);
	size_t i;

	if (rc != 0)
		return rc;
	json_array_foreach(rows, i, row)
		rc |= !route_is_ok(row);
	rows_print(ctl, rows, columns, ARRAY_LEN(columns));
	return rc;
}

/* ---------------------------------------------------------------- services */

static char *service_announced(const json_t *row)
{
	if (is_true(row, "announced"))
		return text_of_list(json_object_get(row, "announcedTo"));
	return xstrdup("-");
}

static const char *service_colour(const json_t *row)
{
	return is_true(row, "announced") ? "green" : NULL;
}

int ctl_services(const struct ctl *ctl)
{
	static const struct column columns[] = {
		{.title = "ADDRESS", .key = "address"},
		{.title = "SERVICE", .key = "service"},
		{.title = "TYPE", .key = "type"},
		{.title = "ANNOUNCED TO", .format = service_announced, .colour = service_colour},
		{.title = "WHY NOT", .key = "reason"},
	};
	return show_rows(ctl, "/v1/services", columns, ARRAY_LEN(columns));
}

/* ---------------------------------------------------------------- explain */

int ctl_explain(const struct ctl *ctl)
{
	const json_t *item;
	char path[100];
	json_t *json;
	bool broken;
	size_t i;
	int rc;

	snprintf(path, sizeof(path), "/v1/explain?address=%s", ctl->address);
	rc = client_fetch(ctl, "GET", path, &json);
	if (rc != 0)
		return rc;
	broken = is_true(json, "broken");
	if (ctl->json)
		json_print(json);
	else
		json_array_foreach(json_object_get(json, "steps"), i, item)
			printf("%s%-6s%s  %-10s  %s\n",
				!ctl->colour ? "" : is_true(item, "ok") ? "\033[32m" : "\033[31m",
				is_true(item, "ok") ? "ok" : "BROKEN", ctl->colour ? "\033[0m" : "",
				text_of(item, "step"), text_of(item, "text"));
	json_decref(json);
	return broken ? 1 : 0;
}

/* ---------------------------------------------------------------- status */

static void print_list(const struct ctl *ctl, const char *title, const json_t *list,
	const char *colour)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		printf("  %s%-9s%s %s\n", ctl->colour ? colour : "", i ? "" : title,
			ctl->colour ? "\033[0m" : "", json_string_value(item));
}

static void print_pod_cidrs(const json_t *status)
{
	const json_t *list = json_object_get(status, "podCIDRs"), *item;
	size_t i;

	json_array_foreach(list, i, item)
		printf("podCIDR        %s, announced to %lld neighbour%s\n", text_of(item, "prefix"),
			number_of(item, "announcedTo"),
			number_of(item, "announcedTo") == 1 ? "" : "s");
}

static void print_configuration(const json_t *status)
{
	const json_t *configuration = json_object_get(status, "configuration");
	const json_t *refusal = json_object_get(configuration, "lastRefusal");

	printf("configuration  generation %lld, confirmed %s%s\n",
		number_of(configuration, "generation"), text_of(configuration, "confirmedAt"),
		is_true(configuration, "applying") ? ", a new one is being applied" : "");
	if (json_is_object(refusal))
		printf("last refusal   %s %s: %s\n", text_of(refusal, "at"),
			text_of(refusal, "outcome"), text_of(refusal, "reason"));
	if (json_is_string(json_object_get(refusal, "nextTryAt")))
		printf("next try       %s, or now with roostctl apply\n",
			text_of(refusal, "nextTryAt"));
}

static void print_services(const json_t *services)
{
	if (!json_is_object(services))
		return;
	printf("services       %lld of %lld addresses announced, to %lld routers",
		number_of(services, "announced"), number_of(services, "addresses"),
		number_of(services, "routers"));
	if (number_of(services, "outside"))
		printf("; %lld outside cluster.serviceCIDRs", number_of(services, "outside"));
	putchar('\n');
}

/* Not a word of it where nobody wants it. */
static void print_masquerade(const json_t *masquerade)
{
	const char *state = text_of(masquerade, "state");

	if (strcmp(state, "idle") == 0)
		puts("masquerade     on, and nothing to masquerade on this node");
	else if (masquerade && strcmp(state, "off") != 0)
		printf("masquerade     %s, nftables table %s\n", state, text_of(masquerade, "table"));
}

static void print_kubernetes(const json_t *kubernetes)
{
	if (json_is_object(kubernetes))
		printf("kubernetes     %s, %s %lld s ago\n", text_of(kubernetes, "server"),
			is_true(kubernetes, "synced") ? "heard" : "not heard yet; cluster.json is of",
			number_of(kubernetes, "ageSeconds"));
}

static void print_drain(const struct ctl *ctl, const json_t *drain)
{
	const char *state = text_of(drain, "state");

	if (strcmp(state, "off") != 0)
		printf("drain          %s%s%s since %s\n", ctl->colour ? "\033[33m" : "", state,
			ctl->colour ? "\033[0m" : "", text_of(drain, "since"));
}

/* What was, and may be over: somebody does that to this machine. */
static void print_drift(const json_t *drift)
{
	if (number_of(drift, "seen"))
		printf("drift          %lld routes since roostd runs, the last at %s: %s\n",
			number_of(drift, "seen"), text_of(drift, "lastAt"), text_of(drift, "last"));
}

static void print_status(const struct ctl *ctl, const json_t *status)
{
	const json_t *source = json_object_get(status, "source");
	const json_t *bird = json_object_get(status, "bird");
	const json_t *sessions = json_object_get(status, "sessions");
	const json_t *routes = json_object_get(status, "routes");
	bool healthy = strcmp(text_of(status, "health"), "healthy") == 0;

	printf("node           %s, cluster %s: %s%s%s\n", text_of(status, "node"),
		text_of(status, "cluster"), !ctl->colour ? "" : healthy ? "\033[32m" : "\033[31m",
		text_of(status, "health"), ctl->colour ? "\033[0m" : "");
	print_drain(ctl, json_object_get(status, "drain"));
	printf("source         %s, read %s%s\n", text_of(source, "path"),
		text_of(source, "loadedAt"),
		json_is_string(json_object_get(source, "error")) ? ", refused since" : "");
	print_kubernetes(json_object_get(source, "kubernetes"));
	print_configuration(status);
	if (is_true(bird, "reachable"))
		printf("BIRD           %s\n", text_of(bird, "version"));
	else
		printf("BIRD           not reachable: %s\n", text_of(bird, "error"));
	printf("sessions       %lld of %lld up", number_of(sessions, "up"),
		number_of(sessions, "total"));
	if (number_of(sessions, "leaving"))
		printf(", %lld of the topology before leaving", number_of(sessions, "leaving"));
	putchar('\n');
	print_pod_cidrs(status);
	print_services(json_object_get(status, "services"));
	print_masquerade(json_object_get(status, "masquerade"));
	printf("routes         %lld of %lld as they should be, drift %lld\n",
		number_of(routes, "ok"), number_of(routes, "expected"), number_of(routes, "drift"));
	print_drift(json_object_get(status, "drift"));
	print_list(ctl, "problem", json_object_get(status, "problems"), "\033[31m");
	print_list(ctl, "warning", json_object_get(status, "warnings"), "\033[33m");
}

int ctl_status(const struct ctl *ctl)
{
	json_t *status;
	int rc = client_fetch(ctl, "GET", "/v1/status", &status);

	if (rc != 0)
		return rc;
	rc = strcmp(text_of(status, "health"), "healthy") == 0 ? 0 : 1;
	if (ctl->json)
		json_print(status);
	else
		print_status(ctl, status);
	json_decref(status);
	return rc;
}
