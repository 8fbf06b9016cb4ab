/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/nft.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* The kernel answers in milliseconds, unless somebody else's ruleset is enormous. */
#define ANSWER_MS 10000

/* How the child ends; any other way it failed, and what it wrote says why. */
enum answer { ANSWER_SAME = 100, ANSWER_DIFFERS, ANSWER_WRITTEN, ANSWER_REFUSED };

/* ---------------------------------------------------------------- in the child */

/* Are they the same but for the space between words? */
static bool same_words(const char *a, const char *b)
{
	for (;;) {
		size_t len;

		a += strspn(a, " \t\n");
		b += strspn(b, " \t\n");
		len = strcspn(a, " \t\n");
		if (len != strcspn(b, " \t\n") || memcmp(a, b, len) != 0)
			return false;
		if (len == 0)
			return true;
		a += len;
		b += len;
	}
}

static void say(const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = write(STDERR_FILENO, text, left);

		if (n <= 0)
			return;
		text += n;
		left -= (size_t)n;
	}
}

static _Noreturn void fail(int status, const char *why)
{
	say(why);
	_exit(status);
}

/* 0, and what libnftables prints; or -1, and its complaint.  Not by its own output
 * buffer, which still has the old text after a command that prints nothing. */
static int run(struct nft_ctx *ctx, const char *commands, const char **text)
{
	char *output = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&output, &len);
	int rc;

	if (!out)
		fail(EXIT_FAILURE, "out of memory");
	nft_ctx_set_output(ctx, out);
	rc = nft_run_cmd_from_buffer(ctx, commands);
	nft_ctx_set_output(ctx, stdout);
	fclose(out);
	*text = rc == 0 ? output : nft_ctx_get_error_buffer(ctx);
	return rc == 0 ? 0 : -1; /* all of it is freed with the process */
}

/* The table as it is, "" when there is none.  To ask for this one table alone, and see
 * by the complaint that it is not there, is one dump; `list tables` fetches the rules
 * of everybody's. */
static const char *list(struct nft_ctx *ctx, const char *name)
{
	_cleanup_buf_ struct buf command = {0}, absent = {0};
	const char *text;

	buf_printf(&command, "list table %s", name);
	buf_printf(&absent, "Error: %s", strerror(ENOENT));
	if (run(ctx, command.text, &text) == 0)
		return text;
	if (strncmp(text, absent.text, absent.len) != 0)
		fail(EXIT_FAILURE, text);
	return "";
}

/* The same sets and chains with other elements and rules. */
static bool refill(struct nft_ctx *ctx, const struct nft_table *table)
{
	static const char set[] = "\n\tset ";
	_cleanup_buf_ struct buf commands = {0};
	const char *text;

	buf_printf(&commands, "flush table %s\n", table->name); /* the rules of its chains */
	for (const char *at = table->want; (at = strstr(at, set)); at++)
		buf_printf(&commands, "flush set %s %.*s\n", table->name,
			(int)strcspn(at + strlen(set), " "), at + strlen(set));
	buf_puts(&commands, table->want);
	return run(ctx, commands.text, &text) == 0 && same_words(list(ctx, table->name), table->want);
}

static void replace(struct nft_ctx *ctx, const struct nft_table *table)
{
	_cleanup_buf_ struct buf commands = {0};
	const char *text;

	buf_printf(&commands, "table %s\ndelete table %s\n%s", table->name, table->name,
		table->want);
	if (run(ctx, commands.text, &text) < 0)
		fail(ANSWER_REFUSED, text);
}

static enum answer answer(const struct nft_table *table, bool write)
{
	struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	const char *have;

	if (!ctx)
		fail(EXIT_FAILURE, "out of memory");
	nft_ctx_output_set_flags(ctx, NFT_CTX_OUTPUT_STATELESS);
	nft_ctx_buffer_error(ctx);
	have = list(ctx, table->name);
	if (same_words(have, table->want) ||
		(table->listed->len && same_words(have, table->listed->text)))
		return ANSWER_SAME;
	if (!write)
		return ANSWER_DIFFERS;
	if (!*have || !*table->want || !refill(ctx, table))
		replace(ctx, table);
	say(list(ctx, table->name));
	return ANSWER_WRITTEN;
}

/* Its standard error is the way back: there libnftables, too, says why it exits. */
static _Noreturn void child(const struct nft_table *table, bool write, int fd, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
		dup2(fd, STDERR_FILENO) < 0)
		_exit(EXIT_FAILURE);
	/* The lock of the state folder, for one, must not outlive the parent. */
	close_range(STDERR_FILENO + 1, ~0u, 0);
	_exit(answer(table, write));
}

/* ---------------------------------------------------------------- in the parent */

static bool may_administer_networks(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capget, &header, data) < 0 ||
		(data[0].effective & (1u << CAP_NET_ADMIN));
}

static int milliseconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int)((now.tv_sec - start->tv_sec) * 1000 +
		(now.tv_nsec - start->tv_nsec) / 1000000);
}

