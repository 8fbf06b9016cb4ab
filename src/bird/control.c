/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/control.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define LINE_MAX_BYTES 65536

struct control {
	struct bufferevent *io;
	struct event *deadline; /* of the command in flight; fires at once after a failure */
	struct reply reply;
	struct err err;
	control_fn *done; /* NULL: nothing in flight */
	void *arg;
	bool broken;
	bool answered; /* in this turn of the loop: the next command is not sent yet */
	bool closed; /* by its own callback: freed when that returns */
	bool calling;
};

static void set_deadline(struct control *control, unsigned seconds)
{
	struct timeval tv = {.tv_sec = seconds};

	evtimer_add(control->deadline, &tv);
}

/* Hands the answer or the error over.  False: the control is gone. */
static bool call_back(struct control *control, bool ok)
{
	control_fn *done = control->done;
	struct reply reply = control->reply;

	event_del(control->deadline);
	control->done = NULL;
	memset(&control->reply, 0, sizeof(control->reply));
	if (!done) {
		reply_free(&reply);
		return true;
	}
	control->calling = true;
	done(ok ? &reply : NULL, ok ? NULL : &control->err, control->arg);
	control->calling = false;
	reply_free(&reply);
	if (control->closed) {
		control_close(control);
		return false;
	}
	return true;
}

static void fail(struct control *control)
{
	control->broken = true;
	if (control->io)
		bufferevent_disable(control->io, EV_READ | EV_WRITE);
	call_back(control, false);
}

/* False: the connection is broken or the control gone. */
static bool take_line(struct control *control, const char *line)
{
	if (line[0] == '+') {
		log_debug("control: BIRD says %s", line + 1);
		return true;
	}
	if (!control->done || control->answered) {
		/* "<3 messages lost>" may come at any time; an answer to nothing (BIRD 3
		 * answers some commands twice) means that we are out of step. */
		if (line[0] < '0' || line[0] > '9')
			return true;
		err_set(&control->err, EPROTO, "BIRD spoke out of turn: %s", line);
		fail(control);
		return false;
	}
	if (reply_add_line(&control->reply, line, &control->err) < 0) {
		fail(control);
		return false;
	}
	if (!control->reply.complete)
		return true;
	control->answered = true;
	return call_back(control, true);
}

static void on_readable(struct bufferevent *io, void *arg)
{
	struct control *control = arg;
	struct evbuffer *input = bufferevent_get_input(io);
	bool more = true;
	char *line;

	control->answered = false;
	while (more && (line = evbuffer_readln(input, NULL, EVBUFFER_EOL_LF))) {
		more = take_line(control, line);
		free(line);
	}
	if (more && evbuffer_get_length(input) > LINE_MAX_BYTES) {
		err_set(&control->err, EPROTO, "BIRD sent a line of more than %d bytes",
			LINE_MAX_BYTES);
		fail(control);
	}
}

static void on_event(struct bufferevent *io, short what, void *arg)
{
	struct control *control = arg;

	(void)io;
	if (what & BEV_EVENT_CONNECTED)
		return;
	/* Whether it is a read or a write that finds out is chance. */
	if ((what & BEV_EVENT_ERROR) && errno != ECONNRESET && errno != EPIPE)
		err_errno(&control->err, "BIRD's control socket");
	else
		err_set(&control->err, ECONNRESET, "BIRD closed the control socket");
	fail(control);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	(void)fd;
	(void)what;
	if (!control->broken)
		err_set(&control->err, ETIMEDOUT, "BIRD does not answer");
	fail(control);
}

static int connect_to(struct control *control, struct event_base *base, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(&control->err, ENAMETOOLONG, "%s: path too long for a socket", path);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(&control->err, "socket");
	/* A Unix socket connects at once or not at all. */
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		err_errno(&control->err, "%s", path);
		close(fd);
		return -1;
	}
	control->io = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(control->io, on_readable, NULL, on_event, control);
	bufferevent_enable(control->io, EV_READ | EV_WRITE);
	return 0;
}

struct control *control_open(struct event_base *base, const char *path, unsigned timeout,
	control_fn *done, void *arg)
{
	struct control *control = xmalloc(sizeof(*control));

	memset(control, 0, sizeof(*control));
	control->done = done;
	control->arg = arg;
	control->deadline = evtimer_new(base, on_deadline, control);
	if (connect_to(control, base, path) < 0) {
		control->broken = true;
		timeout = 0;
	}
	set_deadline(control, timeout);
	return control;
}

void control_send(struct control *control, const char *command, unsigned timeout, control_fn *done,
	void *arg)
{
	assert(!control->done && !control->closed);
	assert(strlen(command) <= CONTROL_MAX_COMMAND && !strchr(command, '\n'));
	control->done = done;
	control->arg = arg;
	if (control->broken) {
		set_deadline(control, 0);
		return;
	}
	log_debug("control: send %s", command);
	evbuffer_add_printf(bufferevent_get_output(control->io), "%s\n", command);
	set_deadline(control, timeout);
}

void control_close(struct control *control)
{
	if (!control)
		return;
	if (control->calling) {
		control->closed = true;
		return;
	}
	if (control->io)
		bufferevent_free(control->io);
	event_free(control->deadline);
	reply_free(&control->reply);
	free(control);
}
