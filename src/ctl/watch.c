/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watch: a command again and again.
 *
 * Each time it runs in a child, so that nothing of the time before is left.  On a
 * terminal its output is caught and drawn over what is there, with the characters that
 * differ from the last time in reverse video; elsewhere it is simply printed, one document
 * or table after another. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ctl/ctl.h"

#define FRAME_MAX_BYTES (1u << 20)

struct screen {
	struct termios before;
	bool has_keys; /* standard input is a terminal, and is set to give single keys */
	struct buf last; /* without its colours */
};

static volatile sig_atomic_t stopped, resized;

static void on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else
		stopped = 1;
}

/* ---------------------------------------------------------------- one frame */

/* What the command prints, errors and all; its exit code is nobody's business here. */
static int catch_output(const struct command *command, const struct ctl *ctl, struct buf *frame)
{
	int ends[2];
	pid_t child;
	ssize_t n;
	char chunk[4096];

	if (pipe(ends) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		command->run(ctl);
		fflush(stdout);
		_exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR))
		if (n > 0 && frame->len + (size_t)n <= FRAME_MAX_BYTES)
			buf_add(frame, chunk, (size_t)n);
	close(ends[0]);
	waitpid(child, NULL, 0);
	return child < 0 ? -1 : 0;
}

/* "\033[31m" at `at`: how long it is, 0 when there is none. */
static size_t escape_len(const char *at)
{
	size_t len = 2;

	if (at[0] != '\033' || at[1] != '[')
		return 0;
	while (at[len] && (at[len] < '@' || at[len] > '~'))
		len++;
	return at[len] ? len + 1 : 0;
}

/* One line, at most `width` characters of it, beside what stood there (NULL: nothing is
 * marked).  A byte that continues a character goes with it. */
static void draw_line(struct buf *out, const char *line, size_t len, const char *last,
	size_t last_len, size_t width)
{
	size_t column = 0, byte = 0;
	bool marked = false;

	for (size_t i = 0; i < len;) {
		size_t skip = escape_len(line + i);
		bool continues = (line[i] & 0xc0) == 0x80, differs;

		if (skip) {
			buf_add(out, line + i, skip);
			i += skip;
			marked = false; /* it may have been a reset */
			continue;
		}
		column += !continues;
		if (column > width)
			break;
		differs = last && (byte >= last_len || last[byte] != line[i]);
		if (!continues && differs != marked) {
			buf_puts(out, differs ? "\033[7m" : "\033[27m");
			marked = differs;
		}
		buf_add(out, line + i, 1);
		i++;
		byte++;
	}
	buf_puts(out, "\033[0m\033[K\n");
}

static void without_colours(const struct buf *frame, struct buf *plain)
{
	const char *text = buf_text(frame);

	for (size_t i = 0; i < frame->len;) {
		size_t skip = escape_len(text + i);

		if (!skip)
			buf_add(plain, text + i, 1);
		i += skip ? skip : 1;
	}
}

static void draw_head(struct buf *out, const struct command *command, const struct ctl *ctl)
{
	char clock[STAMP_TEXT_MAX];

	buf_printf(out, "\033[H\033[1mroostctl %s\033[0m every %u s, %s; q ends it\033[K\n\033[K\n",
		command->name, ctl->interval_s, stamp_format(time(NULL), clock));
}

/* From the top left corner over what is there, so that nothing flickers. */
static void draw(struct screen *screen, const struct command *command, const struct ctl *ctl,
	const struct buf *frame)
{
	struct winsize size;
	const char *at = buf_text(frame), *last = screen->last.len ? screen->last.text : NULL;
	_cleanup_buf_ struct buf out = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	draw_head(&out, command, ctl);
	for (unsigned row = 3; *at && row < size.ws_row; row++) {
		size_t len = strcspn(at, "\n"), last_len = last ? strcspn(last, "\n") : 0;

		draw_line(&out, at, len, ctl->colour ? last : NULL, last_len, size.ws_col);
		at += len + (at[len] == '\n');
		if (last)
			last += last_len + (last[last_len] == '\n');
	}
	buf_puts(&out, "\033[J");
	fwrite(out.text, 1, out.len, stdout);
	fflush(stdout);
	buf_free(&screen->last);
	without_colours(frame, &screen->last);
}

/* ---------------------------------------------------------------- the terminal */

static void enter(struct screen *screen)
{
	struct termios keys;

	screen->has_keys = tcgetattr(STDIN_FILENO, &screen->before) == 0;
	if (screen->has_keys) {
		keys = screen->before;
		keys.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &keys);
	}
	fputs("\033[?1049h\033[?25l", stdout); /* the other screen, no cursor */
	fflush(stdout); /* a child would print it once more */
}

static void leave(struct screen *screen)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (screen->has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
	buf_free(&screen->last);
}

/* False when somebody wants to end it. */
static bool wait_for_next(const struct screen *screen, unsigned seconds)
{
	struct pollfd keys = {.fd = screen->has_keys ? STDIN_FILENO : -1, .events = POLLIN};
	char key = 0;

	if (poll(&keys, 1, (int)seconds * 1000) > 0 && (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q'))
		return false;
	return !stopped;
}

static void watch_terminal(const struct command *command, const struct ctl *ctl)
{
	struct screen screen = {0};
	bool more = true;

	enter(&screen);
	while (more && !stopped) {
		_cleanup_buf_ struct buf frame = {0};

		if (catch_output(command, ctl, &frame) < 0)
			break;
		if (resized)
			buf_free(&screen.last); /* everything is elsewhere now */
		resized = 0;
		draw(&screen, command, ctl, &frame);
		more = wait_for_next(&screen, ctl->interval_s);
	}
	leave(&screen);
}

/* Ends also when nobody reads any more. */
static void watch_stream(const struct command *command, const struct ctl *ctl)
{
	const struct screen no_keys = {0};
	bool first = true;

	do {
		_cleanup_buf_ struct buf frame = {0};

		if (catch_output(command, ctl, &frame) < 0)
			break;
		if (!ctl->json && !first)
			putchar('\n');
		first = false;
		fwrite(buf_text(&frame), 1, frame.len, stdout);
	} while (fflush(stdout) == 0 && wait_for_next(&no_keys, ctl->interval_s));
}

int watch(const struct command *command, const struct ctl *ctl)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);
	if (isatty(STDOUT_FILENO) && !ctl->json)
		watch_terminal(command, ctl);
	else
		watch_stream(command, ctl);
	return 0;
}
