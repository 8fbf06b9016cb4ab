/* SPDX-License-Identifier: GPL-2.0-or-later */
/* apply: a configuration as a transaction that BIRD owns, and every way it ends. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "bird/apply.h"
#include "fake_bird.h"
#include "unit.h"

/* ---------------------------------------------------------------- what BIRD says */

#define ID "0123456789abcdef"
#define OTHER_ID "fedcba9876543210"

#define IDLE "0003-Daemon is up and running\n0000 \n"
#define PENDING                                                                                    \
	"0003-Daemon is up and running\n0022-Configuration unconfirmed, undo in 19.999 s\n0000 \n"
#define PENDING_BRIEFLY                                                                            \
	"0003-Daemon is up and running\n0022-Configuration unconfirmed, undo in 0.5 s\n0000 \n"
#define BUSY "0004-Reconfiguration in progress\n0000 \n"
#define QUEUED                                                                                     \
	"0005-Reconfiguration in progress, next one enqueued\n"                                    \
	"0022-Configuration unconfirmed, undo in 19.999 s\n0000 \n"

#define STATUS(answer) ASK("configure status", answer)
#define RUNS(id) ASK("eval ROOST_CONFIG", "0023 " id "\n")
#define RUNS_FOREIGN ASK("eval ROOST_CONFIG", "9001 syntax error, unexpected CF_SYM_UNDEFINED\n")

#define SESSION(name, state)                                                                       \
	"1002-" name "   BGP        ---        up     2026-11-23T02:00:00+0000  " state "\n"       \
	"1006-  BGP state:          " state "\n"                                                   \
	"     Neighbor address: 192.168.1.12\n\n"
#define SESSIONS(list) ASK("show protocols all", "2002-Name Proto Table State Since Info\n" list "0000 \n")
#define UP SESSION("node2:v4", "Established")
#define DOWN SESSION("node2:v4", "Active")

#define RECOVERING SESSION("node2:v4", "Active") "   Channel ipv4\n     GR recovery:    pending\n"

#define READING "0002-Reading configuration from gen-1/bird.conf\n"
#define CHECK(answer) ASK("configure check \"/*/gen-1/bird.conf\"", READING answer)
#define GOOD "0020 Configuration OK\n"
#define TRIAL(answer)                                                                              \
	ASK("configure \"/*/gen-1/bird.conf\" timeout [0-9]*",                                     \
		READING "0022-Undo scheduled in 20 s\n" answer)
#define DONE "0003 Reconfigured\n"
#define CONFIRM ASK("configure confirm", "0018 Reconfiguration confirmed\n")
#define UNDO ASK("configure undo", "0021-Undo requested\n0003 Reconfigured\n")

/* From the connection to a good check; to a running trial. */
#define UNTIL_CHECK GREET, STATUS(IDLE), RUNS(OTHER_ID), SESSIONS(UP)
#define UNTIL_TRIAL UNTIL_CHECK, CHECK(GOOD)

#define SCRIPT(...) ((const struct act[]){__VA_ARGS__, END})

/* ---------------------------------------------------------------- the stage */

struct turn {
	struct fake_bird fake;
	struct arena arena;
	struct rendered rendered;
	struct session options;
	struct session_want session;
	struct prefixes own;
	struct apply_want want;
	struct apply_result result;
	bool called;
};

static void on_done(const struct apply_result *result, void *arg)
{
	struct turn *turn = arg;

	ck_assert(!turn->called);
	turn->called = true;
	turn->result = *result;
	turn->fake.finished = true;
}

/* A node that wants one session, node2:v4. */
static void set_up(struct turn *turn, const struct act *script)
{
	struct err err;

	memset(turn, 0, sizeof(*turn));
	fake_bird_start(&turn->fake, script);
	fileset_add(&turn->rendered.files, &turn->arena, "bird.conf", "# new\n", 6);
	fileset_add(&turn->rendered.files, &turn->arena, "bird.d/10-mine.conf", "", 0);
	strcpy(turn->rendered.id, ID);
	strcpy(turn->session.name, "node2:v4");
	turn->session.options = &turn->options;
	turn->want = (struct apply_want){.socket = turn->fake.path, .dir = turn->fake.dir,
		.confirm_timeout = 20, .rendered = &turn->rendered, .sessions = &turn->session,
		.n_sessions = 1, .own = &turn->own};
	ck_assert_int_eq(generation_init(turn->fake.dir, &err), 0);
}

