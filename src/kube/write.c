/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "kube/set.h"

#define ANSWER_SECONDS 30
#define FAILED_SECONDS 60
#define FORBIDDEN_SECONDS 3600
/* Somebody who breaks all Nodes at once is not to fill etcd. */
#define EVENTS_PER_HOUR 20

enum write { WRITE_CONDITION, WRITE_EVENT, WRITES };

static const struct {
	const char *what, *method, *type, *without;
} writes[WRITES] = {
	[WRITE_CONDITION] = {"condition", "PATCH", "application/strategic-merge-patch+json",
		"this Node's condition NetworkUnavailable stays as it is"},
	[WRITE_EVENT] = {"event", "POST", "application/json",
		"Nodes that are left out are named by roostctl status only"},
};

struct writer {
	struct http *http;
	const char *self;
	const struct kube_credentials *credentials;
	struct http_request *request; /* one at a time ... */
	enum write sent;              /* ... and what it is */
	char *uid, *told_uid;         /* of our Node: announced, and told so; NULL: not yet */
	struct kube_set left_out;     /* Node -> why; those that are told too, in ... */
	struct kube_set told;
	char *event_node;             /* of the request that is under way */
	time_t not_before[WRITES];
	bool said[WRITES]; /* that it is forbidden */
	time_t hour;       /* when it began, and the events since then */
	unsigned n_events;
	struct event *timer;
};

/* ---------------------------------------------------------------- what is sent */

static json_t *json_time(time_t when)
{
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &tm));
	return json_string(text);
}

json_t *write_condition(time_t now)
{
	return json_pack("{s:{s:[{s:s, s:s, s:s, s:s, s:o, s:o}]}}", "status", "conditions", "type",
		"NetworkUnavailable", "status", "False", "reason", "RoostAnnouncesRoutes", "message",
		"Roost announces the routes to this node's pods", "lastHeartbeatTime", json_time(now),
		"lastTransitionTime", json_time(now));
}

/* kubectl describe looks for a Node's Events under its name for a uid, too. */
json_t *write_event(const char *node, const char *why, const char *self, time_t now)
{
	uint64_t hash = hash_add(hash_add(HASH_START, node, strlen(node) + 1), why, strlen(why));
	json_t *event = json_pack("{s:s, s:s, s:s, s:s, s:i, s:o, s:o}", "apiVersion", "v1", "kind",
		"Event", "type", "Warning", "reason", "LeftOut", "count", 1, "firstTimestamp",
		json_time(now), "lastTimestamp", json_time(now));

	json_object_set_new(event, "metadata",
		json_pack("{s:o, s:s}", "name", json_sprintf("roost.%016llx", (unsigned long long)hash),
			"namespace", "default"));
	json_object_set_new(event, "involvedObject",
		json_pack("{s:s, s:s, s:s, s:s}", "apiVersion", "v1", "kind", "Node", "name", node,
			"uid", node));
	json_object_set_new(event, "source",
		json_pack("{s:s, s:s}", "component", "roostd", "host", self));
	json_object_set_new(event, "message",
		json_sprintf("Roost leaves this Node out: %s", why));
	return event;
}

/* ---------------------------------------------------------------- sending */

static void step(struct writer *writer);

/* A Node that is left out and was not told of; NULL: none, or enough for this hour. */
static const struct kube_item *next_event(struct writer *writer, time_t now)
{
	if (now - writer->hour >= 3600) {
		writer->hour = now;
		writer->n_events = 0;
	}
	for (size_t i = 0; i < writer->left_out.n && writer->n_events < EVENTS_PER_HOUR; i++) {
		const struct kube_item *item = &writer->left_out.items[i];
		const char *told = set_get(&writer->told, item->key);

		if (!told || strcmp(told, item->text) != 0)
			return item;
	}
	return NULL;
}

static bool wants_condition(const struct writer *writer)
{
	return writer->uid && (!writer->told_uid || strcmp(writer->uid, writer->told_uid) != 0);
}

/* It was noted as told when it was sent, for meanwhile there may be something new. */
static void forget_sent(struct writer *writer)
{
	if (writer->sent == WRITE_EVENT) {
		set_remove(&writer->told, writer->event_node);
		return;
	}
	free(writer->told_uid);
	writer->told_uid = NULL;
}

static void wait_for(struct writer *writer, enum write write, unsigned seconds)
{
	writer->not_before[write] = time(NULL) + (time_t)seconds;
}

