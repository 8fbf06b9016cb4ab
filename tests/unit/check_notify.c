/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agent/notify: what systemd hears. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/notify.h"
#include "unit.h"

/* systemd's end of it. */
struct systemd {
	struct event_base *base;
	int fd;
	char heard[512];
};

static void start(struct systemd *systemd, bool abstract)
{
	static char dir[] = "/tmp/notify.XXXXXX";
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len;
	char path[64];

	unit_make_dir(dir);
	snprintf(path, sizeof(path), "%s%s/notify", abstract ? "@" : "", dir);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	memcpy(addr.sun_path, path, strlen(path));
	if (abstract)
		addr.sun_path[0] = '\0';
	systemd->base = event_base_new();
	systemd->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(systemd->fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void stop(struct systemd *systemd)
{
	const char *path = getenv("NOTIFY_SOCKET");
	char dir[64];

	close(systemd->fd);
	event_base_free(systemd->base);
	if (path[0] == '/')
		unlink(path);
	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	rmdir(dir + (path[0] == '@'));
}

/* The next message, "" when there is none. */
static const char *next(struct systemd *systemd)
{
	ssize_t len = recv(systemd->fd, systemd->heard, sizeof(systemd->heard) - 1, MSG_DONTWAIT);

	ck_assert(len >= 0 || errno == EAGAIN);
	systemd->heard[len < 0 ? 0 : len] = '\0';
	return systemd->heard;
}

START_TEST(systemd_hears_ready_and_stopping)
{
	for (int abstract = 0; abstract < 2; abstract++) {
		struct systemd systemd;
		struct notify *notify;

		start(&systemd, abstract);
		notify = notify_new(systemd.base);
		notify_ready(notify);
		ck_assert_str_eq(next(&systemd), "READY=1");
		notify_stopping(notify);
		ck_assert_str_eq(next(&systemd), "STOPPING=1");
		notify_free(notify);
		stop(&systemd);
	}
}
END_TEST

START_TEST(the_status_is_one_line_and_said_when_it_has_changed)
{
	struct agent_status status = {.confirmed = {.number = 7}};
	struct systemd systemd;
	struct notify *notify;

	start(&systemd, false);
	notify = notify_new(systemd.base);
	notify_status(notify, &status);
	ck_assert_str_eq(next(&systemd), "STATUS=starting");
	status.applied = true;
	status.last.outcome = APPLY_CONFIRMED;
	notify_status(notify, &status);
	ck_assert_str_eq(next(&systemd), "STATUS=generation 7 runs");
	notify_status(notify, &status);
	ck_assert_str_eq(next(&systemd), "");
	status.last.outcome = APPLY_ROLLED_BACK;
	err_set(&status.last.err, EIO, "session tor is gone");
	notify_status(notify, &status);
	ck_assert_str_eq(next(&systemd),
		"STATUS=generation 7 runs; rolled back: session tor is gone");
	err_set(&status.load_error, EINVAL, "roost.yaml:1: no");
	notify_status(notify, &status);
	ck_assert_str_eq(next(&systemd), "STATUS=generation 7 runs; refused: roost.yaml:1: no");
	notify_free(notify);
	stop(&systemd);
}
END_TEST

/* A loop that turns says so for as long as it does, and only from within. */
START_TEST(the_watchdog_is_fed_by_the_loop_alone)
{
	struct systemd systemd;
	struct notify *notify;

	start(&systemd, false);
	ck_assert_int_eq(setenv("WATCHDOG_USEC", "2000", 1), 0);
	notify = notify_new(systemd.base);
	usleep(5000);
	ck_assert_str_eq(next(&systemd), "");
	for (int i = 0; i < 3; i++) {
		event_base_loop(systemd.base, EVLOOP_ONCE);
		ck_assert_str_eq(next(&systemd), "WATCHDOG=1");
	}
	notify_free(notify);
	stop(&systemd);
}
END_TEST

/* An idle roostd is not woken for nobody's sake. */
START_TEST(there_is_no_timer_when_nobody_asked_for_one)
{
	static const struct {
		const char *usec, *pid, *socket;
	} cases[] = {{NULL, NULL, NULL}, {"2000", "1", NULL}, {"0", NULL, NULL},
		{"2000", NULL, ""}, {"2000", NULL, "nonsense"}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct systemd systemd;
		struct notify *notify;
		char real[64];

		start(&systemd, false);
		snprintf(real, sizeof(real), "%s", getenv("NOTIFY_SOCKET"));
		if (cases[i].usec)
			setenv("WATCHDOG_USEC", cases[i].usec, 1);
		if (cases[i].pid)
			setenv("WATCHDOG_PID", cases[i].pid, 1);
		if (cases[i].socket)
			setenv("NOTIFY_SOCKET", cases[i].socket, 1);
		notify = notify_new(systemd.base);
		ck_assert_int_eq(event_base_get_num_events(systemd.base, EVENT_BASE_COUNT_ADDED), 0);
		notify_ready(notify);
		notify_free(notify);
		setenv("NOTIFY_SOCKET", real, 1);
		stop(&systemd);
	}
}
END_TEST

UNIT(notify, systemd_hears_ready_and_stopping,
	the_status_is_one_line_and_said_when_it_has_changed,
	the_watchdog_is_fed_by_the_loop_alone, there_is_no_timer_when_nobody_asked_for_one)
