/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_bird.h"

#include <fnmatch.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "unit.h"

#define PATIENCE_SECONDS 30 /* only what hangs takes that long */
#define COMMAND_MAX 1023    /* with its line end; BIRD drops who sends more */

struct fake_stage {
	pthread_t thread;
	const char *path;
	const struct act *script;
	int listening, talking; /* -1: none */
	bool answered;          /* the end of the answer is out: the next command may come */
	char line[8];           /* the beginning of the line that is going out */
	size_t line_len;
	char wrong[1500];       /* "" while all is as scripted */
};

static int object(struct fake_stage *stage, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int object(struct fake_stage *stage, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(stage->wrong, sizeof(stage->wrong), fmt, ap);
	va_end(ap);
	return -1;
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int listen_on(struct fake_stage *stage)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	stage->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(addr.sun_path, stage->path);
	unlink(stage->path);
	if (bind(stage->listening, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		listen(stage->listening, 4) < 0)
		return object(stage, "cannot listen on %s", stage->path);
	return 0;
}

/* Something to read (or a hang-up) in time? */
static bool wait_for(int fd, int seconds)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, seconds * 1000) == 1;
}

static int take(struct fake_stage *stage)
{
	shut(&stage->talking);
	if (!wait_for(stage->listening, PATIENCE_SECONDS))
		return object(stage, "nobody connects");
	stage->talking = accept(stage->listening, NULL, NULL);
	stage->answered = false;
	stage->line_len = 0;
	return stage->talking < 0 ? object(stage, "accept") : 0;
}

static int hear(struct fake_stage *stage, const char *expected)
{
	char line[COMMAND_MAX + 1];
	size_t len = 0;

	while (len == 0 || line[len - 1] != '\n') {
		if (len == COMMAND_MAX)
			return object(stage, "a command of more than %d bytes", COMMAND_MAX);
		if (!wait_for(stage->talking, PATIENCE_SECONDS))
			return object(stage, "nobody says \"%s\"", expected);
		if (read(stage->talking, line + len, 1) != 1)
			return object(stage, "hung up instead of \"%s\"", expected);
		len++;
	}
	line[len - 1] = '\0';
	stage->answered = false;
	if (fnmatch(expected, line, 0) != 0)
		return object(stage, "heard \"%s\", not \"%s\"", line, expected);
	return 0;
}

/* Notes what goes out: after a line "NNNN text" the answer has ended, and what is
 * said then is noise between two answers. */
static void note_said(struct fake_stage *stage, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n') {
			stage->answered = stage->answered ||
				(stage->line_len > 4 && stage->line[4] == ' ' &&
					strspn(stage->line, "0123456789") == 4);
			stage->line_len = 0;
		} else if (stage->line_len < sizeof(stage->line) - 1) {
			stage->line[stage->line_len++] = text[i];
			stage->line[stage->line_len] = '\0';
		}
	}
}

/* Writes, and sees that the other side waits for the end of the answer. */
static int say(struct fake_stage *stage, const char *text, size_t piece)
{
	size_t len = strlen(text);

	for (size_t done = 0; done < len; done += piece) {
		if (piece > len - done)
			piece = len - done;
		if (!stage->answered && wait_for(stage->talking, 0)) {
			char more[100] = "";
			ssize_t n = read(stage->talking, more, sizeof(more) - 1);

			return n <= 0 ? 0 : /* hung up: it need not hear us out */
				object(stage, "heard \"%s\" before the answer had ended", more);
		}
		if (send(stage->talking, text + done, piece, MSG_NOSIGNAL) != (ssize_t)piece)
			return 0;
		note_said(stage, text + done, piece);
	}
	return 0;
}

static int silence(struct fake_stage *stage)
{
	char byte;

	if (!wait_for(stage->talking, PATIENCE_SECONDS))
		return object(stage, "nobody hangs up on our silence");
	if (read(stage->talking, &byte, 1) == 1)
		return object(stage, "heard '%c' while silent", byte);
	return 0;
}

static int play(struct fake_stage *stage, const struct act *act)
{
	switch (act->what) {
	case ACT_TAKE:
		return take(stage);
	case ACT_HEAR:
		return hear(stage, act->text);
	case ACT_SAY:
		return say(stage, act->text, strlen(act->text));
	case ACT_CRUMBS:
		return say(stage, act->text, 1);
	case ACT_HANG_UP:
		shut(&stage->talking);
		return 0;
	case ACT_SILENCE:
		return silence(stage);
	case ACT_LEAVE:
		shut(&stage->listening);
		return 0;
	case ACT_RETURN:
		return listen_on(stage);
	case ACT_END:
		break;
	}
	return stage->talking < 0 ? 0 : silence(stage);
}

static void *play_all(void *arg)
{
	struct fake_stage *stage = arg;
	const struct act *act = stage->script;

	while (play(stage, act) == 0 && act->what != ACT_END)
		act++;
	shut(&stage->talking);
	shut(&stage->listening);
	return NULL;
}

void fake_bird_start(struct fake_bird *fake, const struct act *script)
{
	struct fake_stage *stage = xmalloc(sizeof(*stage));

	signal(SIGPIPE, SIG_IGN); /* as the programs do */
	*fake = (struct fake_bird){.dir = "/tmp/fake_bird.XXXXXX", .stage = stage};
	unit_make_dir(fake->dir);
	snprintf(fake->path, sizeof(fake->path), "%s/bird.ctl", fake->dir);
	fake->base = event_base_new();
	*stage = (struct fake_stage){
		.path = fake->path, .script = script, .listening = -1, .talking = -1};
	if (script[0].what != ACT_LEAVE)
		ck_assert_msg(listen_on(stage) == 0, "%s", stage->wrong);
	ck_assert_int_eq(pthread_create(&stage->thread, NULL, play_all, stage), 0);
}

static void on_patience_lost(evutil_socket_t fd, short what, void *arg)
{
	struct fake_bird *fake = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(fake->base);
}

void fake_bird_run(struct fake_bird *fake)
{
	struct event *guard = evtimer_new(fake->base, on_patience_lost, fake);
	struct timeval tv = {.tv_sec = PATIENCE_SECONDS};

	evtimer_add(guard, &tv);
	while (!fake->finished && !event_base_got_break(fake->base))
		event_base_loop(fake->base, EVLOOP_ONCE);
	event_free(guard);
	ck_assert_msg(fake->finished, "did not finish; the fake: %s", fake->stage->wrong);
}

void fake_bird_stop(struct fake_bird *fake)
{
	struct err err;

	pthread_join(fake->stage->thread, NULL);
	event_base_free(fake->base);
	ck_assert_msg(!fake->stage->wrong[0], "the fake bird: %s", fake->stage->wrong);
	free(fake->stage);
	ck_assert_int_eq(file_remove_tree(fake->dir, &err), 0);
}
