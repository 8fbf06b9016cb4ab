/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err -- one way to say what went wrong.
 *
 * A function that can fail takes a `struct err *` last and returns 0, or -1
 * with *err filled in; on success *err is untouched.  The caller owns the
 * struct, usually on its stack; nothing is allocated, nothing is to be freed.
 * Lower levels set, middle levels wrap ("reading node.json: ..."), only the top
 * prints.  A message is one line of UTF-8 without a final full stop: what it
 * quotes may be anything, control characters and broken UTF-8 become "?". */
#ifndef ROOST_ERR_H
#define ROOST_ERR_H

struct err {
	int code; /* an errno, or what the module says it is (CNI error codes in cni/) */
	char msg[1020];
};

/* Fills *err and returns -1, so that a caller can `return err_set(...)`. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same from errno: the text gets ": <strerror>" behind it. */
int err_errno(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "text: " before the message and returns -1; the code stays. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What makes a message one line of UTF-8, for other text of others that ends up on
 * terminals and in JSON. */
void make_one_line(char *text);

#endif
