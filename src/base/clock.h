/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock -- a time that nobody sets. */
#ifndef ROOST_CLOCK_H
#define ROOST_CLOCK_H

/* Seconds since the machine was started, also those it slept (CLOCK_BOOTTIME). */
long boot_seconds(void);

#endif
