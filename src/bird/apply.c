/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/apply.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "bird/control.h"
#include "bird/gates.h"
#include "bird/observe.h"
#include "bird/version.h"

#define ANSWER_SECONDS 10  /* for one command */
#define SETTLE_SECONDS 60  /* for a reconfiguration to be done */
#define POLL_MS 50
#define POLL_MAX_MS 1000
#define REFRESH_SECONDS 3.5 /* in which neighbours say their routes again; an idle BIRD takes 3 */

typedef void step_fn(struct apply *a, const struct reply *reply);

struct apply {
	struct event_base *base;
	struct apply_want want;
	apply_fn *done;
	void *arg;

	struct control *control;
	step_fn *next;        /* what the answer in flight is for */
	struct event *timer;  /* between two polls */
	step_fn *after_timer; /* what the poll's answer is for */
	const char *poll;     /* the command polled with */
	unsigned poll_ms;
	struct timespec give_up; /* when polling ends */

	char bird[APPLY_BIRD_MAX]; /* its version */
	char running_id[CONFIG_ID_LEN + 1];
	bool pending;        /* a trial is waiting for confirmation, */
	double pending_seconds; /* for so long still */
	bool recovering;     /* BIRD was, when it was asked last */
	bool staged, told, on_trial; /* told: BIRD has heard of these bytes */
	unsigned number;     /* of the staged generation */
	struct gates gates;  /* what a trial is judged by: */
	struct bird_state seen; /* the last look at it, */
	struct timespec ripe;   /* when no neighbour is waited for any more, */
	size_t asked;           /* and so many questions of ask_told() */
	struct err reason;   /* for the undo */
};

static void look(struct apply *a);
static int keep_gates(struct apply *a, struct err *err);
static void bird_ended(struct apply *a, const struct err *err);
static void check(struct apply *a);
static void on_accept(struct apply *a, const struct reply *reply);
static void on_undone(struct apply *a, const struct reply *reply);

const char *apply_outcome_name(enum apply_outcome outcome)
{
	switch (outcome) {
	case APPLY_UNCHANGED:
		return "unchanged";
	case APPLY_CONFIRMED:
		return "confirmed";
	case APPLY_REFUSED:
		return "refused";
	case APPLY_ROLLED_BACK:
		return "rolled back";
	case APPLY_FAILED:
		break;
	}
	return "failed";
}

/* ---------------------------------------------------------------- ends */

void apply_abandon(struct apply *a)
{
	if (!a)
		return;
	control_close(a->control);
	event_free(a->timer);
	arena_free(&a->gates.arena);
	arena_free(&a->seen.arena);
	free(a);
}

static void finish_with(struct apply *a, struct apply_result *result)
{
	apply_fn *done = a->done;
	void *arg = a->arg;

	memcpy(result->bird, a->bird, sizeof(result->bird));
	apply_abandon(a);
	done(result, arg);
}

static void finish(struct apply *a, enum apply_outcome outcome, const struct err *err)
{
	struct apply_result result = {.outcome = outcome, .generation = a->number};

	if (err)
		result.err = *err;
	finish_with(a, &result);
}

static void fail(struct apply *a, const struct err *err)
{
	finish(a, APPLY_FAILED, err);
}

/* The staged generation goes to rejected/, with why. */
static void reject(struct apply *a, enum apply_outcome outcome, const struct err *reason)
{
	struct err err;

	if (a->staged && generation_reject(a->want.dir, a->number, reason->msg, &err) < 0)
		log_warn("apply: cannot keep the refused generation: %s", err.msg);
	finish(a, outcome, reason);
}

/* ---------------------------------------------------------------- asking BIRD */

static void on_answer(const struct reply *reply, const struct err *err, void *arg)
{
	struct apply *a = arg;

	if (reply)
		a->next(a, reply);
	else if (a->told && err->code == ECONNRESET)
		bird_ended(a, err);
	else
		fail(a, err); /* if a trial is on, BIRD ends it by itself; the next turn finds out */
}