static void run(struct turn *turn)
{
	struct apply *apply;

	turn->called = turn->fake.finished = false;
	apply = apply_start(turn->fake.base, &turn->want, on_done, turn);
	ck_assert(!turn->called);
	ck_assert_ptr_nonnull(apply);
	fake_bird_run(&turn->fake);
}

static bool exists(const struct turn *turn, const char *name)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/%s", turn->fake.dir, name);
	return access(path, F_OK) == 0;
}

static void assert_confirmed_on_disk(const struct turn *turn, unsigned number, const char *id)
{
	struct generation generation;
	struct err err;

	ck_assert_int_eq(generation_confirmed(turn->fake.dir, &generation, &err), 0);
	ck_assert_uint_eq(generation.number, number);
	if (id)
		ck_assert_str_eq(generation.id, id);
}

static void assert_rejected_on_disk(const struct turn *turn, const char *reason)
{
	_cleanup_buf_ struct buf text = {0};
	char path[100];
	struct err err;

	snprintf(path, sizeof(path), "%s/rejected/reason", turn->fake.dir);
	ck_assert_int_eq(file_read(path, 4096, &text, &err), 0);
	ck_assert_msg(strncmp(buf_text(&text), "generation 1: ", 14) == 0, "%s", buf_text(&text));
	ck_assert_msg(strncmp(buf_text(&text) + 14, reason, strlen(reason)) == 0, "%s",
		buf_text(&text));
	ck_assert(exists(turn, "rejected/bird.conf"));
	ck_assert(!exists(turn, "gen-1"));
	assert_confirmed_on_disk(turn, 0, NULL);
}

static void tear_down(struct turn *turn)
{
	fake_bird_stop(&turn->fake);
	arena_free(&turn->arena);
}

static void assert_confirmed(const struct act *script)
{
	struct turn turn;

	set_up(&turn, script);
	run(&turn);
	ck_assert_msg(turn.result.outcome == APPLY_CONFIRMED, "%s",  turn.result.err.msg);
	ck_assert_uint_eq(turn.result.generation, 1);
	assert_confirmed_on_disk(&turn, 1, ID);
	ck_assert(!exists(&turn, "trial"));
	ck_assert(!exists(&turn, "rejected"));
	tear_down(&turn);
}

/* Refused or rolled back: BIRD has the old one, the new one is kept with the reason. */
static void assert_rejected(const struct act *script, unsigned confirm_timeout,
	enum apply_outcome outcome, const char *reason)
{
	struct turn turn;

	set_up(&turn, script);
	turn.want.confirm_timeout = confirm_timeout;
	run(&turn);
	ck_assert_str_eq(apply_outcome_name(turn.result.outcome), apply_outcome_name(outcome));
	ck_assert_str_eq(turn.result.err.msg, reason);
	assert_rejected_on_disk(&turn, reason);
	tear_down(&turn);
}

static void assert_failed(const struct act *script, const char *msg)
{
	struct turn turn;

	set_up(&turn, script);
	run(&turn);
	ck_assert_str_eq(apply_outcome_name(turn.result.outcome), "failed");
	ck_assert_str_eq(turn.result.err.msg, msg);
	assert_confirmed_on_disk(&turn, 0, NULL);
	tear_down(&turn);
}

/* ---------------------------------------------------------------- good ends */

START_TEST(good_configuration_is_checked_tried_and_confirmed)
{
	assert_confirmed(SCRIPT(UNTIL_TRIAL, TRIAL(DONE), STATUS(PENDING), SESSIONS(UP), CONFIRM));
}
END_TEST

START_TEST(staged_generation_holds_every_file)
{
	struct turn turn;
	struct fileset files;
	struct err err;

	set_up(&turn, SCRIPT(UNTIL_TRIAL, TRIAL(DONE), STATUS(PENDING), SESSIONS(UP), CONFIRM));
	run(&turn);
	ck_assert_int_eq(generation_read(turn.fake.dir, 1, &turn.arena, &files, &err), 0);
	ck_assert(fileset_equal(&files, &turn.rendered.files));
	tear_down(&turn);
}
END_TEST

