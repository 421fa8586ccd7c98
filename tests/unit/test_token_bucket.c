// SPDX-License-Identifier: MIT
// Rate limits: burst, debt, the long-term rate, huge amounts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "util/clock.h"
#include "util/token_bucket.h"

#define START_NS (1000 * NSEC_PER_SEC)

static void test_no_limit(void **state)
{
	struct token_bucket tb;

	(void)state;
	token_bucket_init(&tb, 0, 0);
	token_bucket_charge(&tb, UINT64_MAX, START_NS);
	assert_int_equal(token_bucket_delay_ns(&tb, START_NS), 0);
}

/* 1000 a second and a tenth of a second's burst: 100 at once, then one a millisecond. */
static void test_burst_then_rate(void **state)
{
	struct token_bucket tb;
	uint64_t now = START_NS;
	unsigned n = 0;

	(void)state;
	token_bucket_init(&tb, 1000, NSEC_PER_SEC / 10);
	while (token_bucket_delay_ns(&tb, now) == 0 && n < 1000) {
		token_bucket_charge(&tb, 1, now);
		n++;
	}
	assert_int_equal(n, 100);
	for (n = 0; now < START_NS + NSEC_PER_SEC; n++) {
		now += token_bucket_delay_ns(&tb, now);
		assert_int_equal(token_bucket_delay_ns(&tb, now), 0);
		token_bucket_charge(&tb, 1, now);
	}
	assert_in_range(n, 999, 1001);
}

/* Unused allowance gathers up to the burst, not beyond. */
static void test_idle_time_is_capped(void **state)
{
	struct token_bucket tb;
	uint64_t now = START_NS + 3600 * NSEC_PER_SEC;
	unsigned n = 0;

	(void)state;
	token_bucket_init(&tb, 1000, NSEC_PER_SEC / 10);
	for (; token_bucket_delay_ns(&tb, now) == 0; n++)
		token_bucket_charge(&tb, 1, now);
	assert_int_equal(n, 100);
}

/* More than the bucket holds passes, and is paid for afterwards. */
static void test_debt(void **state)
{
	struct token_bucket tb;

	(void)state;
	token_bucket_init(&tb, MIB, NSEC_PER_SEC / 10);
	assert_int_equal(token_bucket_delay_ns(&tb, START_NS), 0);
	token_bucket_charge(&tb, 10 * MIB, START_NS);
	assert_in_range(token_bucket_delay_ns(&tb, START_NS), 9899 * NSEC_PER_MSEC,
			9901 * NSEC_PER_MSEC);
	assert_int_equal(token_bucket_delay_ns(&tb, START_NS + 10 * NSEC_PER_SEC), 0);
}

static void test_large_amounts_do_not_wrap(void **state)
{
	struct token_bucket tb;

	(void)state;
	token_bucket_init(&tb, GIB, NSEC_PER_SEC);
	token_bucket_charge(&tb, 64 * GIB, START_NS);
	assert_in_range(token_bucket_delay_ns(&tb, START_NS), 63 * NSEC_PER_SEC,
			63 * NSEC_PER_SEC + 1);
}

/* Saved state says what is missing, and another clock takes it from there. */
static void test_moves(void **state)
{
	const uint64_t there_ns = 7 * START_NS;
	struct token_bucket src, dst, free_of_limits;

	(void)state;
	token_bucket_init(&src, 1000, NSEC_PER_SEC);
	token_bucket_init(&dst, 1000, NSEC_PER_SEC);
	assert_int_equal(token_bucket_missing(&src, START_NS), 0);
	token_bucket_charge(&src, 3000, START_NS);
	assert_int_equal(token_bucket_missing(&src, START_NS), 3000);
	assert_int_equal(token_bucket_missing(&src, START_NS + NSEC_PER_SEC), 2000);
	token_bucket_set_missing(&dst, 2000, there_ns);
	assert_int_equal(token_bucket_missing(&dst, there_ns), 2000);
	assert_in_range(token_bucket_delay_ns(&dst, there_ns), NSEC_PER_SEC, NSEC_PER_SEC + 1);
	/* Nonsense costs an hour at most. */
	token_bucket_set_missing(&dst, UINT64_MAX, there_ns);
	assert_int_equal(token_bucket_delay_ns(&dst, there_ns + 3600 * NSEC_PER_SEC), 0);
	token_bucket_init(&free_of_limits, 0, NSEC_PER_SEC);
	token_bucket_set_missing(&free_of_limits, 5, there_ns);
	assert_int_equal(token_bucket_missing(&free_of_limits, there_ns), 0);
}

/* Another rate: a debt is as many tokens as before, and is paid at the new rate. */
static void test_changes_its_rate(void **state)
{
	struct token_bucket tb;

	(void)state;
	token_bucket_init(&tb, 1000, NSEC_PER_SEC);
	token_bucket_charge(&tb, 5000, START_NS);
	token_bucket_set_rate(&tb, 4000, START_NS);
	assert_int_equal(token_bucket_missing(&tb, START_NS), 5000);
	assert_in_range(token_bucket_delay_ns(&tb, START_NS), 250 * NSEC_PER_MSEC,
			250 * NSEC_PER_MSEC + 1);
	/* Without a limit there is no debt, and none is left for the next limit. */
	token_bucket_set_rate(&tb, 0, START_NS);
	assert_int_equal(token_bucket_delay_ns(&tb, START_NS), 0);
	token_bucket_set_rate(&tb, 1, START_NS);
	assert_int_equal(token_bucket_delay_ns(&tb, START_NS), 0);
	assert_int_equal(token_bucket_missing(&tb, START_NS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_burst_then_rate),
		cmocka_unit_test(test_idle_time_is_capped),
		cmocka_unit_test(test_debt),
		cmocka_unit_test(test_large_amounts_do_not_wrap),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_changes_its_rate),
	};

	return cmocka_run_group_tests_name("token_bucket", tests, NULL, NULL);
}
