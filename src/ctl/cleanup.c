/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cleanup: takes from this host what Roost put there, and nothing else.
 *
 * A table of parts, each of which can be looked at and removed; first what would have
 * more of it made (the runtime's list, BIRD), last what tells about it.  Without --yes
 * it only looks.  What is gone is no part, so it can be run again, and finishes what was
 * interrupted. */
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/outputs.h"
#include "base/file.h"
#include "bird/control.h"
#include "bird/generation.h"
#include "bird/observe.h"
#include "cni/lease.h"
#include "ctl/ctl.h"
#include "ctl/facts.h"
#include "kernel/leftovers.h"
#include "kernel/masquerade.h"
#include "kernel/nft.h"
#include "model/decode.h"

#define STATE_DIR    "/var/lib/roost"
#define RUN_DIR      "/run/roost"
#define BIRD_SECONDS 10

/* What the file says; and where there is no good one, its defaults. */
struct host {
	const char *socket, *bridge, *conf_dir;
};

struct part {
	const char *name;
	/* Appends what is there, one word or more; nothing when nothing is. */
	int (*look)(const struct host *host, struct buf *found, struct err *err);
	int (*remove)(const struct host *host, struct err *err);
};

/* ---------------------------------------------------------------- the runtime's list */

static void conflist_path(const struct host *host, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/10-roost.conflist", host->conf_dir);
}

static int look_conflist(const struct host *host, struct buf *found, struct err *err)
{
	char path[PATH_MAX];

	(void)err;
	conflist_path(host, path);
	if (access(path, F_OK) == 0)
		buf_puts(found, path);
	return 0;
}

static int remove_conflist(const struct host *host, struct err *err)
{
	char path[PATH_MAX];

	conflist_path(host, path);
	return unlink(path) < 0 && errno != ENOENT ? err_errno(err, "%s", path) : 0;
}

/* ---------------------------------------------------------------- BIRD */

/* A conversation with BIRD: what it runs, and perhaps that it is to run nothing. */
struct talk {
	struct event_base *base;
	struct control *control;
	const char *file; /* of the configuration to take; NULL: only look */
	char id[CONFIG_ID_LEN + 1];
	bool away;
	struct err err;
};

static void hang_up(struct talk *talk, const struct err *err)
{
	if (err)
		talk->err = *err;
	event_base_loopbreak(talk->base);
}

static void on_status(const struct reply *reply, const struct err *err, void *arg)
{
	static const struct timespec pause = {.tv_nsec = 20000000};
	struct talk *talk = arg;

	if (!reply || reply_code(reply) == 0 || reply->lines[0].code == 3) {
		hang_up(talk, err); /* 0003-Daemon is up and running */
		return;
	}
	nanosleep(&pause, NULL);
	control_send(talk->control, "configure status", BIRD_SECONDS, on_status, talk);
}

static void on_configured(const struct reply *reply, const struct err *err, void *arg)
{
	struct talk *talk = arg;
	struct err refused;

	if (reply && reply_code(reply) >= 8000) {
		err_set(&refused, EIO, "BIRD: %s", reply_text(reply));
		err = &refused;
	}
	if (err && err->code)
		hang_up(talk, err);
	else
		control_send(talk->control, "configure status", BIRD_SECONDS, on_status, talk);
}

static void on_id(const struct reply *reply, const struct err *err, void *arg)
{
	char command[PATH_MAX + 16];
	struct talk *talk = arg;

	if (!reply) {
		hang_up(talk, err);
		return;
	}
	parse_config_id(reply, talk->id);
	if (!talk->file || !talk->id[0]) {
		hang_up(talk, NULL);
		return;
	}
	snprintf(command, sizeof(command), "configure \"%s\"", talk->file);
	control_send(talk->control, command, BIRD_SECONDS, on_configured, talk);
}

static void on_greeting(const struct reply *reply, const struct err *err, void *arg)
{
	struct talk *talk = arg;

	talk->away = !reply && (err->code == ENOENT || err->code == ECONNREFUSED);
	if (!reply)
		hang_up(talk, talk->away ? NULL : err);
	else
		control_send(talk->control, "eval ROOST_CONFIG", BIRD_SECONDS, on_id, talk);
}

static int talk_to_bird(const struct host *host, struct talk *talk, struct err *err)
{
	talk->base = event_base_new();
	if (!talk->base)
		return err_set(err, ENOMEM, "no event loop");
	talk->control = control_open(talk->base, host->socket, BIRD_SECONDS, on_greeting, talk);
	event_base_dispatch(talk->base);
	control_close(talk->control);
	event_base_free(talk->base);
	libevent_global_shutdown();
	if (talk->err.code)
		*err = talk->err;
	return talk->err.code ? -1 : 0;
}

static int look_bird(const struct host *host, struct buf *found, struct err *err)
{
	_cleanup_arena_ struct arena arena = {0};
	struct talk talk = {0};
	struct rendered nothing;

	if (talk_to_bird(host, &talk, err) < 0)
		return -1;
	render_nothing(&arena, &nothing);
	if (talk.id[0] && strcmp(talk.id, nothing.id) != 0)
		buf_printf(found, "configuration %s, and all sessions", talk.id);
	return 0;
}

/* What it reads when it is started is removed later; what it runs until then is this. */
static int remove_bird(const struct host *host, struct err *err)
{
	static const char path[] = STATE_DIR "/nothing.conf";
	_cleanup_arena_ struct arena arena = {0};
	struct talk talk = {.file = path};
	const struct file_text *file;
	struct rendered nothing;

	render_nothing(&arena, &nothing);
	file = fileset_find(&nothing.files, "bird.conf");
	if (file_mkdirs(STATE_DIR, 0755, err) < 0 ||
		file_replace(path, file->text, file->len, 0644, err) < 0)
		return -1;
	return talk_to_bird(host, &talk, err);
}

/* ---------------------------------------------------------------- the kernel */

/* Those of another BIRD look the same: one that runs here beside or in the place of ours,
 * or that came when all of Roost was gone. */
static bool routes_are_ours(void)
{
	struct facts facts = {0};
	bool ours;

	facts_look_at_processes(&facts);
	ours = !facts.other_bird && access(STATE_DIR "/bird/bird.conf", F_OK) == 0;
	arena_free(&facts.arena);
	return ours;
}

static int look_routes(const struct host *host, struct buf *found, struct err *err)
{
	size_t n;

	(void)host;
	if (leftover_routes(false, &n, err) < 0)
		return -1;
	if (n && routes_are_ours())
		buf_printf(found, "%zu of BIRD's", n);
	return 0;
}

static int remove_routes(const struct host *host, struct err *err)
{
	size_t n;

	(void)host;
	return leftover_routes(true, &n, err);
}

static int look_nat(const struct host *host, struct buf *found, struct err *err)
{
	_cleanup_buf_ struct buf listed = {0};
	struct nft_table none = {MASQUERADE_TABLE, "", &listed};
	bool there = false;

	(void)host;
	/* A kernel without nftables has no table either. */
	if (nft_look(&none, &there, err) < 0)
		return err->code == ENODATA ? 0 : -1;
	if (there)
		buf_puts(found, "nftables table " MASQUERADE_TABLE);
	return 0;
}

static int remove_nat(const struct host *host, struct err *err)
{
	_cleanup_buf_ struct buf listed = {0};
	struct nft_table none = {MASQUERADE_TABLE, "", &listed};
	bool written;

	(void)host;
	return nft_keep(&none, &written, err);
}

static int look_pods(const struct host *host, struct buf *found, struct err *err)
{
	size_t n;

	(void)host;
	if (leftover_pods(false, &n, err) < 0)
		return -1;
	if (n)
		buf_printf(found, "%zu links of pods that run", n);
	return 0;
}

static int remove_pods(const struct host *host, struct err *err)
{
	size_t n;

	(void)host;
	return leftover_pods(true, &n, err);
}

static int look_bridge(const struct host *host, struct buf *found, struct err *err)
{
	size_t n;

	if (leftover_bridge(host->bridge, false, &n, err) < 0)
		return -1;
	if (n)
		buf_puts(found, host->bridge);
	return 0;
}

static int remove_bridge(const struct host *host, struct err *err)
{
	size_t n;

	return leftover_bridge(host->bridge, true, &n, err);
}

/* ---------------------------------------------------------------- files */

/* All that is in a folder but `keep`: names into `found`, or away with it.  The folder
 * is the package's. */
static int empty(const char *dir, const char *keep, struct buf *found, struct err *err)
{
	const struct dirent *entry;
	DIR *stream = opendir(dir);
	int rc = 0;

	if (!stream)
		return errno == ENOENT ? 0 : err_errno(err, "%s", dir);
	while (rc == 0 && (entry = readdir(stream))) {
		char path[PATH_MAX];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			strcmp(entry->d_name, keep) == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (found)
			buf_printf(found, "%s%s", found->len ? " " : "", path);
		else
			rc = file_remove_tree(path, err);
	}
	closedir(stream);
	return rc;
}

static int look_run(const struct host *host, struct buf *found, struct err *err)
{
	(void)host;
	return empty(RUN_DIR, "ipam", found, err) < 0 ? -1 : empty(LEASE_DATA_DIR, "", found, err);
}

static int remove_run(const struct host *host, struct err *err)
{
	(void)host;
	return empty(RUN_DIR, "ipam", NULL, err) < 0 ? -1 : empty(LEASE_DATA_DIR, "", NULL, err);
}

static int look_state(const struct host *host, struct buf *found, struct err *err)
{
	(void)host;
	return empty(STATE_DIR, "", found, err);
}

static int remove_state(const struct host *host, struct err *err)
{
	(void)host;
	return empty(STATE_DIR, "", NULL, err);
}

/* ---------------------------------------------------------------- all of it */

static const struct part parts[] = {
	{"CNI list", look_conflist, remove_conflist},
	{"BIRD", look_bird, remove_bird},
	{"routes", look_routes, remove_routes},
	{"NAT", look_nat, remove_nat},
	{"pods", look_pods, remove_pods},
	{"bridge", look_bridge, remove_bridge},
	{"run time", look_run, remove_run},
	{"state", look_state, remove_state},
};

static struct host find_host(const struct ctl *ctl, struct arena *arena)
{
	struct host host = {"/run/bird/bird.ctl", "roost0", "/etc/cni/net.d"};
	_cleanup_buf_ struct buf yaml = {0};
	struct cluster *cluster;
	struct err err;

	if (file_read(ctl->file, DECODE_MAX_BYTES, &yaml, &err) == 0 &&
		decode_cluster(ctl->file, buf_text(&yaml), yaml.len, arena, &cluster, &err) == 0)
		host = (struct host){cluster->bird.socket, cluster->cni.bridge,
			cluster->cni.conf_dir};
	else
		fprintf(stderr, "roostctl: %s; the defaults are taken\n", err.msg);
	return host;
}

/* Whatever runs would make it anew, or lose what it stands on. */
static int may_remove(const struct ctl *ctl, struct err *err)
{
	_cleanup_arena_ struct arena arena = {0};
	_cleanup_close_ int lock = -1;
	struct lease *leases;
	size_t links, held = 0;

	if (geteuid() != 0)
		return err_set(err, EPERM, "cleanup --yes needs root");
	if (generation_lock(STATE_DIR "/bird", &lock, err) < 0 && err->code != ENOENT)
		return err->code == EWOULDBLOCK
			? err_set(err, EBUSY,
				  "roostd runs, and would make it all anew: "
				  "systemctl disable --now roostd")
			: -1;
	if (lease_list(LEASE_DATA_DIR, &arena, &leases, &held, err) < 0)
		held = 1; /* not to be told from a pod */
	if (leftover_pods(false, &links, err) < 0)
		return -1;
	if ((links || held) && !ctl->force)
		return err_set(err, EBUSY,
			"%zu pods are attached: end them first (roostctl pods), or say --force; "
			"nothing was removed",
			links > held ? links : held);
	return 0;
}

static int run_parts(const struct host *host, bool remove, json_t *rows, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		_cleanup_buf_ struct buf found = {0};
		bool removed;

		if (parts[i].look(host, &found, err) < 0) {
			err_wrap(err, "%s", parts[i].name);
			return -1;
		}
		if (!found.len)
			continue;
		removed = remove && parts[i].remove(host, err) == 0;
		json_array_append_new(rows,
			json_pack("{s:s, s:s, s:b}", "part", parts[i].name, "what",
				buf_text(&found), "removed", removed));
		if (remove && !removed) {
			err_wrap(err, "%s", parts[i].name);
			return -1;
		}
	}
	return 0;
}

static char *outcome(const json_t *row)
{
	return xstrdup(json_is_true(json_object_get(row, "removed")) ? "removed" : "there");
}

int ctl_cleanup(const struct ctl *ctl)
{
	static const struct column columns[] = {
		{.title = "PART", .key = "part"},
		{.title = "WHAT", .key = "what"},
		{.title = "", .format = outcome},
	};
	_cleanup_arena_ struct arena arena = {0};
	struct host host = find_host(ctl, &arena);
	json_t *rows = json_array();
	size_t n;
	struct err err;
	int rc = 0;

	if ((ctl->yes && may_remove(ctl, &err) < 0) ||
		run_parts(&host, ctl->yes, rows, &err) < 0) {
		fprintf(stderr, "roostctl: %s\n", err.msg);
		rc = 1;
	}
	n = json_array_size(rows);
	if (ctl->json || n)
		rows_print(ctl, json_incref(rows), columns, ARRAY_LEN(columns));
	else if (rc == 0)
		puts("nothing of Roost is left");
	json_decref(rows);
	if (rc == 0 && n && !ctl->yes && !ctl->json)
		puts("\nroostctl cleanup --yes removes it.");
	return rc;
}