static void ask(struct apply *a, const char *command, step_fn *next)
{
	a->next = next;
	control_send(a->control, command, ANSWER_SECONDS, on_answer, a);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct apply *a = arg;

	(void)fd;
	(void)what;
	ask(a, a->poll, a->after_timer);
}

static struct timespec in_seconds(double seconds)
{
	struct timespec when;

	clock_gettime(CLOCK_BOOTTIME, &when);
	when.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	when.tv_sec += (time_t)seconds + when.tv_nsec / 1000000000;
	when.tv_nsec %= 1000000000;
	return when;
}

static double seconds_until(const struct timespec *when)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (double)(when->tv_sec - now.tv_sec) + (double)(when->tv_nsec - now.tv_nsec) / 1e9;
}

static double seconds_left(const struct apply *a)
{
	return seconds_until(&a->give_up);
}

static void start_polling(struct apply *a, double seconds)
{
	a->give_up = in_seconds((double)(time_t)seconds);
	a->poll_ms = POLL_MS / 2;
}

/* Asks `command` again in a moment, each time a little later. */
static void ask_later(struct apply *a, const char *command, step_fn *next)
{
	struct timeval tv;

	a->poll = command;
	a->after_timer = next;
	a->poll_ms = a->poll_ms * 2 > POLL_MAX_MS ? POLL_MAX_MS : a->poll_ms * 2;
	tv.tv_sec = a->poll_ms / 1000;
	tv.tv_usec = (suseconds_t)(a->poll_ms % 1000) * 1000;
	evtimer_add(a->timer, &tv);
}

/* Answers to `configure status` begin with what BIRD is doing. */
static bool is_reconfiguring(const struct reply *reply)
{
	int code = reply->lines[0].code;

	return code == BIRD_RECONFIG_PROGRESS || code == BIRD_RECONFIG_QUEUED;
}

static void fail_unexpected(struct apply *a, const char *command, const struct reply *reply)
{
	struct err err;

	err_set(&err, EPROTO, "%s: BIRD answers %04d %s", command, reply_code(reply),
		reply_text(reply));
	fail(a, &err);
}

/* ---------------------------------------------------------------- undo */

static void rolled_back(struct apply *a, const struct err *reason)
{
	struct err err;

	gates_renew(&a->gates, boot_seconds());
	if (keep_gates(a, &err) < 0)
		log_warn("apply: %s", err.msg);
	reject(a, APPLY_ROLLED_BACK, reason);
}

/* Once may be chance: somebody has restarted it.  Twice, it is what it was told. */
static void bird_ended(struct apply *a, const struct err *err)
{
	struct apply_result result = {.outcome = APPLY_FAILED, .err = *err, .bird_ended = true};
	struct err reason;

	if (a->want.bird_ended_before) {
		err_set(&reason, ECONNRESET, "BIRD has ended a second time while this was tried");
		rolled_back(a, &reason);
	} else {
		finish_with(a, &result);
	}
}

static void on_undo(struct apply *a, const struct reply *reply)
{
	int code = reply_code(reply);

	if (code == BIRD_NOTHING_TO_DO) {
		/* The timer was faster: undone, or being undone. */
	} else if (code >= 8000) {
		fail_unexpected(a, "configure undo", reply);
		return;
	}
	start_polling(a, SETTLE_SECONDS);
	ask(a, "configure status", on_undone);
}

static void on_undone(struct apply *a, const struct reply *reply)
{
	if (is_reconfiguring(reply) && seconds_left(a) > 0) {
		ask_later(a, "configure status", on_undone);
		return;
	}
	if (a->on_trial)
		rolled_back(a, &a->reason);
	else
		look(a); /* it was somebody else's trial: begin again */
}

static void roll_back(struct apply *a)
{
	ask(a, "configure undo", on_undo);
}

/* ---------------------------------------------------------------- accept, confirm */

/* From here on it is over: what is still to be remembered is of earlier trials. */
static void promoted(struct apply *a)
{
	struct err err;

	if (keep_gates(a, &err) < 0)
		log_warn("apply: %s", err.msg);
	finish(a, APPLY_CONFIRMED, NULL);
}

