/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics -- what /metrics says beside report_metrics(), and in which of its two
 * languages.  Pure.
 *
 * Few series: a handful for the node, five for each of its sessions, none for pods,
 * prefixes or pairs of nodes; 1000 nodes in a mesh are 5000 series each, and that is what
 * a mesh of 1000 costs. */
#ifndef ROOST_METRICS_H
#define ROOST_METRICS_H

#include "agent/report.h"

/* In OpenMetrics, for report_metrics(). */
void metrics_of_node(const struct view *view, struct buf *out);

/* The same in the older text format, for who does not ask for OpenMetrics (curl, promtool
 * check metrics): families are named as their samples are, and there is no end mark. */
void metrics_as_text(const struct buf *open_metrics, struct buf *out);

#endif
