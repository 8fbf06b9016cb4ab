/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "delegate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "protocol.h"

#define CANNOT_EXEC 127 /* as a shell would exit */

static int system_error(const char *what, struct err *err)
{
	err_errno(err, "%s", what);
	err->code = CNI_IO;
	return -1;
}

int delegate_open(struct delegate *delegate, struct err *err)
{
	delegate->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return delegate->netns < 0 ? system_error("/proc/self/ns/net", err) : 0;
}

void delegate_close(struct delegate *delegate)
{
	cleanup_close(&delegate->netns);
}

/* The first regular file of that name on CNI_PATH, as libcni looks for it.  A slash
 * would reach out of these folders (CVE-2021-20206). */
static int find(const struct delegate *delegate, char file[PATH_MAX], struct err *err)
{
	const char *folder = delegate->path, *end;
	struct stat st;

	if (strchr(delegate->type, '/') || *delegate->type == '.')
		return err_set(err, CNI_CONFIG, "not the name of a plugin");
	if (!folder || !*folder)
		return err_set(err, CNI_ENVIRONMENT, "CNI_PATH is not set");
	for (;; folder = end + 1) {
		end = strchrnul(folder, ':');
		if (end > folder &&
			snprintf(file, PATH_MAX, "%.*s/%s", (int)(end - folder), folder,
				delegate->type) < PATH_MAX &&
			stat(file, &st) == 0 && S_ISREG(st.st_mode))
			return 0;
		if (!*end)
			return err_set(err, CNI_CONFIG, "no such plugin in CNI_PATH %.512s",
				delegate->path);
	}
}

/* A file in memory takes any number of bytes without anyone having to read them. */
static int input_of(const struct delegate *delegate, struct err *err)
{
	_cleanup_close_ int fd = memfd_create("stdin", MFD_CLOEXEC);
	size_t done = 0;
	int result = fd;

	if (fd < 0)
		return system_error("memfd_create", err);
	while (done < delegate->stdin_len) {
		ssize_t n = write(fd, delegate->stdin_bytes + done, delegate->stdin_len - done);

		if (n < 0)
			return system_error("copying stdin", err);
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return system_error("copying stdin", err);
	fd = -1;
	return result;
}

/* In the child; never returns. */
static void become(const struct delegate *delegate, const char *file, const char *command, int in,
	int out, pid_t parent)
{
	char *const argv[] = {(char *)(uintptr_t)file, NULL};

	/* The second question is for a parent that died in between. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
		signal(SIGPIPE, SIG_DFL) == SIG_ERR || dup2(in, STDIN_FILENO) < 0 ||
		dup2(out, STDOUT_FILENO) < 0 || setns(delegate->netns, CLONE_NEWNET) < 0 ||
		setenv("CNI_COMMAND", command, 1) < 0)
		_exit(CANNOT_EXEC);
	execv(file, argv);
	_exit(CANNOT_EXEC);
}

/* The child, and where to read what it prints; -1. */
static pid_t start(const struct delegate *delegate, const char *file, const char *command,
	int *output, struct err *err)
{
	_cleanup_close_ int in = input_of(delegate, err), out = -1;
	pid_t parent = getpid(), child;
	int ends[2];

	if (in < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return system_error("pipe", err);
	*output = ends[0];
	out = ends[1];
	child = fork();
	if (child == 0)
		become(delegate, file, command, in, out, parent);
	return child < 0 ? system_error("fork", err) : child;
}

/* Until the last one that has the pipe open closes it. */
static int read_output(int fd, struct buf *out, struct err *err)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		buf_add(out, chunk, (size_t)n);
		if (out->len > DELEGATE_OUTPUT_MAX)
			return err_set(err, CNI_DELEGATE, "printed more than %zu bytes",
				DELEGATE_OUTPUT_MAX);
	}
	if (n < 0 && errno == EINTR)
		return err_set(err, CNI_TRY_LATER, "does not come to an end");
	return n < 0 ? system_error("reading its output", err) : 0;
}

static int judge(int status, const struct buf *out, struct err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return err_set(err, CNI_DELEGATE, "was killed by signal %d", WTERMSIG(status));
	if (out->len == 0 && WEXITSTATUS(status) == CANNOT_EXEC)
		return err_set(err, CNI_DELEGATE, "could not be started");
	if (out->len == 0)
		return err_set(err, CNI_DELEGATE, "failed with exit status %d and said nothing",
			WEXITSTATUS(status));
	return cni_failure_decode(out->text, out->len, err);
}

/* Waits for a child that has closed its output, so there is little to wait for; one
 * that goes on for all that is killed, like one that we have given up. */
static int finish(pid_t child, bool give_up, const struct buf *out, struct err *err)
{
	bool late = false;
	int status;

	if (give_up)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return give_up ? -1 : system_error("waitpid", err);
		kill(child, SIGKILL);
		late = true;
	}
	if (give_up)
		return -1;
	return late ? err_set(err, CNI_TRY_LATER, "does not come to an end")
		    : judge(status, out, err);
}

static int run(
	const struct delegate *delegate, const char *command, struct buf *out, struct err *err)
{
	_cleanup_close_ int output = -1;
	char file[PATH_MAX];
	pid_t child;

	if (find(delegate, file, err) < 0)
		return -1;
	child = start(delegate, file, command, &output, err);
	if (child < 0)
		return -1;
	return finish(child, read_output(output, out, err) < 0, out, err);
}

int delegate_run(
	const struct delegate *delegate, const char *command, struct buf *out, struct err *err)
{
	if (run(delegate, command, out, err) == 0)
		return 0;
	return err_wrap(err, "ipam.type %.64s: %s", delegate->type, command);
}
