/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "kube/split.h"

#define PAGE 500                 /* objects */
#define LIST_SILENCE_SECONDS 30
#define WATCH_SECONDS 1500       /* after which the server ends a watch, and half of it more */
#define RETRY_MS 500u
#define RETRY_MAX_MS 60000u
#define LASTED_SECONDS 5         /* of a watch: what comes then is no failure to begin */
#define MAX_OBJECTS 100000
#define STALE_SECONDS 120        /* a bookmark comes every minute, by most servers */
#define STALE_MAX_SECONDS 3600
#define HTTP_BAD_REQUEST 400
#define HTTP_GONE 410

struct watch {
	struct event_base *base;
	struct http *http;
	const struct kube_credentials *credentials;
	struct watch_want want;
	char *selector;
	watch_fn *changed;
	void *arg;

	struct kube_set set, fresh; /* fresh: a list that is not whole yet */
	struct watch_status status;
	struct http_request *request;
	struct split split;
	bool listing, expired;
	bool reconnect; /* the last answer was none, or an error: not by its connection again */
	bool quiet;     /* no event has come by this watch, */
	time_t quiet_seconds; /* nor by those before it while they were open */
	time_t patience; /* so long, and it is listed anew */
	char version[128]; /* the watch goes on behind this resourceVersion; "": list first */
	char *next_page;   /* `continue` of the list */
	struct event *retry;
	unsigned retry_ms;
	time_t opened_at; /* when the first byte of this answer came; 0: none has */
};

static void begin(struct watch *watch);

/* ---------------------------------------------------------------- objects */

static const char *string_at(const json_t *object, const char *a, const char *b)
{
	return json_string_value(json_object_get(json_object_get(object, a), b));
}

static int note_version(struct watch *watch, const json_t *object, struct err *err)
{
	const char *version = string_at(object, "metadata", "resourceVersion");

	if (!version || !*version || strlen(version) >= sizeof(watch->version) ||
		strspn(version, "0123456789") != strlen(version))
		return err_set(err, EBADMSG, "metadata.resourceVersion: expected a number");
	strcpy(watch->version, version);
	return 0;
}

/* "namespace/name", or "name". */
static void key_of(const json_t *reduced, struct buf *key)
{
	const char *space = json_string_value(json_object_get(reduced, "namespace"));
	const char *name = json_string_value(json_object_get(reduced, "name"));

	buf_printf(key, "%s%s%s", space ? space : "", space ? "/" : "", name ? name : "");
}

static int put(struct watch *watch, struct kube_set *set, const json_t *object, bool *did,
	struct err *err)
{
	json_t *reduced = watch->want.reduce(object, watch->want.reduce_arg, err);
	_cleanup_buf_ struct buf key = {0};
	_cleanup_free_ char *text = NULL;

	if (!reduced)
		return -1;
	text = json_dumps(reduced, JSON_COMPACT | JSON_SORT_KEYS);
	key_of(reduced, &key);
	json_decref(reduced);
	if (!text)
		return err_set(err, EBADMSG, "an object that is no JSON");
	if (set->n >= MAX_OBJECTS && !set_get(set, key.text))
		return err_set(err, EFBIG, "more than %d objects", MAX_OBJECTS);
	*did = set_put(set, key.text, text);
	return 0;
}

static int take_away(struct watch *watch, const json_t *object, bool *did, struct err *err)
{
	json_t *reduced = watch->want.reduce(object, watch->want.reduce_arg, err);
	_cleanup_buf_ struct buf key = {0};

	if (!reduced)
		return -1;
	key_of(reduced, &key);
	json_decref(reduced);
	*did = set_remove(&watch->set, key.text);
	return 0;
}

