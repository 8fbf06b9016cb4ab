/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "bird/secrets.h"
#include "bird/spread.h"

/* BIRD, and people, read them ... */
#define DIR_MODE 0755
#define FILE_MODE 0644
/* ... but for those with a password, and copies of what not everybody may read: they are
 * for BIRD's group, which roostd is in. */
#define SECRET_MODE 0640

static int path_in(char room[PATH_MAX], const char *dir, const char *name, struct err *err)
{
	if (snprintf(room, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "%s/%s: path too long", dir, name);
	return 0;
}

const char *generation_path(const char *dir, unsigned number, char *room, size_t size)
{
	snprintf(room, size, "%s/gen-%u/bird.conf", dir, number);
	return room;
}

/* "gen-7" or "gen-7.tmp" -> 7; -1 for other names. */
static long name_number(const char *name)
{
	char *end;
	long number;

	if (strncmp(name, "gen-", 4) != 0 || name[4] < '0' || name[4] > '9')
		return -1;
	number = strtol(name + 4, &end, 10);
	if (number < 0 || number > INT_MAX || (*end && strcmp(end, ".tmp") != 0))
		return -1;
	return number;
}

static int is_generation(const struct dirent *entry)
{
	return name_number(entry->d_name) >= 0;
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
	long x = name_number((*a)->d_name), y = name_number((*b)->d_name);

	return (x > y) - (x < y);
}

static int write_files(const char *dir, const struct fileset *files, struct err *err)
{
	char path[PATH_MAX];

	if (path_in(path, dir, "bird.d", err) < 0 || file_mkdirs(path, DIR_MODE, err) < 0)
		return -1;
	for (size_t i = 0; i < files->n; i++) {
		const struct file_text *file = &files->items[i];

		if (path_in(path, dir, file->name, err) < 0 ||
			file_create(path, file->text, file->len,
				file->closed || secrets_in(file) ? SECRET_MODE : FILE_MODE, err) < 0)
			return -1;
	}
	if (path_in(path, dir, "bird.d", err) < 0 || file_sync_dir(path, err) < 0)
		return -1;
	return file_sync_dir(dir, err);
}

static int write_generation(const char *dir, unsigned number, const struct fileset *files,
	struct err *err)
{
	char temp[PATH_MAX], final[PATH_MAX], name[32];

	snprintf(name, sizeof(name), "gen-%u.tmp", number);
	if (path_in(temp, dir, name, err) < 0)
		return -1;
	snprintf(name, sizeof(name), "gen-%u", number);
	if (path_in(final, dir, name, err) < 0)
		return -1;
	if (file_remove_tree(temp, err) < 0)
		return -1;
	if (write_files(temp, files, err) < 0) {
		struct err ignored;

		file_remove_tree(temp, &ignored);
		return -1;
	}
	if (rename(temp, final) < 0)
		return err_errno(err, "%s", final);
	return file_sync_dir(dir, err);
}

int generation_init(const char *dir, struct err *err)
{
	_cleanup_arena_ struct arena arena = {0};
	struct rendered nothing;
	char path[PATH_MAX];

	if (file_mkdirs(dir, DIR_MODE, err) < 0 || path_in(path, dir, "bird.conf", err) < 0)
		return -1;
	if (access(path, F_OK) == 0)
		return 0;
	if (path_in(path, dir, "gen-0", err) < 0)
		return -1;
	render_nothing(&arena, &nothing);
	if (access(path, F_OK) < 0 && write_generation(dir, 0, &nothing.files, err) < 0)
		return -1;
	return generation_promote(dir, 0, nothing.id, err);
}

int generation_lock(const char *dir, int *fd, struct err *err)
{
	*fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return err_errno(err, "%s", dir);
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		err_set(err, EWOULDBLOCK, "another roostd runs on this node (it has %s)", dir);
	else
		err_errno(err, "%s", dir);
	close(*fd);
	return -1;
}

int generation_promote(const char *dir, unsigned number, const char *id, struct err *err)
{
	char path[PATH_MAX], stamp[STAMP_TEXT_MAX], text[256];
	int len;

	if (path_in(path, dir, "bird.conf", err) < 0)
		return -1;
	len = snprintf(text, sizeof(text),
		"# Written by roostd: generation %u (%s), confirmed %s\n"
		"include \"gen-%u/bird.conf\";\n",
		number, id, stamp_format(time(NULL), stamp), number);
	return file_replace(path, text, (size_t)len, FILE_MODE, err);
}

int generation_confirmed(const char *dir, struct generation *out, struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	char path[PATH_MAX], stamp[32];
	struct tm tm = {0};

	memset(out, 0, sizeof(*out));
	if (path_in(path, dir, "bird.conf", err) < 0 || file_read(path, 4096, &text, err) < 0)
		return -1;
	if (sscanf(buf_text(&text), "# Written by roostd: generation %u (%16[0-9a-f]), confirmed %31s",
		    &out->number, out->id, stamp) != 3)
		return err_set(err, EINVAL, "%s: not written by roostd", path);
	if (strptime(stamp, "%Y-%m-%dT%H:%M:%SZ", &tm))
		out->confirmed_at = timegm(&tm);
	return 0;
}

static bool is_step(const char *dir, long number)
{
	_cleanup_buf_ struct buf text = {0};
	char path[PATH_MAX];
	struct err ignored;

	generation_path(dir, (unsigned)number, path, sizeof(path));
	return file_read(path, 1 << 20, &text, &ignored) == 0 && spread_is_step(buf_text(&text));
}

/* Removes what is neither confirmed nor among the newest; `confirmed` is kept
 * whatever its age. */
static void remove_old(const char *dir, struct dirent **entries, int n, unsigned confirmed)
{
	int kept = 0;

	while (n-- > 0) {
		long number = name_number(entries[n]->d_name);
		bool partial = strstr(entries[n]->d_name, ".tmp") != NULL;
		char path[PATH_MAX];
		struct err ignored;

		if (!partial && (number == (long)confirmed ||
				(number < (long)confirmed && kept < GENERATIONS_KEPT &&
					!is_step(dir, number)))) {
			kept++;
			continue;
		}
		if (path_in(path, dir, entries[n]->d_name, &ignored) == 0)
			file_remove_tree(path, &ignored);
	}
}

/* What rejected/ was called: a number is not used twice. */
static long rejected_number(const char *dir)
{
	_cleanup_buf_ struct buf text = {0};
	char path[PATH_MAX];
	struct err ignored;
	unsigned number;

	if (path_in(path, dir, "rejected/reason", &ignored) < 0 ||
		file_read(path, 4096, &text, &ignored) < 0 ||
		sscanf(buf_text(&text), "generation %u:", &number) != 1)
		return 0;
	return number;
}

int generation_stage(const char *dir, const struct rendered *rendered, unsigned *number,
	struct err *err)
{
	struct generation confirmed;
	struct dirent **entries;
	long last = 0;
	int n;

	if (generation_confirmed(dir, &confirmed, err) < 0)
		return -1;
	n = scandir(dir, &entries, is_generation, by_number);
	if (n < 0)
		return err_errno(err, "%s", dir);
	if (n > 0)
		last = name_number(entries[n - 1]->d_name);
	remove_old(dir, entries, n, confirmed.number);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	if (rejected_number(dir) > last)
		last = rejected_number(dir);
	*number = (unsigned)last + 1;
	return write_generation(dir, *number, &rendered->files, err);
}

int generation_reject(const char *dir, unsigned number, const char *reason, struct err *err)
{
	char from[PATH_MAX], to[PATH_MAX], path[PATH_MAX], name[32];
	_cleanup_buf_ struct buf text = {0};

	snprintf(name, sizeof(name), "gen-%u", number);
	if (path_in(from, dir, name, err) < 0 || path_in(to, dir, "rejected", err) < 0 ||
		path_in(path, to, "reason", err) < 0 || file_remove_tree(to, err) < 0)
		return -1;
	if (rename(from, to) < 0)
		return err_errno(err, "%s", to);
	buf_printf(&text, "generation %u: %s\n", number, reason);
	return file_create(path, text.text, text.len, FILE_MODE, err);
}

/* What render.c's seal() wrote: bird.conf ends with it. */
int generation_id(const char *dir, unsigned number, char id[CONFIG_ID_LEN + 1], struct err *err)
{
	static const char seal[] = "\ndefine ROOST_CONFIG = \"";
	_cleanup_buf_ struct buf text = {0};
	char path[PATH_MAX];
	const char *at;

	generation_path(dir, number, path, sizeof(path));
	if (file_read(path, 1 << 20, &text, err) < 0)
		return -1;
	at = strstr(buf_text(&text), seal);
	if (!at || sscanf(at + strlen(seal), "%16[0-9a-f]", id) != 1 ||
		strlen(id) != CONFIG_ID_LEN)
		return err_set(err, EINVAL, "%s: not written by roostd", path);
	return 0;
}

int generation_find(const char *dir, const char *id, unsigned *number, struct err *err)
{
	char have[CONFIG_ID_LEN + 1];
	struct dirent **entries;
	struct err ignored;
	bool found = false;
	int n = scandir(dir, &entries, is_generation, by_number);

	if (n < 0)
		return err_errno(err, "%s", dir);
	while (n-- > 0) {
		if (!found && !strstr(entries[n]->d_name, ".tmp") && *id) {
			*number = (unsigned)name_number(entries[n]->d_name);
			found = generation_id(dir, *number, have, &ignored) == 0 &&
				strcmp(have, id) == 0;
		}
		free(entries[n]);
	}
	free(entries);
	return found ? 0 : err_set(err, ENOENT, "%s: no generation with the id %s", dir, id);
}

int generation_read(const char *dir, unsigned number, struct arena *arena, struct fileset *files,
	struct err *err)
{
	char base[PATH_MAX], snippets[PATH_MAX], name[32];

	memset(files, 0, sizeof(*files));
	snprintf(name, sizeof(name), "gen-%u", number);
	if (path_in(base, dir, name, err) < 0 || path_in(snippets, base, "bird.d", err) < 0 ||
		fileset_read_dir(files, arena, base, "", err) < 0 ||
		fileset_read_dir(files, arena, snippets, "bird.d/", err) < 0)
		return -1;
	if (!fileset_find(files, "bird.conf"))
		return err_set(err, ENOENT, "%s: no bird.conf there", base);
	fileset_sort(files);
	return 0;
}
