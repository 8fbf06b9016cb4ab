/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/fileset.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"

void fileset_add(struct fileset *set, struct arena *arena, const char *name, const char *text,
	size_t len)
{
	*ARENA_PUSH(arena, set->items, &set->n) = (struct file_text){
		arena_strdup(arena, name), arena_strndup(arena, text, len), len, false};
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file_text *)a)->name, ((const struct file_text *)b)->name);
}

void fileset_sort(struct fileset *set)
{
	if (set->n)
		qsort(set->items, set->n, sizeof(*set->items), by_name);
}

const struct file_text *fileset_find(const struct fileset *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->items[i].name, name) == 0)
			return &set->items[i];
	return NULL;
}

bool fileset_equal(const struct fileset *a, const struct fileset *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->items[i].name, b->items[i].name) != 0 ||
			a->items[i].len != b->items[i].len ||
			memcmp(a->items[i].text, b->items[i].text, a->items[i].len) != 0)
			return false;
	return true;
}

static int is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int add_file(struct fileset *set, struct arena *arena, const char *dir, const char *prefix,
	const char *name, struct err *err)
{
	char path[PATH_MAX], full_name[NAME_MAX + 32];
	_cleanup_buf_ struct buf text = {0};
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return err_set(err, ENAMETOOLONG, "%s/%s: path too long", dir, name);
	if (file_read(path, FILESET_MAX_FILE_BYTES, &text, err) < 0)
		return -1;
	snprintf(full_name, sizeof(full_name), "%s%s", prefix, name);
	fileset_add(set, arena, full_name, buf_text(&text), text.len);
	set->items[set->n - 1].closed = stat(path, &st) < 0 || !(st.st_mode & S_IROTH);
	return 0;
}

int fileset_read_dir(struct fileset *set, struct arena *arena, const char *dir, const char *prefix,
	struct err *err)
{
	struct dirent **entries;
	int n = scandir(dir, &entries, is_conf, alphasort), rc = 0;

	if (n < 0)
		return errno == ENOENT ? 0 : err_errno(err, "%s", dir);
	for (int i = 0; i < n; i++) {
		if (rc == 0 && i == FILESET_MAX_FILES)
			rc = err_set(err, EFBIG, "%s: more than %d *.conf files", dir,
				FILESET_MAX_FILES);
		if (rc == 0)
			rc = add_file(set, arena, dir, prefix, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	return rc;
}
