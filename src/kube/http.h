/* SPDX-License-Identifier: GPL-2.0-or-later */
/* http -- requests to the API server: libcurl's transfers on libevent's loop.
 *
 * Answers stream: `data` gets the bytes of a good answer (2xx) as they come, none of
 * them when it begins; those of a
 * bad one are kept, for the message in its Status object.  `done` is called once, from
 * the loop and never from within http_send().  Redirects are not followed: a token goes
 * to nobody else. */
#ifndef ROOST_KUBE_HTTP_H
#define ROOST_KUBE_HTTP_H

#include <event2/event.h>

#include "base/buf.h"
#include "kube/credentials.h"

struct http;
struct http *http_new(struct event_base *base, struct err *err); /* NULL: no libcurl */
void http_free(struct http *http); /* requests under way end without `done` */

struct http_result {
	long status;          /* HTTP's; 0: no answer came, or not all of it */
	unsigned retry_after; /* seconds, 0: it did not say */
	struct err err;       /* not 2xx: why; code is the status, or an errno */
};

typedef int http_data_fn(const char *data, size_t len, void *arg, struct err *err);
typedef void http_done_fn(const struct http_result *result, void *arg);

struct http_want {
	const char *method; /* NULL: GET */
	const char *path;   /* with its query */
	const char *type;   /* of the body */
	const char *body;
	unsigned silence;   /* seconds without a byte after which it is given up */
	bool fresh;         /* by a new connection: those that there are may be dead */
	http_data_fn *data; /* -1 ends the request, with *err */
	http_done_fn *done;
	void *arg;
};

/* NULL and *err when it cannot even begin.  All of *want is copied; the credentials
 * must live as long as the request. */
struct http_request;
struct http_request *http_send(struct http *http, const struct kube_credentials *credentials,
	const struct http_want *want, struct err *err);

/* `done` is not called any more.  Not from within `data`. */
void http_cancel(struct http_request *request);

#endif
