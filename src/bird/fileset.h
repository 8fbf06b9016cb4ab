/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fileset -- a handful of named texts that belong together: the BIRD templates,
 * the operator's snippets, a whole generated configuration. */
#ifndef ROOST_FILESET_H
#define ROOST_FILESET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

#define FILESET_MAX_FILES 256
#define FILESET_MAX_FILE_BYTES (16u << 20)

struct file_text {
	const char *name; /* "node.conf", "bird.d/10-mine.conf" */
	const char *text;
	size_t len;
	bool closed; /* not everybody may read the file it is from */
};

/* In the order of their names, in somebody's arena. */
struct fileset {
	struct file_text *items;
	size_t n;
};

void fileset_add(struct fileset *set, struct arena *arena, const char *name, const char *text,
	size_t len);
void fileset_sort(struct fileset *set);
const struct file_text *fileset_find(const struct fileset *set, const char *name);
bool fileset_equal(const struct fileset *a, const struct fileset *b);

/* Adds every *.conf file of a folder, named `prefix` + file name.  A missing
 * folder has no files. */
int fileset_read_dir(struct fileset *set, struct arena *arena, const char *dir, const char *prefix,
	struct err *err);

#endif
