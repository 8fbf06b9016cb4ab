/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/decode.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/doc.h"

#define PATH_TEXT_MAX 200

struct decoder {
	const char *name; /* of the document */
	struct arena *arena;
	struct cluster *cluster;
	struct err *err;
};

struct value {
	const struct doc *doc;
	const char *path; /* "nodes[2].podCIDRs", for messages */
};

typedef int decode_fn(struct decoder *d, struct value value, void *into);

/* One key of a map: how its value is decoded and where in the struct it goes. */
struct field {
	const char *key;
	decode_fn *decode;
	size_t offset;
	bool required;
};

/* ---------------------------------------------------------------- messages */

static int fail(struct decoder *d, struct value value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail_at(struct decoder *d, unsigned line, unsigned column, const char *path,
	const char *text)
{
	return err_set(d->err, EINVAL, "%s:%u:%u: %s%s%s", d->name, line, column, path,
		*path ? ": " : "", text);
}

static int fail(struct decoder *d, struct value value, const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return fail_at(d, value.doc->line, value.doc->column, value.path, text);
}

/* What stands there instead of what was expected. */
static const char *found(const struct doc *doc, char room[80])
{
	if (doc->type != DOC_SCALAR || doc_is_null(doc))
		return doc_type_name(doc);
	snprintf(room, 80, "\"%.70s%s\"", doc->text, strlen(doc->text) > 70 ? "..." : "");
	return room;
}

static int fail_expected(struct decoder *d, struct value value, const char *expected)
{
	char room[80];

	return fail(d, value, "expected %s, got %s", expected, found(value.doc, room));
}

static void warn(struct decoder *d, struct value value, const char *text)
{
	struct cluster *cluster = d->cluster;

	*ARENA_PUSH(d->arena, cluster->warnings, &cluster->n_warnings) = arena_printf(d->arena,
		"%s:%u:%u: %s: %s", d->name, value.doc->line, value.doc->column, value.path, text);
}

/* ---------------------------------------------------------------- maps and lists */

static const struct field *find_field(const struct field *fields, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(fields[i].key, key) == 0)
			return &fields[i];
	return NULL;
}

static int fail_unknown_key(struct decoder *d, struct value value, const struct field *fields,
	size_t n)
{
	_cleanup_buf_ struct buf text = {0};

	buf_puts(&text, "unknown key; known here: ");
	for (size_t i = 0; i < n; i++)
		buf_printf(&text, "%s%s", i ? ", " : "", fields[i].key);
	return fail_at(d, value.doc->key_line, value.doc->key_column, value.path, text.text);
}

#define KEYS_SHOWN 3

static int fail_no_map(struct decoder *d, struct value value, const struct field *fields, size_t n)
{
	_cleanup_buf_ struct buf text = {0};

	buf_puts(&text, "a map with ");
	for (size_t i = 0; i < n && i < KEYS_SHOWN; i++)
		buf_printf(&text, "%s%s", i ? ", " : "", fields[i].key);
	buf_puts(&text, n > KEYS_SHOWN ? ", ..." : "");
	return fail_expected(d, value, buf_text(&text));
}

static int decode_map(struct decoder *d, struct value value, const struct field *fields, size_t n,
	void *into)
{
	if (value.doc->type != DOC_MAP)
		return fail_no_map(d, value, fields, n);
	for (size_t i = 0; i < value.doc->n_items; i++) {
		const struct doc *item = value.doc->items[i];
		const struct field *field = find_field(fields, n, item->key);
		struct value inner = {.doc = item};
		char path[PATH_TEXT_MAX];

		snprintf(path, sizeof(path), "%s%s%.60s", value.path, *value.path ? "." : "",
			item->key);
		inner.path = path;
		if (!field)
			return fail_unknown_key(d, inner, fields, n);
		if (field->decode(d, inner, (char *)into + field->offset) < 0)
			return -1;
	}
	for (size_t i = 0; i < n; i++)
		if (fields[i].required && !doc_get(value.doc, fields[i].key))
			return fail(d, value, "%s is missing", fields[i].key);
	return 0;
}

#define DECODE_MAP(d, value, fields, into) decode_map(d, value, fields, ARRAY_LEN(fields), into)

