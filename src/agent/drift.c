/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/drift.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/log.h"
#include "bird/control.h"
#include "bird/version.h"
#include "kernel/fibwatch.h"

#define QUIET_MS       100 /* from the first news to the look */
#define BUSY_MS        1000 /* from one look at a BIRD in recovery, or that starts, to the next */
#define REPAIR_MS      250 /* from asking BIRD to the look whether it helped, doubled ... */
#define MAX_TRIES      4   /* ... so many times; then BIRD's own look is as quick */
#define ANSWER_SECONDS 10
#define MAX_LINES      5 /* in the log, of one look */

struct drift {
	struct event_base *base;
	struct agent *agent;
	struct drift_status *status;
	struct fibwatch *watch;
	struct event *heard, *due;
	bool looking, again; /* a look is under way; another one is wanted */
	bool soon;           /* `due` is not for after a repair only */
	bool compared;       /* at least once */
	bool owed;           /* the last look was at a bad moment */
	unsigned tries;      /* how often BIRD was asked for what is still missing */
	struct arena arena;  /* of `known`: */
	struct report_drift known; /* what the last look found */
	struct control *control;   /* to BIRD, while it is asked to write its routes: */
	bool wants[FAMILIES];      /* of these families, */
	const char *word;          /* with this command */
};

/* The first call counts: news that never end are no reason never to look. */
static void look_soon(struct drift *drift)
{
	const struct timeval tv = {.tv_usec = QUIET_MS * 1000};

	if (!drift->soon)
		evtimer_add(drift->due, &tv);
	drift->soon = true;
}

void drift_turned(struct drift *drift, bool changed)
{
	if (changed || drift->owed || !drift->compared)
		look_soon(drift);
}

static void look_in(struct drift *drift, unsigned ms)
{
	const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	if (!drift->soon)
		evtimer_add(drift->due, &tv);
}

static void look_after_repair(struct drift *drift)
{
	look_in(drift, REPAIR_MS << drift->tries);
}

/* ---------------------------------------------------------------- asking BIRD */

static void on_reloaded(const struct reply *reply, const struct err *err, void *arg);

static void stop_asking(struct drift *drift)
{
	control_close(drift->control);
	drift->control = NULL;
	memset(drift->wants, 0, sizeof(drift->wants));
}

static void ask_next(struct drift *drift)
{
	char command[40];

	for (enum family f = 0; f < FAMILIES; f++) {
		if (!drift->wants[f])
			continue;
		drift->wants[f] = false;
		snprintf(command, sizeof(command), "%s kernel%d", drift->word, f == IPV4 ? 4 : 6);
		control_send(drift->control, command, ANSWER_SECONDS, on_reloaded, drift);
		return;
	}
	stop_asking(drift);
	look_after_repair(drift);
}

/* A BIRD that knows the command not, or has other names for its kernel protocols, finds
 * out at its next scan: that is what the look afterwards then says. */
static void on_reloaded(const struct reply *reply, const struct err *err, void *arg)
{
	struct drift *drift = arg;

	if (reply && reply_code(reply) < 8000) {
		ask_next(drift);
		return;
	}
	log_debug("drift: BIRD: %s", reply ? reply_text(reply) : err->msg);
	stop_asking(drift);
	look_after_repair(drift);
}

static void on_greeting(const struct reply *reply, const struct err *err, void *arg)
{
	struct drift *drift = arg;
	struct bird_version version;

	drift->word = reply && version_parse(reply_text(reply), &version) && version.major >= 3
			      ? "reload filters out"
			      : "reload out";
	on_reloaded(reply, err, arg);
}

static void repair(struct drift *drift, const struct report_drift *found)
{
	const struct cluster *cluster = agent_cluster(drift->agent);

	if (drift->control || !cluster)
		return;
	for (size_t i = 0; i < found->n; i++)
		drift->wants[family_of(&found->items[i].prefix.addr)] |= found->items[i].is_ours;
	drift->status->repairs++;
	drift->tries++;
	drift->control = control_open(drift->base, cluster->bird.socket, ANSWER_SECONDS, on_greeting,
		drift);
}

/* ---------------------------------------------------------------- comparing */

