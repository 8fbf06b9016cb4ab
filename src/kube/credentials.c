/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/credentials.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/doc.h"
#include "base/file.h"
#include "base/prefix.h"

#define KUBECONFIG_MAX_BYTES (1u << 20)
#define PEM_MAX_BYTES (256u << 10)
#define TOKEN_MAX_BYTES (32u << 10)

struct loader {
	const char *path; /* of the kubeconfig */
	struct arena *arena;
	struct kube_credentials *out;
	struct err *err;
};

/* A map of the kubeconfig, and how messages call it: "users[0].user". */
struct section {
	const struct doc *map;
	const char *path;
};

const char *kube_service_account_dir(void)
{
	const char *dir = getenv("ROOST_SERVICE_ACCOUNT");

	return dir && *dir ? dir : "/var/run/secrets/kubernetes.io/serviceaccount";
}

/* ---------------------------------------------------------------- reading a kubeconfig */

/* "admin.conf:12:7: users[0].user.client-key" */
static const char *place(struct loader *l, struct section in, const char *key)
{
	const struct doc *doc = doc_get(in.map, key);

	if (!doc)
		doc = in.map;
	return arena_printf(l->arena, "%s:%u:%u: %s%s%s", l->path, doc->line, doc->column, in.path,
		*in.path ? "." : "", key);
}

