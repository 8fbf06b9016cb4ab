/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/gates.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct gate_session *find(const struct gates *gates, const char *name)
{
	for (size_t i = 0; i < gates->n; i++)
		if (strcmp(gates->before[i].name, name) == 0)
			return &gates->before[i];
	return NULL;
}

void gates_note(struct gates *gates, const struct bird_state *state, long when)
{
	for (size_t i = 0; i < state->n_sessions; i++) {
		const struct bird_session *session = &state->sessions[i];

		if (session->up && !find(gates, session->name))
			*ARENA_PUSH(&gates->arena, gates->before, &gates->n) =
				(struct gate_session){
					.name = arena_strdup(&gates->arena, session->name),
					.when = when,
					.imported = session->imported,
					.exported = session->exported,
					.preferred = session->preferred,
					.updates = session->updates,
					.judged = true};
	}
}

/* ---------------------------------------------------------------- on disk */

/* "<when> <imported> <exported> <preferred> <own> <judged or not> <name>" */
void gates_write(const struct gates *gates, struct buf *text)
{
	for (size_t i = 0; i < gates->n; i++) {
		const struct gate_session *s = &gates->before[i];

		buf_printf(text, "%ld %u %u %u %u %c %s\n", s->when, s->imported, s->exported,
			s->preferred, s->own, s->judged ? '!' : '.', s->name);
	}
}

void gates_renew(struct gates *gates, long now)
{
	for (size_t i = 0; i < gates->n; i++)
		if (gates->before[i].judged)
			gates->before[i].when = now;
}

void gates_recall(struct gates *gates, char *text, long now, long seconds)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct gate_session s = {.remembered = true, .import_again = true};
		char judged, name[RENDER_NAME_MAX];

		if (sscanf(line, "%ld %u %u %u %u %c %63s", &s.when, &s.imported, &s.exported,
			    &s.preferred, &s.own, &judged, name) != 7 ||
			s.when > now || now - s.when > seconds || find(gates, name))
			continue;
		s.name = arena_strdup(&gates->arena, name);
		s.judged = judged == '!';
		*ARENA_PUSH(&gates->arena, gates->before, &gates->n) = s;
	}
}

/* ---------------------------------------------------------------- who counts */

static const struct plan_row *find_row(const struct plan_row *rows, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].session, name) == 0)
			return &rows[i];
	return NULL;
}

void gates_judge(struct gates *gates, const struct plan_row *rows, size_t n_rows, bool blind)
{
	for (size_t i = 0; i < gates->n; i++) {
		struct gate_session *s = &gates->before[i];
		const struct plan_row *row = find_row(rows, n_rows, s->name);

		s->judged = s->import_again = true;
		if (!rows)
			continue;
		s->judged = row ? row->action != PLAN_REMOVE &&
				(row->action != PLAN_KEEP || (blind && !s->remembered))
				: blind && !s->remembered; /* of a snippet, with a name by BIRD */
		s->import_again = row && row->action == PLAN_REFRESH && row->import_again;
		if (row && row->takes_other)
			s->imported = 0; /* the new file takes something else from it */
	}
}

static bool is_up(const struct bird_state *state, const char *name)
{
	const struct bird_session *session = bird_find_session(state, name);

	return session && session->up;
}

bool gates_wait(const struct gates *gates, const struct bird_state *state)
{
	for (size_t i = 0; i < gates->n; i++) {
		const struct gate_session *s = &gates->before[i];
		const struct bird_session *now = bird_find_session(state, s->name);

		if (s->judged && s->import_again && s->imported && now &&
			now->updates < s->updates + s->imported)
			return true;
	}
	return false;
}

const char *gates_still_lost(const struct gates *gates, const struct bird_state *state)
{
	for (size_t i = 0; i < gates->n; i++)
		if (gates->before[i].judged && gates->before[i].remembered &&
			!is_up(state, gates->before[i].name))
			return gates->before[i].name;
	return NULL;
}

void gates_confirmed(struct gates *gates, const struct bird_state *state)
{
	size_t n = 0;

	for (size_t i = 0; i < gates->n; i++)
		if (!gates->before[i].judged && gates->before[i].remembered &&
			!is_up(state, gates->before[i].name))
			gates->before[n++] = gates->before[i];
	gates->n = n;
}

