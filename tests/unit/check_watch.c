/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kube/watch against answers that are given by hand: no server, no connection, and a clock
 * that goes when it is told. */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "fake_http.h"
#include "kube/node.h"
#include "kube/watch.h"
#include "unit.h"

#define SILENCE 30
#define ADDED(name, version)                                                                       \
	"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"" name                           \
	"\",\"resourceVersion\":\"" version "\"}}}\n"

static struct event_base *base;
static struct watch *watch;
static time_t now = 1795465200;

/* In place of libc's. */
time_t time(time_t *out)
{
	if (out)
		*out = now;
	return now;
}

/* ---------------------------------------------------------------- the server's part */

static json_t *reduce(const json_t *object, const void *arg, struct err *err)
{
	return reduce_node(object, arg, err);
}

static void ignore(void *arg)
{
	(void)arg;
}

static bool lists(void)
{
	return !strstr(asked.path, "watch=1");
}

static bool watches_from(const char *version)
{
	char text[60];

	snprintf(text, sizeof(text), "&resourceVersion=%s&", version);
	return strstr(asked.path, text);
}

/* Until it asks again, when that is not at once. */
static void wait_asked(void)
{
	while (!under_way)
		event_base_loop(base, EVLOOP_ONCE);
}

static int say(const char *text, struct err *err)
{
	return asked.want.data(text, strlen(text), asked.want.arg, err);
}

static void finish(const struct http_result *result)
{
	under_way = false;
	asked.want.done(result, asked.want.arg);
}

static void answer_list(const char *version)
{
	char text[200];
	struct err err;

	ck_assert(lists());
	snprintf(text, sizeof(text),
		"{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"%s\"},\"items\":[]}", version);
	ck_assert_int_eq(say(text, &err), 0);
	finish(&(struct http_result){.status = 200});
}

static void open_watch(void)
{
	struct err err;

	ck_assert(!lists());
	ck_assert_int_eq(say("", &err), 0);
}

static void fall_silent(void)
{
	struct http_result result = {0};

	now += asked.want.silence;
	err_set(&result.err, ETIMEDOUT, "nothing heard for %u s", asked.want.silence);
	finish(&result);
}

static void refuse(int status)
{
	struct http_result result = {.status = status};

	err_set(&result.err, status, "the API server answers %d", status);
	finish(&result);
}

/* It has listed at version 100 and asks for a watch from there. */
static void begin(void)
{
	static const struct kube_credentials nobody = {.server = "https://api"};
	static const struct label_keys keys;
	static const struct watch_want want = {.resource = "nodes", .path = "/api/v1/nodes",
		.list_kind = "NodeList", .selector = "", .silence = SILENCE, .reduce = reduce,
		.reduce_arg = &keys};

	base = event_base_new();
	watch = watch_new(base, NULL, &nobody, &want, ignore, NULL);
	wait_asked();
	ck_assert(!asked.want.fresh);
	answer_list("100");
	ck_assert(watches_from("100") && !asked.want.fresh);
}

static void end(void)
{
	watch_free(watch);
	event_base_free(base);
	under_way = false;
}

/* ---------------------------------------------------------------- silence */

START_TEST(watch_that_is_never_opened_is_a_failure)
{
	begin();
	fall_silent();
	ck_assert_str_eq(watch_status(watch)->err.msg,
		"watch nodes from https://api: nothing heard for 30 s");
	ck_assert(!under_way); /* not at once */
	wait_asked();
	ck_assert(watches_from("100"));
	open_watch();
	ck_assert_int_eq(watch_status(watch)->err.code, 0);
	end();
}
END_TEST

START_TEST(watch_that_falls_silent_goes_on_at_once_on_another_connection)
{
	struct err err;

	begin();
	open_watch();
	ck_assert_int_eq(say(ADDED("a", "101"), &err), 0);
	fall_silent();
	ck_assert(under_way && watches_from("101") && asked.want.fresh);
	ck_assert_int_eq(watch_status(watch)->err.code, 0);
	open_watch();
	finish(&(struct http_result){.status = 200});
	wait_asked();
	ck_assert(watches_from("101") && !asked.want.fresh); /* it works */
	end();
}
END_TEST

