/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/hold.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

static const char *hold_path(const char *dir, char room[PATH_MAX])
{
	snprintf(room, PATH_MAX, "%s/hold", dir);
	return room;
}

struct hold hold_read(const char *dir)
{
	_cleanup_buf_ struct buf text = {0};
	struct hold hold = {0};
	char path[PATH_MAX];
	struct err ignored;
	long long since;

	if (file_read(hold_path(dir, path), 4096, &text, &ignored) < 0 ||
		sscanf(buf_text(&text), "generation %u %16[0-9a-f] since %lld instead of %16[0-9a-f]",
			&hold.generation, hold.id, &since, hold.held_back) != 4)
		return (struct hold){0};
	hold.since = (time_t)since;
	hold.active = true;
	return hold;
}

int hold_write(const char *dir, const struct hold *hold, struct err *err)
{
	char path[PATH_MAX], text[200];
	int len = snprintf(text, sizeof(text), "generation %u %s since %lld instead of %s\n",
		hold->generation, hold->id, (long long)hold->since, hold->held_back);

	return file_replace(hold_path(dir, path), text, (size_t)len, 0640, err);
}

int hold_remove(const char *dir, struct err *err)
{
	char path[PATH_MAX];

	if (unlink(hold_path(dir, path)) < 0 && errno != ENOENT)
		return err_errno(err, "%s", path);
	return 0;
}
