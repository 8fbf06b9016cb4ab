/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/refusal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

#define FIRST_SECONDS 60
#define MAX_SECONDS   960

static long seconds_to_wait(unsigned tries)
{
	long seconds = FIRST_SECONDS;

	while (--tries > 0 && seconds < MAX_SECONDS)
		seconds *= 2;
	return seconds;
}

/* ---------------------------------------------------------------- on disk */

static const char *refusal_path(const char *dir, char room[PATH_MAX])
{
	snprintf(room, PATH_MAX, "%s/refused", dir);
	return room;
}

/* "rolled-back <id> <source or -> tries <n> at <when> limit <n or -1>: <reason>" */
struct refusal refusal_read(const char *dir, long now)
{
	struct refusal refusal = {.active = true};
	_cleanup_buf_ struct buf text = {0};
	char path[PATH_MAX], outcome[16];
	struct err ignored;
	int limit, len = 0;
	long long at;

	if (file_read(refusal_path(dir, path), 4096, &text, &ignored) < 0 ||
		sscanf(buf_text(&text), "%15s %16[0-9a-f] %16[0-9a-f-] tries %u at %lld limit %d: %n",
			outcome, refusal.id, refusal.source_id, &refusal.tries, &at, &limit,
			&len) != 6 ||
		len == 0 || refusal.tries == 0)
		return (struct refusal){0};
	refusal.limited = limit >= 0;
	refusal.max_restarts = refusal.limited ? (unsigned)limit : 0;
	refusal.outcome = refusal.limited ? APPLY_REFUSED : APPLY_ROLLED_BACK;
	if (refusal.source_id[0] == '-')
		refusal.source_id[0] = '\0';
	refusal.at = (time_t)at;
	refusal.not_before = now + seconds_to_wait(refusal.tries);
	err_set(&refusal.reason, EAGAIN, "%.*s", (int)strcspn(buf_text(&text) + len, "\n"),
		buf_text(&text) + len);
	return refusal;
}

int refusal_write(const char *dir, const struct refusal *refusal, struct err *err)
{
	char path[PATH_MAX], text[200 + sizeof(refusal->reason.msg)];
	int len;

	refusal_path(dir, path);
	if (!refusal->active || (refusal->outcome == APPLY_REFUSED && !refusal->limited)) {
		if (unlink(path) < 0 && errno != ENOENT)
			return err_errno(err, "%s", path);
		return 0;
	}
	len = snprintf(text, sizeof(text), "%s %s %s tries %u at %lld limit %d: %s\n",
		refusal->limited ? "refused" : "rolled-back", refusal->id,
		refusal->source_id[0] ? refusal->source_id : "-", refusal->tries,
		(long long)refusal->at, refusal->limited ? (int)refusal->max_restarts : -1,
		refusal->reason.msg);
	return file_replace(path, text, (size_t)len, 0640, err);
}

/* ---------------------------------------------------------------- what it says */

bool refusal_is_of(const struct refusal *refusal, const char *id, const char *source_id)
{
	return refusal->active &&
		(strcmp(refusal->id, id) == 0 ||
			(refusal->source_id[0] && strcmp(refusal->source_id, source_id) == 0));
}

bool refusal_bars(const struct refusal *refusal, const char *id, const char *source_id, long now)
{
	if (refusal->active && refusal->outcome == APPLY_REFUSED)
		return strcmp(refusal->id, id) == 0;
	return refusal_is_of(refusal, id, source_id) && now < refusal->not_before;
}

void refusal_note(struct refusal *refusal, const struct refusal *new, long now)
{
	unsigned before = refusal_is_of(refusal, new->id, new->source_id) ? refusal->tries : 0;

	*refusal = *new;
	refusal->active = true;
	refusal->tries = before + 1;
	refusal->not_before = now + seconds_to_wait(refusal->tries);
}

/* What was rolled back is as costly as before. */
bool refusal_passed(struct refusal *refusal, const char *id, const char *source_id)
{
	if (!refusal->active ||
		(refusal->outcome == APPLY_ROLLED_BACK && !refusal_is_of(refusal, id, source_id)))
		return false;
	*refusal = (struct refusal){0};
	return true;
}
