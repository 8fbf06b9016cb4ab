/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/http.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define CONNECT_SECONDS 10L
#define MAX_BAD_ANSWER (64u << 10) /* bytes of it that are read */
#define BUFFER_BYTES (32L << 10)

struct http {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	struct http_request *requests;
};

struct http_request {
	struct http *http;
	struct http_request *next;
	CURL *easy;
	struct curl_slist *headers;
	char *body;
	struct event *silent;
	struct timeval silence;
	struct buf bad; /* an answer that is not 2xx */
	struct err err; /* of `data`, or that it was silent */
	http_data_fn *data;
	http_done_fn *done;
	void *arg;
	char errors[CURL_ERROR_SIZE];
};

/* ---------------------------------------------------------------- the end of a request */

static void request_free(struct http_request *request)
{
	struct http_request **at = &request->http->requests;

	while (*at != request)
		at = &(*at)->next;
	*at = request->next;
	curl_multi_remove_handle(request->http->multi, request->easy);
	curl_easy_cleanup(request->easy);
	curl_slist_free_all(request->headers);
	event_free(request->silent);
	buf_free(&request->bad);
	free(request->body);
	free(request);
}

void http_cancel(struct http_request *request)
{
	if (request)
		request_free(request);
}

/* What the API server says of itself, in the Status object of an answer. */
static void describe_status(const struct http_request *request, long status, struct err *err)
{
	json_t *json = json_loadb(buf_text(&request->bad), request->bad.len, 0, NULL);
	const char *message = json_string_value(json_object_get(json, "message"));

	if (message)
		err_set(err, (int)status, "%ld %s", status, message);
	else
		err_set(err, (int)status, "the API server answers %ld", status);
	json_decref(json);
}

static void finish(struct http_request *request, CURLcode code)
{
	struct http_result result = {0};
	http_done_fn *done = request->done;
	curl_off_t retry_after = 0;
	void *arg = request->arg;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &result.status);
	curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after);
	result.retry_after = retry_after > 3600 ? 3600 : (unsigned)retry_after;
	if (request->err.code) {
		result.err = request->err;
		result.status = 0;
	} else if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && request->bad.len)) {
		err_set(&result.err, EIO, "%s",
			request->errors[0] ? request->errors : curl_easy_strerror(code));
		result.status = 0;
	} else if (result.status / 100 != 2) {
		describe_status(request, result.status, &result.err);
	}
	request_free(request);
	done(&result, arg);
}

static void finish_all(struct http *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct http_request *request = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		finish(request, message->data.result);
	}
}

static void on_silent(evutil_socket_t fd, short what, void *arg)
{
	struct http_request *request = arg;

	(void)fd;
	(void)what;
	err_set(&request->err, ETIMEDOUT, "nothing heard for %ld s", (long)request->silence.tv_sec);
	/* HTTP/2 would keep the connection, and ask by it again. */
	curl_easy_setopt(request->easy, CURLOPT_FORBID_REUSE, 1L);
	finish(request, CURLE_OPERATION_TIMEDOUT);
}

/* ---------------------------------------------------------------- curl on libevent */

static void act(struct http *http, curl_socket_t fd, int events)
{
	int running;

	curl_multi_socket_action(http->multi, fd, events, &running);
	finish_all(http);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	int events = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

	act(arg, fd, events);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *event)
{
	struct http *http = arg;
	short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) |
		(what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);

	(void)easy;
	if (event)
		event_free(event);
	event = what == CURL_POLL_REMOVE ? NULL : event_new(http->base, fd, events, on_ready, http);
	if (event)
		event_add(event, NULL);
	curl_multi_assign(http->multi, fd, event);
	return 0;
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct http *http = arg;
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	(void)multi;
	if (ms < 0)
		evtimer_del(http->timer);
	else
		evtimer_add(http->timer, &tv);
	return 0;
}

struct http *http_new(struct event_base *base, struct err *err)
{
	struct http *http;

	if (libcurl_load(err) < 0)
		return NULL;
	http = xmalloc(sizeof(*http));
	curl_global_init(CURL_GLOBAL_DEFAULT);
	*http = (struct http){.base = base, .multi = curl_multi_init()};
	http->timer = evtimer_new(base, on_timer, http);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	return http;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	while (http->requests)
		request_free(http->requests);
	curl_multi_cleanup(http->multi);
	event_free(http->timer);
	curl_global_cleanup();
	free(http);
}

/* ---------------------------------------------------------------- a request */

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	struct http_request *request = arg;
	size_t len = size * n;
	long status = 0;

	evtimer_add(request->silent, &request->silence);
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status / 100 == 2)
		return !request->data || request->data(data, len, request->arg, &request->err) == 0 ? len : 0;
	if (request->bad.len + len > MAX_BAD_ANSWER)
		return 0;
	buf_add(&request->bad, data, len);
	return len;
}

/* The blank line behind the headers: the server has taken the request. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_request *request = arg;
	long status = 0;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (size * n == 2 && line[0] == '\r' && status / 100 == 2)
		on_data(line, 0, 0, request);
	return size * n;
}

static void add_header(struct http_request *request, const char *name, const char *value)
{
	_cleanup_buf_ struct buf line = {0};

	buf_printf(&line, "%s: %s", name, value);
	request->headers = curl_slist_append(request->headers, line.text);
}

static int set_options(struct http_request *request, const struct kube_credentials *credentials,
	const struct http_want *want, struct err *err)
{
	_cleanup_buf_ struct buf url = {0};
	CURL *easy = request->easy;

	buf_printf(&url, "%s%s", credentials->url, want->path);
	curl_easy_setopt(easy, CURLOPT_URL, url.text);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->errors);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	/* Who gives up does not wait for the thread that asks a dead name server. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)want->fresh);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "roostd/" PACKAGE_VERSION);
	add_header(request, "Accept", "application/json");
	if (want->method)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, want->method);
	if (want->body) {
		request->body = xstrdup(want->body);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
		add_header(request, "Content-Type", want->type);
		add_header(request, "Expect", "");
	}
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
	return kube_credentials_apply(credentials, easy, err);
}

struct http_request *http_send(struct http *http, const struct kube_credentials *credentials,
	const struct http_want *want, struct err *err)
{
	struct http_request *request = xmalloc(sizeof(*request));

	memset(request, 0, sizeof(*request));
	request->http = http;
	request->next = http->requests;
	http->requests = request;
	request->easy = curl_easy_init();
	request->data = want->data;
	request->done = want->done;
	request->arg = want->arg;
	request->silence.tv_sec = (time_t)want->silence;
	request->silent = evtimer_new(http->base, on_silent, request);
	if (set_options(request, credentials, want, err) < 0) {
		request_free(request);
		return NULL;
	}
	evtimer_add(request->silent, &request->silence);
	curl_multi_add_handle(http->multi, request->easy);
	return request;
}