/* All the child writes until it ends. */
static int read_answer(int fd, struct buf *text, struct err *err)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	struct timespec start;
	char chunk[4096];
	ssize_t n;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		int left = ANSWER_MS - milliseconds_since(&start);
		int ready = left > 0 ? poll(&poll_fd, 1, left) : 0;

		if (ready == 0)
			return err_set(err, ETIMEDOUT, "no answer from the kernel after %d s",
				ANSWER_MS / 1000);
		n = ready < 0 ? -1 : read(fd, chunk, sizeof(chunk));
		if (n == 0)
			return 0;
		if (n > 0)
			buf_add(text, chunk, (size_t)n);
		else if (errno != EINTR)
			return err_errno(err, "reading what libnftables says");
	}
}

/* Signals are for the parent alone: its handlers must not run in the child. */
static pid_t start(const struct nft_table *table, bool write, int fd)
{
	pid_t parent = getpid(), pid;
	sigset_t all, before;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		child(table, write, fd, parent);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* nft explains in several lines, with arrows; the first one says it. */
static int complain(struct buf *text, int status, struct err *err)
{
	int code = status == ANSWER_REFUSED ? EIO : ENODATA;
	const char *says = buf_text(text);
	size_t len;

	if (strncmp(says, "netlink: ", 9) == 0)
		says += 9;
	if (strncmp(says, "Error: ", 7) == 0)
		says += 7;
	len = strcspn(says, "\n");
	if (len == 0)
		return err_set(err, code, "libnftables ended with status %d", status);
	return err_set(err, code, "%.*s", (int)len, says);
}

/* One of enum answer, or -1; *text is what the child wrote. */
static int ask(const struct nft_table *table, bool write, struct buf *text, struct err *err)
{
	int fds[2], status, rc;
	pid_t pid;

	if (!may_administer_networks())
		return err_set(err, EPERM, "roostd lacks the capability CAP_NET_ADMIN");
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "pipe");
	pid = start(table, write, fds[1]);
	close(fds[1]);
	rc = pid < 0 ? err_errno(err, "fork") : read_answer(fds[0], text, err);
	close(fds[0]);
	if (pid < 0)
		return -1;
	if (rc < 0)
		kill(pid, SIGKILL);
	status = wait_for(pid);
	if (rc < 0)
		return -1;
	return status >= ANSWER_SAME && status <= ANSWER_WRITTEN ? status
								 : complain(text, status, err);
}

int nft_look(const struct nft_table *table, bool *differs, struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	int rc = ask(table, false, &text, err);

	if (rc < 0)
		return err_wrap(err, "reading the nftables table %s", table->name);
	*differs = rc == ANSWER_DIFFERS;
	return 0;
}

int nft_keep(const struct nft_table *table, bool *written, struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	int rc = ask(table, true, &text, err);

	if (rc < 0)
		return err_wrap(err, "keeping the nftables table %s", table->name);
	*written = rc == ANSWER_WRITTEN;
	if (!*written)
		return 0;
	buf_free(table->listed);
	buf_add(table->listed, buf_text(&text), text.len);
	return 0;
}

/* ---------------------------------------------------------------- what others do */

int nft_watch(struct err *err)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK,
		.nl_groups = 1u << (NFNLGRP_NFTABLES - 1)};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	err_errno(err, "listening to nftables");
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The name of the table is attribute 1 of all that nftables tells, be it about tables,
 * chains, rules, sets or elements; only the generation, which is told last, has none. */
static bool is_about(struct nlmsghdr *message, const char *name)
{
	const struct nfgenmsg *generic = NLMSG_DATA(message);
	const struct nlattr *attr = (const void *)((const char *)generic + NLMSG_ALIGN(sizeof(*generic)));
	size_t left, len = strlen(name) + 1;

	if (NFNL_SUBSYS_ID(message->nlmsg_type) != NFNL_SUBSYS_NFTABLES ||
		NFNL_MSG_TYPE(message->nlmsg_type) == NFT_MSG_NEWGEN ||
		message->nlmsg_len < NLMSG_SPACE(sizeof(*generic)) ||
		generic->nfgen_family != NFPROTO_INET)
		return false;
	left = message->nlmsg_len - NLMSG_SPACE(sizeof(*generic));
	while (left >= sizeof(*attr) && attr->nla_len >= sizeof(*attr) && attr->nla_len <= left) {
		size_t step = NLA_ALIGN(attr->nla_len);

		if ((attr->nla_type & NLA_TYPE_MASK) == NFTA_TABLE_NAME)
			return attr->nla_len == sizeof(*attr) + len &&
				memcmp(attr + 1, name, len) == 0;
		if (step >= left)
			return false;
		left -= step;
		attr = (const void *)((const char *)attr + step);
	}
	return false;
}

bool nft_watch_heard(int fd, const char *name)
{
	static union {
		struct nlmsghdr message;
		char bytes[1 << 15];
	} room;
	bool heard = false;
	ssize_t n;

	while ((n = recv(fd, &room, sizeof(room), 0)) != 0) {
		struct nlmsghdr *message = &room.message;
		size_t left = n > 0 ? (size_t)n : 0;

		if (n < 0 && errno != ENOBUFS)
			break; /* nothing more; after a signal the loop comes back */
		heard |= n < 0;
		while (NLMSG_OK(message, left)) {
			size_t step = NLMSG_ALIGN(message->nlmsg_len);

			heard |= is_about(message, name);
			if (step >= left) /* the last one may be without its padding */
				break;
			left -= step;
			message = (void *)((char *)message + step);
		}
	}
	return heard;
}