START_TEST(equal_bytes_are_not_sent_again)
{
	struct turn turn;
	struct err err;

	set_up(&turn, SCRIPT(GREET, STATUS(IDLE), RUNS(ID)));
	ck_assert_int_eq(generation_promote(turn.fake.dir, 7, ID, &err), 0);
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_UNCHANGED);
	ck_assert_uint_eq(turn.result.generation, 7);
	ck_assert(!exists(&turn, "gen-8"));
	tear_down(&turn);
}
END_TEST

START_TEST(progress_is_polled_until_done)
{
	assert_confirmed(SCRIPT(UNTIL_TRIAL, TRIAL("0004 Reconfiguration in progress\n"), STATUS(BUSY),
		STATUS(BUSY), STATUS(BUSY), STATUS(PENDING), SESSIONS(UP), CONFIRM));
}
END_TEST

/* A second `configure` while one is queued makes BIRD 3 abort. */
START_TEST(queued_configuration_is_waited_for_and_not_sent_again)
{
	assert_confirmed(SCRIPT(UNTIL_TRIAL,
		TRIAL("0005 Reconfiguration already in progress, queueing new config\n"),
		STATUS(QUEUED), STATUS(BUSY), STATUS(PENDING), SESSIONS(UP), CONFIRM));
}
END_TEST

START_TEST(reconfiguration_of_somebody_else_is_waited_for_first)
{
	assert_confirmed(SCRIPT(GREET, STATUS(BUSY), STATUS(QUEUED), STATUS(BUSY), STATUS(IDLE),
		RUNS(OTHER_ID), SESSIONS(UP), CHECK(GOOD), TRIAL(DONE), STATUS(PENDING), SESSIONS(UP),
		CONFIRM));
}
END_TEST

START_TEST(answers_in_crumbs_with_noise_between_them_change_nothing)
{
	assert_confirmed(SCRIPT(TAKE, CRUMBS("0001 BIRD 2.0.12 ready.\n"), SAY("+noise\n"),
		HEAR("configure status"), CRUMBS("+a\n" IDLE), HEAR("eval ROOST_CONFIG"),
		CRUMBS("0023 " OTHER_ID "\n+b\n"), SAY("<3 messages lost>\n"), SESSIONS(UP),
		HEAR("configure check *"), CRUMBS(READING "+c\n<1 messages lost>\n" GOOD),
		HEAR("configure \"*\" timeout *"), CRUMBS(READING "0022-Undo scheduled in 20 s\n" DONE),
		STATUS(PENDING), SESSIONS("+d\n" UP), CONFIRM, SAY("+e\n")));
}
END_TEST

START_TEST(bird_without_sessions_is_taken_over_whatever_it_runs)
{
	assert_confirmed(SCRIPT(GREET, STATUS(IDLE), RUNS_FOREIGN, SESSIONS(""), CHECK(GOOD),
		TRIAL(DONE), STATUS(PENDING), SESSIONS(""), CONFIRM));
}
END_TEST

/* ---------------------------------------------------------------- sessions decide */

START_TEST(session_that_was_up_is_waited_for)
{
	assert_confirmed(SCRIPT(UNTIL_TRIAL, TRIAL(DONE), STATUS(PENDING), SESSIONS(DOWN), SESSIONS(""),
		SESSIONS(DOWN), SESSIONS(UP), CONFIRM));
}
END_TEST

START_TEST(session_that_was_down_before_is_not_waited_for)
{
	assert_confirmed(SCRIPT(GREET, STATUS(IDLE), RUNS(OTHER_ID), SESSIONS(DOWN), CHECK(GOOD),
		TRIAL(DONE), STATUS(PENDING), SESSIONS(DOWN), CONFIRM));
}
END_TEST

/* Else all that comes after a reboot would be confirmed. */
START_TEST(session_of_a_bird_that_just_started_is_waited_for_and_judged_by)
{
	assert_rejected(SCRIPT(GREET, STATUS(IDLE), RUNS(OTHER_ID), SESSIONS(RECOVERING),
				SESSIONS(RECOVERING), SESSIONS(UP), SESSIONS(UP), CHECK(GOOD), TRIAL(DONE),
				STATUS(PENDING), SESSIONS(DOWN), UNDO, STATUS(IDLE)),
		1, APPLY_ROLLED_BACK, "session node2:v4 was up before and is not up again in time "
		"(bird.confirmTimeout is 1 s)");
}
END_TEST

START_TEST(session_nobody_wants_any_more_is_not_waited_for)
{
	assert_confirmed(SCRIPT(GREET, STATUS(IDLE), RUNS(OTHER_ID),
		SESSIONS(UP SESSION("gone:v4", "Established")), CHECK(GOOD), TRIAL(DONE),
		STATUS(PENDING), SESSIONS(UP), CONFIRM));
}
END_TEST

