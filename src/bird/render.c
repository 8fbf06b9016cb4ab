/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/render.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/hash.h"

/* Per family: BIRD's name for it and a prefix no route ever has, because an empty
 * set is no BIRD expression. */
static const struct {
	const char *suffix, *channel, *nothing;
} bird_family[FAMILIES] = {
	[IPV4] = {"4", "ipv4", "0.0.0.0/32"},
	[IPV6] = {"6", "ipv6", "::/128"},
};

static const char *const generated[] = {"node.conf", "sessions.conf"};

/* ---------------------------------------------------------------- sessions */

/* A BIRD symbol is at most 63 bytes: a longer name keeps its head and gets a hash
 * in place of its tail. */
static void session_name(char room[64], const char *name, const char *suffix)
{
	int max = 63 - (int)strlen(suffix);
	int len;

	snprintf(room, 64, "%.*s", max, name);
	if ((int)strlen(name) > max) {
		uint64_t hash = hash_add(HASH_START, name, strlen(name));

		snprintf(room + max - 17, 18, "-%016llx", (unsigned long long)hash);
	}
	len = (int)strlen(room);
	snprintf(room + len, 64 - (size_t)len, "%s", suffix);
}

struct session_want *render_sessions(const struct cluster *cluster, const struct node *self,
	struct arena *arena, size_t *n)
{
	struct session_want *list = NULL;

	*n = 0;
	for (size_t i = 0; cluster->topology == TOPOLOGY_MESH && i < cluster->n_nodes; i++) {
		const struct node *node = &cluster->nodes[i];

		for (enum family f = 0; f < FAMILIES; f++) {
			struct session_want *want;

			if (node == self || !cluster_has_family(cluster, f) ||
				!node->address[f].family || !self->address[f].family)
				continue;
			want = ARENA_PUSH(arena, list, n);
			*want = (struct session_want){.node = node, .family = f,
				.local = self->address[f], .neighbor = node->address[f],
				.neighbor_as = node->as_number, .options = cluster->session};
			session_name(want->name, node->name, f == IPV4 ? ":v4" : ":v6");
		}
	}
	for (size_t i = 0; i < cluster->n_peers; i++) {
		const struct peer *peer = &cluster->peers[i];
		enum family f = family_of(&peer->address);
		struct session_want *want;

		if (!self->address[f].family || !labels_match(&peer->node_selector, &self->labels))
			continue;
		want = ARENA_PUSH(arena, list, n);
		*want = (struct session_want){.peer = peer, .family = f, .local = self->address[f],
			.neighbor = peer->address, .neighbor_as = peer->as_number,
			.options = peer->session};
		session_name(want->name, peer->name, ":peer");
	}
	return list;
}

/* "[ 10.0.0.0/8+, 0.0.0.0/0 ]"; the family's part of the list only. */
static void add_set(struct buf *buf, const struct prefixes *prefixes, enum family family,
	bool or_longer)
{
	const char *separator = "[ ";

	for (size_t i = 0; i < prefixes->n; i++) {
		const struct prefix *prefix = &prefixes->items[i];
		char text[PREFIX_TEXT_MAX];

		if (family_of(&prefix->addr) != family)
			continue;
		/* 0.0.0.0/0 is the default route, not everything. */
		buf_printf(buf, "%s%s%s", separator, prefix_format(prefix, text),
			or_longer && prefix->len > 0 ? "+" : "");
		separator = ", ";
	}
	if (separator[0] == '[')
		buf_printf(buf, "[ %s", bird_family[family].nothing);
	buf_puts(buf, " ]");
}

static void add_import(struct buf *buf, const struct session_want *want)
{
	const char *suffix = bird_family[want->family].suffix;

	buf_puts(buf, "\t\timport where net ~ ");
	/* Exactly the podCIDRs that are that node's; cluster_check() made sure that they
	 * are inside the cluster's and nobody else's. */
	if (want->node)
		add_set(buf, &want->node->pod_cidrs, want->family, false);
	else if (want->peer->import_default)
		buf_printf(buf, "CLUSTER%s", suffix);
	else
		add_set(buf, &want->peer->import, want->family, true);
	if (want->peer)
		buf_printf(buf, " && net !~ OWN%s", suffix);
	buf_puts(buf, ";\n");
}

