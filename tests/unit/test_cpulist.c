// SPDX-License-Identifier: MIT
// Lists of CPUs.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "util/cpulist.h"

static void test_lists(void **state)
{
	static const char *const cases[][2] = {
		{ "0", "0" },         { "0-3,5,^1", "0,2-3,5" },
		{ "^1,0-2", "0,2" },  { "5,1,0", "0-1,5" },
		{ "7-7", "7" },       { "all", "0-1023" },
		{ "0-1,0-1", "0-1" }, { "1,^9", "1" },
	};
	char text[64];
	cpu_set_t set;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(cpulist_parse(cases[i][0], &set, NULL), 0);
		cpulist_format(&set, text, sizeof(text));
		assert_string_equal(text, cases[i][1]);
	}
}

static void test_what_is_none(void **state)
{
	static const char *const cases[] = {
		"",    ",",    "1,", "-1",  "3-1", "1024", "0-99999999999999999999",
		"^1",  "0,^0", "a",  "1 2", " 1",  "1-",   "All",
		"0x1", "1,,2",
	};
	cpu_set_t set;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(cpulist_parse(cases[i], &set, &e), -EINVAL);
}

static void test_cut(void **state)
{
	char text[6];
	cpu_set_t set;

	(void)state;
	assert_int_equal(cpulist_parse("10,12,14", &set, NULL), 0);
	cpulist_format(&set, text, sizeof(text));
	assert_string_equal(text, "10,12");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_what_is_none),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
