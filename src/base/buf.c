/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static void reserve(struct buf *buf, size_t more)
{
	size_t need = buf->len + more + 1;

	if (need <= buf->size)
		return;
	buf->size = need < 256 ? 256 : need + need / 2;
	buf->text = xrealloc(buf->text, buf->size);
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
	reserve(buf, len);
	if (len)
		memcpy(buf->text + buf->len, data, len);
	buf->len += len;
	buf->text[buf->len] = '\0';
}

void buf_puts(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		abort();
	reserve(buf, (size_t)len);
	va_start(ap, fmt);
	vsnprintf(buf->text + buf->len, (size_t)len + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)len;
}

void buf_free(struct buf *buf)
{
	free(buf->text);
	memset(buf, 0, sizeof(*buf));
}

const char *buf_text(const struct buf *buf)
{
	return buf->text ? buf->text : "";
}