/* The watch ends with it; 410, or "Expired", is told from all other errors. */
static int take_error(struct watch *watch, const json_t *object, struct err *err)
{
	const char *message = json_string_value(json_object_get(object, "message"));
	const char *reason = json_string_value(json_object_get(object, "reason"));
	json_int_t code = json_integer_value(json_object_get(object, "code"));

	watch->expired = code == HTTP_GONE || (reason && strcmp(reason, "Expired") == 0);
	return err_set(err, code > 0 && code < 1000 ? (int)code : EBADMSG, "%s",
		message ? message : "an ERROR event");
}

static int take_event(struct watch *watch, const json_t *event, struct err *err)
{
	const json_t *object = json_object_get(event, "object");
	const char *type = json_string_value(json_object_get(event, "type"));
	bool did = false;
	int rc = 0;

	if (!type || !json_is_object(object))
		return err_set(err, EBADMSG, "expected an event with type and object");
	watch->status.events++;
	watch->quiet = false;
	if (strcmp(type, "ERROR") == 0)
		return take_error(watch, object, err);
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
		rc = put(watch, &watch->set, object, &did, err);
	else if (strcmp(type, "DELETED") == 0)
		rc = take_away(watch, object, &did, err);
	else if (strcmp(type, "BOOKMARK") != 0)
		return err_set(err, EBADMSG, "an event of type \"%.40s\"", type);
	if (rc == 0)
		rc = note_version(watch, object, err);
	if (did)
		watch->changed(watch->arg);
	return rc;
}

static json_t *parse(const char *text, size_t len, struct err *err)
{
	json_error_t why;
	json_t *json = json_loadb(text, len, JSON_ALLOW_NUL, &why);

	if (!json)
		err_set(err, EBADMSG, "no JSON: %s", why.text);
	return json;
}

static int on_item(const char *text, size_t len, void *arg, struct err *err)
{
	struct watch *watch = arg;
	json_t *item = parse(text, len, err);
	bool ignored;
	int rc;

	if (!item)
		return -1;
	rc = put(watch, &watch->fresh, item, &ignored, err);
	json_decref(item);
	return rc;
}

static int on_event(const char *text, size_t len, void *arg, struct err *err)
{
	struct watch *watch = arg;
	json_t *event = parse(text, len, err);
	int rc;

	if (!event)
		return -1;
	rc = take_event(watch, event, err);
	json_decref(event);
	return rc;
}

/* ---------------------------------------------------------------- how it goes on */

static void clear_error(struct watch *watch)
{
	if (!watch->status.err.code)
		return;
	if (watch->status.told)
		log_info("kubernetes: %s: the API server answers again", watch->want.resource);
	watch->status.err = (struct err){0};
	watch->status.told = false;
	watch->changed(watch->arg);
}

/* A first failure may be one of a moment: it is logged when it happens again, but at
 * once when only people can mend it. */
static void note_error(struct watch *watch, const struct err *err)
{
	bool again = watch->status.err.code != 0;
	bool other = strcmp(watch->status.err.msg, err->msg) != 0;

	watch->status.err = *err;
	if ((again || err->code == 401 || err->code == 403) && (!watch->status.told || other)) {
		log_warn("kubernetes: %s", err->msg);
		watch->status.told = true;
	}
	if (other)
		watch->changed(watch->arg);
}

/* Between half of it and all of it, so that not all nodes come at the same moment. */
static unsigned jittered(unsigned ms)
{
	unsigned random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (unsigned)clock();
	return ms / 2 + random % (ms / 2 + 1);
}

static void begin_later(struct watch *watch, unsigned ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	evtimer_add(watch->retry, &tv);
}

/* Longer each time, until a watch has lasted. */
static void back_off(struct watch *watch, unsigned asked_seconds)
{
	if (!watch->listing && watch->opened_at &&
		time(NULL) - watch->opened_at >= LASTED_SECONDS)
		watch->retry_ms = 0;
	watch->retry_ms = watch->retry_ms ? watch->retry_ms * 2 : RETRY_MS;
	if (watch->retry_ms > RETRY_MAX_MS)
		watch->retry_ms = RETRY_MAX_MS;
	begin_later(watch, asked_seconds * 1000 + jittered(watch->retry_ms));
}

