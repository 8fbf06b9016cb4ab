/* SPDX-License-Identifier: GPL-2.0-or-later */
/* counters -- how many calls there were and how long they took, for roostd's /metrics.
 *
 * The plugin is gone after each call, so it adds to a page of a file, <dataDir>/.counters,
 * that all calls share: atomic additions, no lock, three system calls (open, fstat, mmap)
 * after the answer is out.  It is on a tmpfs and counts from the start of the machine.
 * Whatever goes wrong with it is nobody's business: a pod is worth more than a number. */
#ifndef ROOST_CNI_COUNTERS_H
#define ROOST_CNI_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum counted { COUNTED_ADD, COUNTED_DEL, COUNTED };

/* Seconds up to which a call belongs to a bucket, as text for the metric; the last bucket
 * has no bound. */
#define COUNTERS_BUCKETS 8
extern const char *const counters_bounds[COUNTERS_BUCKETS];

struct counters {
	uint64_t version;
	struct {
		uint64_t failed; /* calls; their time is not counted */
		uint64_t ns;     /* the others, all together */
		uint64_t buckets[COUNTERS_BUCKETS + 1];
	} of[COUNTED];
};

uint64_t counters_now_ns(void);
void counters_note(const char *data_dir, enum counted what, bool failed, uint64_t ns);

/* All 0 when nothing was counted yet; -1 for a file that is none of these. */
int counters_read(const char *data_dir, struct counters *counters, struct err *err);

#endif
