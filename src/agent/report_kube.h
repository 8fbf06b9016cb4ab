/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report_kube -- what report says when nodes come from an API server.  Pure. */
#ifndef ROOST_REPORT_KUBE_H
#define ROOST_REPORT_KUBE_H

#include "agent/report.h"

/* All three do nothing, or give null, when they do not. */
json_t *report_kube(const struct view *view);
void report_kube_problems(const struct view *view, json_t *problems);
void report_kube_metrics(const struct view *view, struct buf *out);

#endif
