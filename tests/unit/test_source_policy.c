// SPDX-License-Identifier: MIT
// When a live teleport stops making passes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migration/ram.h"
#include "migration/source_policy.h"
#include "util/clock.h"
#include "util/compiler.h"

#define MS            NSEC_PER_MSEC
#define PAGES_PER_MIB (MIB / RAM_PAGE_BYTES)

/* A pass that sent @sent_mib in @ms, at 1 ms a MiB if both are the same, and left @left_mib. */
static struct policy_pass pass(uint64_t ms, uint64_t sent_mib, uint64_t left_mib)
{
	return (struct policy_pass){
		.elapsed_ns = ms * MS,
		.duration_ns = ms * MS,
		.pages_sent = sent_mib * PAGES_PER_MIB,
		.payload_bytes = sent_mib * MIB,
		.pages_left = left_mib * PAGES_PER_MIB,
	};
}

static enum policy_verdict decide(struct policy *p, struct policy_pass last, uint64_t *downtime_ms)
{
	uint64_t ns = 0;
	enum policy_verdict verdict = policy_decide(p, &last, &ns);

	*downtime_ms = ns / MS;
	return verdict;
}

static void test_rest_is_small_enough(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 100 * MS, .fixed_ns = 10 * MS };
	struct policy p;
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	assert_int_equal(decide(&p, pass(500, 500, 91), &ms), POLICY_PASS);
	assert_int_equal(ms, 101);
	assert_int_equal(decide(&p, pass(91, 91, 90), &ms), POLICY_SWITCH);
	assert_int_equal(ms, 100);
}

/* The limit is kept after the first pass; each one more leaves half as much. */
static void test_goes_on_while_it_helps(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 100 * MS, .fixed_ns = 10 * MS };
	struct policy p;
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	assert_int_equal(decide(&p, pass(100, 100, 50), &ms), POLICY_EXTRA_PASS);
	assert_int_equal(decide(&p, pass(50, 50, 25), &ms), POLICY_EXTRA_PASS);
	assert_int_equal(decide(&p, pass(25, 25, 20), &ms), POLICY_SWITCH);
	assert_int_equal(ms, 30);
}

/* Nor for ever, nor for nothing, nor beyond the time that it may take. */
static void test_goes_on_within_reason(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 100 * MS,
					      .switch_after_ns = 1000 * MS };
	struct policy_pass little = pass(100, 100, 0);
	struct policy p;
	unsigned passes = 0;
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	while (decide(&p, pass(100, 100, 50), &ms) == POLICY_EXTRA_PASS)
		assert_true(++passes < 100);
	assert_true(passes > 1);
	policy_init(&p, &params);
	assert_int_equal(decide(&p, pass(100, 100, 1), &ms), POLICY_EXTRA_PASS);
	little.pages_left = PAGES_PER_MIB / 4;
	assert_int_equal(decide(&p, little, &ms), POLICY_SWITCH);
	policy_init(&p, &params);
	assert_int_equal(decide(&p, pass(1000, 1000, 50), &ms), POLICY_SWITCH);
}

/* A slow pass counts at once, a fast one by half. */
static void test_speed(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 1 * MS };
	struct policy p;
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	(void)decide(&p, pass(400, 100, 100), &ms);
	assert_int_equal(ms, 400);
	(void)decide(&p, pass(100, 100, 100), &ms);
	assert_int_equal(ms, 250);
	(void)decide(&p, pass(100, 100, 100), &ms);
	assert_int_equal(ms, 175);
}

/* A pass of next to nothing, or of zeroes alone, says nothing about speed. */
static void test_small_passes_do_not_count(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 1 * MS };
	struct policy p;
	struct policy_pass tiny = { .duration_ns = 5000 * MS,
				    .pages_sent = 100000,
				    .payload_bytes = MIB - 1,
				    .pages_left = 10 * PAGES_PER_MIB };
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	(void)decide(&p, tiny, &ms);
	assert_int_equal(ms, 10);
}

/* No pass makes messages and state quicker: they count as half of the limit at most. */
static void test_long_way(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 100 * MS, .fixed_ns = 800 * MS };
	struct policy p;
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	assert_int_equal(decide(&p, pass(100, 100, 51), &ms), POLICY_PASS);
	assert_int_equal(ms, 851);
	assert_int_equal(decide(&p, pass(51, 51, 50), &ms), POLICY_SWITCH);
	assert_int_equal(ms, 850);
	policy_set_fixed(&p, 8 * MS);
	(void)decide(&p, pass(50, 50, 0), &ms);
	assert_int_equal(ms, 8);
}

static void test_switch_after_a_time(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 1 * MS,
					      .switch_after_ns = 1000 * MS };
	struct policy p;
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	assert_int_equal(decide(&p, pass(999, 100, 100), &ms), POLICY_PASS);
	assert_int_equal(decide(&p, pass(1000, 100, 100), &ms), POLICY_SWITCH);
}

static void test_converge_in_steps(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 1 * MS, .auto_converge = true };
	struct policy p;
	unsigned expected[] = { 0, 20, 20, 30, 30, 40 };
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
		(void)decide(&p, pass(100, 100, 60), &ms);
		assert_int_equal(p.throttle, expected[i]);
	}
	for (unsigned i = 0; i < 100; i++)
		(void)decide(&p, pass(100, 100, 60), &ms);
	assert_int_equal(p.throttle, POLICY_THROTTLE_MAX);
}

/* Passes that help: no rest, and the count starts again. */
static void test_no_rest_where_passes_help(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 1 * MS, .auto_converge = true };
	struct policy p;
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	for (unsigned i = 0; i < 20; i++)
		(void)decide(&p, pass(100, 100, i % 2 ? 60 : 50), &ms);
	assert_int_equal(p.throttle, 0);
}

static void test_no_rest_unasked(void **state)
{
	const struct policy_params params = { .max_downtime_ns = 1 * MS };
	struct policy p;
	uint64_t ms;

	(void)state;
	policy_init(&p, &params);
	for (unsigned i = 0; i < 20; i++)
		(void)decide(&p, pass(100, 100, 100), &ms);
	assert_int_equal(p.throttle, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rest_is_small_enough),
		cmocka_unit_test(test_goes_on_while_it_helps),
		cmocka_unit_test(test_goes_on_within_reason),
		cmocka_unit_test(test_speed),
		cmocka_unit_test(test_small_passes_do_not_count),
		cmocka_unit_test(test_long_way),
		cmocka_unit_test(test_switch_after_a_time),
		cmocka_unit_test(test_converge_in_steps),
		cmocka_unit_test(test_no_rest_where_passes_help),
		cmocka_unit_test(test_no_rest_unasked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
