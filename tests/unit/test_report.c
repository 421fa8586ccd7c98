// SPDX-License-Identifier: MIT
// The report of a teleport: samples, and its forms.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "migration/report_impl.h"
#include "migration/stats_impl.h"
#include "tests/unit/report_example.h"
#include "util/clock.h"
#include "util/io.h"

/* --- samples --- */

static void check_samples(const struct stats_sample *s, unsigned nr, uint64_t total)
{
	uint64_t distance = s[1].at_ns - s[0].at_ns;
	uint64_t tail = MIN(total, (uint64_t)STATS_MAX_FINE);

	assert_int_equal(s[0].at_ns, 0);
	assert_int_equal(s[nr - 1].at_ns, total - 1);
	for (unsigned i = 1; i < nr; i++) {
		uint64_t step = s[i].at_ns - s[i - 1].at_ns;

		assert_in_range(step, 1, distance);
		if (i > nr - tail)
			assert_int_equal(step, 1);
		assert_int_equal(s[i].bytes, 3 * s[i].at_ns);
	}
}

/* However many there are: the first, the last, even distances, and a fine end. */
static void test_thinning(void **state)
{
	static const uint64_t totals[] = { 2, 511, 512, 513, 1024, 1025, 5000, 123456, 2000000 };
	struct stats_buffer *b = test_malloc(sizeof(*b));
	struct stats_sample *s = test_calloc(STATS_MAX, sizeof(*s));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(totals); i++) {
		unsigned nr;

		memset(b, 0, sizeof(*b));
		for (uint64_t at = 0; at < totals[i]; at++)
			stats_buffer_add(b, &(struct stats_sample){ .at_ns = at, .bytes = 3 * at });
		nr = stats_buffer_get(b, s);
		assert_in_range(nr, MIN(totals[i], (uint64_t)STATS_MAX_FINE), STATS_MAX);
		check_samples(s, nr, totals[i]);
	}
	test_free(s);
	test_free(b);
}

static void read_sample(void *opaque, struct stats_sample *ret)
{
	unsigned *calls = opaque;

	*ret = (struct stats_sample){ .at_ns = ++*calls };
}

static void test_sampler(void **state)
{
	struct stats_sample s[STATS_MAX];
	struct stats *stats = NULL;
	unsigned calls = 0, before;
	struct err e;

	(void)state;
	assert_int_equal(stats_start(&stats, read_sample, &calls, &e), 0);
	while (stats_get(stats, s) < 3)
		;
	stats_stop(stats);
	before = calls;
	assert_int_equal(stats_get(stats, s), before);
	assert_int_equal(s[before - 1].at_ns, before); /* the last one, when it was stopped */
	stats_free(stats);
	stats_free(NULL);
}

static void test_json(void **state)
{
	struct report r = report_example(), again = { 0 };
	json_t *doc = report_to_json(&r), *second;
	struct err e;

	(void)state;
	assert_non_null(doc);
	assert_int_equal(report_from_json(&again, doc, &e), 0);
	assert_string_equal(again.guest, "web");
	assert_null(again.error);
	assert_int_equal(again.downtime_us, 14000);
	assert_int_equal(again.nr_samples, r.nr_samples);
	assert_memory_equal(again.samples, r.samples, r.nr_samples * sizeof(*r.samples));
	assert_int_equal(again.nr_passes, 3);
	assert_int_equal(again.passes[1].dirty_pages, 24);
	second = report_to_json(&again);
	assert_true(json_equal(doc, second));
	json_decref(second);
	json_decref(doc);
	report_fini(&again);
	assert_null(again.samples);
	report_fini(&r);
}

