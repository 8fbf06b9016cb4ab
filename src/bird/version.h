/* SPDX-License-Identifier: GPL-2.0-or-later */
/* version -- which BIRD it is, and whether it can do what is wanted.  Pure.
 *
 * All that is rendered is understood by every BIRD from the oldest one on, but for a
 * few options that came later.  These are refused by name before BIRD is asked: its
 * own word for them would be a syntax error. */
#ifndef ROOST_VERSION_H
#define ROOST_VERSION_H

#include "bird/render.h"

struct bird_version {
	unsigned major, minor, patch;
};

/* "BIRD 2.0.12 ready.", "BIRD v2.19.2+detached.1d201ed ready.": false when there is no
 * version in it.  What stands behind the numbers does not count. */
bool version_parse(const char *text, struct bird_version *version);

/* -1 when this BIRD is too old for Roost, or for an option of one of the sessions;
 * *err names the option, the version it needs and the one there is. */
int version_check(const struct bird_version *have, const struct session_want *sessions, size_t n,
	struct err *err);

#endif