START_TEST(failure_is_tried_again_on_another_connection_until_a_watch_is_open)
{
	begin();
	refuse(401);
	wait_asked();
	ck_assert(asked.want.fresh);
	refuse(410);
	wait_asked();
	ck_assert(lists() && asked.want.fresh);
	answer_list("102");
	ck_assert(watches_from("102") && asked.want.fresh);
	open_watch();
	finish(&(struct http_result){.status = 200});
	wait_asked();
	ck_assert(!asked.want.fresh);
	end();
}
END_TEST

/* As after the restore of an old etcd: the server has not come to that version yet. */
START_TEST(watches_that_say_nothing_for_two_minutes_end_in_a_list)
{
	begin();
	/* When nothing comes of it, it takes longer the next time. */
	for (unsigned patience = 120; patience <= 480; patience *= 2) {
		for (unsigned seconds = 0; seconds < patience; seconds += SILENCE) {
			ck_assert(watches_from("100"));
			open_watch();
			fall_silent();
			ck_assert(under_way);
		}
		answer_list("100");
	}
	end();
}
END_TEST

START_TEST(watches_that_say_nothing_and_are_ended_by_others_are_counted_too)
{
	begin();
	for (unsigned seconds = 0; seconds < 120; seconds += 40) {
		wait_asked();
		ck_assert(watches_from("100"));
		open_watch();
		now += 40;
		finish(&(struct http_result){.status = 200});
	}
	wait_asked();
	ck_assert(lists());
	end();
}
END_TEST

START_TEST(watch_that_has_said_something_and_those_before_it_are_not_counted)
{
	struct err err;

	begin();
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned seconds = SILENCE; seconds < 120; seconds += SILENCE) {
			open_watch();
			fall_silent();
			ck_assert(!lists());
		}
		open_watch();
		ck_assert_int_eq(say(ADDED("a", "101"), &err), 0);
		fall_silent();
		ck_assert(watches_from("101"));
	}
	end();
}
END_TEST

START_TEST(version_that_a_server_does_not_take_is_not_asked_for_again)
{
	begin();
	refuse(400);
	ck_assert_str_eq(watch_status(watch)->err.msg,
		"watch nodes from https://api: the API server answers 400");
	wait_asked();
	ck_assert(lists());
	answer_list("7");
	ck_assert(watches_from("7"));
	end();
}
END_TEST

START_TEST(other_refusals_leave_the_version_as_it_was)
{
	static const int refusals[] = {401, 403, 500};

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		begin();
		refuse(refusals[i]);
		wait_asked();
		ck_assert(watches_from("100"));
		end();
	}
}
END_TEST

/* ---------------------------------------------------------------- too many */

START_TEST(names_without_end_are_refused_and_known_ones_are_not)
{
	struct http_result result = {0};
	char text[200];
	int rc = 0;

	begin();
	open_watch();
	for (unsigned i = 0; rc == 0; i++) {
		ck_assert_uint_le(i, 100000);
		snprintf(text, sizeof(text), ADDED("n%06u", "%u"), i, 101 + i);
		rc = say(text, &result.err);
		if (i != 99999)
			continue;
		/* There is room for no other, and for a change of one that is there. */
		snprintf(text, sizeof(text),
			"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"n000000\",\"uid\":"
			"\"1\",\"resourceVersion\":\"%u\"}}}\n",
			101 + i);
		ck_assert_int_eq(say(text, &result.err), 0);
	}
	ck_assert_str_eq(result.err.msg, "more than 100000 objects");
	ck_assert_uint_eq(watch_set(watch)->n, 100000);
	finish(&result);
	wait_asked();
	ck_assert(lists());
	end();
}
END_TEST

UNIT(watch, watch_that_is_never_opened_is_a_failure,
	watch_that_falls_silent_goes_on_at_once_on_another_connection,
	failure_is_tried_again_on_another_connection_until_a_watch_is_open,
	watches_that_say_nothing_for_two_minutes_end_in_a_list,
	watches_that_say_nothing_and_are_ended_by_others_are_counted_too,
	watch_that_has_said_something_and_those_before_it_are_not_counted,
	version_that_a_server_does_not_take_is_not_asked_for_again,
	other_refusals_leave_the_version_as_it_was, names_without_end_are_refused_and_known_ones_are_not)
