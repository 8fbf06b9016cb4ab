/* SPDX-License-Identifier: GPL-2.0-or-later */
/* generation -- the configurations on disk, a folder each.
 *
 *   gen-7/       bird.conf, node.conf, ..., bird.d/: immutable and whole, with
 *                relative includes, so that `configure check` reads exactly these
 *   bird.conf    one line that includes the confirmed generation's; replaced by
 *                rename, so BIRD starts from a confirmed configuration at any time
 *   rejected/    the last generation that was refused or rolled back, and `reason`
 *
 * bird.conf is a file with an include and not a symbolic link, because BIRD takes
 * relative includes from the folder of the name it was given. */
#ifndef ROOST_GENERATION_H
#define ROOST_GENERATION_H

#include <time.h>

#include "bird/render.h"

struct generation {
	unsigned number;
	char id[CONFIG_ID_LEN + 1]; /* "" when unknown */
	time_t confirmed_at;
};

/* Makes the folder, generation 0 and bird.conf where they are missing. */
int generation_init(const char *dir, struct err *err);

/* Takes the folder for this process, as long as *fd is open: two roostds would undo
 * each other's transactions.  err->code is EWOULDBLOCK when another one has it. */
int generation_lock(const char *dir, int *fd, struct err *err);

/* The confirmed one, as bird.conf names it. */
int generation_confirmed(const char *dir, struct generation *generation, struct err *err);

/* Writes a new generation and fsyncs it.  Others that were never confirmed are removed,
 * and so are the oldest but GENERATIONS_KEPT, and steps (bird/spread.h) that were left
 * behind. */
#define GENERATIONS_KEPT 10
int generation_stage(const char *dir, const struct rendered *rendered, unsigned *number,
	struct err *err);

/* Makes it the one BIRD starts from. */
int generation_promote(const char *dir, unsigned number, const char *id, struct err *err);

/* Moves it to rejected/ and writes `reason` beside its files. */
int generation_reject(const char *dir, unsigned number, const char *reason, struct err *err);

/* The id of one on disk; ENOENT when there is none of that number. */
int generation_id(const char *dir, unsigned number, char id[CONFIG_ID_LEN + 1], struct err *err);

/* The newest one on disk with this id (CONFIG_ID_LEN digits). */
int generation_find(const char *dir, const char *id, unsigned *number, struct err *err);

/* Reads a generation's files back. */
int generation_read(const char *dir, unsigned number, struct arena *arena, struct fileset *files,
	struct err *err);

/* "<dir>/gen-7/bird.conf" into `room`. */
const char *generation_path(const char *dir, unsigned number, char *room, size_t size);

#endif