static void failed(struct watch *watch, const struct http_result *result)
{
	watch->reconnect = true;
	note_error(watch, &result->err);
	back_off(watch, result->retry_after);
}

static void list_over(struct watch *watch)
{
	bool is_news = !watch->status.synced || !set_equal(&watch->set, &watch->fresh);

	set_move(&watch->set, &watch->fresh);
	watch->status.synced = true;
	watch->status.lists++;
	watch->listing = false;
	if (is_news)
		watch->changed(watch->arg);
	begin(watch);
}

/* What a list is besides its items: the place where it was read, and whether more comes. */
static int take_page(struct watch *watch, struct err *err)
{
	const char *kind, *next;
	json_t *list;
	int rc = 0;

	if (split_end(&watch->split, err) < 0)
		return -1;
	list = parse(buf_text(&watch->split.rest), watch->split.rest.len, err);
	if (!list)
		return -1;
	kind = json_string_value(json_object_get(list, "kind"));
	next = string_at(list, "metadata", "continue");
	free(watch->next_page);
	watch->next_page = next && *next ? xstrdup(next) : NULL;
	if (!kind || strcmp(kind, watch->want.list_kind) != 0)
		rc = err_set(err, EBADMSG, "expected a %s, got kind \"%.40s\"", watch->want.list_kind,
			kind ? kind : "");
	else
		rc = note_version(watch, list, err);
	json_decref(list);
	return rc;
}

static void list_anew(struct watch *watch)
{
	watch->version[0] = '\0';
	watch->quiet_seconds = 0;
	free(watch->next_page);
	watch->next_page = NULL;
	set_clear(&watch->fresh);
}

/* The verb and the resource are what whoever mends it looks for. */
static void describe(struct watch *watch, struct http_result *result)
{
	const char *verb = watch->listing ? "list" : "watch";

	if (result->err.code == 401)
		err_wrap(&result->err,
			"the API server does not accept our credentials (asking to %s %s)", verb,
			watch->want.resource);
	else if (result->err.code == 403)
		err_wrap(&result->err, "not permitted to %s %s, which our ClusterRole has to allow",
			verb, watch->want.resource);
	else
		err_wrap(&result->err, "%s %s from %s", verb, watch->want.resource,
			watch->credentials->server);
}

static void on_listed(const struct http_result *answer, void *arg)
{
	struct http_result result = *answer;
	struct watch *watch = arg;

	watch->request = NULL;
	if (!result.err.code && take_page(watch, &result.err) == 0) {
		if (watch->next_page)
			begin(watch);
		else
			list_over(watch);
		return;
	}
	describe(watch, &result);
	list_anew(watch); /* a page that is lost, or too old to go on with */
	failed(watch, &result);
}

/* Watches that are open and say nothing: the server may have come from a backup, and not
 * have reached our version yet; or there is nothing to say, and less and less is asked. */
static bool is_stale(struct watch *watch)
{
	time_t now = time(NULL);

	if (!watch->quiet) {
		watch->quiet_seconds = 0;
		watch->patience = STALE_SECONDS;
	} else if (watch->opened_at && now > watch->opened_at) {
		watch->quiet_seconds += now - watch->opened_at;
	}
	if (watch->quiet_seconds < watch->patience)
		return false;
	if (watch->patience < STALE_MAX_SECONDS)
		watch->patience *= 2;
	return true;
}

/* Servers end watches after a while, and that is no failure; but one that ends each at
 * once is not asked without a pause. */
