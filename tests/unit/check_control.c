/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control: one connection to BIRD's control socket, at BIRD's bad moments. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "bird/control.h"
#include "fake_bird.h"
#include "unit.h"

#define SECONDS 20 /* for an answer that comes; fake_bird has less patience with us */

/* A conversation: commands, one after the other, and what came back. */
struct talk {
	struct fake_bird fake;
	struct control *control;
	const char *const *commands; /* NULL ends them */
	unsigned timeout;
	bool in_call;   /* of control_open() or control_send() */
	struct buf said; /* "code text" per line of an answer, "error: ..." */
	int code;        /* of the last error */
};

static void on_answer(const struct reply *reply, const struct err *err, void *arg)
{
	struct talk *talk = arg;

	ck_assert(!talk->in_call);
	ck_assert((reply != NULL) != (err != NULL));
	if (err) {
		talk->code = err->code;
		buf_printf(&talk->said, "error: %s\n", err->msg);
	}
	for (size_t i = 0; reply && i < reply->n_lines; i++)
		buf_printf(&talk->said, "%d %s\n", reply->lines[i].code, reply->lines[i].text);
	if (*talk->commands) {
		talk->in_call = true;
		control_send(talk->control, *talk->commands++, talk->timeout, on_answer, talk);
		talk->in_call = false;
		return;
	}
	control_close(talk->control);
	talk->fake.finished = true;
}

/* Plays `script` to these commands; the fake bird judges what it hears. */
static struct talk hold(const struct act *script, const char *const *commands, unsigned timeout)
{
	struct talk talk = {.commands = commands, .timeout = timeout, .in_call = true};

	fake_bird_start(&talk.fake, script);
	talk.control = control_open(talk.fake.base, talk.fake.path, timeout, on_answer, &talk);
	talk.in_call = false;
	fake_bird_run(&talk.fake);
	fake_bird_stop(&talk.fake);
	return talk;
}

static void assert_talk(const struct act *script, const char *const *commands, const char *said)
{
	struct talk talk = hold(script, commands, SECONDS);

	ck_assert_str_eq(buf_text(&talk.said), said);
	buf_free(&talk.said);
}

#define COMMANDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NOTHING ((const char *const[]){NULL})
#define GREETING "1 BIRD 2.0.12 ready.\n"

/* ---------------------------------------------------------------- as it should be */

START_TEST(greeting_is_the_first_answer)
{
	assert_talk((const struct act[]){GREET, END}, NOTHING, GREETING);
}
END_TEST

START_TEST(commands_are_answered_one_after_the_other)
{
	assert_talk((const struct act[]){GREET,
			    ASK("configure status", "0003-Daemon is up and running\n0000 \n"),
			    ASK("eval ROOST_CONFIG", "0023 0123456789abcdef\n"),
			    ASK("show route", "0000 \n"), END},
		COMMANDS("configure status", "eval ROOST_CONFIG", "show route"),
		GREETING "3 Daemon is up and running\n0 \n23 0123456789abcdef\n0 \n");
}
END_TEST

START_TEST(slow_greeting_is_waited_for)
{
	assert_talk((const struct act[]){TAKE, CRUMBS("0001 BIRD 2.0.12 ready.\n"), END}, NOTHING,
		GREETING);
}
END_TEST

START_TEST(answer_in_crumbs_is_the_same_answer)
{
	static const char answer[] = "1000-BIRD 2.0.12\n1011-Router ID is 10.0.0.1\n Hostname is vm\n"
				     "0013 Daemon is up and running\n";
	static const char said[] = GREETING "1000 BIRD 2.0.12\n1011 Router ID is 10.0.0.1\n"
				   "1011 Hostname is vm\n13 Daemon is up and running\n";

	assert_talk((const struct act[]){GREET, HEAR("show status"), CRUMBS(answer), END},
		COMMANDS("show status"), said);
	assert_talk((const struct act[]){GREET, HEAR("show status"), SAY(answer), END},
		COMMANDS("show status"), said);
}
END_TEST

START_TEST(refusal_is_an_answer_and_no_error)
{
	assert_talk((const struct act[]){GREET, ASK("configure", "8007 Access denied\n"),
			    ASK("configure check \"/x\"",
				    "0002-Reading configuration from /x\n"
				    "8002 /x:9:18 syntax error, unexpected CF_SYM_UNDEFINED\n"),
			    ASK("nonsense", "9001 syntax error, unexpected CF_SYM_UNDEFINED\n"), END},
		COMMANDS("configure", "configure check \"/x\"", "nonsense"),
		GREETING "8007 Access denied\n2 Reading configuration from /x\n"
			 "8002 /x:9:18 syntax error, unexpected CF_SYM_UNDEFINED\n"
			 "9001 syntax error, unexpected CF_SYM_UNDEFINED\n");
}
END_TEST