/* Calls `decode` for each item; `into` is the same for all: the decoder appends. */
static int decode_list(struct decoder *d, struct value value, size_t max, decode_fn *decode,
	void *into)
{
	if (value.doc->type != DOC_LIST)
		return fail_expected(d, value, "a list");
	if (value.doc->n_items > max)
		return fail(d, value, "%zu entries, %zu at most", value.doc->n_items, max);
	for (size_t i = 0; i < value.doc->n_items; i++) {
		char path[PATH_TEXT_MAX];
		struct value item = {.doc = value.doc->items[i], .path = path};

		snprintf(path, sizeof(path), "%s[%zu]", value.path, i);
		if (decode(d, item, into) < 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- single values */

static int scalar(struct decoder *d, struct value value, const char *expected)
{
	if (value.doc->type != DOC_SCALAR || doc_is_null(value.doc))
		return fail_expected(d, value, expected);
	return 0;
}

static int number(struct decoder *d, struct value value, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *text = value.doc->text;
	char expected[64];
	uint64_t n = 0;

	snprintf(expected, sizeof(expected), "%llu..%llu", (unsigned long long)min,
		(unsigned long long)max);
	if (scalar(d, value, expected) < 0)
		return -1;
	if (!value.doc->plain && *text && strspn(text, "0123456789") == strlen(text))
		return fail(d, value, "expected a number, got the string \"%.20s\": leave the quotes out",
			text);
	if (!value.doc->plain || !*text || strlen(text) > 19 ||
		strspn(text, "0123456789") != strlen(text) || (text[0] == '0' && text[1]))
		return fail_expected(d, value, expected);
	n = strtoull(text, NULL, 10);
	if (n < min || n > max)
		return fail_expected(d, value, expected);
	*out = n;
	return 0;
}

static bool is_bool(const struct doc *doc)
{
	return doc->type == DOC_SCALAR && doc->plain &&
		(strcmp(doc->text, "true") == 0 || strcmp(doc->text, "false") == 0);
}

static int decode_bool(struct decoder *d, struct value value, void *into)
{
	if (!is_bool(value.doc))
		return fail_expected(d, value, "true or false");
	*(bool *)into = strcmp(value.doc->text, "true") == 0;
	return 0;
}

static int decode_name(struct decoder *d, struct value value, void *into)
{
	if (scalar(d, value, "a name") < 0)
		return -1;
	if (!name_is_valid(value.doc->text))
		return fail_expected(d, value,
			"a name of letters, digits, \"-\", \"_\" and \".\" (253 at most)");
	*(const char **)into = value.doc->text;
	return 0;
}

static int decode_as_number(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 1, UINT32_MAX, &n) < 0)
		return -1;
	/* RFC 7300 (last of each range), RFC 6793 (AS_TRANS). */
	if (n == 23456 || n == 65535 || n == UINT32_MAX)
		return fail(d, value, "AS number %llu is reserved", (unsigned long long)n);
	*(uint32_t *)into = (uint32_t)n;
	return 0;
}

static int decode_address(struct decoder *d, struct value value, void *into)
{
	struct addr addr;

	if (scalar(d, value, "an IPv4 or IPv6 address") < 0)
		return -1;
	if (!addr_parse(value.doc->text, &addr))
		return fail_expected(d, value, "an IPv4 or IPv6 address");
	if (!addr_is_host(&addr))
		return fail_expected(d, value, "an address a host can be reached at");
	*(struct addr *)into = addr;
	return 0;
}

static int decode_prefix(struct decoder *d, struct value value, void *into)
{
	struct prefixes *prefixes = into;
	char first[PREFIX_TEXT_MAX];
	struct prefix prefix;

	if (scalar(d, value, "a prefix such as 10.244.1.0/24") < 0)
		return -1;
	if (!prefix_parse(value.doc->text, &prefix))
		return fail_expected(d, value, "a prefix such as 10.244.1.0/24");
	if (prefix_has_host_bits(&prefix)) {
		prefix.addr = prefix_first(&prefix);
		return fail(d, value, "%s has bits behind the prefix length; meant %s?",
			value.doc->text, prefix_format(&prefix, first));
	}
	*ARENA_PUSH(d->arena, prefixes->items, &prefixes->n) = prefix;
	return 0;
}

static int decode_prefixes(struct decoder *d, struct value value, void *into)
{
	return decode_list(d, value, 64, decode_prefix, into);
}

static int decode_pod_cidr(struct decoder *d, struct value value, void *into)
{
	const struct prefixes *prefixes = into;
	const char *fault;

	if (decode_prefix(d, value, into) < 0)
		return -1;
	fault = pod_cidr_fault(&prefixes->items[prefixes->n - 1]);
	if (fault)
		return fail(d, value, "%s %s", value.doc->text, fault);
	return 0;
}

static int decode_pod_cidrs(struct decoder *d, struct value value, void *into)
{
	return decode_list(d, value, 64, decode_pod_cidr, into);
}

static int decode_labels(struct decoder *d, struct value value, void *into)
{
	struct labels *labels = into;

	if (value.doc->type != DOC_MAP)
		return fail_expected(d, value, "a map of labels");
	for (size_t i = 0; i < value.doc->n_items; i++) {
		char path[PATH_TEXT_MAX];
		struct value item = {value.doc->items[i], path};

		snprintf(path, sizeof(path), "%s.%.60s", value.path, item.doc->key);
		if (scalar(d, item, "a label's value") < 0)
			return -1;
		*ARENA_PUSH(d->arena, labels->items, &labels->n) =
			(struct label){item.doc->key, item.doc->text};
	}
	return 0;
}

/* A path or similar that ends up in files of other programs. */
static int decode_absolute_path(struct decoder *d, struct value value, void *into)
{
	if (scalar(d, value, "an absolute path") < 0)
		return -1;
	if (value.doc->text[0] != '/' || strlen(value.doc->text) > 100 ||
		strpbrk(value.doc->text, "\"\\\n\r\t"))
		return fail_expected(d, value, "an absolute path of at most 100 characters");
	*(const char **)into = value.doc->text;
	return 0;
}

/* ---------------------------------------------------------------- session */

static int decode_hold_time(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	/* RFC 4271 4.2: at least 3 seconds; 0 (no keepalives at all) is refused. */
	if (number(d, value, 3, 65535, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_keepalive_time(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 1, 21845, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_send_hold_time(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 3, 65535, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_restart_time(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 1, 4095, &n) < 0) /* RFC 4724 3: 12 bits */
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_graceful_restart(struct decoder *d, struct value value, void *into)
{
	struct session *session = into;
	static const struct field fields[] = {
		{"enabled", decode_bool, offsetof(struct session, graceful_restart.enabled), false},
		{"restartTime", decode_restart_time,
			offsetof(struct session, graceful_restart.restart_time), false},
	};

	return DECODE_MAP(d, value, fields, session);
}

static int decode_stale_time(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 1, 16777215, &n) < 0) /* RFC 9494 3.1: 24 bits */
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

/* Whoever writes it wants it, unless it says enabled: false. */
static int decode_long_lived(struct decoder *d, struct value value, void *into)
{
	struct session *session = into;
	static const struct field fields[] = {
		{"enabled", decode_bool, offsetof(struct session, long_lived.enabled), false},
		{"staleTime", decode_stale_time, offsetof(struct session, long_lived.stale_time),
			false},
	};

	session->long_lived.enabled = true;
	return DECODE_MAP(d, value, fields, session);
}

static int decode_connect_retry_time(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 1, 65535, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_bfd_interval(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 10, 60000, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_bfd_multiplier(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 1, 255, &n) < 0) /* RFC 5880 4.1: 8 bits, not zero */
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

/* true, false, or timers, which turn it on. */
static int decode_bfd(struct decoder *d, struct value value, void *into)
{
	struct session *session = into;
	static const struct field fields[] = {
		{"interval", decode_bfd_interval, offsetof(struct session, bfd_interval_ms), false},
		{"multiplier", decode_bfd_multiplier, offsetof(struct session, bfd_multiplier),
			false},
	};

	if (value.doc->type != DOC_MAP && !is_bool(value.doc))
		return fail_expected(d, value, "true, false or a map with interval, multiplier");
	if (value.doc->type != DOC_MAP)
		return decode_bool(d, value, &session->bfd);
	session->bfd = true;
	return DECODE_MAP(d, value, fields, session);
}

static int decode_limit_prefixes(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 1, 100000000, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_limit_action(struct decoder *d, struct value value, void *into)
{
	bool *only_warn = into;

	if (scalar(d, value, "block or warn") < 0)
		return -1;
	*only_warn = strcmp(value.doc->text, "warn") == 0;
	if (!*only_warn && strcmp(value.doc->text, "block") != 0)
		return fail_expected(d, value, "block or warn");
	return 0;
}

/* A number, or a map with the action; block, unless it says warn. */
static int decode_import_limit(struct decoder *d, struct value value, void *into)
{
	struct session *session = into;
	static const struct field fields[] = {
		{"prefixes", decode_limit_prefixes, offsetof(struct session, import_limit.prefixes),
			true},
		{"action", decode_limit_action, offsetof(struct session, import_limit.only_warn),
			false},
	};

	session->import_limit.only_warn = false;
	if (value.doc->type != DOC_MAP)
		return decode_limit_prefixes(d, value, &session->import_limit.prefixes);
	return DECODE_MAP(d, value, fields, session);
}

/* No message here may quote the password.  "" takes back what `session` says. */
static int decode_password(struct decoder *d, struct value value, void *into)
{
	struct session *session = into;
	const char *text = value.doc->text;

	if (value.doc->type != DOC_SCALAR || doc_is_null(value.doc))
		return fail(d, value, "expected a password, got %s", doc_type_name(value.doc));
	if (*text && !password_is_valid(text))
		return fail(d, value, "expected a password of at most %d printable ASCII characters "
				      "without \"",
			PASSWORD_MAX);
	session->password = *text ? text : NULL;
	session->password_file = NULL;
	return 0;
}

static int decode_password_file(struct decoder *d, struct value value, void *into)
{
	struct session *session = into;

	session->password = NULL;
	session->password_file_at = arena_printf(d->arena, "%s:%u:%u: %s", d->name,
		value.doc->line, value.doc->column, value.path);
	return decode_absolute_path(d, value, &session->password_file);
}

#define SESSION_FIELDS(base)                                                                       \
	{"holdTime", decode_hold_time, (base) + offsetof(struct session, hold_time), false},       \
		{"keepaliveTime", decode_keepalive_time,                                           \
			(base) + offsetof(struct session, keepalive_time), false},                 \
		{"sendHoldTime", decode_send_hold_time,                                            \
			(base) + offsetof(struct session, send_hold_time), false},                 \
		{"connectRetryTime", decode_connect_retry_time,                                    \
			(base) + offsetof(struct session, connect_retry_time), false},             \
		{"bfd", decode_bfd, (base), false},                                                \
		{"gracefulRestart", decode_graceful_restart, (base), false},                       \
		{"longLivedGracefulRestart", decode_long_lived, (base), false},                    \
		{"importLimit", decode_import_limit, (base), false},                               \
		{"ttlSecurity", decode_bool, (base) + offsetof(struct session, ttl_security),      \
			false},                                                                    \
		{"password", decode_password, (base), false},                                      \
		{"passwordFile", decode_password_file, (base), false}

static int check_times(struct decoder *d, struct value value, const struct session *session)
{
	if (session->keepalive_time * 3 > session->hold_time)
		return fail(d, value,
			"keepaliveTime %u is more than a third of holdTime %u (RFC 4271 section 10)",
			session->keepalive_time, session->hold_time);
	if (session->send_hold_time && session->send_hold_time < session->hold_time)
		return fail(d, value, "sendHoldTime %u is less than holdTime %u (RFC 9687)",
			session->send_hold_time, session->hold_time);
	if (session->long_lived.enabled && !session->graceful_restart.enabled)
		return fail(d, value,
			"longLivedGracefulRestart needs gracefulRestart (RFC 9494 section 4.1)");
	if (doc_get(value.doc, "password") && doc_get(value.doc, "passwordFile"))
		return fail(d, value, "password and passwordFile are both there: one is enough");
	return 0;
}

/* holdTime alone moves the default keepaliveTime with it. */
static void default_keepalive(const struct doc *map, struct session *session)
{
	if (doc_get(map, "holdTime") && !doc_get(map, "keepaliveTime"))
		session->keepalive_time = session->hold_time / 3;
}

static int decode_session(struct decoder *d, struct value value, void *into)
{
	struct session *session = into;
	static const struct field fields[] = {SESSION_FIELDS(0)};

	if (DECODE_MAP(d, value, fields, session) < 0)
		return -1;
	default_keepalive(value.doc, session);
	return check_times(d, value, session);
}

/* ---------------------------------------------------------------- cluster */

static int decode_topology(struct decoder *d, struct value value, void *into)
{
	enum topology *topology = into;

	if (scalar(d, value, "mesh, reflector or none") < 0)
		return -1;
	if (strcmp(value.doc->text, "mesh") == 0)
		*topology = TOPOLOGY_MESH;
	else if (strcmp(value.doc->text, "none") == 0)
		*topology = TOPOLOGY_NONE;
	else if (strcmp(value.doc->text, "reflector") == 0)
		*topology = TOPOLOGY_REFLECTOR;
	else
		return fail_expected(d, value, "mesh, reflector or none");
	return 0;
}

static int decode_label_key(struct decoder *d, struct value value, void *into)
{
	if (scalar(d, value, "the name of a label") < 0)
		return -1;
	if (!*value.doc->text)
		return fail_expected(d, value, "the name of a label");
	*(const char **)into = value.doc->text;
	return 0;
}

static int check_cluster_pod_cidrs(struct decoder *d, struct value value)
{
	const struct prefixes *cidrs = &d->cluster->pod_cidrs;
	char a[PREFIX_TEXT_MAX], b[PREFIX_TEXT_MAX];

	if (cidrs->n == 0)
		return fail(d, value, "expected at least one podCIDR, got an empty list");
	for (size_t i = 1; i < cidrs->n; i++)
		for (size_t j = 0; j < i; j++)
			if (prefix_overlaps(&cidrs->items[i], &cidrs->items[j]))
				return fail(d, value, "%s overlaps %s",
					prefix_format(&cidrs->items[i], a),
					prefix_format(&cidrs->items[j], b));
	return 0;
}

/* Routers are told of nothing wider, and no pod has such an address. */
static int check_service_cidrs(struct decoder *d, struct value value)
{
	const struct cluster *cluster = d->cluster;
	char a[PREFIX_TEXT_MAX], b[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < cluster->service_cidrs.n; i++)
		for (size_t j = 0; j < cluster->pod_cidrs.n; j++)
			if (prefix_overlaps(&cluster->service_cidrs.items[i],
				    &cluster->pod_cidrs.items[j]))
				return fail(d, value, "%s overlaps %s of cluster.podCIDRs",
					prefix_format(&cluster->service_cidrs.items[i], a),
					prefix_format(&cluster->pod_cidrs.items[j], b));
	return 0;
}

static int decode_service_cidr(struct decoder *d, struct value value, void *into)
{
	const struct prefixes *prefixes = into;

	if (decode_prefix(d, value, into) < 0)
		return -1;
	if (prefixes->items[prefixes->n - 1].len < 8)
		return fail(d, value, "%s: a prefix for Services is /8 or longer", value.doc->text);
	return 0;
}

static int decode_service_cidrs(struct decoder *d, struct value value, void *into)
{
	return decode_list(d, value, 64, decode_service_cidr, into);
}

static int decode_service_kind(struct decoder *d, struct value value, void *into)
{
	const char *expected = "LoadBalancerIP, ExternalIP or ClusterIP";

	if (scalar(d, value, expected) < 0)
		return -1;
	for (enum service_kind kind = 0; kind < SERVICE_KINDS; kind++)
		if (strcmp(value.doc->text, service_kind_name(kind)) == 0) {
			*(unsigned *)into |= 1u << kind;
			return 0;
		}
	return fail_expected(d, value, expected);
}

static int decode_service_addresses(struct decoder *d, struct value value, void *into)
{
	*(unsigned *)into = 0;
	return decode_list(d, value, SERVICE_KINDS, decode_service_kind, into);
}

static int decode_as_rule(struct decoder *d, struct value value, void *into)
{
	struct cluster *cluster = into;
	struct as_rule *rule = ARENA_PUSH(d->arena, cluster->as_rules, &cluster->n_as_rules);
	static const struct field fields[] = {
		{"nodeSelector", decode_labels, offsetof(struct as_rule, node_selector), true},
		{"asNumber", decode_as_number, offsetof(struct as_rule, as_number), true},
	};

	return DECODE_MAP(d, value, fields, rule);
}

static int decode_as_rules(struct decoder *d, struct value value, void *into)
{
	return decode_list(d, value, 256, decode_as_rule, into);
}

static int decode_cluster_section(struct decoder *d, struct value value, void *into)
{
	static const struct field fields[] = {
		{"name", decode_name, offsetof(struct cluster, name), true},
		{"asNumber", decode_as_number, offsetof(struct cluster, as_number), true},
		{"podCIDRs", decode_pod_cidrs, offsetof(struct cluster, pod_cidrs), true},
		{"asNumbers", decode_as_rules, 0, false},
		{"topology", decode_topology, offsetof(struct cluster, topology), false},
		{"topologyKey", decode_label_key, offsetof(struct cluster, topology_key), false},
		{"serviceCIDRs", decode_service_cidrs, offsetof(struct cluster, service_cidrs),
			false},
		{"serviceAddresses", decode_service_addresses,
			offsetof(struct cluster, service_addresses), false},
	};

	if (DECODE_MAP(d, value, fields, into) < 0)
		return -1;
	if (check_cluster_pod_cidrs(d,
		    (struct value){doc_get(value.doc, "podCIDRs"), "cluster.podCIDRs"}) < 0)
		return -1;
	return check_service_cidrs(d,
		(struct value){doc_get(value.doc, "serviceCIDRs"), "cluster.serviceCIDRs"});
}

/* ---------------------------------------------------------------- nodes */

static int decode_node_address(struct decoder *d, struct value value, void *into)
{
	struct addr addr, *address = into;

	if (decode_address(d, value, &addr) < 0)
		return -1;
	address += family_of(&addr);
	if (address->family)
		return fail(d, value, "a second %s address; one of each family is used",
			family_name(family_of(&addr)));
	*address = addr;
	return 0;
}

static int decode_node_addresses(struct decoder *d, struct value value, void *into)
{
	if (decode_list(d, value, FAMILIES, decode_node_address, into) < 0)
		return -1;
	if (value.doc->n_items == 0)
		return fail(d, value, "expected at least one address, got an empty list");
	return 0;
}

static int decode_node(struct decoder *d, struct value value, void *into)
{
	struct cluster *cluster = into;
	struct node *node = ARENA_PUSH(d->arena, cluster->nodes, &cluster->n_nodes);
	static const struct field fields[] = {
		{"name", decode_name, offsetof(struct node, name), true},
		{"addresses", decode_node_addresses, offsetof(struct node, address), true},
		{"podCIDRs", decode_pod_cidrs, offsetof(struct node, pod_cidrs), false},
		{"labels", decode_labels, offsetof(struct node, labels), false},
		{"asNumber", decode_as_number, offsetof(struct node, as_number), false},
		{"reflector", decode_bool, offsetof(struct node, reflector), false},
	};

	return DECODE_MAP(d, value, fields, node);
}

static int decode_nodes(struct decoder *d, struct value value, void *into)
{
	return decode_list(d, value, DECODE_MAX_NODES, decode_node, into);
}

/* ---------------------------------------------------------------- peers */

static int decode_export_item(struct decoder *d, struct value value, void *into)
{
	static const struct {
		const char *name;
		enum export bit;
	} known[] = {
		{"pods", EXPORT_PODS},
		{"cluster", EXPORT_CLUSTER},
		{"default", EXPORT_DEFAULT},
		{"services", EXPORT_SERVICES},
	};
	const char *expected = "pods, cluster, default or services";

	if (scalar(d, value, expected) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(value.doc->text, known[i].name) == 0) {
			*(unsigned *)into |= known[i].bit;
			return 0;
		}
	return fail_expected(d, value, expected);
}

static int decode_export(struct decoder *d, struct value value, void *into)
{
	*(unsigned *)into = 0;
	return decode_list(d, value, 8, decode_export_item, into);
}

/* A router may also have no more than a link-local address. */
static int decode_router_address(struct decoder *d, struct value value, void *into)
{
	struct addr addr;

	if (value.doc->type == DOC_SCALAR && addr_parse(value.doc->text, &addr) &&
		addr_is_link_local(&addr)) {
		*(struct addr *)into = addr;
		return 0;
	}
	return decode_address(d, value, into);
}

static int decode_port(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 1, 65535, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

/* A number of hops, or true: however many. */
static int decode_multihop(struct decoder *d, struct value value, void *into)
{
	bool any = false;
	uint64_t n;

	if (is_bool(value.doc)) {
		decode_bool(d, value, &any);
		*(unsigned *)into = any ? 64 : 0; /* as BIRD's */
		return 0;
	}
	if (number(d, value, 2, 255, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_allow_local_as(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 0, 10, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_as_path_limit(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 1, 255, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_maybe(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 0, UINT32_MAX, &n) < 0)
		return -1;
	*(struct maybe *)into = (struct maybe){true, (uint32_t)n};
	return 0;
}

static int decode_maybe_bool(struct decoder *d, struct value value, void *into)
{
	bool on = false;

	if (decode_bool(d, value, &on) < 0)
		return -1;
	*(struct maybe *)into = (struct maybe){true, on};
	return 0;
}

static int decode_role(struct decoder *d, struct value value, void *into)
{
	static const char *const names[] = {
		[ROLE_PROVIDER] = "provider",
		[ROLE_PEER] = "peer",
		[ROLE_CUSTOMER] = "customer",
		[ROLE_RS_SERVER] = "rs-server",
		[ROLE_RS_CLIENT] = "rs-client",
	};
	static const char expected[] = "provider, peer, customer, rs-server or rs-client";

	if (scalar(d, value, expected) < 0)
		return -1;
	for (enum role role = ROLE_PROVIDER; role <= ROLE_RS_CLIENT; role++)
		if (strcmp(value.doc->text, names[role]) == 0) {
			*(enum role *)into = role;
			return 0;
		}
	return fail_expected(d, value, expected);
}

static int decode_add_paths(struct decoder *d, struct value value, void *into)
{
	static const char *const names[] = {
		[ADD_PATHS_OFF] = "off",
		[ADD_PATHS_RX] = "rx",
		[ADD_PATHS_TX] = "tx",
		[ADD_PATHS_BOTH] = "both",
	};

	if (scalar(d, value, "off, rx, tx or both") < 0)
		return -1;
	for (enum add_paths which = ADD_PATHS_OFF; which <= ADD_PATHS_BOTH; which++)
		if (strcmp(value.doc->text, names[which]) == 0) {
			*(enum add_paths *)into = which;
			return 0;
		}
	return fail_expected(d, value, "off, rx, tx or both");
}

/* "64512:100", with `n` parts of at most `max`. */
static int decode_parts(struct decoder *d, struct value value, size_t n, uint32_t max,
	const char *expected, struct communities *list)
{
	const char *at = value.doc->text;
	struct community community = {0};

	if (scalar(d, value, expected) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		size_t digits = strspn(at, "0123456789");
		unsigned long long part = strtoull(at, NULL, 10);

		if (digits == 0 || digits > 10 || part > max || (at[0] == '0' && digits > 1) ||
			at[digits] != (i + 1 < n ? ':' : '\0'))
			return fail_expected(d, value, expected);
		community.parts[i] = (uint32_t)part;
		at += digits + 1;
	}
	*ARENA_PUSH(d->arena, list->items, &list->n) = community;
	return 0;
}

static int decode_community(struct decoder *d, struct value value, void *into)
{
	return decode_parts(d, value, 2, UINT16_MAX, "a community such as 64512:100", into);
}

static int decode_communities(struct decoder *d, struct value value, void *into)
{
	return decode_list(d, value, 32, decode_community, into);
}

static int decode_large_community(struct decoder *d, struct value value, void *into)
{
	return decode_parts(d, value, 3, UINT32_MAX, "a large community such as 64512:100:1", into);
}

static int decode_large_communities(struct decoder *d, struct value value, void *into)
{
	return decode_list(d, value, 32, decode_large_community, into);
}

static int check_peer_family(struct decoder *d, struct value value, const struct peer *peer,
	const struct addr *addr, const char *key)
{
	if (addr->family && addr->family != peer->address.family)
		return fail(d, value, "%s is no %s address, as the router's is", key,
			family_name(family_of(&peer->address)));
	return 0;
}

static int check_multihop(struct decoder *d, struct value value, const struct peer *peer)
{
	if (peer->gateway.family && !peer->multihop)
		return fail(d, value, "gateway is for a router that is not on the nodes' segment: "
				      "it needs multihop");
	if (!peer->multihop)
		return 0;
	if (peer->interface || addr_is_link_local(&peer->address))
		return fail(d, value, "multihop and interface do not go together");
	if (peer->extended_next_hop)
		return fail(d, value, "multihop and extendedNextHop do not go together");
	if (!peer->gateway.family && (peer->import_default || peer->import.n))
		return fail(d, value, "multihop needs gateway, the way to what the router announces, "
				      "or import: []");
	if (peer->gateway.family && addr_cmp(&peer->gateway, &peer->address) == 0)
		return fail(d, value, "gateway is the router itself: leave multihop and gateway out");
	return 0;
}

/* A router without an address is whoever connects on the interface from a link-local
 * one: all that holds for these holds for fe80::, which nobody has. */
static int check_unnumbered(struct decoder *d, struct value value, struct peer *peer)
{
	if (peer->address.family)
		return 0;
	if (!peer->interface)
		return fail(d, value, "address is missing, or interface, for a router that is known "
				      "by its link alone");
	if (peer->port)
		return fail(d, value, "port needs address: without it the router connects to us");
	peer->unnumbered = addr_parse("fe80::", &peer->address);
	return 0;
}

/* What takes two values of the peer to see. */
static int check_peer(struct decoder *d, struct value value, const struct peer *peer)
{
	if (addr_is_link_local(&peer->address) && !peer->interface)
		return fail(d, value, "a link-local address needs interface");
	if (addr_is_link_local(&peer->address) && peer->source_address.family)
		return fail(d, value, "sourceAddress: from a link-local address to a link-local one");
	if (peer->extended_next_hop && peer->address.family != AF_INET6)
		return fail(d, value, "extendedNextHop needs an IPv6 address: IPv4 routes over IPv6");
	if (check_peer_family(d, value, peer, &peer->source_address, "sourceAddress") < 0 ||
		check_peer_family(d, value, peer, &peer->gateway, "gateway") < 0)
		return -1;
	return check_multihop(d, value, peer);
}

static int decode_interface_name(struct decoder *d, struct value value, void *into)
{
	const char *text = value.doc->text;

	if (scalar(d, value, "an interface name") < 0)
		return -1;
	if (!name_is_valid(text) || strlen(text) > 15)
		return fail_expected(d, value, "an interface name of 1 to 15 characters");
	*(const char **)into = text;
	return 0;
}

static int decode_peer(struct decoder *d, struct value value, void *into)
{
	struct cluster *cluster = into;
	struct peer *peer = ARENA_PUSH(d->arena, cluster->peers, &cluster->n_peers);
	static const struct field fields[] = {
		{"name", decode_name, offsetof(struct peer, name), true},
		{"address", decode_router_address, offsetof(struct peer, address), false},
		{"asNumber", decode_as_number, offsetof(struct peer, as_number), true},
		{"nodeSelector", decode_labels, offsetof(struct peer, node_selector), false},
		{"interface", decode_interface_name, offsetof(struct peer, interface), false},
		{"sourceAddress", decode_address, offsetof(struct peer, source_address), false},
		{"port", decode_port, offsetof(struct peer, port), false},
		{"passive", decode_bool, offsetof(struct peer, passive), false},
		{"multihop", decode_multihop, offsetof(struct peer, multihop), false},
		{"gateway", decode_address, offsetof(struct peer, gateway), false},
		{"role", decode_role, offsetof(struct peer, role), false},
		{"import", decode_prefixes, offsetof(struct peer, import), false},
		{"export", decode_export, offsetof(struct peer, export), false},
		{"addPaths", decode_add_paths, offsetof(struct peer, add_paths), false},
		{"extendedNextHop", decode_bool, offsetof(struct peer, extended_next_hop), false},
		{"allowLocalAS", decode_allow_local_as, offsetof(struct peer, allow_local_as), false},
		{"asPathLimit", decode_as_path_limit, offsetof(struct peer, as_path_limit), false},
		{"localPreference", decode_maybe, offsetof(struct peer, local_preference), false},
		{"med", decode_maybe, offsetof(struct peer, med), false},
		{"nextHopSelf", decode_maybe_bool, offsetof(struct peer, next_hop_self), false},
		{"communities", decode_communities, offsetof(struct peer, communities), false},
		{"largeCommunities", decode_large_communities,
			offsetof(struct peer, large_communities), false},
		SESSION_FIELDS(offsetof(struct peer, session)),
	};

	peer->export = EXPORT_PODS;
	peer->import_default = !doc_get(value.doc, "import");
	peer->session = cluster->session;
	if (DECODE_MAP(d, value, fields, peer) < 0)
		return -1;
	default_keepalive(value.doc, &peer->session);
	if (check_times(d, value, &peer->session) < 0 || check_unnumbered(d, value, peer) < 0)
		return -1;
	return check_peer(d, value, peer);
}

static int decode_peers(struct decoder *d, struct value value, void *into)
{
	return decode_list(d, value, DECODE_MAX_PEERS, decode_peer, into);
}

/* ---------------------------------------------------------------- cni, bird, agent */

static int decode_cni_mode(struct decoder *d, struct value value, void *into)
{
	enum cni_mode *mode = into;

	if (scalar(d, value, "bridge or routed") < 0)
		return -1;
	if (strcmp(value.doc->text, cni_mode_name(CNI_MODE_BRIDGE)) == 0)
		*mode = CNI_MODE_BRIDGE;
	else if (strcmp(value.doc->text, cni_mode_name(CNI_MODE_ROUTED)) == 0)
		*mode = CNI_MODE_ROUTED;
	else
		return fail_expected(d, value, "bridge or routed");
	return 0;
}

static int decode_mtu(struct decoder *d, struct value value, void *into)
{
	uint64_t n = 0;

	if (value.doc->type != DOC_SCALAR || strcmp(value.doc->text, "auto") != 0) {
		if (number(d, value, 1280, 65535, &n) < 0) /* RFC 8200 5: IPv6 needs 1280 */
			return -1;
	}
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_masquerade(struct decoder *d, struct value value, void *into)
{
	static const struct field fields[] = {
		{"enabled", decode_bool, offsetof(struct cni, masquerade.enabled), false},
		{"except", decode_prefixes, offsetof(struct cni, masquerade.except), false},
	};

	if (DECODE_MAP(d, value, fields, into) < 0)
		return -1;
	if (doc_get(value.doc, "except") && !doc_get(value.doc, "enabled"))
		warn(d, value, "except does nothing without enabled: true");
	return 0;
}

static int decode_cni(struct decoder *d, struct value value, void *into)
{
	static const struct field fields[] = {
		{"mode", decode_cni_mode, offsetof(struct cni, mode), false},
		{"bridge", decode_interface_name, offsetof(struct cni, bridge), false},
		{"mtu", decode_mtu, offsetof(struct cni, mtu), false},
		{"binDir", decode_absolute_path, offsetof(struct cni, bin_dir), false},
		{"confDir", decode_absolute_path, offsetof(struct cni, conf_dir), false},
		{"masquerade", decode_masquerade, 0, false},
	};

	return DECODE_MAP(d, value, fields, into);
}

static int decode_confirm_timeout(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 5, 3600, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_bird(struct decoder *d, struct value value, void *into)
{
	static const struct field fields[] = {
		{"socket", decode_absolute_path, offsetof(struct cluster, bird.socket), false},
		{"confirmTimeout", decode_confirm_timeout,
			offsetof(struct cluster, bird.confirm_timeout), false},
	};

	return DECODE_MAP(d, value, fields, into);
}

/* "127.0.0.1:9472", "[::1]:9472", or "" for none. */
static int decode_listen_address(struct decoder *d, struct value value, void *into)
{
	const char *expected = "address:port such as 127.0.0.1:9472, or \"\" for none";
	const char *text = value.doc->text, *colon, *end;
	char host[ADDR_TEXT_MAX + 2];
	struct addr addr;
	bool brackets;
	size_t len;

	if (scalar(d, value, expected) < 0)
		return -1;
	*(const char **)into = text;
	if (!*text)
		return 0;
	colon = strrchr(text, ':');
	len = colon ? (size_t)(colon - text) : 0;
	if (len == 0 || len >= sizeof(host))
		return fail_expected(d, value, expected);
	snprintf(host, sizeof(host), "%.*s", (int)len, text);
	brackets = host[0] == '[' && host[len - 1] == ']';
	if (brackets) {
		host[len - 1] = '\0';
		memmove(host, host + 1, len - 1);
	}
	end = colon + 1;
	if (!addr_parse(host, &addr) || brackets != (family_of(&addr) == IPV6) ||
		strlen(end) > 5 || !*end || strspn(end, "0123456789") != strlen(end) ||
		atoi(end) < 1 || atoi(end) > 65535)
		return fail_expected(d, value, expected);
	return 0;
}

/* "25%" -> 25 */
static int decode_percent(struct decoder *d, struct value value, void *into)
{
	static const char expected[] = "0% to 100%, such as 25%";
	const char *text = value.doc->text;
	size_t digits;
	int n;

	if (scalar(d, value, expected) < 0)
		return -1;
	digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 3 || (text[0] == '0' && digits > 1) ||
		strcmp(text + digits, "%") != 0)
		return fail_expected(d, value, expected);
	n = atoi(text);
	if (n > 100)
		return fail_expected(d, value, expected);
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_withdraw_delay(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 0, 86400, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

static int decode_agent(struct decoder *d, struct value value, void *into)
{
	static const struct field fields[] = {
		{"socket", decode_absolute_path, offsetof(struct cluster, agent.socket), false},
		{"metrics", decode_listen_address, offsetof(struct cluster, agent.metrics), false},
		{"maxWithdraw", decode_percent, offsetof(struct cluster, agent.max_withdraw_percent),
			false},
		{"withdrawDelay", decode_withdraw_delay,
			offsetof(struct cluster, agent.withdraw_delay), false},
	};

	return DECODE_MAP(d, value, fields, into);
}

/* ---------------------------------------------------------------- kubernetes */

static int decode_watch_timeout(struct decoder *d, struct value value, void *into)
{
	uint64_t n;

	if (number(d, value, 5, 3600, &n) < 0)
		return -1;
	*(unsigned *)into = (unsigned)n;
	return 0;
}

/* An empty one would make every Node a reflector. */
static int decode_reflector_selector(struct decoder *d, struct value value, void *into)
{
	*(struct labels *)into = (struct labels){0};
	if (decode_labels(d, value, into) < 0)
		return -1;
	if (((struct labels *)into)->n == 0)
		return fail(d, value, "expected at least one label");
	return 0;
}

/* {} is all that a pod has to say. */
static int decode_kubernetes(struct decoder *d, struct value value, void *into)
{
	struct kubernetes *kubernetes = into;
	static const struct field fields[] = {
		{"kubeconfig", decode_absolute_path, offsetof(struct kubernetes, kubeconfig), false},
		{"reflectorSelector", decode_reflector_selector,
			offsetof(struct kubernetes, reflector_selector), false},
		{"watchTimeout", decode_watch_timeout, offsetof(struct kubernetes, watch_timeout),
			false},
	};

	kubernetes->used = true;
	return DECODE_MAP(d, value, fields, kubernetes);
}

/* ---------------------------------------------------------------- the whole */

static struct label reflector_label = {"roost/reflector", "true"};

static const struct cluster defaults = {
	.topology = TOPOLOGY_MESH,
	.service_addresses = 1u << SERVICE_LOAD_BALANCER_IP | 1u << SERVICE_EXTERNAL_IP,
	.session = {.hold_time = 90, .keepalive_time = 30,
		.graceful_restart = {.enabled = true, .restart_time = 120},
		.long_lived = {.stale_time = 3600}},
	.cni = {.bridge = "roost0", .bin_dir = ROOST_CNI_BIN_DIR, .conf_dir = "/etc/cni/net.d"},
	.kubernetes = {.reflector_selector = {&reflector_label, 1}, .watch_timeout = 120},
	.bird = {.socket = "/run/bird/bird.ctl", .confirm_timeout = 30},
	.agent = {.socket = "/run/roost/roostd.sock", .metrics = "127.0.0.1:9472",
		.max_withdraw_percent = 25, .withdraw_delay = 600},
};

static const struct field top_fields[] = {
	{"cluster", decode_cluster_section, 0, true},
	{"nodes", decode_nodes, 0, false},
	{"peers", decode_peers, 0, false},
	{"session", decode_session, offsetof(struct cluster, session), false},
	{"cni", decode_cni, offsetof(struct cluster, cni), false},
	{"bird", decode_bird, 0, false},
	{"agent", decode_agent, 0, false},
	{"kubernetes", decode_kubernetes, offsetof(struct cluster, kubernetes), false},
};

/* A selector that fits nobody is a slip of the pen, as a rule. */
static void warn_of_idle_peers(struct decoder *d, const struct doc *root)
{
	const struct cluster *cluster = d->cluster;

	for (size_t i = 0; i < cluster->n_peers; i++) {
		const struct labels *selector = &cluster->peers[i].node_selector;
		bool chosen = false;
		char path[64];

		for (size_t j = 0; j < cluster->n_nodes && !chosen; j++)
			chosen = labels_match(selector, &cluster->nodes[j].labels);
		snprintf(path, sizeof(path), "peers[%zu].nodeSelector", i);
		if (!chosen)
			warn(d, (struct value){doc_find(root, path), path},
				"no node has these labels, so none speaks to this router");
	}
}

#define MESH_MAX 100 /* nodes; more work, but no longer comfortably */

static void warn_of_topology(struct decoder *d, const struct doc *root)
{
	const struct cluster *cluster = d->cluster;
	struct value value = {doc_find(root, "cluster.topology"), "cluster.topology"};
	size_t n = cluster->n_nodes, n_lone = 0;
	const struct node *lone = NULL;
	unsigned n_all = 0;

	for (size_t i = 0; i < n; i++)
		n_all += cluster->nodes[i].reflector;
	for (size_t i = 0; i < n; i++) {
		const struct node *node = &cluster->nodes[i];

		/* Who has none of its own is served by all. */
		if (!node->reflector && (node->n_reflectors ? node->n_reflectors : n_all) == 1) {
			lone = node;
			n_lone++;
		}
	}
	if (cluster->topology == TOPOLOGY_REFLECTOR && lone)
		warn(d, value,
			arena_printf(d->arena,
				"%zu node%s, such as %s, with one reflector only: while it is away "
				"they learn no routes",
				n_lone, n_lone == 1 ? "" : "s", lone->name));
	if (cluster->topology == TOPOLOGY_MESH && n > MESH_MAX)
		warn(d, value,
			arena_printf(d->arena,
				"a mesh of %zu nodes is %zu sessions on each and %zu in all; consider "
				"topology: reflector",
				n, n - 1, n * (n - 1) / 2));
}

/* Nor is there a use for a rule that others always come before. */
static void warn_of_idle_as_rules(struct decoder *d, const struct doc *root)
{
	const struct cluster *cluster = d->cluster;

	for (size_t i = 0; i < cluster->n_as_rules; i++) {
		const struct as_rule *rule = &cluster->as_rules[i];
		bool fits = false, used = false;
		char path[64];

		for (size_t j = 0; j < cluster->n_nodes && !used; j++) {
			const struct node *node = &cluster->nodes[j];

			fits = fits || labels_match(&rule->node_selector, &node->labels);
			used = !node->as_number && cluster_as_rule(cluster, node) == rule;
		}
		snprintf(path, sizeof(path), "cluster.asNumbers[%zu].nodeSelector", i);
		if (!used)
			warn(d, (struct value){doc_find(root, path), path},
				fits ? "every node with these labels has its AS number from an "
				       "earlier rule or from its own asNumber"
				     : "no node has these labels, so none has this AS number");
	}
}

/* Whoever may make a Service chooses its addresses: these say which ones count. */
static int check_service_exports(struct decoder *d, const struct doc *root)
{
	char path[64];

	for (size_t i = 0; i < d->cluster->n_peers; i++) {
		struct value value = {.path = path};

		if (!(d->cluster->peers[i].export & EXPORT_SERVICES))
			continue;
		snprintf(path, sizeof(path), "peers[%zu].export", i);
		value.doc = doc_find(root, path);
		if (d->cluster->service_cidrs.n == 0)
			return fail(d, value,
				"services needs cluster.serviceCIDRs, the prefixes that addresses of "
				"Services may be announced from");
		if (!d->cluster->kubernetes.used)
			warn(d, value, "services does nothing without kubernetes: they are known from "
				       "its API only");
	}
	return 0;
}

static int decode_top(struct decoder *d, const struct doc *root)
{
	struct value top = {root, ""};
	const struct doc *session;

	if (root->type != DOC_MAP)
		return fail_expected(d, top, "a map with cluster, nodes, peers, ...");
	/* Peers start from `session`, wherever in the file it stands. */
	session = doc_get(root, "session");
	if (session && decode_session(d, (struct value){session, "session"},
			       &d->cluster->session) < 0)
		return -1;
	if (DECODE_MAP(d, top, top_fields, d->cluster) < 0)
		return -1;
	if (d->cluster->kubernetes.used && doc_get(root, "nodes"))
		return fail(d, (struct value){doc_get(root, "kubernetes"), "kubernetes"},
			"either nodes or kubernetes: one of them says which nodes there are");
	if (!d->cluster->kubernetes.used && d->cluster->n_nodes == 0)
		return fail(d, top, "nodes is missing or empty, and there is no kubernetes");
	return check_service_exports(d, root);
}

static int node_by_age(const void *a, const void *b)
{
	const struct node *x = a, *y = b;
	int order = strcmp(x->created, y->created);

	if (x->gone != y->gone)
		return x->gone ? 1 : -1;
	return order ? order : strcmp(x->name, y->name);
}

/* The Node `problem` is about; NULL: it is none. */
static const struct node *node_at(const struct cluster *cluster, const struct problem *problem)
{
	size_t index;

	if (sscanf(problem->path, "nodes[%zu]", &index) != 1 || index >= cluster->n_nodes)
		return NULL;
	return &cluster->nodes[index];
}

static void leave_out(struct decoder *d, const struct node *node, const char *why)
{
	struct cluster *cluster = d->cluster;
	size_t index = (size_t)(node - cluster->nodes);

	if (!node->gone) /* nobody can mend it */
		*ARENA_PUSH(d->arena, cluster->left_out, &cluster->n_left_out) =
			(struct left_out){node->name, arena_strdup(d->arena, why)};
	cluster->n_nodes--;
	memmove(cluster->nodes + index, cluster->nodes + index + 1,
		(cluster->n_nodes - index) * sizeof(*node));
}

/* The file's routers were there first. */
static void leave_out_routers(struct decoder *d)
{
	struct cluster *cluster = d->cluster;

	for (size_t i = cluster->n_nodes; i-- > 0;)
		for (size_t j = 0; j < cluster->n_peers; j++) {
			const struct node *node = &cluster->nodes[i];
			const struct addr *router = &cluster->peers[j].address;

			if (addr_cmp(&node->address[family_of(router)], router) != 0)
				continue;
			leave_out(d, node,
				arena_printf(d->arena, "its InternalIP is router %s's address",
					cluster->peers[j].name));
			break;
		}
}

/* What is wrong with one of them alone. */
static void leave_out_misfits(struct decoder *d)
{
	struct cluster *cluster = d->cluster;
	struct problem problem;

	for (size_t i = cluster->n_nodes; i-- > 0;)
		if (cluster_check_node(cluster, i, &problem) < 0)
			leave_out(d, &cluster->nodes[i], problem.text);
}

/* Two of them clash: the check names the later one, which is the younger one.  Each
 * round of it takes milliseconds with thousands of nodes: if very many clash, it is
 * rather the file that is bad. */
#define MAX_ROUNDS 500

static int check_found(struct decoder *d, struct problem *problem)
{
	struct cluster *cluster = d->cluster;
	const struct node *bad;

	if (cluster->n_nodes)
		qsort(cluster->nodes, cluster->n_nodes, sizeof(*cluster->nodes), node_by_age);
	leave_out_routers(d);
	leave_out_misfits(d);
	for (size_t round = 0; cluster_check(cluster, problem) < 0; round++) {
		bad = node_at(cluster, problem);
		if (!bad || round >= MAX_ROUNDS)
			return -1;
		leave_out(d, bad, problem->text);
	}
	return 0;
}

static int find_nodes(struct decoder *d, node_finder_fn *find, void *arg)
{
	struct cluster *cluster = d->cluster;
	struct found_nodes found = {0};

	if (find(cluster, d->arena, &found, arg, d->err) < 0)
		return -1;
	if (found.n > DECODE_MAX_NODES)
		return err_set(d->err, EFBIG, "%zu Nodes, %d at most", found.n, DECODE_MAX_NODES);
	cluster->nodes = found.items;
	cluster->n_nodes = found.n;
	cluster->left_out = found.left_out;
	cluster->n_left_out = found.n_left_out;
	return 0;
}

static int decode_document(struct decoder *d, const char *text, size_t len, struct doc **root)
{
	*d->cluster = defaults;
	if (len > DECODE_MAX_BYTES)
		return err_set(d->err, EFBIG, "%s: larger than %u bytes", d->name, DECODE_MAX_BYTES);
	if (doc_parse(d->name, text, len, d->arena, root, d->err) < 0)
		return -1;
	return decode_top(d, *root);
}

int decode_cluster_with(const char *name, const char *text, size_t len, node_finder_fn *find,
	void *arg, struct arena *arena, struct cluster **out, struct err *err)
{
	struct cluster *cluster = arena_alloc(arena, sizeof(*cluster));
	struct decoder d = {name, arena, cluster, err};
	struct problem problem;
	struct doc *root;
	bool ask;

	if (decode_document(&d, text, len, &root) < 0)
		return -1;
	ask = find && cluster->kubernetes.used;
	if (ask && find_nodes(&d, find, arg) < 0)
		return -1;
	/* A client of reflectors does not know all Nodes. */
	if (!cluster->kubernetes.used) {
		warn_of_idle_as_rules(&d, root);
		warn_of_idle_peers(&d, root);
	}
	cluster_resolve_as_numbers(cluster);
	if ((ask ? check_found(&d, &problem) : cluster_check(cluster, &problem)) < 0)
		return fail(&d, (struct value){doc_find(root, problem.path), problem.path}, "%s",
			problem.text);
	warn_of_topology(&d, root);
	*out = cluster;
	return 0;
}

int decode_cluster(const char *name, const char *text, size_t len, struct arena *arena,
	struct cluster **out, struct err *err)
{
	return decode_cluster_with(name, text, len, NULL, NULL, arena, out, err);
}
