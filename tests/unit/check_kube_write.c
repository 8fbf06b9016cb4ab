/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kube/write: what the API server is told.  That it is told, and when, is for the lab. */
#include "kube/write.h"
#include "unit.h"

/* The text at "status.conditions.0.type"; a number is an array's index. */
static const char *at(json_t *json, const char *path)
{
	char part[40];

	for (; json && *path; path += strspn(path, ".")) {
		size_t len = strcspn(path, ".");

		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		json = json_is_array(json) ? json_array_get(json, (size_t)atoi(part)) :
					     json_object_get(json, part);
		path += len;
	}
	return json_string_value(json);
}

START_TEST(condition_says_that_there_is_a_network)
{
	json_t *json = write_condition(1795465200);

	ck_assert_str_eq(at(json, "status.conditions.0.type"), "NetworkUnavailable");
	ck_assert_str_eq(at(json, "status.conditions.0.status"), "False");
	ck_assert_str_eq(at(json, "status.conditions.0.lastTransitionTime"), "2026-11-23T20:20:00Z");
	/* Nothing else of the Node is touched. */
	ck_assert_uint_eq(json_object_size(json), 1);
	ck_assert_uint_eq(json_object_size(json_object_get(json, "status")), 1);
	json_decref(json);
}
END_TEST

START_TEST(event_is_of_the_node_and_says_why)
{
	json_t *json = write_event("node3", "it has no InternalIP", "node1", 1795465200);

	ck_assert_str_eq(at(json, "kind"), "Event");
	ck_assert_str_eq(at(json, "metadata.namespace"), "default");
	ck_assert_str_eq(at(json, "involvedObject.kind"), "Node");
	ck_assert_str_eq(at(json, "involvedObject.name"), "node3");
	ck_assert_str_eq(at(json, "message"), "Roost leaves this Node out: it has no InternalIP");
	ck_assert_str_eq(at(json, "source.host"), "node1");
	ck_assert_str_eq(at(json, "firstTimestamp"), "2026-11-23T20:20:00Z");
	json_decref(json);
}
END_TEST

START_TEST(event_of_the_same_has_the_same_name_whoever_tells_it)
{
	json_t *one = write_event("node3", "why", "node1", 1), *other = write_event("node3", "why", "node2", 2);
	json_t *more = write_event("node3", "why not", "node1", 1), *next = write_event("node3w", "hy", "node1", 1);

	ck_assert_str_eq(at(one, "metadata.name"), at(other, "metadata.name"));
	ck_assert_str_ne(at(one, "metadata.name"), at(more, "metadata.name"));
	ck_assert_str_ne(at(one, "metadata.name"), at(next, "metadata.name"));
	ck_assert_uint_eq(strlen(at(one, "metadata.name")), strlen("roost.0123456789abcdef"));
	json_decref(one);
	json_decref(other);
	json_decref(more);
	json_decref(next);
}
END_TEST

UNIT(kube_write, condition_says_that_there_is_a_network, event_is_of_the_node_and_says_why,
	event_of_the_same_has_the_same_name_whoever_tells_it)
