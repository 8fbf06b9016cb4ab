/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

struct notify {
	struct sockaddr_un to;
	socklen_t to_len; /* 0: nobody listens */
	int fd;
	struct event *watchdog;
	char status[256];
};

/* "/run/systemd/notify", or "@..." in the abstract namespace. */
static void find_socket(struct notify *notify)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(notify->to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify->fd < 0)
		return;
	notify->to.sun_family = AF_UNIX;
	memcpy(notify->to.sun_path, path, len);
	if (path[0] == '@')
		notify->to.sun_path[0] = '\0';
	notify->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void say(struct notify *notify, const char *text)
{
	if (notify->to_len && sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL,
				      (struct sockaddr *)&notify->to, notify->to_len) < 0)
		log_debug("notify: systemd was not told: %m");
}

static void on_watchdog(evutil_socket_t fd, short what, void *notify)
{
	(void)fd;
	(void)what;
	say(notify, "WATCHDOG=1");
}

/* How often systemd wants to hear of this process, in us; 0: not at all. */
static unsigned long long watchdog_usec(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (!usec || (pid && strtoull(pid, NULL, 10) != (unsigned long long)getpid()))
		return 0;
	return strtoull(usec, NULL, 10);
}

struct notify *notify_new(struct event_base *base)
{
	struct notify *notify = xmalloc(sizeof(*notify));
	unsigned long long usec = watchdog_usec() / 2;
	struct timeval half = {.tv_sec = (time_t)(usec / 1000000),
		.tv_usec = (suseconds_t)(usec % 1000000)};

	memset(notify, 0, sizeof(*notify));
	notify->fd = -1;
	find_socket(notify);
	if (notify->to_len && usec) {
		notify->watchdog = event_new(base, -1, EV_PERSIST, on_watchdog, notify);
		event_add(notify->watchdog, &half);
	}
	return notify;
}

void notify_ready(struct notify *notify)
{
	say(notify, "READY=1");
}

static void describe(const struct agent_status *status, char *line, size_t size)
{
	if (status->load_error.code)
		snprintf(line, size, "generation %u runs; refused: %.200s", status->confirmed.number,
			status->load_error.msg);
	else if (!status->applied)
		snprintf(line, size, "starting");
	else if (status->last.err.code)
		snprintf(line, size, "generation %u runs; %s: %.200s", status->confirmed.number,
			apply_outcome_name(status->last.outcome), status->last.err.msg);
	else
		snprintf(line, size, "generation %u runs", status->confirmed.number);
}

void notify_status(struct notify *notify, const struct agent_status *status)
{
	char line[sizeof(notify->status)], message[sizeof(line) + 8];

	describe(status, line, sizeof(line));
	if (strcmp(line, notify->status) == 0)
		return;
	memcpy(notify->status, line, sizeof(line));
	snprintf(message, sizeof(message), "STATUS=%s", line);
	say(notify, message);
}

void notify_stopping(struct notify *notify)
{
	say(notify, "STOPPING=1");
}

void notify_free(struct notify *notify)
{
	if (!notify)
		return;
	if (notify->watchdog)
		event_free(notify->watchdog);
	if (notify->fd >= 0)
		close(notify->fd);
	free(notify);
}
