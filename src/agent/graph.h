/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph -- the BGP topology as this node knows it, for `roostctl graph`.  Pure.
 *
 * Of its own sessions it knows the state; that others have sessions it knows from the
 * file alone.  A mesh's are left out: everybody has one with everybody, and who looks at a
 * picture of two hundred nodes does not look for twenty thousand lines. */
#ifndef ROOST_GRAPH_H
#define ROOST_GRAPH_H

#include "agent/report.h"

/* {"node", "vertices": [{"name", "kind", "self"}], "edges": [{"a", "b", "session", "state",
 * "up"}]}; session and state are null for what others have. */
json_t *report_graph(const struct view *view);

#endif
