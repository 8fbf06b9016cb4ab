/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics: the older text format, and the plugin's counters behind some of it.  What
 * Prometheus thinks of the whole is seen in tests/lab. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/metrics.h"
#include "base/file.h"
#include "cni/counters.h"
#include "unit.h"

START_TEST(text_format_names_families_as_their_samples)
{
	static const char open_metrics[] = "# TYPE roost_build info\n"
					   "# HELP roost_build What is running.\n"
					   "roost_build_info{version=\"1\"} 1\n"
					   "# TYPE roost_loads counter\n"
					   "# HELP roost_loads Reads of it.\n"
					   "roost_loads_total 3\n"
					   "# TYPE roost_up gauge\n"
					   "# HELP roost_up 1 when it is # up.\n"
					   "roost_up 1\n"
					   "# EOF\n";
	struct buf in = {0}, out = {0};

	buf_puts(&in, open_metrics);
	metrics_as_text(&in, &out);
	ck_assert_str_eq(buf_text(&out), "# TYPE roost_build_info gauge\n"
					 "# HELP roost_build_info What is running.\n"
					 "roost_build_info{version=\"1\"} 1\n"
					 "# TYPE roost_loads_total counter\n"
					 "# HELP roost_loads_total Reads of it.\n"
					 "roost_loads_total 3\n"
					 "# TYPE roost_up gauge\n"
					 "# HELP roost_up 1 when it is # up.\n"
					 "roost_up 1\n");
	buf_free(&in);
	buf_free(&out);
}
END_TEST

static struct counters counted(const char *dir)
{
	struct counters counters;
	struct err err;

	ck_assert_msg(counters_read(dir, &counters, &err) == 0, "%s", err.msg);
	return counters;
}

START_TEST(calls_that_count_at_the_same_time_lose_nothing)
{
	char dir[] = "/tmp/roost-counters-XXXXXX";
	struct counters counters;
	struct err err;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_uint_eq(counted(dir).of[COUNTED_ADD].failed, 0);
	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			for (int j = 0; j < 100; j++) {
				counters_note(dir, COUNTED_ADD, false, 7000000);
				counters_note(dir, COUNTED_DEL, true, 1);
			}
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	counters = counted(dir);
	ck_assert_uint_eq(counters.of[COUNTED_ADD].buckets[1], 400); /* above 5 ms, up to 10 */
	ck_assert_uint_eq(counters.of[COUNTED_ADD].ns, 400u * 7000000u);
	ck_assert_uint_eq(counters.of[COUNTED_DEL].failed, 400);
	counters_note(dir, COUNTED_ADD, false, 60000000000u);
	ck_assert_uint_eq(counted(dir).of[COUNTED_ADD].buckets[COUNTERS_BUCKETS], 1);
	file_remove_tree(dir, &err);
}
END_TEST

START_TEST(file_that_is_no_counters_is_left_alone)
{
	char dir[] = "/tmp/roost-counters-XXXXXX", path[64];
	struct counters counters;
	struct stat st;
	struct err err;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/.counters", dir);
	ck_assert_int_eq(file_create(path, "abc", 3, 0644, &err), 0);
	counters_note(dir, COUNTED_ADD, false, 1);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 3);
	ck_assert_int_eq(counters_read(dir, &counters, &err), -1);
	ck_assert_uint_eq(counters.of[COUNTED_ADD].ns, 0);
	counters_note("/nonexistent", COUNTED_ADD, false, 1); /* and no harm done */
	file_remove_tree(dir, &err);
}
END_TEST

UNIT(metrics, text_format_names_families_as_their_samples,
	calls_that_count_at_the_same_time_lose_nothing, file_that_is_no_counters_is_left_alone)