START_TEST(lost_session_rolls_back)
{
	assert_rejected(SCRIPT(UNTIL_TRIAL, TRIAL(DONE), STATUS(PENDING), SESSIONS(DOWN), UNDO,
				STATUS(BUSY), STATUS(IDLE)),
		1, APPLY_ROLLED_BACK, "session node2:v4 was up before and is not up again in time "
		"(bird.confirmTimeout is 1 s)");
}
END_TEST

START_TEST(reconfiguration_without_end_rolls_back)
{
	assert_rejected(SCRIPT(UNTIL_TRIAL, TRIAL("0004 Reconfiguration in progress\n"), STATUS(BUSY),
				ASK("configure undo",
					"0021-Undo requested\n0017 Reconfiguration already in progress, "
					"removing queued config\n"),
				STATUS(BUSY), STATUS(IDLE)),
		1, APPLY_ROLLED_BACK, "BIRD is still reconfiguring after 1 s");
}
END_TEST

START_TEST(undo_that_bird_was_faster_with_is_as_good)
{
	assert_rejected(SCRIPT(UNTIL_TRIAL, TRIAL(DONE), STATUS(PENDING), SESSIONS(DOWN),
				ASK("configure undo", "0019 Nothing to do\n"), STATUS(IDLE)),
		1, APPLY_ROLLED_BACK, "session node2:v4 was up before and is not up again in time "
		"(bird.confirmTimeout is 1 s)");
}
END_TEST

START_TEST(confirmation_that_comes_too_late_is_a_roll_back)
{
	assert_rejected(SCRIPT(UNTIL_TRIAL, TRIAL(DONE), STATUS(PENDING), SESSIONS(UP),
				ASK("configure confirm", "0019 Nothing to do\n")),
		20, APPLY_ROLLED_BACK,
		"BIRD undid the configuration before it was confirmed: Nothing to do");
}
END_TEST

/* ---------------------------------------------------------------- BIRD refuses */

START_TEST(refused_check_changes_nothing_and_keeps_birds_words)
{
	assert_rejected(SCRIPT(UNTIL_CHECK,
				CHECK("8002 /elsewhere/x.conf:3:1 syntax error, unexpected END\n")),
		20, APPLY_REFUSED, "/elsewhere/x.conf:3:1 syntax error, unexpected END");
}
END_TEST

START_TEST(refusal_names_the_file_within_the_generation)
{
	static char answer[300];
	struct turn turn;

	set_up(&turn, SCRIPT(UNTIL_CHECK, ASK("configure check *", answer)));
	snprintf(answer, sizeof(answer),
		READING "8002 %s/gen-1/bird.d/10-mine.conf:3:1 syntax error\n", turn.fake.dir);
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_REFUSED);
	ck_assert_str_eq(turn.result.err.msg, "bird.d/10-mine.conf:3:1 syntax error");
	assert_rejected_on_disk(&turn, "bird.d/10-mine.conf:3:1 syntax error");
	tear_down(&turn);
}
END_TEST

START_TEST(refusal_of_the_trial_itself_changes_nothing)
{
	assert_rejected(SCRIPT(UNTIL_TRIAL, TRIAL("8002 /x.conf:9:1 gone since\n")), 20, APPLY_REFUSED,
		"/x.conf:9:1 gone since");
}
END_TEST

START_TEST(restricted_socket_is_a_failure_not_a_refusal)
{
	static const char denied[] = "8007 Access denied\n";

	assert_failed(SCRIPT(UNTIL_CHECK, ASK("configure check *", denied)),
		"configure check: BIRD answers 8007 Access denied");
}
END_TEST

START_TEST(trial_on_a_socket_restricted_meanwhile_is_a_failure)
{
	assert_failed(SCRIPT(UNTIL_TRIAL, ASK("configure \"*", "8007 Access denied\n")),
		"configure: BIRD answers 8007 Access denied");
}
END_TEST

START_TEST(bird_that_shuts_down_is_a_failure)
{
	assert_failed(SCRIPT(UNTIL_TRIAL, TRIAL("0006 Reconfiguration ignored, shutting down\n")),
		"configure: BIRD answers 0006 Reconfiguration ignored, shutting down");
}
END_TEST

