/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What works on files alone, with no daemon and no privilege. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/drain.h"
#include "base/clock.h"
#include "base/file.h"
#include "bird/generation.h"
#include "bird/plan.h"
#include "bird/secrets.h"
#include "bird/version.h"
#include "cni/lease.h"
#include "ctl/ctl.h"
#include "kernel/masquerade.h"
#include "kube/kube.h"
#include "model/decode.h"
#include "source/file.h"

static const char *state_dir(void)
{
	const char *dir = getenv("ROOST_STATE");

	return dir && *dir ? dir : "/var/lib/roost/bird";
}

static int complain(const struct err *err)
{
	fprintf(stderr, "roostctl: %s\n", err->msg);
	return 1;
}

/* ---------------------------------------------------------------- check */

/* Read once, as it may be a pipe; NULL and *err. */
static const struct buf *text_of_file(const struct ctl *ctl, struct err *err)
{
	static struct buf text;
	static bool is_read;

	if (!is_read && file_read_input(ctl->file, DECODE_MAX_BYTES, &text, err) < 0)
		return NULL;
	is_read = true;
	return &text;
}

/* `find` is for files that say `kubernetes`; NULL: they are looked at without Nodes. */
static int load_cluster(const struct ctl *ctl, node_finder_fn *find, struct arena *arena,
	struct cluster **cluster, struct err *err)
{
	const struct buf *yaml = text_of_file(ctl, err);
	const char *nodes = ctl->nodes;

	if (!yaml)
		return -1;
	return decode_cluster_with(strcmp(ctl->file, "-") == 0 ? "standard input" : ctl->file,
		buf_text(yaml), yaml->len, find, &nodes, arena, cluster, err);
}

int local_load(const struct ctl *ctl, struct arena *arena, struct cluster **cluster,
	struct err *nodes_error, struct err *err)
{
	if (load_cluster(ctl, kube_find_nodes_in_file, arena, cluster, nodes_error) == 0)
		return 0;
	if (load_cluster(ctl, NULL, arena, cluster, err) < 0)
		return -1;
	return 0;
}

static void print_check(const struct ctl *ctl, const struct cluster *cluster, const struct err *err)
{
	json_t *warnings = json_array();

	for (size_t i = 0; cluster && i < cluster->n_warnings; i++) {
		json_array_append_new(warnings, json_string(cluster->warnings[i]));
		if (!ctl->json)
			fprintf(stderr, "roostctl: warning: %s\n", cluster->warnings[i]);
	}
	if (!ctl->json) {
		if (cluster && cluster->kubernetes.used)
			printf("%s: ok, cluster %s: nodes from Kubernetes, %zu peer%s\n", ctl->file,
				cluster->name, cluster->n_peers, cluster->n_peers == 1 ? "" : "s");
		else if (cluster)
			printf("%s: ok, cluster %s: %zu node%s, %zu peer%s\n", ctl->file,
				cluster->name, cluster->n_nodes, cluster->n_nodes == 1 ? "" : "s",
				cluster->n_peers, cluster->n_peers == 1 ? "" : "s");
		json_decref(warnings);
		return;
	}
	warnings = json_pack("{s:s, s:b, s:o, s:o, s:i, s:i}", "file", ctl->file, "ok",
		cluster != NULL, "error", cluster ? json_null() : json_string(err->msg), "warnings",
		warnings, "nodes", cluster ? (int)cluster->n_nodes : 0, "peers",
		cluster ? (int)cluster->n_peers : 0);
	json_print(warnings);
	json_decref(warnings);
}

int ctl_check(const struct ctl *ctl)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster *cluster = NULL;
	struct err err;
	int rc = load_cluster(ctl, NULL, &arena, &cluster, &err);

	if (rc == 0)
		source_warn_of_open_files(ctl->file, cluster, NULL, &arena);
	print_check(ctl, rc == 0 ? cluster : NULL, &err);
	return rc == 0 ? 0 : ctl->json ? 1 : complain(&err);
}

/* ---------------------------------------------------------------- render */

/* For whoever wants no passwords and may not read them either. */
static void stand_in(struct session *session)
{
	if (session->password_file)
		session->password = session->password_file;
}

static void stand_in_for_passwords(struct cluster *cluster)
{
	stand_in(&cluster->session);
	for (size_t i = 0; i < cluster->n_peers; i++)
		stand_in(&cluster->peers[i].session);
}