/* Whoever answers need not be ferry. */
static void test_bad_json(void **state)
{
	static const struct {
		const char *key, *value;
	} cases[] = {
		{ "guest", "1" },
		{ "guest", "null" },
		{ "error", "[]" },
		{ "summary", "null" },
		{ "summary", "{\"total-us\": 1}" },
		{ "first-pass", "0" },
		{ "first-pass", "5000000000" },
		{ "samples", "[[0, 0]]" },
		{ "samples", "[[-1, 0, 0]]" },
		{ "samples", "[[9223372036854775807, 0, 0]]" },
		{ "samples", "[[5, 0, 0], [4, 0, 0]]" },
		{ "samples", "[[5, 7, 0], [6, 6, 0]]" },
		{ "samples", "[5]" },
		{ "passes", "[[0, 0, 0, 0, 0]]" },
		{ "passes", "[[0, 0, 0, 0, 0, \"x\"]]" },
		{ "passes", "[[0, 9223372036854775807, 0, 0, 0, 0]]" },
	};
	struct report r = report_example(), again = { 0 };
	json_t *good = report_to_json(&r);
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *doc = json_copy(good);
		json_t *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);

		assert_int_equal(json_object_set_new(doc, cases[i].key, value), 0);
		assert_int_equal(report_from_json(&again, doc, &e), -EPROTO);
		assert_null(again.samples);
		json_decref(doc);
	}
	json_decref(good);
	report_fini(&r);
}

/* --- files --- */

static char *read_file(const char *path)
{
	char *text = test_calloc(1, 1 << 20);
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_in_range(fread(text, 1, (1 << 20) - 1, file), 1, (1 << 20) - 2);
	(void)fclose(file);
	return text;
}

static void test_files(void **state)
{
	static const struct {
		const char *name, *text;
	} cases[] = {
		{ "r.csv", "record,time_us,duration_us,wire_bytes,bits_per_s,pages,left_pages,"
			   "throttle_percent\n"
			   "setup,10000,,,,,,\nstopped,81000,,,,,,\nrunning,95000,,,,,,\n"
			   "end,100000,,,,,,\n"
			   "pass,10000,50000,50000000,8000000000,12207,4882,0\n"
			   "pass,60000,20000,20000000,8000000000,4882,24,20\n"
			   "pass,82000,1000,100000,800000000,24,0,20\n"
			   "sample,0,0,0,0,,,0\nsample,10000,10000,0,0,,,0\n"
			   "sample,60000,50000,50000000,8000000000,,,0\n" },
		{ "r.json", "\"samples\":[[0,0,0],[10000,0,0],[60000,50000000,0]," },
	};
	char dir[] = "/tmp/ferry-report-XXXXXX", path[64];
	struct report r = report_example();
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text;

		(void)snprintf(path, sizeof(path), "%s/%s", dir, cases[i].name);
		assert_int_equal(report_check_name(path, &e), 0);
		for (int twice = 0; twice < 2; twice++) /* the second replaces the first */
			assert_int_equal(report_write(&r, path, &e), 0);
		text = read_file(path);
		assert_non_null(strstr(text, cases[i].text));
		test_free(text);
		assert_int_equal(unlink(path), 0);
	}
	(void)snprintf(path, sizeof(path), "%s/r.png", dir);
	assert_int_equal(report_check_name(path, &e), -EINVAL);
	assert_non_null(strstr(e.text, ".svg, .json or .csv"));
	assert_int_equal(report_write(&r, path, &e), -EINVAL);
	(void)snprintf(path, sizeof(path), "%s/missing/r.csv", dir);
	assert_int_equal(report_check_name(path, &e), -ENOENT);
	assert_int_equal(report_write(&r, path, &e), -ENOENT);
	assert_int_equal(report_check_name("r.csv", &e), 0);
	/* It is drawn by a program beside this one: here is none. */
	(void)snprintf(path, sizeof(path), "%s/r.svg", dir);
	assert_int_equal(report_check_name(path, &e), -ENOENT);
	assert_non_null(strstr(e.text, "ferry-plot is not installed"));
	assert_int_equal(report_write(&r, path, &e), -ENOENT);
	assert_non_null(strstr(e.text, "r.svg: ferry-plot is not installed"));
	assert_int_equal(rmdir(dir), 0); /* nothing is left */
	report_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thinning), cmocka_unit_test(test_sampler),
		cmocka_unit_test(test_json),     cmocka_unit_test(test_bad_json),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