START_TEST(undo_that_is_refused_is_a_failure)
{
	struct turn turn;

	set_up(&turn, SCRIPT(UNTIL_TRIAL, TRIAL(DONE), STATUS(PENDING), SESSIONS(DOWN),
		ASK("configure undo", "8007 Access denied\n")));
	turn.want.confirm_timeout = 1;
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_FAILED);
	ck_assert_str_eq(turn.result.err.msg, "configure undo: BIRD answers 8007 Access denied");
	tear_down(&turn);
}
END_TEST

/* Nothing is asked of a BIRD that cannot do it, and nothing is written. */
static void assert_too_old(const char *greeting, unsigned send_hold_time, const char *msg)
{
	struct turn turn;

	set_up(&turn, SCRIPT(TAKE, {ACT_SAY, greeting}));
	turn.options.send_hold_time = send_hold_time;
	run(&turn);
	ck_assert_str_eq(apply_outcome_name(turn.result.outcome), "refused");
	ck_assert_str_eq(turn.result.err.msg, msg);
	ck_assert(!exists(&turn, "gen-1"));
	ck_assert(!exists(&turn, "rejected"));
	assert_confirmed_on_disk(&turn, 0, NULL);
	tear_down(&turn);
}

START_TEST(bird_that_is_too_old_is_refused_with_both_versions)
{
	assert_too_old("0001 BIRD 2.0.11 ready.\n", 0,
		"this BIRD is 2.0.11, and Roost needs BIRD 2.0.12 or newer");
	assert_too_old("0001 BIRD 1.6.8 ready.\n", 0,
		"this BIRD is 1.6.8, and Roost needs BIRD 2.0.12 or newer");
}
END_TEST

START_TEST(option_that_this_bird_lacks_is_refused_by_name)
{
	assert_too_old("0001 BIRD 2.14 ready.\n", 600,
		"session: sendHoldTime needs BIRD 2.15 or newer, and this BIRD is 2.14");
}
END_TEST

START_TEST(option_is_taken_by_a_bird_that_has_it)
{
	struct turn turn;

	set_up(&turn, SCRIPT(TAKE, SAY("0001 BIRD 2.15.1+branch.5d2d ready.\n"), STATUS(IDLE),
		RUNS(OTHER_ID), SESSIONS(UP), CHECK(GOOD), TRIAL(DONE), STATUS(PENDING),
		SESSIONS(UP), CONFIRM));
	turn.options.send_hold_time = 600;
	run(&turn);
	ck_assert_msg(turn.result.outcome == APPLY_CONFIRMED, "%s", turn.result.err.msg);
	tear_down(&turn);
}
END_TEST

START_TEST(greeting_without_a_version_is_a_failure)
{
	assert_failed(SCRIPT(TAKE, SAY("0001 BIRD is ready.\n")),
		"connecting: BIRD answers 0001 BIRD is ready.");
}
END_TEST

START_TEST(greeting_that_is_none_is_a_failure)
{
	assert_failed(SCRIPT(TAKE, SAY("0006 go away\n")), "connecting: BIRD answers 0006 go away");
}
END_TEST

START_TEST(sessions_of_somebody_else_are_left_alone)
{
	struct turn turn;
	char msg[300];

	set_up(&turn, SCRIPT(GREET, STATUS(IDLE), RUNS_FOREIGN, SESSIONS(DOWN)));
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_FAILED);
	snprintf(msg, sizeof(msg),
		"BIRD runs BGP sessions of a configuration that is not Roost's, which would be lost: "
		"start BIRD with -c %s/bird.conf, and keep what it had in bird.d", turn.fake.dir);
	ck_assert_str_eq(turn.result.err.msg, msg);
	ck_assert(!exists(&turn, "gen-1"));
	tear_down(&turn);
}
END_TEST

/* ---------------------------------------------------------------- BIRD is gone */

START_TEST(absent_bird_is_a_failure_that_names_the_socket)
{
	struct turn turn;
	char msg[100];

	set_up(&turn, SCRIPT(LEAVE));
	unlink(turn.fake.path);
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_FAILED);
	snprintf(msg, sizeof(msg), "%s: No such file or directory", turn.fake.path);
	ck_assert_str_eq(turn.result.err.msg, msg);
	tear_down(&turn);
}
END_TEST