static bool is_known(const struct report_drift *known, const struct drift_route *route)
{
	for (size_t i = 0; i < known->n; i++)
		if (prefix_cmp(&known->items[i].prefix, &route->prefix) == 0)
			return strcmp(known->items[i].text, route->text) == 0;
	return false;
}

static void count_new(struct drift *drift, const struct report_drift *found)
{
	struct drift_status *status = drift->status;
	char prefix[PREFIX_TEXT_MAX];
	size_t n = 0;

	for (size_t i = 0; i < found->n; i++) {
		const struct drift_route *route = &found->items[i];

		if (is_known(&drift->known, route))
			continue;
		snprintf(status->last, sizeof(status->last), "%s: %s",
			prefix_format(&route->prefix, prefix), route->text);
		if (n++ < MAX_LINES)
			log_warn("drift: %s%s", status->last,
				route->is_ours ? "; BIRD is asked to put it back" : "");
	}
	if (n > MAX_LINES)
		log_warn("drift: and %zu more routes", n - MAX_LINES);
	if (n)
		status->last_at = time(NULL);
	status->seen += (unsigned)n;
}

static size_t count_ours(const struct report_drift *found)
{
	size_t n = 0;

	for (size_t i = 0; i < found->n; i++)
		n += found->items[i].is_ours;
	return n;
}

static void compare(struct drift *drift, const struct view *view)
{
	struct arena arena = {0};
	struct report_drift found = report_drift(view, &arena);
	size_t ours = count_ours(&found);

	drift->compared = true;
	count_new(drift, &found);
	if (!found.n && drift->known.n)
		log_info("drift: over, the kernel's routes are as they should be");
	if (!ours)
		drift->tries = 0;
	else if (drift->tries < MAX_TRIES)
		repair(drift, &found);
	else if (drift->tries++ == MAX_TRIES)
		log_warn("drift: BIRD does not put %zu routes back", ours);
	arena_free(&drift->arena);
	drift->arena = arena;
	drift->known = found;
}

static void on_view(const struct view *view, void *arg)
{
	struct drift *drift = arg;

	drift->looking = false;
	drift->owed = view->bird->err.code || view->bird->recovering || view->bird->starting ||
		view->fib_error->code || view->status->applying;
	if (!drift->owed)
		compare(drift, view);
	else if (view->bird->recovering || view->bird->starting) /* no turn follows on the end */
		look_in(drift, BUSY_MS);
	if (drift->again)
		look_soon(drift);
	drift->again = false;
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct drift *drift = arg;

	(void)fd;
	(void)what;
	drift->soon = false;
	if (drift->looking) {
		drift->again = true;
		return;
	}
	drift->looking = true;
	agent_observe(drift->agent, on_view, drift);
}

static void on_heard(evutil_socket_t fd, short what, void *arg)
{
	struct drift *drift = arg;
	const struct cluster *cluster = agent_cluster(drift->agent);
	const struct node *self = agent_self(drift->agent);
	const struct prefixes none = {0};
	const struct fibwatch_interest interest = {
		.within = cluster ? &cluster->pod_cidrs : &none,
		.own = self ? &self->pod_cidrs : &none,
		.birds = drift->known.n > 0, /* it may be putting things right */
	};

	(void)fd;
	(void)what;
	if (fibwatch_heard(drift->watch, &interest) && cluster)
		look_soon(drift);
}

/* ---------------------------------------------------------------- life */

struct drift *drift_new(struct event_base *base, struct agent *agent, struct drift_status *status)
{
	struct drift *drift = xmalloc(sizeof(*drift));
	struct err err;

	memset(drift, 0, sizeof(*drift));
	drift->base = base;
	drift->agent = agent;
	drift->status = status;
	drift->due = evtimer_new(base, on_due, drift);
	drift->watch = fibwatch_new(&err);
	if (!drift->watch) {
		log_error("drift: %s", err.msg);
		return drift;
	}
	drift->heard = event_new(base, fibwatch_fd(drift->watch), EV_READ | EV_PERSIST, on_heard, drift);
	event_add(drift->heard, NULL);
	return drift;
}

void drift_free(struct drift *drift)
{
	if (!drift)
		return;
	if (drift->heard)
		event_free(drift->heard);
	event_free(drift->due);
	control_close(drift->control);
	fibwatch_free(drift->watch);
	arena_free(&drift->arena);
	free(drift);
}