static void on_confirm(struct apply *a, const struct reply *reply)
{
	struct err err;

	if (reply_code(reply) != BIRD_CONFIRMED) {
		/* 0019: the trial is over already, and with it our configuration. */
		err_set(&err, ETIMEDOUT, "BIRD undid the configuration before it was confirmed: %s",
			reply_text(reply));
		reject(a, APPLY_ROLLED_BACK, &err);
		return;
	}
	if (generation_promote(a->want.dir, a->number, a->want.rendered->id, &err) < 0) {
		err_wrap(&err, "BIRD runs generation %u, but starts from an older one", a->number);
		fail(a, &err);
		return;
	}
	promoted(a);
}

static struct gates_want gates_want(const struct apply *a)
{
	return (struct gates_want){a->want.sessions, a->want.n_sessions,
		a->want.max_withdraw_percent, a->want.confirm_timeout, a->want.held};
}

static void not_acceptable(struct apply *a, const struct err *why)
{
	if (seconds_left(a) > 0) {
		ask_later(a, "show protocols all", on_accept);
	} else {
		a->reason = *why;
		roll_back(a);
	}
}

static void all_told(struct apply *a)
{
	const struct gates_want want = gates_want(a);
	struct err why = {0};

	if (!a->on_trial) {
		check(a);
	} else if (!gates_accept_told(&a->gates, &want, &why)) {
		not_acceptable(a, &why);
	} else {
		gates_confirmed(&a->gates, &a->seen);
		ask(a, "configure confirm", on_confirm);
	}
}

static void ask_told(struct apply *a);

static void on_told(struct apply *a, const struct reply *reply)
{
	struct gate_session *session = &a->gates.before[a->asked / a->want.own->n];

	*(a->on_trial ? &session->own_now : &session->own) += reply_find(reply, BIRD_ROUTE) != NULL;
	a->asked++;
	ask_told(a);
}

/* Of each session and each of our podCIDRs, from number `asked` on: is it told? */
static void ask_told(struct apply *a)
{
	const struct gates_want want = gates_want(a);
	const size_t n_own = a->want.own->n;
	char command[OBSERVE_TOLD_MAX];

	for (; a->asked < a->gates.n * n_own; a->asked++) {
		const struct prefix *prefix = &a->want.own->items[a->asked % n_own];
		size_t session = a->asked / n_own;

		if (a->asked % n_own == 0)
			a->gates.before[session].own_now = 0;
		if (!gates_asks(&a->gates, &want, session, prefix, a->on_trial))
			continue;
		observe_told_command(command, prefix, a->gates.before[session].name);
		ask(a, command, on_told);
		return;
	}
	all_told(a);
}

static void on_accept(struct apply *a, const struct reply *reply)
{
	const struct gates_want want = gates_want(a);
	struct err why = {0};

	if (reply_code(reply) >= 8000) {
		fail_unexpected(a, "show protocols all", reply);
		return;
	}
	arena_free(&a->seen.arena);
	a->seen = (struct bird_state){0};
	parse_protocols(reply, &a->seen);
	if (!gates_accept(&a->gates, &want, &a->seen, &why)) {
		not_acceptable(a, &why);
		return;
	}
	if (gates_wait(&a->gates, &a->seen) && seconds_until(&a->ripe) > 0) {
		ask_later(a, "show protocols all", on_accept);
		return;
	}
	a->asked = 0;
	ask_told(a);
}

static void accept_trial(struct apply *a)
{
	double left = seconds_left(a);

	a->ripe = in_seconds(left < REFRESH_SECONDS ? left : REFRESH_SECONDS);
	/* What another export filter takes back is still counted when BIRD says that it is done. */
	a->poll_ms = POLL_MS;
	ask_later(a, "show protocols all", on_accept);
}

/* Some of BIRD's timeout is kept back, so that the undo is ours as a rule. */
static void start_trial_clock(struct apply *a, double seconds)
{
	start_polling(a, seconds * 0.8);
}

/* ---------------------------------------------------------------- trial */