/* BIRD dies at each point of the transaction, also in the middle of an answer. */
START_TEST(hang_up_at_any_moment_is_a_failure_and_nothing_worse)
{
	static const struct act whole[] = {UNTIL_TRIAL, TRIAL("0004 Reconfiguration in progress\n"),
		STATUS(BUSY), STATUS(PENDING), SESSIONS(DOWN), SESSIONS(UP), CONFIRM, END};

	for (size_t end = 1; end < ARRAY_LEN(whole) - 2; end++) {
		struct act script[ARRAY_LEN(whole) + 2];
		size_t n = 0;

		while (n < end) {
			script[n] = whole[n];
			n++;
		}
		if (whole[end].what == ACT_SAY) /* an answer begins: half of it */
			script[n++] = (struct act)SAY("0003-half of an ans");
		script[n++] = (struct act)HANG_UP;
		script[n] = (struct act)END;
		assert_failed(script, "BIRD closed the control socket");
	}
}
END_TEST

START_TEST(bird_that_restarts_in_the_middle_is_applied_to_anew)
{
	struct turn turn;

	/* BIRD started from bird.conf, so with the last confirmed configuration. */
	set_up(&turn, SCRIPT(UNTIL_TRIAL, TRIAL("0004 Reconfiguration in progress\n"), HANG_UP,
		GREET, STATUS(IDLE), RUNS(OTHER_ID), SESSIONS(DOWN),
		ASK("configure check \"/*/gen-2/bird.conf\"", GOOD),
		ASK("configure \"/*/gen-2/bird.conf\" timeout 20", DONE), STATUS(PENDING),
		SESSIONS(UP), CONFIRM));
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_FAILED);
	run(&turn);
	ck_assert_msg(turn.result.outcome == APPLY_CONFIRMED, "%s", turn.result.err.msg);
	assert_confirmed_on_disk(&turn, 2, ID);
	ck_assert(!exists(&turn, "gen-1"));
	tear_down(&turn);
}
END_TEST

START_TEST(bird_that_ends_each_time_it_is_told_is_spared)
{
	struct turn turn;

	set_up(&turn, SCRIPT(UNTIL_TRIAL, TRIAL("0004 Reconfiguration in progress\n"), HANG_UP,
		UNTIL_CHECK, HEAR("configure check \"/*/gen-2/bird.conf\""), HANG_UP));
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_FAILED);
	ck_assert(turn.result.bird_ended);
	turn.want.bird_ended_before = true;
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_ROLLED_BACK);
	ck_assert_str_eq(turn.result.err.msg, "BIRD has ended a second time while this was tried");
	tear_down(&turn);
	/* Before it is told, it is none of our doing. */
	set_up(&turn, SCRIPT(GREET, STATUS(IDLE), RUNS(OTHER_ID), HANG_UP));
	turn.want.bird_ended_before = true;
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_FAILED);
	ck_assert(!turn.result.bird_ended);
	tear_down(&turn);
}
END_TEST

START_TEST(who_only_looks_ends_what_was_begun_and_begins_nothing)
{
	struct turn turn;

	set_up(&turn, SCRIPT(GREET, STATUS(IDLE), RUNS(OTHER_ID)));
	turn.want.only_look = true;
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_FAILED);
	ck_assert(turn.result.looked);
	ck_assert(!exists(&turn, "gen-1"));
	tear_down(&turn);

	set_up(&turn, SCRIPT(GREET, STATUS(PENDING), RUNS(ID), SESSIONS(UP), CONFIRM));
	turn.want.only_look = true;
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_CONFIRMED);
	assert_confirmed_on_disk(&turn, 1, ID);
	tear_down(&turn);

	set_up(&turn, SCRIPT(GREET, STATUS(PENDING), RUNS(OTHER_ID), UNDO, STATUS(IDLE), STATUS(IDLE),
		RUNS(OTHER_ID)));
	turn.want.only_look = true;
	run(&turn);
	ck_assert(turn.result.looked);
	tear_down(&turn);
}
END_TEST

/* ---------------------------------------------------------------- we were gone */

START_TEST(trial_of_these_bytes_left_by_a_crash_is_carried_on)
{
	assert_confirmed(SCRIPT(GREET, STATUS(PENDING), RUNS(ID), SESSIONS(UP), CONFIRM));
}
END_TEST

