/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cni_run -- starts CNI plugins and says what they cost, for bench_cni.py.
 *
 * Reads lines "COMMAND CONTAINERID NETNS BINARY CONFIGURATION-FILE" and then "go N":
 * runs them all the way a runtime does, N at a time, and answers, when the last has
 * ended, how long it all took in us, and a line "STATUS WALL-us CPU-us RSS-KiB" for
 * each.  CPU and RSS are of the plugin and of everything it started (wait4).
 *
 * Small and with posix_spawn() on purpose: what it takes to start a process is a part
 * of every figure, a child's peak RSS counts the pages it shares with its parent
 * before it calls exec, and Python is slow at the one and has many of the other. */
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 1000

struct job {
	char command[8], container[32], netns[64], binary[256], conf[256];
	pid_t pid;
	double begin, wall;
	int status;
	struct rusage usage;
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

static void start(struct job *job)
{
	char command[64], container[256], netns[320];
	char *const argv[] = {job->binary, NULL};
	char *const env[] = {command, container, netns, "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	posix_spawn_file_actions_t actions;

	snprintf(command, sizeof(command), "CNI_COMMAND=%s", job->command);
	snprintf(container, sizeof(container), "CNI_CONTAINERID=%s", job->container);
	snprintf(netns, sizeof(netns), "CNI_NETNS=%s", job->netns);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, job->conf, O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	job->begin = now_us();
	if (posix_spawn(&job->pid, job->binary, &actions, NULL, argv, env) != 0)
		exit(1);
	posix_spawn_file_actions_destroy(&actions);
}

/* Whether one has ended; with WNOHANG it need not. */
static bool finish_one(struct job *jobs, size_t count, int options)
{
	struct rusage usage;
	int status;
	pid_t pid = wait4(-1, &status, options, &usage);
	double now = now_us();

	if (pid == 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (jobs[i].pid == pid) {
			jobs[i].pid = 0;
			jobs[i].wall = now - jobs[i].begin;
			jobs[i].status = status;
			jobs[i].usage = usage;
			return true;
		}
	exit(1);
}

static void run(struct job *jobs, size_t count, size_t in_flight)
{
	size_t started = 0, finished = 0;
	double begin = now_us();

	while (finished < count) {
		if (started < count)
			start(&jobs[started++]);
		while (finished < started &&
			finish_one(jobs, started,
				started < count && started - finished < in_flight ? WNOHANG : 0))
			finished++;
	}
	printf("%.0f\n", now_us() - begin);
	for (size_t i = 0; i < count; i++)
		printf("%d %.0f %.0f %ld\n", jobs[i].status, jobs[i].wall,
			us(&jobs[i].usage.ru_utime) + us(&jobs[i].usage.ru_stime),
			jobs[i].usage.ru_maxrss);
	fflush(stdout);
}

int main(void)
{
	static struct job jobs[JOBS_MAX];
	size_t count = 0, in_flight;
	char line[768];

	while (fgets(line, sizeof(line), stdin)) {
		struct job *job = &jobs[count];

		if (sscanf(line, "go %zu", &in_flight) == 1) {
			run(jobs, count, in_flight);
			count = 0;
		} else if (count == JOBS_MAX ||
			   sscanf(line, "%7s %31s %63s %255s %255s", job->command, job->container,
				   job->netns, job->binary, job->conf) != 5) {
			return 1;
		} else {
			job->pid = 0;
			count++;
		}
	}
	return 0;
}
