/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the printable UTF-8 character at `p`; 0: a control character, or no UTF-8. */
static size_t printable(const unsigned char *p)
{
	static const uint32_t least[] = {[2] = 0xa0, [3] = 0x800, [4] = 0x10000};
	uint32_t code;
	size_t n;

	if (p[0] < 0x80)
		return p[0] >= ' ' && p[0] != 127;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	code = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3fu);
	}
	return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

void make_one_line(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p;) {
		size_t n = printable(p);

		if (n == 0)
			*p = '?';
		p += n ? n : 1;
	}
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	make_one_line(err->msg);
	return -1;
}

int err_errno(struct err *err, const char *fmt, ...)
{
	int code = errno;
	va_list ap;
	size_t len;

	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	len = strlen(err->msg);
	snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", strerror(code));
	make_one_line(err->msg);
	errno = code;
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char inner[sizeof(err->msg)];
	va_list ap;
	size_t len;

	memcpy(inner, err->msg, sizeof(inner));
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	len = strlen(err->msg);
	snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", inner);
	make_one_line(err->msg);
	return -1;
}
