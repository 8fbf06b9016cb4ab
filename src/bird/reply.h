/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reply -- the answers on BIRD's control socket, put together from lines.  Pure.
 *
 * BIRD's framing (nest/cli.c): "NNNN-text" more follows, "NNNN text" the last line,
 * " text" the same code again, "+text" asynchronous, at any point and no part of
 * the answer.  What fits none of these ("<3 messages lost>") is no part either.
 * The text of a line is UTF-8 without control characters, but for tabs in front. */
#ifndef ROOST_REPLY_H
#define ROOST_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

#define REPLY_MAX_BYTES (64u << 20)

struct reply_line {
	int code; /* 0 .. 9999 */
	const char *text;
};

/* One whole answer, in its own arena. */
struct reply {
	struct arena arena;
	struct reply_line *lines;
	size_t n_lines;
	bool complete;
};

/* Takes one line without its line end.  Returns -1 when there is more than
 * REPLY_MAX_BYTES of it. */
int reply_add_line(struct reply *reply, const char *line, struct err *err);
void reply_free(struct reply *reply);

/* The last line's: what the whole came to. */
int reply_code(const struct reply *reply);
const char *reply_text(const struct reply *reply);

/* The first line of this code, NULL when there is none. */
const struct reply_line *reply_find(const struct reply *reply, int code);

/* Codes we act upon; the first digit is 0 ok, 1 table, 2 heading, 8 refused at run
 * time, 9 not understood. */
enum reply_code {
	BIRD_WELCOME = 1,
	BIRD_RECONFIGURED = 3,
	BIRD_RECONFIG_PROGRESS = 4,
	BIRD_RECONFIG_QUEUED = 5,
	BIRD_SHUTTING_DOWN = 6,
	BIRD_CONFIRMED = 18,
	BIRD_NOTHING_TO_DO = 19,
	BIRD_CONFIG_OK = 20,
	BIRD_UNDO_SCHEDULED = 22,
	BIRD_EVALUATED = 23,
	BIRD_RECOVERY = 24,
	BIRD_VERSION = 1000,
	BIRD_PROTOCOL = 1002,
	BIRD_PROTOCOL_DETAIL = 1006,
	BIRD_ROUTE = 1007,
	BIRD_BFD = 1020,
	BIRD_NO_NETWORK = 8001,
	BIRD_CONFIG_ERROR = 8002,
	BIRD_DENIED = 8007,
	BIRD_NOT_UNDERSTOOD = 9001,
};

#endif
