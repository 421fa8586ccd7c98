// SPDX-License-Identifier: MIT
// The report of a teleport: samples, forms, and what is in the picture.
#include <cairo.h>
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

/* --- a report --- */

static struct report example(void)
{
	static const struct stats_sample samples[] = {
		{ 0, 0, 0 },
		{ 10 * NSEC_PER_MSEC, 0, 0 },
		{ 60 * NSEC_PER_MSEC, 50000000, 0 },
		{ 80 * NSEC_PER_MSEC, 70000000, 20 },
		{ 90 * NSEC_PER_MSEC, 70100000, 20 },
		{ 100 * NSEC_PER_MSEC, 70100000, 20 },
	};
	static const struct source_pass passes[] = {
		{ .start_ns = 10 * NSEC_PER_MSEC,
		  .duration_ns = 50 * NSEC_PER_MSEC,
		  .pages = 12207,
		  .bytes_wire = 50000000,
		  .dirty_pages = 4882 },
		{ .start_ns = 60 * NSEC_PER_MSEC,
		  .duration_ns = 20 * NSEC_PER_MSEC,
		  .pages = 4882,
		  .bytes_wire = 20000000,
		  .dirty_pages = 24,
		  .throttle = 20 },
		{ .start_ns = 82 * NSEC_PER_MSEC,
		  .duration_ns = 1 * NSEC_PER_MSEC,
		  .pages = 24,
		  .bytes_wire = 100000,
		  .throttle = 20 },
	};
	struct report r = {
		.guest = strdup("web"),
		.destination = strdup("tcp:host2:8002"),
		.status = strdup("completed"),
		.total_us = 100000,
		.setup_us = 10000,
		.stopped_us = 81000,
		.running_us = 95000,
		.downtime_us = 14000,
		.memory_bytes = 64 * MIB,
		.wire_bytes = 70100000,
		.payload_bytes = 70000000,
		.pages_sent = 17113,
		.pages_zero = 100,
		.samples = calloc(1, sizeof(samples)),
		.nr_samples = ARRAY_SIZE(samples),
		.passes = calloc(1, sizeof(passes)),
		.nr_passes = ARRAY_SIZE(passes),
		.first_pass = 1,
	};

	assert_non_null(r.samples);
	assert_non_null(r.passes);
	memcpy(r.samples, samples, sizeof(samples));
	memcpy(r.passes, passes, sizeof(passes));
	return r;
}

static void test_json(void **state)
{
	struct report r = example(), again = { 0 };
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
	struct report r = example(), again = { 0 };
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
		{ "r.svg", "<svg" },
	};
	char dir[] = "/tmp/ferry-report-XXXXXX", path[64];
	struct report r = example();
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
	(void)snprintf(path, sizeof(path), "%s/missing/r.svg", dir);
	assert_int_equal(report_check_name(path, &e), -ENOENT);
	assert_int_equal(report_write(&r, path, &e), -ENOENT);
	assert_int_equal(report_check_name("r.svg", &e), 0);
	assert_int_equal(rmdir(dir), 0); /* nothing is left */
	report_fini(&r);
}

/* --- numbers for people --- */

static void test_numbers(void **state)
{
	static const struct {
		void (*show)(char *buf, size_t len, uint64_t value);
		uint64_t value;
		const char *text;
	} cases[] = {
		{ report_show_bytes, 0, "0.00 KiB" },
		{ report_show_bytes, 1 << 20, "1.00 MiB" },
		{ report_show_bytes, 1000ULL << 20, "0.98 GiB" },
		{ report_show_bytes, 12345ULL << 20, "12.1 GiB" },
		{ report_show_bytes, UINT64_MAX, "16777216 TiB" },
		{ report_show_us, 999, "999 \xc2\xb5s" },
		{ report_show_us, 18400, "18.4 ms" },
		{ report_show_us, 999000, "999 ms" },
		{ report_show_us, 1234567, "1.23 s" },
		{ report_show_count, 0, "0" },
		{ report_show_count, 999, "999" },
		{ report_show_count, 1000, "1 000" },
		{ report_show_count, UINT64_MAX, "18 446 744 073 709 551 615" },
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cases[i].show(text, sizeof(text), cases[i].value);
		assert_string_equal(text, cases[i].text);
	}
	report_show_rate(text, sizeof(text), 4.56e9);
	assert_string_equal(text, "4.56 Gbit/s");
	report_show_rate(text, sizeof(text), 123e6);
	assert_string_equal(text, "123 Mbit/s");
}

static void test_ticks(void **state)
{
	double range = 1e-6;

	(void)state;
	for (unsigned i = 0; i < 180; i++) {
		double step = report_tick(range, 6);

		/* Neither too many, nor so few that one could not tell the scale. */
		assert_true(range / step <= 6.0001);
		assert_true(range / step > 2);
		range *= 1.37;
	}
	assert_true(report_tick(0, 6) > 0);
	assert_true(report_tick(-1, 6) > 0);
}

/* --- the picture --- */

#define RED    0xd55e00U
#define GREEN  0x009e73U
#define BLUE   0x0072b2U
#define ORANGE 0xe69f00U
#define PURPLE 0xcc79a7U

