/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log -- lines on stderr, for the journal or a terminal.
 *
 * One line per state change, "module: event key=value"; silence in steady state.
 * When stderr is no terminal each line starts with the journal's <N> level.  What
 * happens once and is known where it failed is logged once, at the top. */
#ifndef ROOST_LOG_H
#define ROOST_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* `verbose` lets debug lines through.  Without log_init() the default is info. */
void log_init(bool verbose);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
