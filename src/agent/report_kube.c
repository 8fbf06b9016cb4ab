/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/report_kube.h"

#define LEFT_OUT_SHOWN 20

/* When what is used was last known to be true; 0: unknown. */
static time_t known_at(const struct kube_status *kube)
{
	return kube->synced ? kube->heard_at : kube->saved_at;
}

static json_t *left_out_json(const struct cluster *cluster)
{
	json_t *list = json_array();

	for (size_t i = 0; cluster && i < cluster->n_left_out; i++)
		json_array_append_new(list,
			json_pack("{s:s, s:s}", "name", cluster->left_out[i].name, "reason",
				cluster->left_out[i].why));
	return list;
}

json_t *report_kube(const struct view *view)
{
	const struct kube_status *kube = &view->kube;

	if (!kube->used)
		return json_null();
	return json_pack("{s:s, s:b, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o}", "server", kube->server,
		"synced", kube->synced, "heardAt", report_time(kube->heard_at), "savedAt",
		report_time(kube->saved_at), "ageSeconds",
		known_at(kube) ? json_integer(view->now - known_at(kube)) : json_null(), "events",
		(json_int_t)kube->events, "lists", (json_int_t)kube->lists, "heldNodes",
		(json_int_t)kube->n_held, "leftOut", left_out_json(view->cluster), "error",
		kube->err.code ? json_string(kube->err.msg) : json_null());
}

static void add(json_t *problems, json_t *text)
{
	json_array_append_new(problems, text);
}

static void add_left_out(const struct cluster *cluster, json_t *problems)
{
	for (size_t i = 0; i < cluster->n_left_out && i < LEFT_OUT_SHOWN; i++)
		add(problems,
			json_sprintf("Node %s is left out: %s", cluster->left_out[i].name,
				cluster->left_out[i].why));
	if (cluster->n_left_out > LEFT_OUT_SHOWN)
		add(problems,
			json_sprintf("and %d Nodes more are left out, see roostctl -o json status",
				(int)(cluster->n_left_out - LEFT_OUT_SHOWN)));
}

void report_kube_problems(const struct view *view, json_t *problems)
{
	const struct kube_status *kube = &view->kube;
	time_t age = known_at(kube) ? view->now - known_at(kube) : 0;

	if (!kube->used)
		return;
	if (kube->err.code)
		add(problems,
			json_sprintf("kubernetes: %s; the nodes are those of %lld s ago", kube->err.msg,
				(long long)age));
	else if (!kube->synced && view->cluster)
		add(problems,
			json_sprintf("kubernetes: the API server was not heard since roostd started; the "
				     "nodes are those of cluster.json, %lld s old",
				(long long)age));
	if (kube->services_err.code)
		add(problems,
			json_sprintf("kubernetes: %s; Services are announced as they were known before",
				kube->services_err.msg));
	if (kube->n_held)
		add(problems,
			json_sprintf("kubernetes: %d nodes are gone all of a sudden and held back since "
				     "%lld s (agent.maxWithdraw); roostctl apply --force lets them go",
				(int)kube->n_held, (long long)(view->now - kube->held_since)));
	if (view->self && !view->self->pod_cidrs.n)
		add(problems,
			json_string("this Node has no podCIDR, so it can have no pods; "
				    "kube-controller-manager gives it one with --allocate-node-cidrs"));
	if (view->cluster)
		add_left_out(view->cluster, problems);
}

static void series(struct buf *out, const char *name, const char *type, const char *help,
	double value)
{
	buf_printf(out, "# TYPE %s %s\n# HELP %s %s\n%s%s %.17g\n", name, type, name, help, name,
		type[0] == 'c' ? "_total" : "", value);
}

void report_kube_metrics(const struct view *view, struct buf *out)
{
	const struct kube_status *kube = &view->kube;

	if (!kube->used)
		return;
	series(out, "roost_source_synced", "gauge", "1 when the API server was listed and is watched.",
		kube->synced && !kube->err.code);
	series(out, "roost_source_age_seconds", "gauge",
		"Since what is known of the cluster was last known to be so.",
		known_at(kube) ? (double)(view->now - known_at(kube)) : -1);
	series(out, "roost_source_events", "counter", "Events of watches.", (double)kube->events);
	series(out, "roost_source_lists", "counter", "Lists that were read to their end.",
		(double)kube->lists);
	series(out, "roost_source_bad_nodes", "gauge", "Nodes that were left out.",
		view->cluster ? (double)view->cluster->n_left_out : 0);
	series(out, "roost_source_held_nodes", "gauge",
		"Nodes that are gone and held back by agent.maxWithdraw.", (double)kube->n_held);
}