struct picture {
	cairo_surface_t *surface;
	unsigned char *pixels;
	int stride;
};

static struct picture draw(const struct report *r)
{
	struct picture p;
	cairo_t *cr;

	p.surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, REPORT_WIDTH, REPORT_HEIGHT);
	cr = cairo_create(p.surface);
	report_draw(r, cr);
	assert_int_equal(cairo_status(cr), CAIRO_STATUS_SUCCESS);
	cairo_destroy(cr);
	cairo_surface_flush(p.surface);
	p.pixels = cairo_image_surface_get_data(p.surface);
	p.stride = cairo_image_surface_get_stride(p.surface);
	return p;
}

static bool is_colour(const struct picture *p, int x, int y, uint32_t colour)
{
	uint32_t pixel;

	memcpy(&pixel, p->pixels + y * p->stride + 4 * x, sizeof(pixel));
	for (unsigned shift = 0; shift < 24; shift += 8) {
		int apart = (int)(pixel >> shift & 255) - (int)(colour >> shift & 255);

		if (abs(apart) > 2)
			return false;
	}
	return true;
}

/* Pixels of that colour among the rows. */
static unsigned count_pixels(const struct picture *p, int from, int to, uint32_t colour)
{
	unsigned nr = 0;

	for (int y = from; y < to; y++) {
		for (int x = 0; x < REPORT_WIDTH; x++)
			nr += is_colour(p, x, y, colour);
	}
	return nr;
}

/* Bars of that colour: runs of pixels on the lowest row of the lower left plot. */
static unsigned count_bars(const struct picture *p, uint32_t colour)
{
	unsigned nr = 0;

	for (int x = 93; x < 560; x++)
		nr += is_colour(p, x, 583, colour) && !is_colour(p, x - 1, 583, colour);
	return nr;
}

enum { LEGEND = 80, TOP = 120, BOTTOM = 420, END = REPORT_HEIGHT };

static void test_picture(void **state)
{
	struct report r = example();
	struct picture p = draw(&r);

	(void)state;
	assert_int_equal(count_bars(&p, BLUE), 3);
	assert_int_equal(count_bars(&p, ORANGE), 2); /* nothing is left by the last pass */
	/* Throughput as a line, throttle as another, on the upper plot only. */
	assert_in_range(count_pixels(&p, TOP, BOTTOM, BLUE), 100, 5000);
	assert_in_range(count_pixels(&p, TOP, BOTTOM, PURPLE), 10, 5000);
	assert_int_equal(count_pixels(&p, BOTTOM, END, PURPLE), 0);
	/* Pause and resumption in both, and in the legend. */
	assert_in_range(count_pixels(&p, LEGEND, TOP, RED), 10, 100);
	assert_in_range(count_pixels(&p, LEGEND, TOP, GREEN), 10, 100);
	assert_in_range(count_pixels(&p, TOP, BOTTOM, RED) + count_pixels(&p, TOP, BOTTOM, GREEN),
			150, 2000);
	assert_in_range(count_pixels(&p, BOTTOM, END, RED) + count_pixels(&p, BOTTOM, END, GREEN),
			100, 2000);
	cairo_surface_destroy(p.surface);
	report_fini(&r);
}

/* What did not come to its end has neither a pause nor a resumption, but its reason. */
static void test_picture_of_failure(void **state)
{
	struct report r = example();
	struct picture p;

	(void)state;
	free(r.status);
	r.status = strdup("failed");
	r.error = strdup("the peer is gone");
	r.stopped_us = r.running_us = r.downtime_us = 0;
	r.nr_passes = 1;
	p = draw(&r);
	assert_int_equal(count_pixels(&p, LEGEND, END, RED), 0);
	assert_int_equal(count_pixels(&p, LEGEND, END, GREEN), 0);
	cairo_surface_destroy(p.surface);
	/* It stood when it failed: it went on here. */
	r.stopped_us = 81000;
	p = draw(&r);
	assert_in_range(count_pixels(&p, TOP, END, RED), 50, 2000);
	assert_int_equal(count_pixels(&p, LEGEND, END, GREEN), 0);
	cairo_surface_destroy(p.surface);
	report_fini(&r);
}

/* Nothing at all, and far too much. */
static void test_extremes(void **state)
{
	static const uint64_t large = INT64_MAX / NSEC_PER_USEC;
	struct report r = example();
	struct picture p;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		r.total_us = i % 2 ? large : 0;
		r.running_us = i % 3 ? 1 : large;
		r.stopped_us = large / 2;
		r.wire_bytes = r.pages_sent = r.memory_bytes = UINT64_MAX;
		r.passes[0].dirty_pages = UINT64_MAX;
		r.samples[5].bytes = UINT64_MAX;
		r.nr_samples = i < 4 ? r.nr_samples : 0;
		r.nr_passes = i < 5 ? r.nr_passes : 0;
		p = draw(&r);
		cairo_surface_destroy(p.surface);
	}
	report_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thinning),
		cmocka_unit_test(test_sampler),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_bad_json),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_ticks),
		cmocka_unit_test(test_picture),
		cmocka_unit_test(test_picture_of_failure),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
