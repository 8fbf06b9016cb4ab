/* SPDX-License-Identifier: GPL-2.0-or-later */
/* buf -- text that grows.  Always NUL-terminated once something was added; the
 * owner calls buf_free(), or uses _cleanup_buf_. */
#ifndef ROOST_BUF_H
#define ROOST_BUF_H

#include <stddef.h>

struct buf {
	char *text; /* NULL while empty and never written */
	size_t len;
	size_t size;
};

void buf_add(struct buf *buf, const void *data, size_t len);
void buf_puts(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_free(struct buf *buf);

/* The text, "" when nothing was ever written. */
const char *buf_text(const struct buf *buf);

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))

#endif
