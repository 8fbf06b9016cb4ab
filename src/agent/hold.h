/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hold -- `roostctl rollback` went back to a generation, and there it stays.
 *
 * <dir>/hold says which one (by the id of its bytes), and what is held back for it: the
 * hash of what people write, roost.yaml, templates and snippets.  It is written before the
 * transaction begins, so that whoever comes after a crash goes on with it; it is removed
 * when something else has taken effect, because the files changed or somebody said
 * `roostctl apply`. */
#ifndef ROOST_HOLD_H
#define ROOST_HOLD_H

#include <stdbool.h>
#include <time.h>

#include "base/err.h"
#include "bird/render.h"

struct hold {
	bool active;
	unsigned generation;        /* as it was asked for */
	char id[CONFIG_ID_LEN + 1]; /* of its bytes */
	char held_back[CONFIG_ID_LEN + 1];
	time_t since;
};

/* No file, or one that cannot be read: not active. */
struct hold hold_read(const char *dir);
int hold_write(const char *dir, const struct hold *hold, struct err *err);
int hold_remove(const char *dir, struct err *err);

#endif