START_TEST(asynchronous_lines_are_no_part_of_an_answer)
{
	assert_talk((const struct act[]){TAKE, SAY("+early\n0001 BIRD 2.0.12 ready.\n+behind\n"),
			    HEAR("show status"),
			    SAY("+p1: State changed to up\n1000-BIRD 2.0.12\n+in between\n"),
			    SAY(" more\n+\n0013 up\n+Config timeout expired, starting undo\n"),
			    ASK("show route", "0000 \n"), END},
		COMMANDS("show status", "show route"),
		GREETING "1000 BIRD 2.0.12\n1000 more\n13 up\n0 \n");
}
END_TEST

START_TEST(lost_messages_are_no_part_of_an_answer_either)
{
	assert_talk((const struct act[]){GREET, SAY("<3 messages lost>\n"), HEAR("show status"),
			    SAY("<1 messages lost>\n1000-BIRD 2.0.12\n<2 messages lost>\n0013 up\n"
				"<4 messages lost>\n"),
			    ASK("show route", "0000 \n"), END},
		COMMANDS("show status", "show route"), GREETING "1000 BIRD 2.0.12\n13 up\n0 \n");
}
END_TEST

START_TEST(longest_command_fits_into_birds_buffer)
{
	char command[CONTROL_MAX_COMMAND + 1];

	memset(command, 'x', CONTROL_MAX_COMMAND);
	command[CONTROL_MAX_COMMAND] = '\0';
	assert_talk((const struct act[]){GREET, ASK(command, "0000 \n"), END}, COMMANDS(command),
		GREETING "0 \n");
}
END_TEST

START_TEST(answer_of_a_megabyte_arrives_whole)
{
	_cleanup_buf_ struct buf answer = {0}, said = {0};

	buf_puts(&answer, "1007-Table master4:\n");
	buf_puts(&said, GREETING "1007 Table master4:\n");
	for (int i = 0; i < 20000; i++) {
		buf_printf(&answer, " 10.%d.%d.0/24        unicast [n:v4 from 10.0.0.1] * (100)\n",
			i / 256, i % 256);
		buf_printf(&said, "1007 10.%d.%d.0/24        unicast [n:v4 from 10.0.0.1] * (100)\n",
			i / 256, i % 256);
	}
	buf_puts(&answer, "0000 \n");
	buf_puts(&said, "0 \n");
	assert_talk((const struct act[]){GREET, ASK("show route", buf_text(&answer)), END},
		COMMANDS("show route"), buf_text(&said));
}
END_TEST

/* ---------------------------------------------------------------- as it happens */

START_TEST(no_socket_is_said_with_its_path)
{
	struct talk talk = hold((const struct act[]){LEAVE, END}, NOTHING, SECONDS);

	ck_assert_ptr_nonnull(strstr(buf_text(&talk.said), "/bird.ctl: No such file or directory\n"));
	ck_assert_int_eq(talk.code, ENOENT);
	buf_free(&talk.said);
}
END_TEST

