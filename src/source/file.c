/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "source/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "model/decode.h"

#define MAX_LINKS 40 /* as the kernel */

const char *source_etc_dir(void)
{
	const char *dir = getenv("ROOST_ETC");

	return dir && *dir ? dir : "/etc/roost";
}

const char *source_node_name(const char *given, char room[256])
{
	const char *env = getenv("NODE_NAME");

	if (given)
		return given;
	if (env && *env)
		return env;
	if (gethostname(room, 255) < 0)
		room[0] = '\0';
	room[255] = '\0';
	return room;
}

static const char *shipped_templates(void)
{
	const char *dir = getenv("ROOST_TEMPLATES");

	return dir && *dir ? dir : ROOST_TEMPLATE_DIR;
}

/* ---------------------------------------------------------------- reading */

/* The files of `mine` win over those of the same name in `set`. */
static void overlay(struct fileset *set, const struct fileset *mine, struct arena *arena)
{
	for (size_t i = 0; i < mine->n; i++) {
		bool replaced = false;

		for (size_t j = 0; j < set->n && !replaced; j++)
			if (strcmp(set->items[j].name, mine->items[i].name) == 0) {
				set->items[j] = mine->items[i];
				replaced = true;
			}
		if (!replaced)
			*ARENA_PUSH(arena, set->items, &set->n) = mine->items[i];
	}
}