START_TEST(trial_of_bytes_that_are_on_disk_already_is_carried_on_too)
{
	struct turn turn;
	struct err err;

	set_up(&turn, SCRIPT(GREET, STATUS(PENDING), RUNS(ID), SESSIONS(UP), CONFIRM));
	ck_assert_int_eq(generation_promote(turn.fake.dir, 7, ID, &err), 0);
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_CONFIRMED);
	tear_down(&turn);
}
END_TEST

/* A line of the file `trial`: node2:v4 was up so many seconds ago, with a route. */
static size_t seen_up(char line[60], long ago)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (size_t)snprintf(line, 60, "%ld 1 0 1 0 ! node2:v4\n", (long)now.tv_sec - ago);
}

START_TEST(carried_on_trial_is_judged_by_the_sessions_before_it)
{
	struct turn turn;
	char path[100], line[60];
	struct err err;

	/* What is left of BIRD's timeout counts, not what the file says. */
	set_up(&turn, SCRIPT(GREET, STATUS(PENDING_BRIEFLY), RUNS(ID), SESSIONS(DOWN), UNDO,
		STATUS(IDLE)));
	snprintf(path, sizeof(path), "%s/trial", turn.fake.dir);
	ck_assert_int_eq(file_create(path, line, seen_up(line, 0), 0600, &err), 0);
	run(&turn);
	ck_assert_int_eq(turn.result.outcome, APPLY_ROLLED_BACK);
	tear_down(&turn);
}
END_TEST

/* The session that the first trial cost is not back yet when the second begins. */
START_TEST(trial_after_an_undone_one_is_judged_by_the_same_sessions)
{
	static const struct {
		long ago;
		enum apply_outcome outcome;
	} rows[] = {{5, APPLY_ROLLED_BACK}, {3600, APPLY_CONFIRMED}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool back = rows[i].outcome == APPLY_CONFIRMED;
		struct turn turn;
		char path[100], line[60];
		struct err err;

		set_up(&turn, back ? SCRIPT(GREET, STATUS(IDLE), RUNS(OTHER_ID), SESSIONS(DOWN),
						 CHECK(GOOD), TRIAL(DONE), STATUS(PENDING),
						 SESSIONS(DOWN), CONFIRM)
				   : SCRIPT(GREET, STATUS(IDLE), RUNS(OTHER_ID), SESSIONS(DOWN),
						 CHECK(GOOD), TRIAL(DONE), STATUS(PENDING),
						 SESSIONS(DOWN), UNDO, STATUS(IDLE)));
		turn.want.confirm_timeout = back ? 20 : 1;
		snprintf(path, sizeof(path), "%s/trial", turn.fake.dir);
		ck_assert_int_eq(file_create(path, line, seen_up(line, rows[i].ago), 0600, &err), 0);
		run(&turn);
		ck_assert_int_eq(turn.result.outcome, rows[i].outcome);
		ck_assert(exists(&turn, "trial") == !back);
		tear_down(&turn);
	}
}
END_TEST

START_TEST(trial_of_other_bytes_left_by_a_crash_is_undone_first)
{
	assert_confirmed(SCRIPT(GREET, STATUS(PENDING), RUNS(OTHER_ID), UNDO, STATUS(BUSY),
		STATUS(IDLE), STATUS(IDLE), RUNS(OTHER_ID), SESSIONS(UP), CHECK(GOOD), TRIAL(DONE),
		STATUS(PENDING), SESSIONS(UP), CONFIRM));
}
END_TEST

START_TEST(crash_between_confirmation_and_disk_is_made_good_on_disk_only)
{
	assert_confirmed(SCRIPT(GREET, STATUS(IDLE), RUNS(ID)));
}
END_TEST

