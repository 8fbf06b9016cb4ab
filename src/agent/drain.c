/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/drain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#define LEAVING_SECONDS 10 /* in which everybody has taken another way */
#define AGAIN_SECONDS   5

struct drain {
	struct event_base *base;
	struct agent *agent;
	const char *path;
	struct drain_status status;
	struct event *timer;
	struct observation *look;
};

/* ---------------------------------------------------------------- the file */

struct drain_status drain_read(const char *path)
{
	struct drain_status status = {.state = DRAIN_LEAVING};
	_cleanup_buf_ struct buf text = {0};
	char word[16], stamp[32];
	struct tm tm = {0};
	struct err err;

	if (!path || (file_read(path, 256, &text, &err) < 0 && err.code == ENOENT))
		return (struct drain_status){.state = DRAIN_OFF};
	if (sscanf(buf_text(&text), "%15s %31s", word, stamp) != 2)
		return status;
	if (strcmp(word, "drained") == 0)
		status.state = DRAIN_DRAINED;
	if (strptime(stamp, "%Y-%m-%dT%H:%M:%SZ", &tm))
		status.since = timegm(&tm);
	return status;
}

/* Then, and only then, it is so. */
static int change(struct drain *drain, enum drain_state state, time_t since, struct err *err)
{
	char stamp[STAMP_TEXT_MAX], text[64];
	int len = snprintf(text, sizeof(text), "%s %s\n", drain_state_name(state),
		stamp_format(since, stamp));

	if (drain->path && state != DRAIN_OFF &&
		file_replace(drain->path, text, (size_t)len, 0644, err) < 0)
		return -1;
	if (drain->path && state == DRAIN_OFF && unlink(drain->path) < 0 && errno != ENOENT)
		return err_errno(err, "%s", drain->path);
	drain->status = (struct drain_status){.state = state, .since = since};
	log_info("drain: %s", drain_state_name(state));
	return 0;
}

/* ---------------------------------------------------------------- who else reflects */

static bool has_from(const struct bird_route *routes, size_t n, const struct prefix *prefix,
	const char *session)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_cmp(&routes[i].prefix, prefix) == 0 &&
			strcmp(routes[i].protocol, session) == 0)
			return true;
	return false;
}

static bool another_has(const struct cluster *cluster, const struct node *self,
	const struct bird_state *bird, const struct prefix *prefix)
{
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct node *node = &cluster->nodes[i];
		char session[RENDER_NAME_MAX];

		if (!node->reflector || node == self)
			continue;
		render_node_session_name(session, node, family_of(&prefix->addr));
		if (has_from(bird->marked, bird->n_marked, prefix, session))
			return true;
	}
	return false;
}

int drain_is_replaced(const struct cluster *cluster, const struct node *self,
	const struct bird_state *bird, struct err *waits)
{
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct node *node = &cluster->nodes[i];

		for (size_t j = 0; j < node->pod_cidrs.n; j++) {
			const struct prefix *prefix = &node->pod_cidrs.items[j];
			char session[RENDER_NAME_MAX], text[PREFIX_TEXT_MAX];

			render_node_session_name(session, node, family_of(&prefix->addr));
			if (!has_from(bird->routes, bird->n_routes, prefix, session) ||
				another_has(cluster, self, bird, prefix))
				continue;
			return err_set(waits, EAGAIN,
				"no other reflector that stays passes on %s's %s: it goes on "
				"reflecting",
				node->name, prefix_format(prefix, text));
		}
	}
	return 0;
}

/* ---------------------------------------------------------------- from leaving to drained */

static void look_after(struct drain *drain, time_t seconds)
{
	const struct timeval tv = {.tv_sec = seconds};

	evtimer_add(drain->timer, &tv);
}

static void wait_longer(struct drain *drain, const struct err *why)
{
	if (strcmp(drain->status.waits.msg, why->msg) != 0)
		log_warn("drain: waits: %s", why->msg);
	drain->status.waits = *why;
	look_after(drain, AGAIN_SECONDS);
}

static void drained(struct drain *drain)
{
	struct err err;

	if (change(drain, DRAIN_DRAINED, drain->status.since, &err) < 0)
		wait_longer(drain, &err);
	else
		agent_look_again(drain->agent);
}

static const struct node *self_of(const struct drain *drain, const struct cluster *cluster)
{
	return cluster ? cluster_find_node(cluster, agent_status(drain->agent)->node_name) : NULL;
}

static void on_look(struct bird_state *bird, void *arg)
{
	struct drain *drain = arg;
	const struct cluster *cluster = agent_cluster(drain->agent);
	const struct node *self = self_of(drain, cluster);
	struct err waits = bird->err;

	drain->look = NULL;
	if (!waits.code && drain_is_replaced(cluster, self, bird, &waits) == 0)
		drained(drain);
	else
		wait_longer(drain, &waits);
	bird_state_free(bird);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct drain *drain = arg;
	const struct cluster *cluster = agent_cluster(drain->agent);
	const struct node *self = self_of(drain, cluster);
	struct err err;

	(void)fd;
	(void)what;
	if (agent_follows_files(drain->agent, &err) < 0)
		wait_longer(drain, &err);
	else if (self->reflector && cluster->topology == TOPOLOGY_REFLECTOR)
		drain->look = observe_start(drain->base, cluster, DRAIN_STAYS, on_look, drain);
	else
		drained(drain);
}

void drain_announced(struct drain *drain)
{
	if (drain->status.state == DRAIN_LEAVING && !drain->look &&
		!evtimer_pending(drain->timer, NULL))
		look_after(drain, LEAVING_SECONDS);
}

int drain_set(struct drain *drain, bool on, struct err *err)
{
	if (on == (drain->status.state != DRAIN_OFF))
		return 0;
	if (change(drain, on ? DRAIN_LEAVING : DRAIN_OFF, time(NULL), err) < 0)
		return -1;
	observe_cancel(drain->look);
	drain->look = NULL;
	evtimer_del(drain->timer);
	return 0;
}

/* ---------------------------------------------------------------- life */

struct drain *drain_new(struct event_base *base, struct agent *agent, const char *path)
{
	struct drain *drain = xmalloc(sizeof(*drain));

	*drain = (struct drain){.base = base, .agent = agent, .path = path,
		.status = drain_read(path)};
	drain->timer = evtimer_new(base, on_timer, drain);
	return drain;
}

void drain_free(struct drain *drain)
{
	observe_cancel(drain->look);
	event_free(drain->timer);
	free(drain);
}

const struct drain_status *drain_status(const struct drain *drain)
{
	return &drain->status;
}