int source_read_files(struct arena *arena, struct inputs *inputs, struct err *err)
{
	struct fileset mine = {0};
	char path[PATH_MAX];

	if (fileset_read_dir(&inputs->templates, arena, shipped_templates(), "", err) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/bird-templates", source_etc_dir());
	if (fileset_read_dir(&mine, arena, path, "", err) < 0)
		return -1;
	overlay(&inputs->templates, &mine, arena);
	if (inputs->templates.n == 0)
		return err_set(err, ENOENT, "no BIRD templates in %s", shipped_templates());
	snprintf(path, sizeof(path), "%s/bird.d", source_etc_dir());
	return fileset_read_dir(&inputs->snippets, arena, path, "bird.d/", err);
}

int source_read(const char *path, struct arena *arena, struct inputs *inputs, struct err *err)
{
	memset(inputs, 0, sizeof(*inputs));
	if (file_read(path, DECODE_MAX_BYTES, &inputs->yaml, err) < 0 ||
		source_read_files(arena, inputs, err) < 0) {
		buf_free(&inputs->yaml);
		return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- watching */

struct source {
	struct event_base *base;
	char path[PATH_MAX];
	source_fn *changed;
	void *arg;
	int fd;
	struct event *readable;
};

static void on_inotify(evutil_socket_t fd, short what, void *arg)
{
	struct source *source = arg;
	char events[8192] __attribute__((aligned(__alignof__(struct inotify_event))));

	(void)what;
	while (read(fd, events, sizeof(events)) > 0)
		;
	source->changed(source->arg);
}

struct source *source_new(struct event_base *base, const char *path, source_fn *changed, void *arg)
{
	struct source *source = xmalloc(sizeof(*source));

	memset(source, 0, sizeof(*source));
	snprintf(source->path, sizeof(source->path), "%s", path);
	source->base = base;
	source->changed = changed;
	source->arg = arg;
	source->fd = -1;
	return source;
}

/* A folder that is not there yet is seen to appear in the one above. */
static void watch_folder(const struct source *source, const char *dir)
{
	const uint32_t mask = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB |
		IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", dir);
	while (inotify_add_watch(source->fd, path, mask) < 0) {
		char *slash = strrchr(path, '/');

		if ((errno != ENOENT && errno != ENOTDIR) || !slash || slash == path) {
			log_warn("source: cannot watch %s: %s", path, strerror(errno));
			return;
		}
		*slash = '\0';
	}
}

static void watch_folder_of(const struct source *source, const char *file)
{
	char dir[PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", file);
	slash = strrchr(dir, '/');
	if (!slash)
		snprintf(dir, sizeof(dir), ".");
	else if (slash == dir)
		dir[1] = '\0';
	else
		*slash = '\0';
	watch_folder(source, dir);
}

/* path = (target, from the folder of the link `path`) + rest */
static int follow_link(char path[PATH_MAX], const char *target, const char *rest)
{
	char followed[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int dir = target[0] == '/' || !slash ? 0 : (int)(slash - path) + 1;

	if (snprintf(followed, sizeof(followed), "%.*s%s%s", dir, path, target, rest) >=
		(int)sizeof(followed))
		return -1;
	memcpy(path, followed, sizeof(followed));
	return 0;
}

/* The file, or any folder on the way to it, may be a link (Kubernetes: roost.yaml ->
 * ..data/roost.yaml, ..data -> ..2026_...): each link's own folder is watched too. */
static void watch_way_to(const struct source *source, const char *file)
{
	char path[PATH_MAX], target[PATH_MAX], rest[PATH_MAX];
	size_t from = 1;

	watch_folder_of(source, file);
	snprintf(path, sizeof(path), "%s", file);
	for (int links = 0; links < MAX_LINKS;) {
		size_t end = from + strcspn(path + from, "/");
		ssize_t len;

		snprintf(rest, sizeof(rest), "%s", path + end);
		path[end] = '\0';
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0) { /* no link: one component further */
			size_t have = strlen(path);

			snprintf(path + have, sizeof(path) - have, "%s", rest);
			if (!rest[0])
				break;
			from = end + 1;
			continue;
		}
		target[len] = '\0';
		watch_folder_of(source, path);
		links++;
		if (follow_link(path, target, rest) < 0)
			break;
		from = 1;
	}
	watch_folder_of(source, path);
}

static void stop_watching(struct source *source)
{
	if (source->readable)
		event_free(source->readable);
	source->readable = NULL;
	if (source->fd >= 0)
		close(source->fd);
	source->fd = -1;
}

void source_watch(struct source *source)
{
	/* The old one is closed when there is a new one: others wait for what becomes free. */
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	char path[PATH_MAX];

	if (fd < 0) {
		log_warn("source: inotify: %s; %s", strerror(errno),
			source->fd < 0 ? "changes are seen on SIGHUP only"
				       : "what was watched before is watched on");
		return;
	}
	stop_watching(source);
	source->fd = fd;
	watch_way_to(source, source->path);
	snprintf(path, sizeof(path), "%s/bird.d", source_etc_dir());
	watch_folder(source, path);
	snprintf(path, sizeof(path), "%s/bird-templates", source_etc_dir());
	watch_folder(source, path);
	source->readable = event_new(source->base, source->fd, EV_READ | EV_PERSIST, on_inotify,
		source);
	event_add(source->readable, NULL);
}

void source_watch_also(struct source *source, const char *path)
{
	if (source->fd >= 0)
		watch_way_to(source, path);
}

/* ---------------------------------------------------------------- passwords */

/* One line; its end is no part of the password. */
static int read_password(struct source *source, struct session *session, struct arena *arena,
	struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	char *password;
	size_t len;

	if (!session->password_file)
		return 0;
	if (source && source->fd >= 0)
		watch_way_to(source, session->password_file);
	if (file_read(session->password_file, 4096, &text, err) < 0)
		return err_wrap(err, "%s", session->password_file_at);
	len = text.len;
	if (len && text.text[len - 1] == '\n')
		len--;
	if (len && text.text[len - 1] == '\r')
		len--;
	password = arena_strndup(arena, buf_text(&text), len);
	if (strlen(password) != len || !password_is_valid(password))
		return err_set(err, EINVAL,
			"%s: %s: expected one line of 1 to %d printable ASCII characters without \"",
			session->password_file_at, session->password_file, PASSWORD_MAX);
	session->password = password;
	return 0;
}

/* A node need not have the passwords of other racks' routers. */
int source_read_passwords(struct source *source, struct cluster *cluster,
	const struct node *self, struct arena *arena, struct err *err)
{
	if (cluster->topology != TOPOLOGY_NONE &&
		read_password(source, &cluster->session, arena, err) < 0)
		return -1;
	for (size_t i = 0; i < cluster->n_peers; i++)
		if (peer_is_for(&cluster->peers[i], self) &&
			read_password(source, &cluster->peers[i].session, arena, err) < 0)
			return -1;
	return 0;
}

/* ---------------------------------------------------------------- who else may read it */

static void warn_once(struct cluster *cluster, struct arena *arena, const char *text)
{
	for (size_t i = 0; i < cluster->n_warnings; i++)
		if (strcmp(cluster->warnings[i], text) == 0)
			return;
	*ARENA_PUSH(arena, cluster->warnings, &cluster->n_warnings) = text;
}

/* `what` is in it; NULL: nothing that is secret. */
static void warn_if_open(struct cluster *cluster, struct arena *arena, const char *path,
	const char *what)
{
	struct stat st;

	if (!path || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (st.st_mode & S_IWOTH)
		warn_once(cluster, arena,
			arena_printf(arena, "%s: everybody may write it: chmod o-w", path));
	if (what && st.st_mode & S_IROTH)
		warn_once(cluster, arena,
			arena_printf(arena,
				"%s: has %s in it, and everybody may read it: chgrp roost, chmod 0640",
				path, what));
}

void source_warn_of_open_files(const char *path, struct cluster *cluster,
	const struct node *self, struct arena *arena)
{
	if (self && cluster->topology != TOPOLOGY_NONE)
		warn_if_open(cluster, arena, cluster->session.password_file, "a password");
	for (size_t i = 0; i < cluster->n_peers; i++) {
		const struct peer *peer = &cluster->peers[i];

		if (self && peer_is_for(peer, self))
			warn_if_open(cluster, arena, peer->session.password_file, "a password");
	}
	warn_if_open(cluster, arena, path, cluster_has_inline_passwords(cluster) ? "a password" : NULL);
	warn_if_open(cluster, arena, cluster->kubernetes.kubeconfig, "credentials");
}

void source_free(struct source *source)
{
	if (!source)
		return;
	stop_watching(source);
	free(source);
}