static void on_done(const struct http_result *result, void *arg)
{
	struct writer *writer = arg;
	enum write sent = writer->sent;

	writer->request = NULL;
	if (result->status / 100 == 2 || (sent == WRITE_EVENT && result->status == 409)) {
		writer->said[sent] = false;
		step(writer);
		return;
	}
	forget_sent(writer);
	if (result->status == 403) {
		if (!writer->said[sent])
			log_info("kubernetes: %s; so %s", result->err.msg, writes[sent].without);
		writer->said[sent] = true;
		wait_for(writer, sent, FORBIDDEN_SECONDS);
	} else {
		log_debug("kubernetes: %s: %s", writes[sent].what, result->err.msg);
		wait_for(writer, sent,
			result->retry_after > FAILED_SECONDS ? result->retry_after : FAILED_SECONDS);
	}
	step(writer);
}

/* Takes over `json`. */
static void send_json(struct writer *writer, enum write write, const char *path, json_t *json)
{
	_cleanup_free_ char *body = json_dumps(json, JSON_COMPACT);
	const struct http_want want = {
		.method = writes[write].method,
		.path = path,
		.type = writes[write].type,
		.body = body ? body : "",
		.silence = ANSWER_SECONDS,
		.done = on_done,
		.arg = writer,
	};
	struct err err;

	json_decref(json);
	writer->sent = write;
	writer->request = http_send(writer->http, writer->credentials, &want, &err);
	if (writer->request)
		return;
	log_debug("kubernetes: %s: %s", writes[write].what, err.msg);
	forget_sent(writer);
	wait_for(writer, write, FAILED_SECONDS);
	step(writer);
}

static void send_condition(struct writer *writer, time_t now)
{
	_cleanup_buf_ struct buf path = {0};

	free(writer->told_uid);
	writer->told_uid = xstrdup(writer->uid);
	buf_printf(&path, "/api/v1/nodes/%s/status", writer->self);
	send_json(writer, WRITE_CONDITION, path.text, write_condition(now));
}

static void send_event(struct writer *writer, const struct kube_item *item, time_t now)
{
	free(writer->event_node);
	writer->event_node = xstrdup(item->key);
	set_put(&writer->told, item->key, item->text);
	writer->n_events++;
	send_json(writer, WRITE_EVENT, "/api/v1/namespaces/default/events",
		write_event(item->key, item->text, writer->self, now));
}

static void step(struct writer *writer)
{
	const struct kube_item *item;
	time_t now = time(NULL), wait = 0;
	bool condition;

	if (!writer->credentials || writer->request)
		return;
	condition = wants_condition(writer);
	item = next_event(writer, now);
	if (condition && now >= writer->not_before[WRITE_CONDITION]) {
		send_condition(writer, now);
		return;
	}
	if (item && now >= writer->not_before[WRITE_EVENT]) {
		send_event(writer, item, now);
		return;
	}
	if (condition)
		wait = writer->not_before[WRITE_CONDITION];
	if (item && (!wait || writer->not_before[WRITE_EVENT] < wait))
		wait = writer->not_before[WRITE_EVENT];
	if (wait)
		evtimer_add(writer->timer, &(struct timeval){.tv_sec = wait - now});
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	step(arg);
}

/* ---------------------------------------------------------------- what is to be told */

void writer_tell_announced(struct writer *writer, const char *uid)
{
	if (writer->uid && strcmp(writer->uid, uid) == 0)
		return;
	free(writer->uid);
	writer->uid = xstrdup(uid);
	step(writer);
}

void writer_tell_left_out(struct writer *writer, const struct left_out *items, size_t n)
{
	struct kube_set left_out = {0}, told = {0};

	for (size_t i = 0; i < n; i++) {
		const char *why = set_get(&writer->told, items[i].name);

		set_put(&left_out, items[i].name, items[i].why);
		if (why) /* who is fine for a while and bad again is told of again */
			set_put(&told, items[i].name, why);
	}
	set_move(&writer->left_out, &left_out);
	set_move(&writer->told, &told);
	step(writer);
}

/* ---------------------------------------------------------------- life */

void writer_use(struct writer *writer, const struct kube_credentials *credentials)
{
	if (writer->request) {
		http_cancel(writer->request);
		writer->request = NULL;
		forget_sent(writer);
	}
	writer->credentials = credentials;
	/* As somebody else more may be permitted. */
	memset(writer->not_before, 0, sizeof(writer->not_before));
	step(writer);
}

struct writer *writer_new(struct event_base *base, struct http *http, const char *self)
{
	struct writer *writer = xmalloc(sizeof(*writer));

	memset(writer, 0, sizeof(*writer));
	writer->http = http;
	writer->self = self;
	writer->timer = evtimer_new(base, on_timer, writer);
	return writer;
}

void writer_free(struct writer *writer)
{
	if (!writer)
		return;
	http_cancel(writer->request);
	event_free(writer->timer);
	set_clear(&writer->left_out);
	set_clear(&writer->told);
	free(writer->uid);
	free(writer->told_uid);
	free(writer->event_node);
	free(writer);
}
