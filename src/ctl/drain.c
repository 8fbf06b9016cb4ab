/* SPDX-License-Identifier: GPL-2.0-or-later */
/* drain, undrain: roostd does it (agent/drain.h), we tell how it goes. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"

#define DRAIN_SECONDS  60
#define LOOKS_A_SECOND 5

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* Posts; 0, or an exit code when that is not what BIRD runs now. */
static int post(const struct ctl *ctl, const char *path, const char *noted)
{
	json_t *result;
	const char *outcome;
	int rc = client_fetch(ctl, "POST", path, &result);

	if (rc != 0)
		return rc;
	outcome = text_of(result, "outcome");
	if (strcmp(outcome, "confirmed") != 0 && strcmp(outcome, "unchanged") != 0) {
		fprintf(stderr, "roostctl: %s, but BIRD does not know yet: %s: %s\n", noted, outcome,
			text_of(result, "reason"));
		rc = 1;
	}
	json_decref(result);
	return rc;
}

/* {"state": ..., "since": ..., "waits": ...}, the caller's; 0, or an exit code. */
static int look(const struct ctl *ctl, json_t **drain)
{
	json_t *status;
	int rc = client_fetch(ctl, "GET", "/v1/status", &status);

	if (rc != 0)
		return rc;
	*drain = json_incref(json_object_get(status, "drain"));
	json_decref(status);
	return 0;
}

static int print(const struct ctl *ctl, json_t *drain, const char *done)
{
	const char *waits = text_of(drain, "waits");
	bool good = strcmp(text_of(drain, "state"), "leaving") != 0 && !*waits;

	if (ctl->json)
		json_print(drain);
	else if (good)
		puts(done);
	else
		printf("leaving: %s\n", *waits ? waits : "not done yet; roostctl status shows when");
	json_decref(drain);
	return good ? 0 : 1;
}

int ctl_drain(const struct ctl *ctl)
{
	static const struct timespec pause = {.tv_nsec = 1000000000 / LOOKS_A_SECOND};
	int rc = post(ctl, "/v1/drain", "the node is marked as drained");
	json_t *drain = NULL;

	if (rc != 0)
		return rc;
	for (int i = 0; i < DRAIN_SECONDS * LOOKS_A_SECOND; i++) {
		json_decref(drain);
		rc = look(ctl, &drain);
		if (rc != 0)
			return rc;
		if (strcmp(text_of(drain, "state"), "leaving") != 0 || *text_of(drain, "waits"))
			break;
		nanosleep(&pause, NULL);
	}
	/* What that means for BIRD is done when this is answered. */
	if (strcmp(text_of(drain, "state"), "drained") == 0)
		rc = post(ctl, "/v1/drain", "the node is drained");
	if (rc != 0) {
		json_decref(drain);
		return rc;
	}
	return print(ctl, drain, "drained; its pods keep their routes until it is shut down");
}

int ctl_undrain(const struct ctl *ctl)
{
	int rc = post(ctl, "/v1/undrain", "the mark is taken back");
	json_t *drain;

	if (rc == 0)
		rc = look(ctl, &drain);
	return rc != 0 ? rc : print(ctl, drain, "undrained");
}
