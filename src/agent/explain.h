/* SPDX-License-Identifier: GPL-2.0-or-later */
/* explain -- the way from the file to the wire for one address, step by step, up to the
 * first that is broken: file, sessions, BIRD, kernel, neighbour.  Pure. */
#ifndef ROOST_EXPLAIN_H
#define ROOST_EXPLAIN_H

#include "agent/report.h"
#include "kernel/fib.h"

/* {"address", "broken", "steps": [{"step", "ok", "text"}]}; `lookup` is what the kernel
 * does with the address, NULL when it could not be asked. */
json_t *explain(const struct view *view, const struct addr *addr, const struct fib_lookup *lookup);

#endif
