/* SPDX-License-Identifier: GPL-2.0-or-later */
/* roostctl doctor: all checks of this machine, as a table of what was seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/facts.h"

static const char *colour_of(enum level level)
{
	switch (level) {
	case LEVEL_OK:
		return "\033[32m";
	case LEVEL_UNKNOWN:
		return "";
	case LEVEL_WARNING:
		return "\033[33m";
	case LEVEL_FAIL:
		break;
	}
	return "\033[31m";
}

static void print_findings(const struct ctl *ctl, const struct finding *findings, size_t n)
{
	size_t count[LEVEL_FAIL + 1] = {0};

	for (size_t i = 0; i < n; i++) {
		const struct finding *f = &findings[i];

		count[f->level]++;
		printf("%s%-9s%s  %-14s  %s\n", ctl->colour ? colour_of(f->level) : "",
			level_name(f->level), ctl->colour ? "\033[0m" : "", f->check, f->seen);
		if (*f->advice)
			printf("%-9s  %-14s  -> %s\n", "", "", f->advice);
	}
	printf("%zu ok, %zu not known, %zu warnings, %zu failed\n", count[LEVEL_OK],
		count[LEVEL_UNKNOWN], count[LEVEL_WARNING], count[LEVEL_FAIL]);
}

static json_t *findings_json(const struct finding *findings, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:o}", "check", findings[i].check, "result",
				level_name(findings[i].level), "seen", findings[i].seen, "advice",
				*findings[i].advice ? json_string(findings[i].advice) : json_null()));
	return list;
}

int ctl_doctor(const struct ctl *ctl)
{
	_cleanup_arena_ struct arena arena = {0};
	struct facts facts;
	struct finding *findings;
	json_t *json;
	int rc = 0;
	size_t n;

	facts_gather(ctl, &facts);
	findings = judge_all(&facts, &arena, &n);
	for (size_t i = 0; i < n; i++)
		rc |= findings[i].level == LEVEL_FAIL;
	if (ctl->json) {
		json = findings_json(findings, n);
		json_print(json);
		json_decref(json);
	} else {
		print_findings(ctl, findings, n);
	}
	bird_state_free(facts.bird);
	arena_free(&facts.arena);
	return rc;
}
