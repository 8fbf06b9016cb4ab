/* SPDX-License-Identifier: GPL-2.0-or-later */
/* refusal -- what did not take effect last, and whether it may be tried by ourselves now.
 *
 *   BIRD refused it        not these bytes, as long as it is the same BIRD
 *   --max-restarts did     not these bytes; what else comes of the same files has the
 *                          same limit
 *   it was rolled back     each try costs sessions: nothing that comes of the same files
 *                          before 1, 2, 4 ... 16 minutes are over, whatever ran meanwhile
 *
 * Somebody who insists (`roostctl apply`) is not asked about here.
 *
 * <dir>/refused outlives roostd and the machine.  The minutes then begin anew, since no
 * clock is sure to have gone on.  What BIRD refused is not in it: asking costs nothing. */
#ifndef ROOST_REFUSAL_H
#define ROOST_REFUSAL_H

#include <time.h>

#include "bird/apply.h"

struct refusal {
	bool active;
	enum apply_outcome outcome;        /* APPLY_REFUSED or APPLY_ROLLED_BACK */
	char id[CONFIG_ID_LEN + 1];        /* of the bytes */
	char source_id[CONFIG_ID_LEN + 1]; /* of the files; "": they are not to blame */
	bool limited;
	unsigned max_restarts;
	unsigned tries;
	long not_before; /* seconds of CLOCK_BOOTTIME */
	time_t at;       /* for people */
	char bird[APPLY_BIRD_MAX]; /* the one that refused it, or "" */
	struct err reason;
};

/* No file, or one that cannot be read: not active. */
struct refusal refusal_read(const char *dir, long now);
/* Or removes it. */
int refusal_write(const char *dir, const struct refusal *refusal, struct err *err);

/* `new` has all but `tries` and `not_before`, which follow from what was before. */
void refusal_note(struct refusal *refusal, const struct refusal *new, long now);

/* Something took effect.  Does that end it? */
bool refusal_passed(struct refusal *refusal, const char *id, const char *source_id);

/* Is it this that did not take effect? */
bool refusal_is_of(const struct refusal *refusal, const char *id, const char *source_id);

/* Then it is not tried now. */
bool refusal_bars(const struct refusal *refusal, const char *id, const char *source_id, long now);

#endif
