/* SPDX-License-Identifier: GPL-2.0-or-later */
/* secrets -- the passwords in BIRD's files.  Whoever shows a file to people hides them
 * first; whoever stores one keeps it from others.  Pure.
 *
 * What counts as one is any string behind BIRD's word `password`, or `key` as OSPF and
 * RIP have it, so that those of bird.d/ are found too.  (Not one that a constant stands
 * for; see `closed` in fileset.h.)  Each becomes "(hidden 1)", "(hidden 2)", ... in the order
 * they are met in, equal ones the same, over all filesets that share a `seen`: a
 * changed password is a difference, and no more than that can be learnt. */
#ifndef ROOST_SECRETS_H
#define ROOST_SECRETS_H

#include <stdbool.h>

#include "bird/fileset.h"

struct secrets {
	const char **seen;
	size_t n;
};

bool secrets_in(const struct file_text *file);

/* A copy without them, in `arena`. */
struct fileset secrets_hide(struct secrets *secrets, const struct fileset *files,
	struct arena *arena);
const char *secrets_hide_text(struct secrets *secrets, const char *text, struct arena *arena);

#endif
