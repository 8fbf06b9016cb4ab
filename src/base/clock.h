/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock -- a time that nobody sets, and how a time is written. */
#ifndef ROOST_CLOCK_H
#define ROOST_CLOCK_H

#include <time.h>

#define STAMP_TEXT_MAX 32

/* Seconds since the machine was started, also those it slept (CLOCK_BOOTTIME). */
long boot_seconds(void);

/* "2026-11-23T03:00:25Z", in `room`. */
const char *stamp_format(time_t when, char room[STAMP_TEXT_MAX]);

#endif
