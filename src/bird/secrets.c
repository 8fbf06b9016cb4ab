/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bird/secrets.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"

/* Behind the next of BIRD's words for one; NULL: there is none. */
static const char *next_word(const char *text, const char *end)
{
	static const char *const words[] = {"password", "key"};
	const char *first = NULL;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i]);
		const char *at = memmem(text, (size_t)(end - text), words[i], len);

		if (at && (!first || at + len < first))
			first = at + len;
	}
	return first;
}

/* The string behind the next such word, without its quotes; NULL: none.  A word is also
 * found in a comment or in a string: hiding too much does no harm.  No string of BIRD's
 * goes on in the next line. */
static const char *next_secret(const char *text, const char *end, size_t *len)
{
	const char *at = text;

	while ((at = next_word(at, end))) {
		const char *close;

		while (at < end && isspace((unsigned char)*at))
			at++;
		if (at == end || *at != '"')
			continue;
		at++;
		close = at;
		while (close < end && *close != '"' && *close != '\n')
			close++;
		if (close == end || *close != '"')
			continue;
		*len = (size_t)(close - at);
		return at;
	}
	return NULL;
}

bool secrets_in(const struct file_text *file)
{
	size_t len;

	return next_secret(file->text, file->text + file->len, &len) != NULL;
}

static size_t number_of(struct secrets *secrets, const char *text, size_t len, struct arena *arena)
{
	for (size_t i = 0; i < secrets->n; i++)
		if (strlen(secrets->seen[i]) == len && memcmp(secrets->seen[i], text, len) == 0)
			return i + 1;
	*ARENA_PUSH(arena, secrets->seen, &secrets->n) = arena_strndup(arena, text, len);
	return secrets->n;
}

static void hide(struct secrets *secrets, const char *text, size_t text_len, struct buf *out,
	struct arena *arena)
{
	const char *end = text + text_len, *secret;
	size_t len;

	while ((secret = next_secret(text, end, &len))) {
		buf_add(out, text, (size_t)(secret - text));
		buf_printf(out, "(hidden %zu)", number_of(secrets, secret, len, arena));
		text = secret + len;
	}
	buf_add(out, text, (size_t)(end - text));
}

struct fileset secrets_hide(struct secrets *secrets, const struct fileset *files,
	struct arena *arena)
{
	struct fileset out = {0};

	for (size_t i = 0; i < files->n; i++) {
		const struct file_text *file = &files->items[i];
		_cleanup_buf_ struct buf text = {0};

		hide(secrets, file->text, file->len, &text, arena);
		fileset_add(&out, arena, file->name, buf_text(&text), text.len);
	}
	return out;
}

const char *secrets_hide_text(struct secrets *secrets, const char *text, struct arena *arena)
{
	_cleanup_buf_ struct buf out = {0};

	hide(secrets, text, strlen(text), &out, arena);
	return arena_strndup(arena, buf_text(&out), out.len);
}
