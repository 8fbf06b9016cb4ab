/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kube/credentials -- where the API server is, and as whom to speak to it.
 *
 * Read from a kubeconfig as kubectl reads it, or, in a pod, from what the kubelet gives
 * every container.  A kubeconfig is not our file: keys that we do not know are left
 * alone.  What would make requests as somebody else than its writer thinks is refused:
 * credentials that a program must be run for (exec, auth-provider) and impersonation.
 *
 * What is in files stays there: it is checked here and read again for each request, so
 * that a rotated one is used without a reload.  No message and no warning quotes a token, a password or a key. */
#ifndef ROOST_KUBE_CREDENTIALS_H
#define ROOST_KUBE_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "kube/curl.h"

/* In a file, or as bytes, or (both NULL) not at all. */
struct kube_secret {
	const char *from; /* "admin.conf:12:7: users[0].user.client-key", for messages */
	const char *file;
	const char *data; /* NUL-terminated */
	size_t len;
};

struct kube_credentials {
	const char *server; /* "https://192.168.1.11:6443", for messages */
	const char *url;    /* what the URL of each request begins with, no slash at its end;
				the same, unless a tls-server-name is given */
	struct curl_slist *connect_to; /* NULL, or how that name becomes the server's */
	struct kube_secret ca;         /* none: the system's */
	struct kube_secret certificate, key;
	struct kube_secret token;
	const char *username, *password;
	const char *proxy; /* NULL: what the environment says */
	const char *namespace;
	bool insecure;
	const char **warnings; /* accepted, but the operator should know */
	size_t n_warnings;
};

/* The folder of a pod's token and ca.crt; $ROOST_SERVICE_ACCOUNT for tests, else
 * /var/run/secrets/kubernetes.io/serviceaccount. */
const char *kube_service_account_dir(void);

/* From the kubeconfig at `path`, NULL: those of the pod that we run in.  Everything in
 * *out lives in `arena`. */
int kube_credentials_load(const char *path, struct arena *arena, struct kube_credentials *out,
	struct err *err);

/* The pure part of it: a kubeconfig's bytes, `path` being where they come from.  No file
 * that it names was looked at yet. */
int kube_credentials_parse(const char *path, const char *text, size_t len, struct arena *arena,
	struct kube_credentials *out, struct err *err);

/* Sets all of a handle that depends on credentials: TLS, the Authorization header (the
 * files are read for it), the proxy, HTTP/2, no redirects.  URL, method, other headers and
 * timeouts are the caller's.  `creds` must outlive the request. */
int kube_credentials_apply(const struct kube_credentials *creds, CURL *curl, struct err *err);

#endif
