/* SPDX-License-Identifier: GPL-2.0-or-later */
/* leftovers -- what Roost put into the kernel's main namespace, found by what marks it as
 * Roost's, for `roostctl cleanup`:
 *
 *   routes   of BIRD (protocol 12) with the metrics of bird-templates, 32 and 8192; as
 *            another BIRD has 32, too, the caller knows whether there is one
 *   pods     the host's ends of their links, by name and alias (cni/plan.h)
 *   bridge   with the name it was given, and the MAC address that the plugin gave it: one
 *            that was there before has another
 *
 * Each function looks, and with `remove` also takes away, which needs CAP_NET_ADMIN. */
#ifndef ROOST_LEFTOVERS_H
#define ROOST_LEFTOVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

int leftover_routes(bool remove, size_t *n, struct err *err);
int leftover_pods(bool remove, size_t *n, struct err *err);
int leftover_bridge(const char *name, bool remove, size_t *n, struct err *err);

#endif