static void on_trial_running(struct apply *a, const struct reply *reply)
{
	if (!is_reconfiguring(reply)) {
		accept_trial(a);
	} else if (seconds_left(a) > 0) {
		ask_later(a, "configure status", on_trial_running);
	} else {
		err_set(&a->reason, ETIMEDOUT, "BIRD is still reconfiguring after %u s",
			a->want.confirm_timeout);
		roll_back(a);
	}
}

/* BIRD names the file of the error below the generation's folder; for a person the
 * rest is what matters: "bird.d/10-mine.conf:3:1 syntax error". */
static void set_refusal(struct apply *a, const struct reply *reply, struct err *err)
{
	const char *text = reply_text(reply);
	char folder[512];
	size_t len = (size_t)snprintf(folder, sizeof(folder), "%s/gen-%u/", a->want.dir, a->number);

	if (strncmp(text, folder, len) == 0)
		text += len;
	err_set(err, EINVAL, "%s", text);
}

static void on_trial(struct apply *a, const struct reply *reply)
{
	int code = reply_code(reply);
	struct err err;

	if (code == BIRD_RECONFIGURED || code == BIRD_RECONFIG_PROGRESS ||
		code == BIRD_RECONFIG_QUEUED) {
		a->on_trial = true;
		start_trial_clock(a, a->want.confirm_timeout);
		ask(a, "configure status", on_trial_running);
		return;
	}
	if (code < 8000 || code == BIRD_DENIED) { /* 0006: shutting down */
		fail_unexpected(a, "configure", reply);
		return;
	}
	set_refusal(a, reply, &err);
	reject(a, APPLY_REFUSED, &err);
}

static void on_check(struct apply *a, const struct reply *reply)
{
	char path[512], command[CONTROL_MAX_COMMAND];
	struct err err;

	if (reply_code(reply) == BIRD_DENIED) {
		fail_unexpected(a, "configure check", reply);
		return;
	}
	if (reply_code(reply) != BIRD_CONFIG_OK) {
		set_refusal(a, reply, &err);
		reject(a, APPLY_REFUSED, &err);
		return;
	}
	generation_path(a->want.dir, a->number, path, sizeof(path));
	snprintf(command, sizeof(command), "configure \"%s\" timeout %u", path,
		a->want.confirm_timeout);
	ask(a, command, on_trial);
}

/* What the trial is judged by is kept on disk from its begin to its confirmation:
 * whoever carries it on after a crash must judge it by the same measure.  And of one
 * that was undone it stays, see gates.h. */
static void trial_path(const struct apply *a, char room[512])
{
	snprintf(room, 512, "%s/trial", a->want.dir);
}

static int keep_gates(struct apply *a, struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	char path[512];

	gates_write(&a->gates, &text);
	trial_path(a, path);
	if (text.len)
		return file_replace(path, text.text, text.len, 0644, err);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(err, "%s", path);
	return 0;
}

static int recall_gates(struct apply *a, long seconds, struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	char path[512];

	trial_path(a, path);
	if (file_read(path, 1 << 20, &text, err) < 0)
		return err->code == ENOENT ? 0 : -1;
	buf_puts(&text, "");
	gates_recall(&a->gates, text.text, boot_seconds(), seconds);
	return 0;
}

/* ---------------------------------------------------------------- look */

static void stage(struct apply *a)
{
	struct err err;

	if (generation_init(a->want.dir, &err) < 0 ||
		generation_stage(a->want.dir, a->want.rendered, &a->number, &err) < 0) {
		fail(a, &err);
		return;
	}
	a->staged = true;
	ask_told(a);
}

static void check(struct apply *a)
{
	char path[512], command[CONTROL_MAX_COMMAND];
	struct err err;

	if (keep_gates(a, &err) < 0) {
		fail(a, &err);
		return;
	}
	a->told = true;
	generation_path(a->want.dir, a->number, path, sizeof(path));
	snprintf(command, sizeof(command), "configure check \"%s\"", path);
	ask(a, command, on_check);
}

