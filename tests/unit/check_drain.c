/* SPDX-License-Identifier: GPL-2.0-or-later */
/* drain: what is remembered, and when a reflector may stop to reflect. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/drain.h"
#include "base/file.h"
#include "model/decode.h"
#include "unit.h"

static struct drain_status read_back(const char *text)
{
	char path[] = "/tmp/roost-drain-XXXXXX";
	struct drain_status status;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	status = drain_read(path);
	unlink(path);
	return status;
}

START_TEST(file_tells_the_state_and_since_when)
{
	struct drain_status status = read_back("drained 1970-01-01T00:16:40Z\n");

	ck_assert_int_eq(status.state, DRAIN_DRAINED);
	ck_assert_int_eq(status.since, 1000);
	ck_assert_int_eq(read_back("leaving 1970-01-01T00:16:40Z\n").state, DRAIN_LEAVING);
	ck_assert_int_eq(drain_read(NULL).state, DRAIN_OFF);
	ck_assert_int_eq(drain_read("/nonexistent/drain").state, DRAIN_OFF);
}
END_TEST

START_TEST(file_that_cannot_be_read_still_means_drain)
{
	static const char *const damaged[] = {"", "x", "drained", "\xff\xfe zz"};

	for (size_t i = 0; i < ARRAY_LEN(damaged); i++)
		ck_assert_int_eq(read_back(damaged[i]).state, DRAIN_LEAVING);
	ck_assert_int_eq(drain_read("/tmp").state, DRAIN_LEAVING);
}
END_TEST

#define REFLECTED                                                                                  \
	"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16], topology: reflector}\n"  \
	"nodes:\n"                                                                                 \
	"- {name: c1, addresses: [10.0.0.1], podCIDRs: [10.244.1.0/24]}\n"                         \
	"- {name: c2, addresses: [10.0.0.2], podCIDRs: [10.244.2.0/24]}\n"                         \
	"- {name: r1, addresses: [10.0.0.3], podCIDRs: [10.244.3.0/24], reflector: true}\n"        \
	"- {name: r2, addresses: [10.0.0.4], podCIDRs: [10.244.4.0/24], reflector: true}\n"

struct row {
	const char *prefix, *session;
};

static struct bird_route *routes(const struct row *rows, size_t n, struct arena *arena)
{
	struct bird_route *list = arena_alloc(arena, n * sizeof(*list) + 1);

	for (size_t i = 0; i < n; i++) {
		ck_assert(prefix_parse(rows[i].prefix, &list[i].prefix));
		list[i].protocol = rows[i].session;
	}
	return list;
}

/* r1 is drained; c1 is up and c2 is not; `stays` is what it hears of routes that stay. */
static void assert_replaced(const struct row *stays, size_t n, const char *waits)
{
	static const struct row all[] = {{"10.244.1.0/24", "c1:v4"}, {"10.244.4.0/24", "r2:v4"},
		{"10.244.1.0/24", "r2:v4"}, {"10.244.3.0/24", "pods4"}};
	_cleanup_arena_ struct arena arena = {0};
	struct bird_state bird = {.routes = routes(all, ARRAY_LEN(all), &arena),
		.n_routes = ARRAY_LEN(all), .marked = routes(stays, n, &arena), .n_marked = n};
	struct cluster *cluster;
	struct err err = {0};

	ck_assert_int_eq(decode_cluster("f", REFLECTED, strlen(REFLECTED), &arena, &cluster, &err), 0);
	ck_assert_int_eq(drain_is_replaced(cluster, cluster_find_node(cluster, "r1"), &bird, &err),
		waits ? -1 : 0);
	if (waits)
		ck_assert_msg(strstr(err.msg, waits) != NULL, "%s", err.msg);
}

START_TEST(reflector_may_go_when_another_one_passes_everything_on)
{
	static const struct row good[] = {
		{"10.244.4.0/24", "r2:v4"}, {"10.244.1.0/24", "c1:v4"}, {"10.244.1.0/24", "r2:v4"}};

	assert_replaced(good, 3, NULL);
	/* c1 itself is no reflector, and what r2 reflects will go as well. */
	assert_replaced(good, 2, "passes on c1's 10.244.1.0/24");
	assert_replaced(good + 1, 2, "passes on r2's 10.244.4.0/24");
}
END_TEST

UNIT(drain, file_tells_the_state_and_since_when, file_that_cannot_be_read_still_means_drain,
	reflector_may_go_when_another_one_passes_everything_on)
