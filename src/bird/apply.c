/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/apply.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "bird/control.h"
#include "bird/observe.h"

#define ANSWER_SECONDS 10  /* for one command */
#define SETTLE_SECONDS 60  /* for a reconfiguration to be done */
#define REMEMBER_SECONDS 600 /* a session that was up before a trial that was undone */
#define POLL_MS 50
#define POLL_MAX_MS 1000

typedef void step_fn(struct apply *a, const struct reply *reply);

struct were_up {
	const char *name;
	long when; /* seen up last: seconds of CLOCK_BOOTTIME */
};

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

	char running_id[CONFIG_ID_LEN + 1];
	bool pending;        /* a trial is waiting for confirmation, */
	double pending_seconds; /* for so long still */
	bool staged, on_trial;
	unsigned number;     /* of the staged generation */
	struct arena arena;
	struct were_up *were_up; /* sessions that a trial must bring up again */
	size_t n_were_up;
	struct err reason;   /* for the undo */
};

static void look(struct apply *a);
static void trial_path(const struct apply *a, char room[512]);
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
	arena_free(&a->arena);
	free(a);
}

static void finish(struct apply *a, enum apply_outcome outcome, const struct err *err)
{
	struct apply_result result = {.outcome = outcome, .generation = a->number};
	apply_fn *done = a->done;
	void *arg = a->arg;
	char path[512];

	if (err)
		result.err = *err;
	if (outcome == APPLY_CONFIRMED) {
		trial_path(a, path);
		unlink(path);
	}
	apply_abandon(a);
	done(&result, arg);
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

	if (!reply) {
		/* If a trial is on, BIRD ends it by itself; the next turn finds out. */
		fail(a, err);
		return;
	}
	a->next(a, reply);
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

static double seconds_left(const struct apply *a)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (double)(a->give_up.tv_sec - now.tv_sec) +
		(double)(a->give_up.tv_nsec - now.tv_nsec) / 1e9;
}

static void start_polling(struct apply *a, double seconds)
{
	clock_gettime(CLOCK_BOOTTIME, &a->give_up);
	a->give_up.tv_sec += (time_t)seconds;
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
		reject(a, APPLY_ROLLED_BACK, &a->reason);
	else
		look(a); /* it was somebody else's trial: begin again */
}

static void roll_back(struct apply *a)
{
	ask(a, "configure undo", on_undo);
}

/* ---------------------------------------------------------------- accept, confirm */

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
	finish(a, APPLY_CONFIRMED, NULL);
}

static const struct session_want *find_wanted(const struct apply *a, const char *name)
{
	for (size_t i = 0; i < a->want.n_sessions; i++)
		if (strcmp(a->want.sessions[i].name, name) == 0)
			return &a->want.sessions[i];
	return NULL;
}

static const char *first_still_down(struct apply *a, const struct reply *reply)
{
	struct bird_state state = {0};
	const char *missing = NULL;

	parse_protocols(reply, &state);
	for (size_t i = 0; i < a->n_were_up && !missing; i++) {
		const char *name = a->were_up[i].name;
		const struct bird_session *now = bird_find_session(&state, name);
		const struct session_want *want = find_wanted(a, name);

		/* The other side may end a session first that is leaving. */
		if (want && want->leaving)
			continue;
		/* The operator's own count too, as long as BIRD has them. */
		if (now ? !now->up : want != NULL)
			missing = name;
	}
	arena_free(&state.arena);
	return missing;
}

static void on_accept(struct apply *a, const struct reply *reply)
{
	const char *down = first_still_down(a, reply);

	if (reply_code(reply) >= 8000) {
		fail_unexpected(a, "show protocols all", reply);
	} else if (!down) {
		ask(a, "configure confirm", on_confirm);
	} else if (seconds_left(a) > 0) {
		ask_later(a, "show protocols all", on_accept);
	} else {
		err_set(&a->reason, ETIMEDOUT,
			"session %s was up before and is not up again in time (bird.confirmTimeout is %u s)", down,
			a->want.confirm_timeout);
		roll_back(a);
	}
}

static void accept_trial(struct apply *a)
{
	a->poll_ms = POLL_MS / 2;
	ask(a, "show protocols all", on_accept);
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

/* Which sessions were up, and when, is kept on disk from the trial to the first
 * confirmation: whoever carries a trial on after a crash must judge it by the same
 * measure, and so must the next trial after one that was undone, when the session
 * that was lost may not be back yet.  A line is "<boot-time seconds> <name>". */
static void trial_path(const struct apply *a, char room[512])
{
	snprintf(room, 512, "%s/trial", a->want.dir);
}

static long boot_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (long)now.tv_sec;
}

static void add_were_up(struct apply *a, const char *name, long when)
{
	for (size_t i = 0; i < a->n_were_up; i++)
		if (strcmp(a->were_up[i].name, name) == 0)
			return;
	*ARENA_PUSH(&a->arena, a->were_up, &a->n_were_up) =
		(struct were_up){arena_strdup(&a->arena, name), when};
}

static int keep_were_up(struct apply *a, struct err *err)
{
	_cleanup_buf_ struct buf names = {0};
	char path[512];

	for (size_t i = 0; i < a->n_were_up; i++)
		buf_printf(&names, "%ld %s\n", a->were_up[i].when, a->were_up[i].name);
	trial_path(a, path);
	return file_replace(path, buf_text(&names), names.len, 0644, err);
}

static int recall_were_up(struct apply *a, struct err *err)
{
	_cleanup_buf_ struct buf names = {0};
	char path[512], *save = NULL;
	long now = boot_seconds();

	trial_path(a, path);
	if (file_read(path, 1 << 20, &names, err) < 0)
		return err->code == ENOENT ? 0 : -1;
	buf_puts(&names, "");
	for (char *line = strtok_r(names.text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		char *name;
		long when = strtol(line, &name, 10);

		if (*name == ' ' && when <= now && now - when <= REMEMBER_SECONDS)
			add_were_up(a, name + 1, when);
	}
	return 0;
}

/* ---------------------------------------------------------------- look */

static void stage(struct apply *a)
{
	char path[512], command[CONTROL_MAX_COMMAND];
	struct err err;

	if (generation_init(a->want.dir, &err) < 0 ||
		generation_stage(a->want.dir, a->want.rendered, &a->number, &err) < 0 ||
		keep_were_up(a, &err) < 0) {
		fail(a, &err);
		return;
	}
	a->staged = true;
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

static void on_before(struct apply *a, const struct reply *reply)
{
	struct bird_state state = {0};
	struct err err;
	bool foreign;

	if (reply_code(reply) >= 8000) {
		fail_unexpected(a, "show protocols all", reply);
		return;
	}
	parse_protocols(reply, &state);
	foreign = state.n_sessions > 0 && !a->running_id[0];
	for (size_t i = 0; i < state.n_sessions; i++)
		if (state.sessions[i].up)
			add_were_up(a, state.sessions[i].name, boot_seconds());
	arena_free(&state.arena);
	if (foreign)
		fail_foreign(a);
	else if (recall_were_up(a, &err) < 0)
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
		(a->pending && recall_were_up(a, &err) < 0)) {
		fail(a, &err);
	} else if (a->pending) {
		a->staged = a->on_trial = true;
		start_trial_clock(a, a->pending_seconds);
		accept_trial(a);
	} else if (generation_promote(a->want.dir, a->number, a->want.rendered->id, &err) < 0) {
		fail(a, &err);
	} else {
		finish(a, APPLY_CONFIRMED, NULL);
	}
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
	if (reply_code(reply) != BIRD_WELCOME)
		fail_unexpected(a, "connecting", reply);
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
