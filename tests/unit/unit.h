/* SPDX-License-Identifier: GPL-2.0-or-later */
/* unit -- the frame of a test program: a suite, run in the order it is written in.
 *
 *	UNIT(err, err_set_returns_minus_one, err_wrap_reads_from_outside_in)
 *
 * at the end of check_err.c is its main().  Each test runs in a process of its own,
 * so that a crash fails that test only; CK_FORK=no keeps them in one for gdb, and
 * CK_RUN_CASE and CK_VERBOSITY=verbose do what libcheck's manual says. */
#ifndef ROOST_TESTS_UNIT_H
#define ROOST_TESTS_UNIT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define UNIT_SECONDS 60 /* for one test: only what hangs takes that long */

#define UNIT(module, ...)                                                                          \
	int main(void)                                                                             \
	{                                                                                          \
		const TTest *const tests[] = {__VA_ARGS__};                                        \
                                                                                                   \
		return unit_run(#module, tests, ARRAY_LEN(tests));                                 \
	}

/* mkdtemp(3) that takes a used template too: without a fork every test comes along. */
static inline void unit_make_dir(char *template)
{
	memcpy(template + strlen(template) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(template));
}

static inline int unit_run(const char *module, const TTest *const *tests, size_t n)
{
	Suite *suite = suite_create(module);
	TCase *tcase = tcase_create(module);
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, UNIT_SECONDS);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
