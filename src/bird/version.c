/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION_TEXT_MAX 40

static const struct bird_version oldest = {2, 0, 12};

static bool has_send_hold_time(const struct session_want *session)
{
	return session->options->send_hold_time != 0;
}

/* What came after the oldest one, by the key in roost.yaml. */
static const struct {
	const char *key;
	struct bird_version since;
	bool (*used)(const struct session_want *session);
} later[] = {
	{"sendHoldTime", {2, 15, 0}, has_send_hold_time},
};

static int version_cmp(const struct bird_version *a, const struct bird_version *b)
{
	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	if (a->minor != b->minor)
		return a->minor < b->minor ? -1 : 1;
	return (a->patch > b->patch) - (a->patch < b->patch);
}

/* From 2.13 on a first release has no third number. */
static const char *version_text(const struct bird_version *version, char room[VERSION_TEXT_MAX])
{
	if (version->patch || version->minor == 0)
		snprintf(room, VERSION_TEXT_MAX, "%u.%u.%u", version->major, version->minor,
			version->patch);
	else
		snprintf(room, VERSION_TEXT_MAX, "%u.%u", version->major, version->minor);
	return room;
}

bool version_parse(const char *text, struct bird_version *version)
{
	memset(version, 0, sizeof(*version));
	if (strncmp(text, "BIRD ", 5) != 0)
		return false;
	text += 5;
	return sscanf(text + (*text == 'v'), "%5u.%5u.%5u", &version->major, &version->minor,
		       &version->patch) >= 2;
}

int version_check(const struct bird_version *have, const struct session_want *sessions, size_t n,
	struct err *err)
{
	char found[VERSION_TEXT_MAX], needed[VERSION_TEXT_MAX];

	version_text(have, found);
	if (version_cmp(have, &oldest) < 0)
		return err_set(err, ENOTSUP, "this BIRD is %s, and Roost needs BIRD %s or newer", found,
			version_text(&oldest, needed));
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		for (size_t j = 0; j < n; j++) {
			const struct peer *peer = sessions[j].peer;

			if (!later[i].used(&sessions[j]) || version_cmp(have, &later[i].since) >= 0)
				continue;
			return err_set(err, ENOTSUP,
				"%s%s: %s needs BIRD %s or newer, and this BIRD is %s",
				peer ? "peer " : "session", peer ? peer->name : "", later[i].key,
				version_text(&later[i].since, needed), found);
		}
	return 0;
}
