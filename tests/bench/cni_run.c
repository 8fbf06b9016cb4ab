/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cni_run -- starts CNI plugins and says what they cost, for bench_cni.py.
 *
 * Reads lines "COMMAND CONTAINERID NETNS BINARY CONFIGURATION-FILE", runs the
 * binary the way a runtime does and answers "STATUS WALL-us CPU-us RSS-KiB".
 * CPU and RSS are of the plugin and of everything it started (wait4).  A small
 * program on purpose: a child's peak RSS counts the pages it shares with its
 * parent before it calls exec, and Python has many. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct line {
	char command[16], container[160], netns[256], binary[256], conf[256];
};

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double us(const struct timeval *time)
{
	return (double)time->tv_sec * 1e6 + (double)time->tv_usec;
}

static pid_t start(const struct line *line)
{
	char command[64], container[256], netns[320];
	char *const argv[] = {(char *)(size_t)line->binary, NULL};
	char *const env[] = {command, container, netns, "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;

	snprintf(command, sizeof(command), "CNI_COMMAND=%s", line->command);
	snprintf(container, sizeof(container), "CNI_CONTAINERID=%s", line->container);
	snprintf(netns, sizeof(netns), "CNI_NETNS=%s", line->netns);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, line->conf, O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, line->binary, &actions, NULL, argv, env) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

int main(void)
{
	struct line line;

	while (scanf("%15s %159s %255s %255s %255s", line.command, line.container, line.netns,
		       line.binary, line.conf) == 5) {
		double before = now_us(), after;
		struct rusage usage;
		int status = -1;
		pid_t pid = start(&line);

		if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
			return 1;
		after = now_us();
		printf("%d %.0f %.0f %ld\n", status, after - before,
			us(&usage.ru_utime) + us(&usage.ru_stime), usage.ru_maxrss);
		fflush(stdout);
	}
	return 0;
}
