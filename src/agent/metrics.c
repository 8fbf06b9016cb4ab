/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "cni/range.h"

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

/* ---------------------------------------------------------------- the node */

static void sessions_since(const struct view *view, struct buf *out)
{
	static const char name[] = "roost_session_since_timestamp_seconds";

	head(out, name, "gauge", "Since when the session is in the state that it is in.");
	for (size_t i = 0; i < view->n_sessions; i++) {
		const struct bird_session *have =
			bird_find_session(view->bird, view->sessions[i].name);
		time_t since = have ? bird_time(have->since) : 0;

		if (since)
			buf_printf(out, "%s{session=\"%s\"} %lld\n", name, view->sessions[i].name,
				(long long)since);
	}
}

static void transaction(const struct view *view, struct buf *out)
{
	const struct agent_status *status = view->status;
	enum apply_outcome last = status->last.outcome;

	head(out, "roost_last_apply_timestamp_seconds", "gauge",
		"When the last transaction with BIRD ended; 0: there was none.");
	buf_printf(out, "roost_last_apply_timestamp_seconds %lld\n", (long long)status->last_at);
	head(out, "roost_last_apply_ok", "gauge", "1 when it was confirmed, or nothing had changed.");
	buf_printf(out, "roost_last_apply_ok %d\n",
		status->applied && (last == APPLY_CONFIRMED || last == APPLY_UNCHANGED));
	head(out, "roost_configuration_refused", "gauge",
		"1 when the wanted configuration was refused or rolled back.");
	buf_printf(out, "roost_configuration_refused %d\n",
		status->applied && (last == APPLY_REFUSED || last == APPLY_ROLLED_BACK));
	head(out, "roost_events", "counter", "How often something said that roostd has to look.");
	buf_printf(out, "roost_events_total %u\n", status->events);
	head(out, "roost_drained", "gauge", "0 in service, 1 leaving, 2 drained (roostctl drain).");
	buf_printf(out, "roost_drained %d\n", (int)view->drain.state);
}

/* As the plugin counts them when roost.yaml alone says what to give out. */
static size_t capacity(const struct node *self, enum family family)
{
	size_t n = 0;

	for (size_t i = 0; i < self->pod_cidrs.n; i++) {
		struct range range = {.subnet = self->pod_cidrs.items[i]};
		struct err ignored;

		if (family_of(&range.subnet.addr) == family && range_complete(&range, &ignored) == 0)
			n += range_size(&range) - 1; /* the gateway */
	}
	return n;
}

static void addresses(const struct view *view, struct buf *out)
{
	static const char *const label[FAMILIES] = {[IPV4] = "ipv4", [IPV6] = "ipv6"};

	head(out, "roost_pod_addresses_used", "gauge", "Addresses of the podCIDRs that pods have.");
	for (enum family f = 0; view->self && f < FAMILIES; f++)
		if (capacity(view->self, f))
			buf_printf(out, "roost_pod_addresses_used{family=\"%s\"} %zu\n", label[f],
				view->pods_used[f]);
	head(out, "roost_pod_addresses_free", "gauge",
		"Those that are left; of a podCIDR at most the first 65536 are given out.");
	for (enum family f = 0; view->self && f < FAMILIES; f++) {
		size_t all = capacity(view->self, f), used = view->pods_used[f];

		if (all)
			buf_printf(out, "roost_pod_addresses_free{family=\"%s\"} %zu\n", label[f],
				all > used ? all - used : 0);
	}
}

static void plugin(const struct counters *counters, struct buf *out)
{
	static const char *const command[COUNTED] = {[COUNTED_ADD] = "ADD", [COUNTED_DEL] = "DEL"};

	head(out, "roost_cni_failures", "counter", "Calls of the CNI plugin that failed.");
	for (enum counted c = 0; c < COUNTED; c++)
		buf_printf(out, "roost_cni_failures_total{command=\"%s\"} %llu\n", command[c],
			(unsigned long long)counters->of[c].failed);
	head(out, "roost_cni_duration_seconds", "histogram",
		"How long those took that did not fail, since the start of the machine.");
	for (enum counted c = 0; c < COUNTED; c++) {
		unsigned long long n = 0;

		for (size_t i = 0; i <= COUNTERS_BUCKETS; i++) {
			n += counters->of[c].buckets[i];
			buf_printf(out,
				"roost_cni_duration_seconds_bucket{command=\"%s\",le=\"%s\"} %llu\n",
				command[c], i < COUNTERS_BUCKETS ? counters_bounds[i] : "+Inf", n);
		}
		buf_printf(out,
			"roost_cni_duration_seconds_sum{command=\"%s\"} %.9f\n"
			"roost_cni_duration_seconds_count{command=\"%s\"} %llu\n",
			command[c], (double)counters->of[c].ns / 1e9, command[c], n);
	}
}

void metrics_of_node(const struct view *view, struct buf *out)
{
	sessions_since(view, out);
	transaction(view, out);
	addresses(view, out);
	plugin(&view->cni, out);
}

/* ---------------------------------------------------------------- the older format */

/* What the samples of a family are called. */
static const char *suffix_of(const char *type)
{
	return strcmp(type, "counter") == 0 ? "_total" : strcmp(type, "info") == 0 ? "_info" : "";
}

void metrics_as_text(const struct buf *open_metrics, struct buf *out)
{
	const char *at = buf_text(open_metrics);
	char type[16] = "";

	while (*at) {
		size_t len = strcspn(at, "\n");
		char name[128];
		int used;

		if (sscanf(at, "# TYPE %127s %15s", name, type) == 2)
			buf_printf(out, "# TYPE %s%s %s\n", name, suffix_of(type),
				strcmp(type, "info") == 0 ? "gauge" : type);
		else if (sscanf(at, "# HELP %127s %n", name, &used) == 1)
			buf_printf(out, "# HELP %s%s %.*s\n", name, suffix_of(type),
				(int)len - used, at + used);
		else if (*at != '#')
			buf_printf(out, "%.*s\n", (int)len, at);
		at += len + (at[len] == '\n');
	}
}