static void on_watched(const struct http_result *answer, void *arg)
{
	struct http_result result = *answer;
	struct watch *watch = arg;

	watch->request = NULL;
	if (!result.err.code)
		split_end(&watch->split, &result.err);
	if (is_stale(watch))
		list_anew(watch);
	if (watch->expired || result.status == HTTP_GONE) {
		log_debug("kubernetes: %s: %s; listing anew", watch->want.resource, result.err.msg);
		list_anew(watch);
		back_off(watch, 0);
	} else if (result.err.code == ETIMEDOUT && watch->opened_at) {
		log_debug("kubernetes: %s: %s; opening the watch again", watch->want.resource,
			result.err.msg);
		watch->reconnect = true; /* what was silent may be dead */
		begin(watch);
	} else if (result.err.code) {
		describe(watch, &result);
		if (result.err.code == EBADMSG || result.err.code == EINVAL ||
			result.err.code == EFBIG || result.err.code == HTTP_BAD_REQUEST)
			list_anew(watch); /* what came after the bad event is unknown */
		failed(watch, &result);
	} else {
		back_off(watch, 0);
	}
}

/* ---------------------------------------------------------------- asking */

static int on_data(const char *data, size_t len, void *arg, struct err *err)
{
	struct watch *watch = arg;

	watch->status.heard_at = time(NULL);
	if (!watch->opened_at)
		watch->opened_at = watch->status.heard_at;
	if (!watch->listing) {
		watch->reconnect = false;
		clear_error(watch);
	}
	return split_feed(&watch->split, data, len, err);
}

static void add_list_query(const struct watch *watch, struct buf *path)
{
	char *token;

	buf_printf(path, "%slimit=%d", *watch->selector ? "&" : "", PAGE);
	if (!watch->next_page)
		return;
	token = curl_easy_escape(NULL, watch->next_page, 0);
	buf_printf(path, "&continue=%s", token ? token : "");
	curl_free(token);
}

static void begin(struct watch *watch)
{
	/* A page comes from where the one before it came from. */
	struct http_want want = {.data = on_data, .arg = watch,
		.fresh = watch->reconnect && !watch->next_page};
	_cleanup_buf_ struct buf path = {0};
	struct http_result result = {0};

	watch->listing = !watch->version[0] || watch->next_page;
	watch->expired = false;
	watch->quiet = true;
	watch->opened_at = 0;
	buf_printf(&path, "%s?%s", watch->want.path, watch->selector);
	if (watch->listing) {
		add_list_query(watch, &path);
		want.done = on_listed;
		want.silence = LIST_SILENCE_SECONDS;
		split_begin(&watch->split, SPLIT_LIST, on_item, watch);
	} else {
		buf_printf(&path,
			"%swatch=1&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%u",
			*watch->selector ? "&" : "", watch->version,
			WATCH_SECONDS + jittered(WATCH_SECONDS) / 2);
		want.done = on_watched;
		want.silence = watch->want.silence;
		split_begin(&watch->split, SPLIT_WATCH, on_event, watch);
	}
	want.path = path.text;
	watch->request = http_send(watch->http, watch->credentials, &want, &result.err);
	if (!watch->request) {
		describe(watch, &result);
		failed(watch, &result);
	}
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	begin(arg);
}

/* ---------------------------------------------------------------- life */

struct watch *watch_new(struct event_base *base, struct http *http,
	const struct kube_credentials *credentials, const struct watch_want *want,
	watch_fn *changed, void *arg)
{
	struct watch *watch = xmalloc(sizeof(*watch));

	memset(watch, 0, sizeof(*watch));
	watch->base = base;
	watch->http = http;
	watch->credentials = credentials;
	watch->want = *want;
	watch->selector = xstrdup(want->selector);
	watch->changed = changed;
	watch->arg = arg;
	watch->patience = STALE_SECONDS;
	watch->retry = evtimer_new(base, on_retry, watch);
	begin_later(watch, 0);
	return watch;
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	http_cancel(watch->request);
	event_free(watch->retry);
	set_clear(&watch->set);
	set_clear(&watch->fresh);
	split_free(&watch->split);
	free(watch->next_page);
	free(watch->selector);
	free(watch);
}

const struct kube_set *watch_set(const struct watch *watch)
{
	return &watch->set;
}

const struct watch_status *watch_status(const struct watch *watch)
{
	return &watch->status;
}
