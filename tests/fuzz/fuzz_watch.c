/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any answers to a watch's questions, as it asks them: pages, then watches, then what
 * follows from how they end.  An answer is a letter for its end and the bytes before that;
 * 0x01 stands between two. */
#include <errno.h>

#include "fuzz.h"
#include "kube/node.h"
#include "kube/watch.h"
#include "tests/unit/fake_http.h"

/* ---------------------------------------------------------------- an answer */

/* What stands in a request's first line. */
static bool is_path(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static json_t *reduce(const json_t *object, const void *arg, struct err *err)
{
	return reduce_node(object, arg, err);
}

static void ignore(void *arg)
{
	(void)arg;
}

static void end_by(char letter, struct http_result *result)
{
	static const struct {
		char letter;
		int code;
		long status;
	} ends[] = {{'t', ETIMEDOUT, 0}, {'c', EIO, 0}, {'g', 410, 410}, {'b', 400, 400}};

	result->status = 200;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (ends[i].letter == letter) {
			err_set(&result->err, ends[i].code, "it ends");
			result->status = ends[i].status;
		}
}

/* In two pieces; as kube/http does it, nothing more is said when one was not taken. */
static void answer(const char *text, size_t len)
{
	struct http_result result = {0};
	size_t half;

	MUST(is_path(asked.path));
	if (len) {
		half = (len - 1) / 2;
		if (asked.want.data("", 0, asked.want.arg, &result.err) == 0 &&
			asked.want.data(text + 1, half, asked.want.arg, &result.err) == 0 &&
			asked.want.data(text + 1 + half, len - 1 - half, asked.want.arg, &result.err) == 0)
			end_by(*text, &result);
	} else {
		end_by('t', &result);
	}
	under_way = false;
	asked.want.done(&result, asked.want.arg);
}

static void check_set(const struct kube_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		json_t *json = json_loads(set->items[i].text, 0, NULL);

		MUST(json && *set->items[i].key);
		MUST(i == 0 || strcmp(set->items[i - 1].key, set->items[i].key) < 0);
		json_decref(json);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kube_credentials nobody = {.server = "https://api"};
	static const char *keys[] = {"rack", "roost/reflector"};
	static const struct label_keys wanted = {keys, ARRAY_LEN(keys)};
	static const struct watch_want want = {.resource = "nodes", .path = "/api/v1/nodes",
		.list_kind = "NodeList", .selector = "", .silence = 30, .reduce = reduce,
		.reduce_arg = &wanted};
	const char *at = (const char *)data, *end = at + size;
	struct event_base *base = event_base_new();
	struct watch *watch = watch_new(base, NULL, &nobody, &want, ignore, NULL);
	struct err err;

	MUST(libcurl_load(&err) == 0);
	while (!under_way)
		event_base_loop(base, EVLOOP_ONCE);
	while (under_way && at < end) {
		const char *next = memchr(at, 1, (size_t)(end - at));
		size_t n_lists = watch_status(watch)->lists;

		if (!next)
			next = end;
		answer(at, (size_t)(next - at));
		check_set(watch_set(watch));
		MUST(watch_status(watch)->synced == (watch_status(watch)->lists > 0));
		MUST(watch_status(watch)->lists <= n_lists + 1);
		at = next + (next < end);
	}
	/* Who waits to ask again has failed, or the server has ended a watch. */
	MUST(under_way || watch_status(watch)->err.code || watch_status(watch)->lists);
	watch_free(watch);
	event_base_free(base);
	return 0;
}