/* What kill -9 leaves behind. */
START_TEST(socket_nobody_listens_on_is_refused)
{
	struct talk talk = {.commands = NOTHING};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	fake_bird_start(&talk.fake, (const struct act[]){LEAVE, END});
	strcpy(addr.sun_path, talk.fake.path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	talk.control = control_open(talk.fake.base, talk.fake.path, SECONDS, on_answer, &talk);
	fake_bird_run(&talk.fake);
	fake_bird_stop(&talk.fake);
	ck_assert_ptr_nonnull(strstr(buf_text(&talk.said), "/bird.ctl: Connection refused\n"));
	buf_free(&talk.said);
}
END_TEST

START_TEST(path_no_socket_can_have_is_refused)
{
	struct talk talk = {.commands = NOTHING};
	char path[200];

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	fake_bird_start(&talk.fake, (const struct act[]){LEAVE, END});
	talk.control = control_open(talk.fake.base, path, SECONDS, on_answer, &talk);
	fake_bird_run(&talk.fake);
	fake_bird_stop(&talk.fake);
	ck_assert_ptr_nonnull(strstr(buf_text(&talk.said), ": path too long for a socket\n"));
	buf_free(&talk.said);
}
END_TEST

START_TEST(hang_up_ends_what_is_in_flight)
{
	static const char closed[] = "error: BIRD closed the control socket\n";

	assert_talk((const struct act[]){TAKE, HANG_UP, END}, NOTHING, closed);
	assert_talk((const struct act[]){TAKE, SAY("0001 BI"), HANG_UP, END}, NOTHING, closed);
	assert_talk((const struct act[]){GREET, HEAR("show status"), HANG_UP, END},
		COMMANDS("show status"), GREETING "error: BIRD closed the control socket\n");
	assert_talk((const struct act[]){GREET, HEAR("show status"),
			    SAY("1000-BIRD 2.0.12\n0013 Daemon is u"), HANG_UP, END},
		COMMANDS("show status"), GREETING "error: BIRD closed the control socket\n");
}
END_TEST

START_TEST(answer_right_before_the_hang_up_counts)
{
	assert_talk((const struct act[]){GREET, HEAR("down"), SAY("0007 Shutdown requested\n"),
			    HANG_UP, END},
		COMMANDS("down", "show status"),
		GREETING "7 Shutdown requested\nerror: BIRD closed the control socket\n");
}
END_TEST

START_TEST(every_command_after_a_hang_up_says_so_again)
{
	assert_talk((const struct act[]){GREET, HEAR("a"), HANG_UP, END}, COMMANDS("a", "b", "c"),
		GREETING "error: BIRD closed the control socket\n"
			 "error: BIRD closed the control socket\n"
			 "error: BIRD closed the control socket\n");
}
END_TEST

START_TEST(silence_ends_with_the_deadline)
{
	struct talk greeting = hold((const struct act[]){TAKE, SILENCE, END}, NOTHING, 1);
	struct talk command = hold((const struct act[]){GREET, HEAR("a"),
					   SAY("0002-Reading configuration\n"), SILENCE, END},
		COMMANDS("a"), 1);

	ck_assert_str_eq(buf_text(&greeting.said), "error: BIRD does not answer\n");
	ck_assert_int_eq(greeting.code, ETIMEDOUT);
	ck_assert_str_eq(buf_text(&command.said), GREETING "error: BIRD does not answer\n");
	buf_free(&greeting.said);
	buf_free(&command.said);
}
END_TEST

/* Its late answer must not be taken for the next command's: the connection is over. */
START_TEST(nothing_is_sent_after_a_deadline)
{
	struct talk talk = hold((const struct act[]){GREET, HEAR("a"), SILENCE, END},
		COMMANDS("a", "b"), 1);

	ck_assert_str_eq(buf_text(&talk.said),
		GREETING "error: BIRD does not answer\nerror: BIRD does not answer\n");
	buf_free(&talk.said);
}
END_TEST

START_TEST(line_without_end_is_given_up)
{
	_cleanup_buf_ struct buf line = {0};

	buf_puts(&line, "1007-");
	while (line.len < 200000)
		buf_puts(&line, "xxxxxxxxxxxxxxxxxxxx");
	assert_talk((const struct act[]){GREET, ASK("show route", buf_text(&line)), END},
		COMMANDS("show route"),
		GREETING "error: BIRD sent a line of more than 65536 bytes\n");
}
END_TEST

/* BIRD 3 answers `reload bgp` twice.  The second answer is nobody's. */
START_TEST(second_answer_to_one_command_ends_the_connection)
{
	assert_talk((const struct act[]){GREET,
			    ASK("reload bgp p1", "0015-p1.ipv4: reloading\n0000 \n"
						 "0015-p1.ipv4: reloading again\n0000 \n"), END},
		COMMANDS("reload bgp p1", "show status"),
		GREETING "15 p1.ipv4: reloading\n0 \n"
			 "error: BIRD spoke out of turn: 0015-p1.ipv4: reloading again\n");
}
END_TEST

START_TEST(no_part_of_an_answer_before_its_first_code)
{
	assert_talk((const struct act[]){GREET, ASK("a", " stray\nnonsense\n12\n0000\n0000x\n0000 \n"),
			    END},
		COMMANDS("a"), GREETING "0 \n");
}
END_TEST

/* ---------------------------------------------------------------- closing */

static void must_not_be_called(const struct reply *reply, const struct err *err, void *arg)
{
	(void)reply;
	(void)err;
	(void)arg;
	ck_abort_msg("called after control_close()");
}

START_TEST(closed_control_never_calls_back)
{
	struct fake_bird fake;
	struct control *control;

	control_close(NULL);
	fake_bird_start(&fake, (const struct act[]){LEAVE, END});
	control = control_open(fake.base, fake.path, 0, must_not_be_called, NULL);
	control_close(control);
	event_base_loop(fake.base, EVLOOP_NONBLOCK);
	fake_bird_stop(&fake);

	fake_bird_start(&fake, (const struct act[]){GREET, END});
	control = control_open(fake.base, fake.path, 0, must_not_be_called, NULL);
	control_close(control);
	event_base_loop(fake.base, EVLOOP_NONBLOCK);
	fake_bird_stop(&fake);
}
END_TEST

UNIT(control, greeting_is_the_first_answer, commands_are_answered_one_after_the_other,
	slow_greeting_is_waited_for, answer_in_crumbs_is_the_same_answer,
	refusal_is_an_answer_and_no_error, asynchronous_lines_are_no_part_of_an_answer,
	lost_messages_are_no_part_of_an_answer_either, longest_command_fits_into_birds_buffer,
	answer_of_a_megabyte_arrives_whole, no_socket_is_said_with_its_path,
	socket_nobody_listens_on_is_refused, path_no_socket_can_have_is_refused,
	hang_up_ends_what_is_in_flight, answer_right_before_the_hang_up_counts,
	every_command_after_a_hang_up_says_so_again, silence_ends_with_the_deadline,
	nothing_is_sent_after_a_deadline, line_without_end_is_given_up,
	second_answer_to_one_command_ends_the_connection,
	no_part_of_an_answer_before_its_first_code, closed_control_never_calls_back)