/* roostd would refuse it before BIRD sees it. */
static int check_version(const char *bird, const struct cluster *cluster, const struct node *self,
	struct arena *arena, struct err *err)
{
	struct bird_version version;
	struct session_want *sessions;
	char greeting[80];
	size_t n;

	snprintf(greeting, sizeof(greeting), "BIRD %s", bird);
	if (!version_parse(greeting, &version))
		return 0;
	sessions = render_sessions(cluster, self, arena, &n);
	return version_check(&version, sessions, n, err);
}

int local_render(const struct ctl *ctl, struct arena *arena, bool passwords, const char *bird,
	struct rendered *rendered, struct buf *masquerade, struct err *err)
{
	struct inputs inputs = {0};
	const struct node *self;
	struct cluster *cluster;
	char room[256];
	const char *name = source_node_name(ctl->node, room);

	if (load_cluster(ctl, kube_find_nodes_in_file, arena, &cluster, err) < 0 ||
		source_read_files(arena, &inputs, err) < 0)
		return -1;
	self = cluster_find_node(cluster, name);
	if (!self)
		return err_set(err, ENOENT, "%s: there is no node %s in it; say --node NAME",
			cluster->kubernetes.used ? ctl->nodes : ctl->file, name);
	if (passwords) /* as roostd would */
		cluster->nodes[self - cluster->nodes].drain = drain_read(DRAIN_FILE).state;
	if (cluster->kubernetes.used &&
		kube_find_services_in_file(ctl->nodes, cluster, self, arena, err) < 0)
		return -1;
	if (!passwords)
		stand_in_for_passwords(cluster);
	else if (source_read_passwords(NULL, cluster, self, arena, err) < 0)
		return -1;
	if (bird && check_version(bird, cluster, self, arena, err) < 0)
		return -1;
	if (masquerade)
		masquerade_render(cluster, self, masquerade);
	return render(cluster, self, &inputs.templates, &inputs.snippets, arena, rendered, err);
}

/* BIRD takes any bytes in a comment, JSON only UTF-8. */
static json_t *json_bytes(const char *text, size_t len)
{
	json_t *json = json_stringn(text, len);
	_cleanup_free_ char *copy = NULL;

	if (json)
		return json;
	copy = xmalloc(len + 1);
	for (size_t i = 0; i < len; i++)
		copy[i] = (unsigned char)text[i] < 128 && text[i] ? text[i] : '?';
	return json_stringn(copy, len);
}

static json_t *files_json(const struct fileset *files)
{
	json_t *json = json_object();

	for (size_t i = 0; i < files->n; i++)
		json_object_set_new(json, files->items[i].name,
			json_bytes(files->items[i].text, files->items[i].len));
	return json;
}

int local_write_tree(const char *dir, const struct fileset *files, struct err *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/bird.d", dir);
	if (file_mkdirs(path, 0755, err) < 0)
		return -1;
	for (size_t i = 0; i < files->n; i++) {
		const struct file_text *file = &files->items[i];

		snprintf(path, sizeof(path), "%s/%s", dir, file->name);
		if (file_replace(path, file->text, file->len, 0644, err) < 0)
			return -1;
	}
	return 0;
}

int ctl_render(const struct ctl *ctl)
{
	_cleanup_arena_ struct arena arena = {0};
	_cleanup_buf_ struct buf masquerade = {0};
	struct secrets secrets = {0};
	struct rendered rendered;
	struct err err;

	if (local_render(ctl, &arena, false, NULL, &rendered, &masquerade, &err) < 0)
		return complain(&err);
	rendered.files = secrets_hide(&secrets, &rendered.files, &arena);
	if (masquerade.len) /* behind BIRD's files */
		fileset_add(&rendered.files, &arena, "masquerade.nft", masquerade.text,
			masquerade.len);
	if (ctl->dir)
		return local_write_tree(ctl->dir, &rendered.files, &err) < 0 ? complain(&err) : 0;
	if (ctl->json) {
		json_t *json = files_json(&rendered.files);

		json_print(json);
		json_decref(json);
		return 0;
	}
	for (size_t i = 0; i < rendered.files.n; i++) {
		const struct file_text *file = &rendered.files.items[i];

		printf("%s# ---- %s\n", i ? "\n" : "", file->name);
		fwrite(file->text, 1, file->len, stdout);
	}
	return 0;
}

/* ---------------------------------------------------------------- plan */

