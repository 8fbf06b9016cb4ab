/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static enum log_level limit = LOG_LEVEL_INFO;

void log_init(bool verbose)
{
	limit = verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	char line[2048];
	va_list ap;

	if (level > limit)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* A message may quote input; one event stays one line. */
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "%s\n", line);
	else
		fprintf(stderr, "<%d>%s\n", (int)level, line);
	errno = saved;
}