static void add_export(struct buf *buf, const struct session_want *want)
{
	const char *suffix = bird_family[want->family].suffix;
	const char *separator = "\t\texport where ";
	bool next_hop_self = true;

	if (want->node || want->peer->export == EXPORT_PODS)
		return; /* what the template says */
	if (!want->peer->export) {
		buf_puts(buf, "\t\texport none;\n");
		return;
	}
	if (want->peer->export & EXPORT_PODS) {
		buf_printf(buf, "%s(source = RTS_STATIC && net ~ PODS%s)", separator, suffix);
		separator = " || ";
	}
	if (want->peer->export & EXPORT_CLUSTER) {
		buf_printf(buf, "%snet ~ CLUSTER%s", separator, suffix);
		separator = " || ";
		next_hop_self = false; /* traffic for other nodes' pods goes to them */
	}
	if (want->peer->export & EXPORT_DEFAULT)
		buf_printf(buf, "%snet = %s", separator,
			want->family == IPV4 ? "0.0.0.0/0" : "::/0");
	buf_puts(buf, ";\n");
	if (!next_hop_self)
		buf_puts(buf, "\t\tnext hop self off;\n");
}

/* Each option is one line: plan.c says by its beginning what a change of it does. */
static void add_options(struct buf *buf, const struct session *options)
{
	if (options->long_lived.enabled)
		buf_printf(buf,
			"\tlong lived graceful restart on;\n\tlong lived stale time %u;\n",
			options->long_lived.stale_time);
	if (options->connect_retry_time)
		buf_printf(buf, "\tconnect retry time %u;\n", options->connect_retry_time);
	if (options->bfd && (options->bfd_interval_ms || options->bfd_multiplier)) {
		buf_puts(buf, "\tbfd {");
		if (options->bfd_interval_ms)
			buf_printf(buf, " interval %u ms;", options->bfd_interval_ms);
		if (options->bfd_multiplier)
			buf_printf(buf, " multiplier %u;", options->bfd_multiplier);
		buf_puts(buf, " };\n");
	} else if (options->bfd) {
		buf_puts(buf, "\tbfd on;\n");
	}
	if (options->ttl_security)
		buf_puts(buf, "\tttl security on;\n");
	if (options->password)
		buf_printf(buf, "\tpassword \"%s\";\n", options->password);
}

static void add_import_limit(struct buf *buf, const struct session *options)
{
	if (options->import_limit.prefixes)
		buf_printf(buf, "\t\timport limit %u action %s;\n",
			options->import_limit.prefixes,
			options->import_limit.only_warn ? "warn" : "block");
}

static void add_session(struct buf *buf, const struct session_want *want, uint32_t own_as)
{
	char local[ADDR_TEXT_MAX], neighbor[ADDR_TEXT_MAX];

	buf_printf(buf, "\nprotocol bgp '%s' from roost%s {\n", want->name,
		bird_family[want->family].suffix);
	buf_printf(buf, "\tdescription \"%s\";\n",
		want->node ? want->node->name : want->peer->name);
	buf_printf(buf, "\tlocal %s as %u;\n", addr_format(&want->local, local), own_as);
	buf_printf(buf, "\tneighbor %s as %u;\n", addr_format(&want->neighbor, neighbor),
		want->neighbor_as);
	buf_printf(buf, "\thold time %u;\n\tkeepalive time %u;\n", want->options.hold_time,
		want->options.keepalive_time);
	if (want->options.graceful_restart.enabled)
		buf_printf(buf, "\tgraceful restart on;\n\tgraceful restart time %u;\n",
			want->options.graceful_restart.restart_time);
	else
		buf_puts(buf, "\tgraceful restart off;\n");
	add_options(buf, &want->options);
	buf_printf(buf, "\t%s {\n", bird_family[want->family].channel);
	add_import(buf, want);
	add_export(buf, want);
	add_import_limit(buf, &want->options);
	buf_puts(buf, "\t};\n}\n");
}

static void add_sessions(struct buf *buf, const struct cluster *cluster, const struct node *self,
	struct arena *arena)
{
	size_t n;
	struct session_want *wants = render_sessions(cluster, self, arena, &n);
	bool bfd = false;

	buf_printf(buf, "# Generated by roostd: node %s's neighbours.\n", self->name);
	for (size_t i = 0; i < n; i++)
		bfd = bfd || wants[i].options.bfd;
	if (bfd)
		buf_puts(buf, "\nprotocol bfd roost_bfd {\n}\n");
	for (size_t i = 0; i < n; i++)
		add_session(buf, &wants[i], self->as_number);
}

/* ---------------------------------------------------------------- the node */

/* The node's IPv4 address; without one 32 bits made of the IPv6 address, which is
 * as unique as it gets (RFC 6286: only the AS has to agree on it). */
