/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ctl/ctl.h"

#define CONNECT_SECONDS 5L
#define ANSWER_SECONDS 30L /* for a look; roostd itself gives BIRD ten */
#define ANSWER_MAX_BYTES (256u << 20)

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct buf *body = arg;

	if (body->len + size * n > ANSWER_MAX_BYTES)
		return 0;
	buf_add(body, data, size * n);
	return size * n;
}

/* -1 for "no daemon", with the socket named. */
static int perform(const struct ctl *ctl, const char *method, const char *path, struct buf *body,
	long *status, struct err *err)
{
	CURL *curl = curl_easy_init();
	char url[200], why[CURL_ERROR_SIZE] = "";
	long number = 0; /* errno */
	CURLcode rc;

	if (!curl)
		return err_set(err, ENOMEM, "out of memory");
	snprintf(url, sizeof(url), "http://roostd%s", path);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, ctl->socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	if (strcmp(method, "POST") == 0)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	if (strcmp(method, "GET") == 0) /* an apply may take bird.confirmTimeout, and more */
		curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_SECONDS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	rc = curl_easy_perform(curl);
	if (rc == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
	else
		curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &number);
	curl_easy_cleanup(curl);
	if (rc == CURLE_OK)
		return 0;
	return err_set(err, number ? (int)number : ETIMEDOUT, "no answer from roostd on %s: %s%s", ctl->socket,
		number ? strerror((int)number) : why[0] ? why : curl_easy_strerror(rc),
		number == EACCES ? "; root and members of group roost may ask it"
		: number == ENOENT || number == ECONNREFUSED ? "; does it run?"
							     : "");
}

int client_request(const struct ctl *ctl, const char *method, const char *path, json_t **json,
	struct err *err)
{
	_cleanup_buf_ struct buf body = {0};
	json_error_t why;
	long status = 0;

	if (perform(ctl, method, path, &body, &status, err) < 0)
		return -1;
	if (status == 409) /* no fault of anybody: it says what is to be done first */
		return err_set(err, EPROTO, "%.*s", (int)strcspn(buf_text(&body), "\n"), buf_text(&body));
	if (status != 200)
		return err_set(err, EPROTO, "roostd answers %ld to %s: %.300s", status, path,
			buf_text(&body));
	*json = json_loadb(buf_text(&body), body.len, 0, &why);
	if (!*json)
		return err_set(err, EPROTO, "roostd's answer to %s is no JSON: %s", path, why.text);
	return 0;
}

int client_fetch(const struct ctl *ctl, const char *method, const char *path, json_t **json)
{
	struct err err;

	if (client_request(ctl, method, path, json, &err) == 0)
		return 0;
	fprintf(stderr, "roostctl: %s\n", err.msg);
	return err.code == EPROTO ? 1 : 2;
}
