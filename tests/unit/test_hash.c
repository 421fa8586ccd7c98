// SPDX-License-Identifier: MIT
// FNV-1a: the published values, since addresses on networks depend on them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "util/compiler.h"
#include "util/hash.h"

/* draft-eastlake-fnv, appendix C. */
static void test_published(void **state)
{
	static const struct {
		const char *text;
		uint64_t hash;
	} cases[] = {
		{ "", 0xcbf29ce484222325 },
		{ "a", 0xaf63dc4c8601ec8c },
		{ "b", 0xaf63df4c8601f1a5 },
		{ "foobar", 0x85944171f73967e8 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(fnv1a_text(cases[i].text) == cases[i].hash);
		assert_true(fnv1a_add(FNV1A_START, cases[i].text, strlen(cases[i].text)) ==
			    cases[i].hash);
	}
}

static void test_goes_on(void **state)
{
	(void)state;
	assert_true(fnv1a_add(fnv1a_text("foo"), "bar", 3) == fnv1a_text("foobar"));
	assert_true(fnv1a_add(FNV1A_START, "\0", 1) != FNV1A_START);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_goes_on),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