/* A reflector's client: of two routes that it is told one is ours. */
START_TEST(neighbour_that_is_told_of_more_is_asked_for_our_pod_cidr)
{
#define TOLD(updates)                                                                              \
	SESSIONS(UP "1006-    Routes:         1 imported, 2 exported, 1 preferred\n"               \
		    "      Import updates:              " updates "          0          0\n")
#define ASK_TOLD(answer) ASK("show route 10.244.1.0/24 export 'node2:v4'", answer)
#define YES "1007-Table master4:\n 10.244.1.0/24 unreachable [pods4 2026] * (200)\n0000 \n"
	struct prefix own = {{AF_INET, {10, 244, 1}}, 24};
	struct turn turn;

	for (int lost = 0; lost < 2; lost++) {
		/* At the trial's first look it has not said its own route again yet. */
		set_up(&turn, lost ? SCRIPT(GREET, STATUS(IDLE), RUNS(OTHER_ID), TOLD("7"),
					     ASK_TOLD(YES), CHECK(GOOD), TRIAL(DONE), STATUS(PENDING),
					     TOLD("8"), ASK_TOLD("0000 \n"), UNDO, STATUS(IDLE))
				   : SCRIPT(GREET, STATUS(IDLE), RUNS(OTHER_ID), TOLD("7"),
					     ASK_TOLD(YES), CHECK(GOOD), TRIAL(DONE), STATUS(PENDING),
					     TOLD("7"), TOLD("8"), ASK_TOLD(YES), CONFIRM));
		turn.want.confirm_timeout = lost ? 1 : 20;
		turn.session.n_own = turn.session.max_routes = 1;
		turn.own = (struct prefixes){&own, 1};
		run(&turn);
		ck_assert_int_eq(turn.result.outcome, lost ? APPLY_ROLLED_BACK : APPLY_CONFIRMED);
		if (lost)
			ck_assert_str_eq(turn.result.err.msg, "session node2:v4 is up, but is told 0 of "
				"this node's podCIDRs, and was told 1 before");
		tear_down(&turn);
	}
}
END_TEST

START_TEST(abandoned_apply_never_calls_back)
{
	struct turn turn;

	apply_abandon(NULL);
	set_up(&turn, SCRIPT(LEAVE));
	apply_abandon(apply_start(turn.fake.base, &turn.want, on_done, &turn));
	event_base_loop(turn.fake.base, EVLOOP_NONBLOCK);
	ck_assert(!turn.called);
	tear_down(&turn);
	set_up(&turn, SCRIPT(GREET));
	apply_abandon(apply_start(turn.fake.base, &turn.want, on_done, &turn));
	event_base_loop(turn.fake.base, EVLOOP_NONBLOCK);
	ck_assert(!turn.called);
	tear_down(&turn);
}
END_TEST

UNIT(apply, good_configuration_is_checked_tried_and_confirmed, staged_generation_holds_every_file,
	equal_bytes_are_not_sent_again, progress_is_polled_until_done,
	queued_configuration_is_waited_for_and_not_sent_again,
	reconfiguration_of_somebody_else_is_waited_for_first,
	answers_in_crumbs_with_noise_between_them_change_nothing,
	bird_without_sessions_is_taken_over_whatever_it_runs,
	session_that_was_up_is_waited_for, session_that_was_down_before_is_not_waited_for,
	session_of_a_bird_that_just_started_is_waited_for_and_judged_by,
	session_nobody_wants_any_more_is_not_waited_for, lost_session_rolls_back,
	reconfiguration_without_end_rolls_back, undo_that_bird_was_faster_with_is_as_good,
	confirmation_that_comes_too_late_is_a_roll_back,
	refused_check_changes_nothing_and_keeps_birds_words,
	refusal_names_the_file_within_the_generation, refusal_of_the_trial_itself_changes_nothing,
	restricted_socket_is_a_failure_not_a_refusal,
	trial_on_a_socket_restricted_meanwhile_is_a_failure, bird_that_shuts_down_is_a_failure,
	undo_that_is_refused_is_a_failure, bird_that_is_too_old_is_refused_with_both_versions,
	option_that_this_bird_lacks_is_refused_by_name, option_is_taken_by_a_bird_that_has_it,
	greeting_without_a_version_is_a_failure, greeting_that_is_none_is_a_failure,
	sessions_of_somebody_else_are_left_alone,
	absent_bird_is_a_failure_that_names_the_socket,
	hang_up_at_any_moment_is_a_failure_and_nothing_worse,
	bird_that_restarts_in_the_middle_is_applied_to_anew,
	bird_that_ends_each_time_it_is_told_is_spared,
	who_only_looks_ends_what_was_begun_and_begins_nothing,
	trial_of_these_bytes_left_by_a_crash_is_carried_on,
	trial_of_bytes_that_are_on_disk_already_is_carried_on_too,
	carried_on_trial_is_judged_by_the_sessions_before_it,
	trial_after_an_undone_one_is_judged_by_the_same_sessions,
	trial_of_other_bytes_left_by_a_crash_is_undone_first,
	crash_between_confirmation_and_disk_is_made_good_on_disk_only,
	neighbour_that_is_told_of_more_is_asked_for_our_pod_cidr,
	abandoned_apply_never_calls_back)