static void add_router_id(struct buf *buf, const struct node *self)
{
	char text[ADDR_TEXT_MAX];
	struct addr id = self->address[IPV4];

	if (!id.family) {
		uint64_t hash = hash_add(HASH_START, self->address[IPV6].bytes, 16);
		uint32_t folded = (uint32_t)(hash ^ hash >> 32) | 1;

		id.family = AF_INET;
		for (size_t i = 0; i < 4; i++) /* the same on every kind of machine */
			id.bytes[i] = (uint8_t)(folded >> 8 * i);
	}
	buf_printf(buf, "router id %s;\n", addr_format(&id, text));
}

static void add_defines(struct buf *buf, const struct cluster *cluster, const struct node *self,
	enum family family)
{
	const char *suffix = bird_family[family].suffix;

	buf_printf(buf, "\ndefine CLUSTER%s = ", suffix);
	add_set(buf, &cluster->pod_cidrs, family, true);
	buf_printf(buf, ";\ndefine OWN%s = ", suffix);
	add_set(buf, &self->pod_cidrs, family, true);
	buf_printf(buf, ";\ndefine PODS%s = ", suffix);
	add_set(buf, &self->pod_cidrs, family, false);
	buf_printf(buf, ";\nprotocol static pods%s {\n\t%s;\n", suffix, bird_family[family].channel);
	for (size_t i = 0; i < self->pod_cidrs.n; i++) {
		char text[PREFIX_TEXT_MAX];

		if (family_of(&self->pod_cidrs.items[i].addr) == family)
			buf_printf(buf, "\troute %s unreachable;\n",
				prefix_format(&self->pod_cidrs.items[i], text));
	}
	buf_puts(buf, "}\n");
}

static void add_node(struct buf *buf, const struct cluster *cluster, const struct node *self)
{
	buf_printf(buf, "# Generated by roostd: node %s of cluster %s.\n", self->name,
		cluster->name);
	add_router_id(buf, self);
	for (enum family f = 0; f < FAMILIES; f++)
		add_defines(buf, cluster, self, f);
}

/* ---------------------------------------------------------------- the whole */

static void compute_id(const struct fileset *files, char id[CONFIG_ID_LEN + 1])
{
	uint64_t hash = HASH_START;

	for (size_t i = 0; i < files->n; i++) {
		const struct file_text *file = &files->items[i];

		hash = hash_add(hash, file->name, strlen(file->name) + 1);
		hash = hash_add(hash, file->text, file->len);
	}
	snprintf(id, CONFIG_ID_LEN + 1, "%016llx", (unsigned long long)hash);
}

/* Ends a configuration: the id over all other bytes goes into bird.conf. */
static void seal(struct rendered *out, struct arena *arena)
{
	fileset_sort(&out->files);
	compute_id(&out->files, out->id);
	for (size_t i = 0; i < out->files.n; i++) {
		struct file_text *file = &out->files.items[i];

		if (strcmp(file->name, "bird.conf") != 0)
			continue;
		file->text = arena_printf(arena, "%.*s\ndefine ROOST_CONFIG = \"%s\";\n",
			(int)file->len, file->text, out->id);
		file->len = strlen(file->text);
	}
}

static void copy_files(struct fileset *to, const struct fileset *from, struct arena *arena)
{
	for (size_t i = 0; i < from->n; i++)
		*ARENA_PUSH(arena, to->items, &to->n) = from->items[i];
}

int render(const struct cluster *cluster, const struct node *self, const struct fileset *templates,
	const struct fileset *snippets, struct arena *arena, struct rendered *out, struct err *err)
{
	_cleanup_buf_ struct buf node = {0}, sessions = {0};

	memset(out, 0, sizeof(*out));
	if (!fileset_find(templates, "bird.conf"))
		return err_set(err, ENOENT, "no bird.conf among the BIRD templates");
	for (size_t i = 0; i < ARRAY_LEN(generated); i++)
		if (fileset_find(templates, generated[i]))
			return err_set(err, EEXIST,
				"%s among the BIRD templates: that one is generated", generated[i]);
	add_node(&node, cluster, self);
	add_sessions(&sessions, cluster, self, arena);
	copy_files(&out->files, templates, arena);
	copy_files(&out->files, snippets, arena);
	fileset_add(&out->files, arena, "node.conf", buf_text(&node), node.len);
	fileset_add(&out->files, arena, "sessions.conf", buf_text(&sessions), sessions.len);
	seal(out, arena);
	return 0;
}

void render_nothing(struct arena *arena, struct rendered *out)
{
	static const char text[] = "# Generation 0: roostd has not confirmed a configuration yet.\n"
				   "log stderr all;\n"
				   "router id 0.0.0.1;\n"
				   "protocol device {\n}\n";

	memset(out, 0, sizeof(*out));
	fileset_add(&out->files, arena, "bird.conf", text, sizeof(text) - 1);
	seal(out, arena);
}