/* A unified diff of the two by diff(1), which every Debian has. */
static int diff_trees(const char *dir, struct buf *out, struct err *err)
{
	char command[PATH_MAX + 64], chunk[4096];
	FILE *pipe;
	size_t n;

	snprintf(command, sizeof(command), "cd '%s' && exec diff -ruN -I '^define ROOST_CONFIG ' confirmed wanted", dir);
	pipe = popen(command, "re");
	if (!pipe)
		return err_errno(err, "diff");
	while ((n = fread(chunk, 1, sizeof(chunk), pipe)) > 0)
		buf_add(out, chunk, n);
	n = (size_t)pclose(pipe);
	return n > 1 << 8 ? err_set(err, EIO, "diff failed") : 0;
}

static int make_diff(const struct fileset *have, const struct fileset *want, struct buf *out,
	struct err *err)
{
	char dir[] = "/tmp/roostctl-XXXXXX", path[64];
	struct err ignored;
	int rc;

	if (!mkdtemp(dir))
		return err_errno(err, "%s", dir);
	snprintf(path, sizeof(path), "%s/confirmed", dir);
	rc = local_write_tree(path, have, err);
	snprintf(path, sizeof(path), "%s/wanted", dir);
	if (rc == 0)
		rc = local_write_tree(path, want, err);
	if (rc == 0)
		rc = diff_trees(dir, out, err);
	file_remove_tree(dir, &ignored);
	return rc;
}

static const char *action_colour(const json_t *row)
{
	const char *action = json_string_value(json_object_get(row, "action"));

	return strcmp(action, "RESTART") == 0 ? "red" : strcmp(action, "keep") == 0 ? NULL : "yellow";
}

static json_t *plan_rows(const struct fileset *have, const struct fileset *want,
	struct secrets *secrets, struct arena *arena)
{
	json_t *list = json_array();
	struct plan_row *rows;
	size_t n;

	rows = plan_sessions(have, want, arena, &n);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:o}", "session", rows[i].session, "action",
				plan_action_name(rows[i].action), "why",
				rows[i].why[0] ? json_string(secrets_hide_text(secrets, rows[i].why,
							 arena))
					       : json_null()));
	return list;
}

/* A filter's line may name each node of the cluster. */
static char *short_why(const json_t *row)
{
	const char *why = json_string_value(json_object_get(row, "why"));
	struct buf text = {0};

	buf_printf(&text, "%.100s%s", why ? why : "-", why && strlen(why) > 100 ? " ..." : "");
	return text.text;
}

static json_t *kernel_warnings(
	const struct fileset *have, const struct fileset *want, struct arena *arena)
{
	json_t *list = json_array();
	const char **warnings;
	size_t n;

	warnings = plan_kernel_warnings(have, want, arena, &n);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(warnings[i]));
	return list;
}

/* Takes over `warnings`. */
static void print_plan(const struct ctl *ctl, json_t *rows, json_t *warnings,
	const struct buf *diff, unsigned number, bool runs)
{
	static const struct column columns[] = {
		{.title = "SESSION", .key = "session"},
		{.title = "ACTION", .key = "action", .colour = action_colour},
		{.title = "BECAUSE OF", .format = short_why},
	};
	const json_t *warning;
	size_t i;

	if (ctl->json) {
		json_t *json = json_pack("{s:O, s:o, s:o, s:i, s:b}", "sessions", rows, "warnings",
			warnings, "diff", json_bytes(buf_text(diff), diff->len), "generation",
			(int)number, "running", runs);

		json_print(json);
		json_decref(json);
		return;
	}
	json_array_foreach (warnings, i, warning)
		fprintf(stderr, "roostctl: warning: %s\n", json_string_value(warning));
	json_decref(warnings);
	if (!diff->len) {
		puts("nothing changes");
		return;
	}
	printf("from generation %u, which BIRD %s\n\n", number,
		runs ? "runs" : "would start from; what it runs roostd does not say");
	table_print(ctl, rows, columns, ARRAY_LEN(columns));
	printf("\n%s", buf_text(diff));
}

/* What roostd says of BIRD; NULL without roostd. */
static json_t *ask_about_bird(const struct ctl *ctl)
{
	struct err ignored;
	json_t *status, *bird;

	if (client_request(ctl, "GET", "/v1/status", &status, &ignored) < 0)
		return NULL;
	bird = json_incref(json_object_get(status, "bird"));
	json_decref(status);
	return bird;
}

/* The generation that BIRD runs, if roostd can say it, and else the one that BIRD would
 * start from. */
