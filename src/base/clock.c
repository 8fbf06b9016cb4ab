/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"

long boot_seconds(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (long)now.tv_sec;
}

const char *stamp_format(time_t when, char room[STAMP_TEXT_MAX])
{
	struct tm tm;

	strftime(room, STAMP_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &tm));
	return room;
}