static void add_warning(struct loader *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void add_warning(struct loader *l, const char *fmt, ...)
{
	char text[sizeof(((struct err *)0)->msg)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_one_line(text);
	*ARENA_PUSH(l->arena, l->out->warnings, &l->out->n_warnings) =
		arena_strdup(l->arena, text);
}

/* NULL when the key is not there, null or "": kubectl makes no difference. */
static int read_text(struct loader *l, struct section in, const char *key, const char **text)
{
	const struct doc *doc = doc_get(in.map, key);

	*text = NULL;
	if (!doc || doc_is_null(doc))
		return 0;
	if (doc->type != DOC_SCALAR)
		return err_set(l->err, EINVAL, "%s: expected a string, found %s", place(l, in, key),
			doc_type_name(doc));
	if (*doc->text)
		*text = doc->text;
	return 0;
}

static int read_bool(struct loader *l, struct section in, const char *key, bool *value)
{
	const char *text;

	if (read_text(l, in, key, &text) < 0)
		return -1;
	*value = text && strcmp(text, "true") == 0;
	if (text && !*value && strcmp(text, "false") != 0)
		return err_set(l->err, EINVAL, "%s: expected true or false", place(l, in, key));
	return 0;
}

/* Relative names are relative to the kubeconfig. */
static int read_path(struct loader *l, struct section in, const char *key, const char **path)
{
	const char *slash = strrchr(l->path, '/'), *text;

	if (read_text(l, in, key, &text) < 0)
		return -1;
	*path = text;
	if (text && *text != '/' && slash)
		*path = arena_printf(l->arena, "%.*s%s", (int)(slash + 1 - l->path), l->path, text);
	return 0;
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* RFC 4648, section 4, with line breaks and blanks in it; false if it is not that. */
static bool base64_decode(struct arena *arena, const char *text, const char **data, size_t *len)
{
	char *out = arena_alloc(arena, strlen(text) / 4 * 3 + 4);
	unsigned bits = 0, n = 0, pad = 0; /* n: digits and padding so far */

	*data = out;
	*len = 0;
	for (; *text; text++) {
		int digit = base64_digit(*text);

		if (strchr(" \t\r\n", *text))
			continue;
		if (*text == '=' ? ++pad > 2 : digit < 0 || pad)
			return false;
		bits = bits << 6 | (digit < 0 ? 0 : (unsigned)digit);
		if (++n % 4 != 0)
			continue;
		for (int shift = 16; shift >= (int)pad * 8; shift -= 8)
			out[(*len)++] = (char)(bits >> shift & 0xff);
	}
	return n % 4 == 0;
}

/* What a certificate or a key must have in it, so that a mix-up is seen here and not as
 * an error number of OpenSSL. */
static int check_pem(const struct kube_secret *pem, const char *data, const char *kind,
	struct err *err)
{
	char last[40];

	snprintf(last, sizeof(last), "%s-----", kind);
	if (strcmp(kind, "PRIVATE KEY") == 0 && strstr(data, "ENCRYPTED"))
		return err_set(err, EINVAL, "%s: %s%sa key with a passphrase; expected one without",
			pem->from, pem->file ? pem->file : "", pem->file ? ": " : "");
	if (strstr(data, "-----BEGIN ") && strstr(data, last))
		return 0;
	return err_set(err, EINVAL, "%s: %s%sno PEM %s in it", pem->from, pem->file ? pem->file : "",
		pem->file ? ": " : "", strcmp(kind, "PRIVATE KEY") == 0 ? "private key" : "certificate");
}

/* `key` names a file, `key`-data is base64. */
static int read_pem(struct loader *l, struct section in, const char *key, const char *kind,
	struct kube_secret *pem)
{
	const char *data_key = arena_printf(l->arena, "%s-data", key), *text;

	if (read_path(l, in, key, &pem->file) < 0 || read_text(l, in, data_key, &text) < 0)
		return -1;
	if (pem->file && text)
		return err_set(l->err, EINVAL, "%s: %s is given too; expected one of both",
			place(l, in, data_key), key);
	pem->from = place(l, in, text ? data_key : key);
	if (!text)
		return 0;
	if (!base64_decode(l->arena, text, &pem->data, &pem->len))
		return err_set(l->err, EINVAL, "%s: not base64", pem->from);
	if (pem->len > PEM_MAX_BYTES)
		return err_set(l->err, EFBIG, "%s: larger than %u bytes", pem->from, PEM_MAX_BYTES);
	return check_pem(pem, pem->data, kind, l->err);
}

/* ---------------------------------------------------------------- the server */

static bool is_loopback(const char *host)
{
	char bare[ADDR_TEXT_MAX + 2];
	struct addr addr;
	size_t len;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	snprintf(bare, sizeof(bare), "%s", host + (*host == '['));
	len = strlen(bare);
	if (len && bare[len - 1] == ']')
		bare[len - 1] = '\0';
	if (!addr_parse(bare, &addr))
		return false;
	return addr.family == AF_INET ? addr.bytes[0] == 127 :
					memcmp(addr.bytes, &in6addr_loopback, 16) == 0;
}

static const char *url_part(CURLU *url, CURLUPart part, unsigned flags, struct arena *arena)
{
	char *text = NULL;
	const char *copy = NULL;

	if (curl_url_get(url, part, &text, flags) == CURLUE_OK)
		copy = arena_strdup(arena, text);
	curl_free(text);
	return copy;
}

/* The URL for which the certificate is checked against `tls_name`, and TCP goes to the
 * server all the same. */
static int set_tls_name(struct loader *l, const char *from, CURLU *url, const char *tls_name)
{
	const char *host = url_part(url, CURLUPART_HOST, 0, l->arena);
	const char *port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, l->arena);

	if (curl_url_set(url, CURLUPART_HOST, tls_name, 0) != CURLUE_OK)
		return err_set(l->err, EINVAL, "%s: expected a host name", from);
	l->out->connect_to = arena_alloc(l->arena, sizeof(*l->out->connect_to));
	l->out->connect_to->data = arena_printf(l->arena, "%s:%s:%s:%s",
		url_part(url, CURLUPART_HOST, 0, l->arena), port, host, port);
	return 0;
}

static const char *without_slash(struct arena *arena, const char *url)
{
	size_t len = strlen(url);

	while (len && url[len - 1] == '/')
		len--;
	return arena_strndup(arena, url, len);
}

static int check_server(struct loader *l, const char *from, CURLU *url, const char *text,
	const char *tls_name, const char *tls_from)
{
	struct kube_credentials *out = l->out;
	const char *scheme, *host;

	if (!strstr(text, "://") || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
		return err_set(l->err, EINVAL, "%s: expected a URL such as https://192.168.1.11:6443", from);
	scheme = url_part(url, CURLUPART_SCHEME, 0, l->arena);
	host = url_part(url, CURLUPART_HOST, 0, l->arena);
	if (!host || (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0))
		return err_set(l->err, EINVAL, "%s: expected a URL that begins with https://", from);
	if (url_part(url, CURLUPART_USER, 0, l->arena) || url_part(url, CURLUPART_PASSWORD, 0, l->arena) ||
		url_part(url, CURLUPART_QUERY, 0, l->arena) || url_part(url, CURLUPART_FRAGMENT, 0, l->arena))
		return err_set(l->err, EINVAL,
			"%s: a user, \"?\" or \"#\" in it; expected https://HOST[:PORT][/PATH]", from);
	out->server = without_slash(l->arena, url_part(url, CURLUPART_URL, 0, l->arena));
	if (strcmp(scheme, "http") == 0) {
		if (!is_loopback(host))
			return err_set(l->err, EINVAL,
				"%s: http: without TLS only this machine itself is believed; expected https://",
				from);
		add_warning(l, "%s: http: whoever is on this machine can read along", from);
	} else if (tls_name && set_tls_name(l, tls_from, url, tls_name) < 0) {
		return -1;
	}
	out->url = without_slash(l->arena, url_part(url, CURLUPART_URL, 0, l->arena));
	return 0;
}

static int set_server(struct loader *l, const char *from, const char *text, const char *tls_name,
	const char *tls_from)
{
	CURLU *url = curl_url();
	int rc;

	if (!url)
		return err_set(l->err, ENOMEM, "out of memory");
	rc = check_server(l, from, url, text, tls_name, tls_from);
	curl_url_cleanup(url);
	return rc;
}

/* kubectl has the proxy look up the name for socks5, as libcurl does for socks5h. */
static int set_proxy(struct loader *l, const char *from, const char *text)
{
	static const char *const schemes[][2] = {{"http://", "http://"}, {"https://", "https://"},
		{"socks5://", "socks5h://"}, {"socks5h://", "socks5h://"}};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t len = strlen(schemes[i][0]);

		if (strncasecmp(text, schemes[i][0], len) != 0 || !text[len])
			continue;
		l->out->proxy = arena_printf(l->arena, "%s%s", schemes[i][1], text + len);
		return 0;
	}
	return err_set(l->err, EINVAL, "%s: expected a URL that begins with http://, https:// or socks5://",
		from);
}

static int read_cluster(struct loader *l, struct section in)
{
	struct kube_credentials *out = l->out;
	const char *server, *tls_name, *proxy;

	if (read_text(l, in, "server", &server) < 0 ||
		read_text(l, in, "tls-server-name", &tls_name) < 0 ||
		read_text(l, in, "proxy-url", &proxy) < 0 ||
		read_bool(l, in, "insecure-skip-tls-verify", &out->insecure) < 0 ||
		read_pem(l, in, "certificate-authority", "CERTIFICATE", &out->ca) < 0)
		return -1;
	if (!server)
		return err_set(l->err, EINVAL, "%s: missing", place(l, in, "server"));
	if (set_server(l, place(l, in, "server"), server, tls_name, place(l, in, "tls-server-name")) < 0)
		return -1;
	if (proxy && set_proxy(l, place(l, in, "proxy-url"), proxy) < 0)
		return -1;
	if (!out->insecure)
		return 0;
	if (out->ca.file || out->ca.data)
		return err_set(l->err, EINVAL, "%s: contradicts insecure-skip-tls-verify: true", out->ca.from);
	add_warning(l, "%s: whoever is on the way to %s can pretend to be it",
		place(l, in, "insecure-skip-tls-verify"), out->server);
	return 0;
}

/* ---------------------------------------------------------------- the user */

/* What may stand in a header: anything else would end it. */
static bool is_token(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

/* What would be somebody else than the writer thinks if we went on without it. */
static int refuse_user(struct loader *l, struct section in)
{
	static const struct {
		const char *key, *why;
	} refused[] = {
		{"exec", "Roost starts no programs for credentials; use a token, a tokenFile or "
			 "a client certificate"},
		{"auth-provider", "not supported; use a token, a tokenFile or a client certificate"},
		{"as", "impersonation is not supported"},
		{"as-uid", "impersonation is not supported"},
		{"as-groups", "impersonation is not supported"},
		{"as-user-extra", "impersonation is not supported"},
	};

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		const struct doc *doc = doc_get(in.map, refused[i].key);

		if (doc && !doc_is_null(doc))
			return err_set(l->err, ENOTSUP, "%s: %s", place(l, in, refused[i].key),
				refused[i].why);
	}
	return 0;
}

static int check_user(struct loader *l, struct section in)
{
	const struct kube_credentials *out = l->out;
	bool certificate = out->certificate.file || out->certificate.data;
	bool token = out->token.file || out->token.data;

	if (certificate != (out->key.file || out->key.data))
		return err_set(l->err, EINVAL, "%s: %s is missing",
			certificate ? out->certificate.from : out->key.from,
			certificate ? "client-key or client-key-data" :
				      "client-certificate or client-certificate-data");
	if (token && out->username)
		return err_set(l->err, EINVAL, "%s: a token is given too; expected one of both",
			place(l, in, "username"));
	if (out->password && !out->username)
		return err_set(l->err, EINVAL, "%s: username is missing", place(l, in, "password"));
	if (!certificate && !token && !out->username)
		add_warning(l, "%s:%u:%u: %s: no credentials in it: requests are anonymous", l->path,
			in.map->line, in.map->column, in.path);
	return 0;
}

static int read_user(struct loader *l, struct section in)
{
	struct kube_credentials *out = l->out;

	if (refuse_user(l, in) < 0 ||
		read_pem(l, in, "client-certificate", "CERTIFICATE", &out->certificate) < 0 ||
		read_pem(l, in, "client-key", "PRIVATE KEY", &out->key) < 0 ||
		read_text(l, in, "token", &out->token.data) < 0 ||
		read_path(l, in, "tokenFile", &out->token.file) < 0 ||
		read_text(l, in, "username", &out->username) < 0 ||
		read_text(l, in, "password", &out->password) < 0)
		return -1;
	if (out->token.file)
		out->token.data = NULL; /* as with kubectl: the file is the newer one */
	out->token.from = place(l, in, out->token.file ? "tokenFile" : "token");
	if (out->token.data)
		out->token.len = strlen(out->token.data);
	if (out->token.data && (!is_token(out->token.data) || out->token.len > TOKEN_MAX_BYTES))
		return err_set(l->err, EINVAL, "%s: expected one word of at most %u letters, digits and signs",
			out->token.from, TOKEN_MAX_BYTES);
	return check_user(l, in);
}

/* ---------------------------------------------------------------- the kubeconfig */

/* The map `key` of the entry of root's list `list` that is called `name`; `from` is
 * where the name stands. */
static int find_entry(struct loader *l, const struct doc *root, const char *list, const char *key,
	const char *name, const char *from, struct section *out)
{
	const struct doc *entries = doc_get(root, list);
	struct section found = {0};

	for (size_t i = 0; entries && entries->type == DOC_LIST && i < entries->n_items; i++) {
		const struct doc *entry = entries->items[i], *own = doc_get(entry, "name");

		if (!own || own->type != DOC_SCALAR || strcmp(own->text, name) != 0)
			continue;
		if (found.map)
			return err_set(l->err, EINVAL, "%s:%u:%u: %s[%zu].name: \"%s\" stands twice (also in line %u)",
				l->path, own->line, own->column, list, i, name, found.map->line);
		found.map = doc_get(entry, key);
		found.path = arena_printf(l->arena, "%s[%zu].%s", list, i, key);
		if (!found.map || found.map->type != DOC_MAP)
			return err_set(l->err, EINVAL, "%s:%u:%u: %s: expected a map", l->path,
				entry->line, entry->column, found.path);
	}
	if (!found.map)
		return err_set(l->err, EINVAL, "%s: there is no \"%s\" in %s", from, name, list);
	*out = found;
	return 0;
}

static int read_kubeconfig(struct loader *l, const struct doc *root)
{
	struct section top = {root, ""}, context, cluster, user;
	const char *context_name, *cluster_name, *user_name;

	if (root->type != DOC_MAP)
		return err_set(l->err, EINVAL, "%s:%u:%u: expected a kubeconfig, found %s", l->path,
			root->line, root->column, doc_type_name(root));
	if (read_text(l, top, "current-context", &context_name) < 0)
		return -1;
	if (!context_name)
		return err_set(l->err, EINVAL, "%s: missing: it says which of the contexts to use",
			place(l, top, "current-context"));
	if (find_entry(l, root, "contexts", "context", context_name, place(l, top, "current-context"),
		    &context) < 0 ||
		read_text(l, context, "cluster", &cluster_name) < 0 ||
		read_text(l, context, "user", &user_name) < 0 ||
		read_text(l, context, "namespace", &l->out->namespace) < 0)
		return -1;
	if (!cluster_name)
		return err_set(l->err, EINVAL, "%s: missing", place(l, context, "cluster"));
	if (!user_name)
		return err_set(l->err, EINVAL, "%s: missing", place(l, context, "user"));
	if (find_entry(l, root, "clusters", "cluster", cluster_name, place(l, context, "cluster"),
		    &cluster) < 0 ||
		find_entry(l, root, "users", "user", user_name, place(l, context, "user"), &user) < 0 ||
		read_cluster(l, cluster) < 0)
		return -1;
	return read_user(l, user);
}

int kube_credentials_parse(const char *path, const char *text, size_t len, struct arena *arena,
	struct kube_credentials *out, struct err *err)
{
	struct kube_credentials read = {0};
	struct loader l = {.path = path, .arena = arena, .out = &read, .err = err};
	struct doc *root;

	if (libcurl_load(err) < 0 || doc_parse(path, text, len, arena, &root, err) < 0 || read_kubeconfig(&l, root) < 0)
		return -1;
	*out = read;
	return 0;
}

/* ---------------------------------------------------------------- files */

/* What a file has in it becomes *pem's bytes. */
static int read_pem_file(struct kube_secret *pem, const char *kind, struct arena *arena,
	struct err *err)
{
	_cleanup_buf_ struct buf text = {0};

	if (!pem->file)
		return 0;
	if (file_read(pem->file, PEM_MAX_BYTES, &text, err) < 0)
		return err_wrap(err, "%s", pem->from);
	pem->data = arena_strndup(arena, buf_text(&text), text.len);
	pem->len = text.len;
	return check_pem(pem, pem->data, kind, err);
}

static int read_token_file(struct kube_secret *token, struct arena *arena, struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	const char *start;
	size_t len;

	if (!token->file)
		return 0;
	if (file_read(token->file, TOKEN_MAX_BYTES, &text, err) < 0)
		return err_wrap(err, "%s", token->from);
	start = buf_text(&text);
	len = text.len;
	while (len && strchr(" \t\r\n", start[len - 1]))
		len--;
	while (len && strchr(" \t\r\n", *start)) {
		start++;
		len--;
	}
	token->data = arena_strndup(arena, start, len);
	if (len == 0 || strlen(token->data) != len || !is_token(token->data))
		return err_set(err, EINVAL, "%s: %s: expected a token and nothing else", token->from,
			token->file);
	return 0;
}

/* The bytes of all that is in files, as they are now. */
static int read_files(struct kube_credentials *creds, struct arena *arena, struct err *err)
{
	if (read_pem_file(&creds->ca, "CERTIFICATE", arena, err) < 0 ||
		read_pem_file(&creds->certificate, "CERTIFICATE", arena, err) < 0 ||
		read_pem_file(&creds->key, "PRIVATE KEY", arena, err) < 0)
		return -1;
	return read_token_file(&creds->token, arena, err);
}

static int load_kubeconfig(const char *path, struct arena *arena, struct kube_credentials *out,
	struct err *err)
{
	_cleanup_buf_ struct buf text = {0};

	if (file_read(path, KUBECONFIG_MAX_BYTES, &text, err) < 0)
		return -1;
	return kube_credentials_parse(path, buf_text(&text), text.len, arena, out, err);
}

static int load_in_cluster(struct arena *arena, struct kube_credentials *out, struct err *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	struct kube_credentials read = {0};
	struct loader l = {.path = "service account", .arena = arena, .out = &read, .err = err};
	const char *dir = arena_strdup(arena, kube_service_account_dir());
	_cleanup_buf_ struct buf namespace = {0};
	struct err ignored;

	if (!host || !*host || !port || !*port)
		return err_set(err, ENOENT,
			"this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; "
			"elsewhere kubernetes.kubeconfig must name a file");
	if (set_server(&l, "KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT",
		    arena_printf(arena, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port),
		    NULL, NULL) < 0)
		return -1;
	read.ca.from = read.token.from = l.path;
	read.ca.file = arena_printf(arena, "%s/ca.crt", dir);
	read.token.file = arena_printf(arena, "%s/token", dir);
	/* Only a default, and not in every cluster. */
	if (file_read(arena_printf(arena, "%s/namespace", dir), 256, &namespace, &ignored) == 0 &&
		namespace.len && is_token(namespace.text))
		read.namespace = arena_strdup(arena, namespace.text);
	*out = read;
	return 0;
}

int kube_credentials_load(const char *path, struct arena *arena, struct kube_credentials *out,
	struct err *err)
{
	_cleanup_arena_ struct arena texts = {0};
	struct kube_credentials now;
	int rc = libcurl_load(err);

	if (rc == 0)
		rc = path ? load_kubeconfig(path, arena, out, err) : load_in_cluster(arena, out, err);
	if (rc < 0)
		return -1;
	now = *out;
	return read_files(&now, &texts, err);
}

/* ---------------------------------------------------------------- a request */

/* Sets an option unless one before it failed already. */
#define SET(option, value)                                                                         \
	do {                                                                                       \
		if (rc == CURLE_OK)                                                                \
			rc = curl_easy_setopt(curl, option, value);                                \
	} while (0)

#define SET_SECRET(option, secret)                                                                 \
	do {                                                                                       \
		struct curl_blob blob_ = {(void *)(uintptr_t)(secret)->data, (secret)->len,        \
			CURL_BLOB_COPY};                                                           \
		SET(option, (secret)->data ? &blob_ : NULL);                                       \
	} while (0)

/* As bytes, which libcurl compares: a connection that was made with others is not used. */
static CURLcode apply_tls(const struct kube_credentials *creds, CURL *curl)
{
	CURLcode rc = CURLE_OK;

	if (creds->ca.data) {
		SET(CURLOPT_CAPATH, NULL); /* or Debian's, the whole web's, are believed too */
		SET(CURLOPT_CAINFO, NULL);
		SET_SECRET(CURLOPT_CAINFO_BLOB, &creds->ca);
	}
	SET(CURLOPT_CA_CACHE_TIMEOUT, 0L); /* the system's may change as well */
	SET_SECRET(CURLOPT_SSLCERT_BLOB, &creds->certificate);
	SET_SECRET(CURLOPT_SSLKEY_BLOB, &creds->key);
	SET(CURLOPT_KEYPASSWD, ""); /* else OpenSSL asks on the terminal */
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, creds->insecure ? 0L : 1L);
	SET(CURLOPT_SSL_VERIFYHOST, creds->insecure ? 0L : 2L);
	return rc;
}

static CURLcode apply_user(const struct kube_credentials *creds, CURL *curl)
{
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_HTTPAUTH, creds->token.data ? (long)CURLAUTH_BEARER : (long)CURLAUTH_BASIC);
	SET(CURLOPT_XOAUTH2_BEARER, creds->token.data);
	SET(CURLOPT_USERNAME, creds->username);
	SET(CURLOPT_PASSWORD, creds->username && !creds->password ? "" : creds->password);
	return rc;
}

int kube_credentials_apply(const struct kube_credentials *creds, CURL *curl, struct err *err)
{
	_cleanup_arena_ struct arena texts = {0};
	struct kube_credentials now = *creds;
	CURLcode rc;

	if (read_files(&now, &texts, err) < 0)
		return -1;
	rc = apply_tls(&now, curl);
	if (rc == CURLE_OK)
		rc = apply_user(&now, curl);
	SET(CURLOPT_CONNECT_TO, creds->connect_to);
	SET(CURLOPT_PROXY, creds->proxy);
	SET(CURLOPT_NOPROXY, creds->proxy ? "" : NULL); /* proxy-url counts also for $no_proxy */
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_FOLLOWLOCATION, 0L); /* the token is for this server */
	SET(CURLOPT_NOSIGNAL, 1L);
	if (rc == CURLE_OK)
		return 0;
	return err_set(err, EINVAL, "%s: libcurl cannot be set up: %s", creds->server,
		curl_easy_strerror(rc));
}