static int find_running(const json_t *bird, unsigned *number, bool *runs, struct err *err)
{
	const char *id = json_string_value(json_object_get(bird, "configuration"));
	struct generation confirmed;
	struct err ignored;

	*runs = id && generation_find(state_dir(), id, number, &ignored) == 0;
	if (*runs)
		return 0;
	if (generation_confirmed(state_dir(), &confirmed, err) < 0)
		return -1;
	*number = confirmed.number;
	return 0;
}

static int plan_from(const struct ctl *ctl, const json_t *bird)
{
	_cleanup_arena_ struct arena arena = {0};
	_cleanup_buf_ struct buf diff = {0};
	struct fileset have, shown_have, shown_want;
	unsigned number;
	bool runs;
	struct secrets secrets = {0};
	struct rendered wanted;
	struct err err;
	json_t *rows;

	if (local_render(ctl, &arena, true, json_string_value(json_object_get(bird, "version")),
		    &wanted, NULL, &err) < 0)
		return complain(&err);
	if (find_running(bird, &number, &runs, &err) < 0 ||
		generation_read(state_dir(), number, &arena, &have, &err) < 0) {
		if (err.code == EACCES)
			err_wrap(&err, "plan needs root or the group of BIRD");
		return complain(&err);
	}
	shown_have = secrets_hide(&secrets, &have, &arena);
	shown_want = secrets_hide(&secrets, &wanted.files, &arena);
	if (!fileset_equal(&have, &wanted.files) &&
		make_diff(&shown_have, &shown_want, &diff, &err) < 0)
		return complain(&err);
	rows = plan_rows(&have, &wanted.files, &secrets, &arena);
	print_plan(ctl, rows, kernel_warnings(&have, &wanted.files, &arena), &diff, number, runs);
	json_decref(rows);
	return diff.len ? 2 : 0;
}

int ctl_plan(const struct ctl *ctl)
{
	json_t *bird = ask_about_bird(ctl);
	int rc = plan_from(ctl, bird);

	json_decref(bird);
	return rc;
}

/* ---------------------------------------------------------------- pods */

/* Leases count from the start of the node: the wall clock may be set meanwhile. */
static time_t age_of(const struct lease *lease)
{
	return boot_seconds() - (time_t)(lease->time_ns / 1000000000u);
}

static json_t *lease_json(const struct lease *lease)
{
	json_t *addresses = json_array();
	char text[ADDR_TEXT_MAX];
	char stamp[STAMP_TEXT_MAX];
	time_t age_s = age_of(lease), taken = time(NULL) - age_s;

	for (size_t i = 0; i < lease->addr_count; i++)
		json_array_append_new(addresses, json_string(addr_format(&lease->addrs[i], text)));
	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:I}", "addresses", addresses, "network",
		lease->network, "container", lease->container, "interface", lease->ifname, "since",
		stamp_format(taken, stamp), "ageSeconds", (json_int_t)age_s);
}

static char *pod_addresses(const json_t *row)
{
	return text_of_list(json_object_get(row, "addresses"));
}

static char *pod_age(const json_t *row)
{
	long long s = (long long)json_integer_value(json_object_get(row, "ageSeconds"));
	struct buf text = {0};

	if (s < 120)
		buf_printf(&text, "%llds", s);
	else if (s < 2 * 3600)
		buf_printf(&text, "%lldm", s / 60);
	else if (s < 48 * 3600)
		buf_printf(&text, "%lldh", s / 3600);
	else
		buf_printf(&text, "%lldd", s / 86400);
	return text.text;
}

int ctl_pods(const struct ctl *ctl)
{
	static const struct column columns[] = {
		{.title = "ADDRESSES", .format = pod_addresses},
		{.title = "NETWORK", .key = "network"},
		{.title = "CONTAINER", .key = "container"},
		{.title = "INTERFACE", .key = "interface"},
		{.title = "AGE", .format = pod_age, .right = true},
	};
	_cleanup_arena_ struct arena arena = {0};
	struct lease *leases;
	struct err err;
	json_t *rows;
	size_t n;

	if (lease_list(LEASE_DATA_DIR, &arena, &leases, &n, &err) < 0)
		return complain(&err);
	if (access(LEASE_DATA_DIR, F_OK) < 0)
		fputs("roostctl: there is no " LEASE_DATA_DIR ": no pod was attached since boot\n",
			stderr);
	rows = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(rows, lease_json(&leases[i]));
	rows_print(ctl, rows, columns, ARRAY_LEN(columns));
	return 0;
}