/* Somebody's hand-written BIRD is not ours to replace. */
static void fail_foreign(struct apply *a)
{
	struct err err;

	err_set(&err, EBUSY,
		"BIRD runs BGP sessions of a configuration that is not Roost's, which would be lost: "
		"start BIRD with -c %s/bird.conf, and keep what it had in bird.d",
		a->want.dir);
	fail(a, &err);
}

static void fail_foreign_trial(struct apply *a)
{
	struct err err;

	err_set(&err, EBUSY, "somebody tries out a configuration of their own in BIRD, with a timeout");
	fail(a, &err);
}

static bool is_generated(const char *name)
{
	return strcmp(name, "node.conf") == 0 || strcmp(name, "sessions.conf") == 0 ||
		strcmp(name, "bird.conf") == 0; /* it has the id */
}

/* Do files differ of which the plan sees a part only: templates and snippets? */
static bool is_blind(const struct fileset *have, const struct fileset *want)
{
	if (have->n != want->n)
		return true;
	for (size_t i = 0; i < have->n; i++) {
		const struct file_text *a = &have->items[i], *b = &want->items[i];

		if (strcmp(a->name, b->name) != 0 ||
			(!is_generated(a->name) &&
				(a->len != b->len || memcmp(a->text, b->text, a->len) != 0)))
			return true;
	}
	return false;
}

/* What the change does to the sessions, as far as that is known. */
struct touched {
	const struct plan_row *rows; /* NULL: not known */
	size_t n;
	bool blind; /* files differ of which the plan sees a part only */
};

/* By the plan from what BIRD runs, if it is on disk. */
static struct touched plan_from_running(struct apply *a, struct arena *arena)
{
	struct touched touched = {.blind = true};
	struct fileset have;
	struct err ignored;
	unsigned number;

	if (generation_find(a->want.dir, a->running_id, &number, &ignored) < 0 ||
		generation_read(a->want.dir, number, arena, &have, &ignored) < 0)
		return touched;
	touched.rows = plan_sessions(&have, &a->want.rendered->files, arena, &touched.n);
	if (!touched.rows) /* no sessions, before and after */
		touched.rows = arena_alloc(arena, sizeof(*touched.rows));
	touched.blind = is_blind(&have, &a->want.rendered->files);
	return touched;
}

/* Trying again by ourselves would take from them what they need to come back. */
static bool has_patience(struct apply *a, const struct bird_state *state, struct err *err)
{
	const char *lost = a->want.patient ? gates_still_lost(&a->gates, state) : NULL;

	if (!lost)
		return false;
	err_set(err, EAGAIN,
		"rolled back before, and session %s, which that has cost, is not up again yet; "
		"roostctl apply does not wait for it",
		lost);
	return true;
}

static void on_before(struct apply *a, const struct reply *reply)
{
	_cleanup_arena_ struct arena arena = {0};
	struct bird_state state = {0};
	struct touched touched;
	struct err err;
	int rc;

	if (reply_code(reply) >= 8000) {
		fail_unexpected(a, "show protocols all", reply);
		return;
	}
	parse_protocols(reply, &state);
	if (state.n_sessions > 0 && !a->running_id[0]) {
		arena_free(&state.arena);
		fail_foreign(a);
		return;
	}
	/* Just started, it has not all sessions yet, and withholds routes: nothing could be
	 * judged, and whatever comes would be confirmed.  They go out a moment afterwards. */
	if ((state.recovering || a->recovering) && seconds_left(a) > 0) {
		a->recovering = state.recovering;
		if (!a->recovering)
			a->poll_ms = POLL_MAX_MS;
		arena_free(&state.arena);
		ask_later(a, "show protocols all", on_before);
		return;
	}
	gates_note(&a->gates, &state, boot_seconds());
	touched = plan_from_running(a, &arena);
	rc = recall_gates(a, GATES_REMEMBER_SECONDS, &err);
	if (rc == 0) {
		gates_judge(&a->gates, touched.rows, touched.n, touched.blind);
		rc = has_patience(a, &state, &err) ? -1 : 0;
	}
	arena_free(&state.arena);
	if (rc < 0)
		fail(a, &err);
	else
		stage(a);
}