/* ---------------------------------------------------------------- the verdict */

static const struct session_want *find_wanted(const struct gates_want *want, const char *name)
{
	for (size_t i = 0; i < want->n_sessions; i++)
		if (strcmp(want->sessions[i].name, name) == 0)
			return &want->sessions[i];
	return NULL;
}

static unsigned lower(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

bool gates_asks(const struct gates *gates, const struct gates_want *want, size_t session,
	const struct prefix *prefix, bool on_trial)
{
	const struct gate_session *s = &gates->before[session];
	const struct session_want *wanted = s->judged ? find_wanted(want, s->name) : NULL;

	if (!wanted || want->held || wanted->leaving || (wanted->peer && wanted->peer->unnumbered) ||
		!session_carries(wanted, family_of(&prefix->addr)))
		return false;
	return on_trial ? s->own > 0 : !s->remembered && wanted->n_own && s->exported > wanted->n_own;
}

static bool say_down(const struct gates_want *want, const char *name,
	const struct bird_session *now, struct err *why)
{
	bool known = now && now->info[0] && strcmp(now->info, now->state) != 0;

	err_set(why, ETIMEDOUT,
		"session %s was up before and is not up again in time (bird.confirmTimeout is %u s)%s%s",
		name, want->confirm_timeout, known ? ": " : "", known ? now->info : "");
	return false;
}

static bool say_untold(const char *name, unsigned before, unsigned now, struct err *why)
{
	err_set(why, ETIMEDOUT,
		"session %s is up, but is told %u of this node's podCIDRs, and was told %u before",
		name, now, before);
	return false;
}

static unsigned long minus(unsigned long a, unsigned long b)
{
	return a > b ? a - b : 0;
}

/* The destinations that we have no route to any more, whoever it was from; what sessions
 * bring that were not there before makes up for none. */
static unsigned long unreachable(const struct gates *gates, const struct bird_state *state)
{
	unsigned long before = 0, after = 0;

	for (size_t i = 0; i < gates->n; i++)
		before += gates->before[i].preferred;
	for (size_t i = 0; i < state->n_sessions; i++)
		if (find(gates, state->sessions[i].name))
			after += state->sessions[i].preferred;
	return minus(before, after);
}

bool gates_accept(const struct gates *gates, const struct gates_want *want,
	const struct bird_state *state, struct err *why)
{
	unsigned long before = 0, after = 0, lost;

	for (size_t i = 0; i < gates->n; i++) {
		const struct gate_session *s = &gates->before[i];
		const struct session_want *wanted = find_wanted(want, s->name);
		const struct bird_session *now = bird_find_session(state, s->name);
		unsigned told;

		/* The other side may end a session first that is leaving. */
		if (!s->judged || (wanted && wanted->leaving))
			continue;
		/* The operator's own count too, as long as BIRD has them. */
		if (now ? !now->up : wanted != NULL)
			return say_down(want, s->name, now, why);
		if (!now)
			continue;
		told = wanted && !want->held ? lower(s->exported, wanted->n_own) : 0;
		if (now->exported < told)
			return say_untold(s->name, told, now->exported, why);
		before += wanted ? lower(s->imported, wanted->max_routes) : s->imported;
		after += s->imported ? now->imported : 0;
	}
	lost = minus(before, after);
	if (lost > unreachable(gates, state))
		lost = unreachable(gates, state);
	if (lost * 100 > before * want->max_withdraw_percent) {
		err_set(why, ETIMEDOUT,
			"of %lu routes that were learned %lu are left, and agent.maxWithdraw is %u%%: "
			"if that is meant, roostctl apply --force",
			before, before - lost, want->max_withdraw_percent);
		return false;
	}
	return true;
}

bool gates_accept_told(
	const struct gates *gates, const struct gates_want *want, struct err *why)
{
	for (size_t i = 0; i < gates->n; i++) {
		const struct gate_session *s = &gates->before[i];
		const struct session_want *wanted = s->judged ? find_wanted(want, s->name) : NULL;
		unsigned told = wanted && !want->held && !wanted->leaving ? lower(s->own, wanted->n_own) : 0;

		if (s->own_now < told)
			return say_untold(s->name, told, s->own_now, why);
	}
	return true;
}
