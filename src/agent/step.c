/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/step.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "bird/generation.h"
#include "bird/spread.h"

static int check_limit(const struct step_want *want, const struct plan_row *rows, size_t n,
	struct err *err)
{
	_cleanup_buf_ struct buf names = {0};
	unsigned count = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i].action == PLAN_RESTART && ++count <= 10)
			buf_printf(&names, "%s%s", count > 1 ? ", " : "", rows[i].session);
	if (!want->limited || count <= want->max_restarts)
		return 0;
	return err_set(err, E2BIG, "it would restart %u session%s, and --max-restarts is %u: %s%s",
		count, count == 1 ? "" : "s", want->max_restarts, buf_text(&names),
		count > 10 ? ", ..." : "");
}

static struct spread_rules rules_of(const struct step_want *want)
{
	return (struct spread_rules){.nodes_one_by_one =
			want->cluster->topology == TOPOLOGY_REFLECTOR && !want->self->reflector,
		.percent = want->cluster->agent.max_withdraw_percent};
}

int step_next(const struct step_want *want, struct arena *arena, struct step *out, struct err *err)
{
	const struct spread_rules rules = rules_of(want);
	struct generation confirmed;
	struct plan_row *rows;
	struct fileset have;
	size_t n;
	int rc;

	memset(out, 0, sizeof(*out));
	out->rendered = *want->rendered;
	rc = generation_confirmed(want->dir, &confirmed, err);
	if (rc == 0 && strcmp(confirmed.id, want->rendered->id) == 0)
		return 0;
	if (rc == 0)
		rc = generation_read(want->dir, confirmed.number, arena, &have, err);
	if (rc < 0)
		return want->limited ? err_wrap(err, "what it would restart cannot be told") : 0;
	rows = plan_sessions(&have, &want->rendered->files, arena, &n);
	if (check_limit(want, rows, n, err) < 0)
		return -1;
	if (!want->whole)
		out->left = spread_step(&have, want->rendered, rows, n, &rules, arena,
			&out->rendered);
	if (out->left) /* then it is a part of that */
		rows = plan_sessions(&have, &out->rendered.files, arena, &n);
	plan_summary(rows, n, &have, &out->rendered.files, out->changes, sizeof(out->changes));
	return 0;
}