/* BIRD runs our bytes.  Is that confirmed, in BIRD and on disk? */
static void already_running(struct apply *a)
{
	struct generation confirmed;
	struct err err;

	if (generation_init(a->want.dir, &err) < 0 ||
		generation_confirmed(a->want.dir, &confirmed, &err) < 0) {
		fail(a, &err);
		return;
	}
	if (!a->pending && strcmp(confirmed.id, a->want.rendered->id) == 0) {
		a->number = confirmed.number;
		finish(a, APPLY_UNCHANGED, NULL);
		return;
	}
	/* We were killed between trial and the end of it: carry on from there. */
	if (generation_stage(a->want.dir, a->want.rendered, &a->number, &err) < 0 ||
		(a->pending && recall_gates(a, LONG_MAX, &err) < 0)) {
		fail(a, &err);
	} else if (a->pending) {
		a->staged = a->on_trial = true;
		a->told = true;
		start_trial_clock(a, a->pending_seconds);
		accept_trial(a);
	} else if (generation_promote(a->want.dir, a->number, a->want.rendered->id, &err) < 0) {
		fail(a, &err);
	} else {
		promoted(a);
	}
}

static void looked(struct apply *a)
{
	struct apply_result result = {.outcome = APPLY_FAILED, .looked = true};

	err_set(&result.err, ECANCELED, "not to be tried now");
	finish_with(a, &result);
}

static void on_running_id(struct apply *a, const struct reply *reply)
{
	parse_config_id(reply, a->running_id);
	if (strcmp(a->running_id, a->want.rendered->id) == 0)
		already_running(a);
	else if (a->pending && a->running_id[0])
		roll_back(a); /* a trial of ours that nobody wants any more */
	else if (a->pending)
		fail_foreign_trial(a);
	else if (a->want.only_look)
		looked(a);
	else
		ask(a, "show protocols all", on_before);
}

static void on_look(struct apply *a, const struct reply *reply)
{
	const struct reply_line *undo;
	struct err err;

	if (reply_code(reply) >= 8000) {
		fail_unexpected(a, "configure status", reply);
		return;
	}
	if (is_reconfiguring(reply)) {
		if (seconds_left(a) > 0) {
			ask_later(a, "configure status", on_look);
			return;
		}
		err_set(&err, EBUSY, "BIRD has been reconfiguring for %d s", SETTLE_SECONDS);
		fail(a, &err);
		return;
	}
	undo = reply_find(reply, BIRD_UNDO_SCHEDULED);
	a->pending = undo != NULL;
	if (undo)
		sscanf(undo->text, "Configuration unconfirmed, undo in %lf", &a->pending_seconds);
	ask(a, "eval ROOST_CONFIG", on_running_id);
}

static void look(struct apply *a)
{
	start_polling(a, SETTLE_SECONDS);
	ask(a, "configure status", on_look);
}

static void on_greeting(struct apply *a, const struct reply *reply)
{
	struct bird_version version;
	struct err err;

	sscanf(reply_text(reply), "BIRD %39s", a->bird);
	if (reply_code(reply) != BIRD_WELCOME || !version_parse(reply_text(reply), &version))
		fail_unexpected(a, "connecting", reply);
	else if (!a->want.held && version_check(&version, a->want.sessions, a->want.n_sessions, &err) < 0)
		finish(a, APPLY_REFUSED, &err);
	else
		look(a);
}

struct apply *apply_start(struct event_base *base, const struct apply_want *want, apply_fn *done,
	void *arg)
{
	struct apply *a = xmalloc(sizeof(*a));

	assert(strlen(want->dir) < 400); /* it goes into commands and paths */
	memset(a, 0, sizeof(*a));
	a->base = base;
	a->want = *want;
	a->done = done;
	a->arg = arg;
	a->timer = evtimer_new(base, on_timer, a);
	a->next = on_greeting;
	a->control = control_open(base, want->socket, ANSWER_SECONDS, on_answer, a);
	return a;
}
