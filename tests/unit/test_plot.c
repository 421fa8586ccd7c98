// SPDX-License-Identifier: MIT
// ferry-plot: what is in its pictures, and documents that it cannot draw.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plot/draw.h"
#include "plot/plot.h"
#include "tests/unit/report_example.h"
#include "util/clock.h"

/* --- numbers for people --- */

static void test_numbers(void **state)
{
	static const struct {
		void (*show)(char *buf, size_t len, uint64_t value);
		uint64_t value;
		const char *text;
	} cases[] = {
		{ plot_show_bytes, 0, "0.00 KiB" },
		{ plot_show_bytes, 1 << 20, "1.00 MiB" },
		{ plot_show_bytes, 1000ULL << 20, "0.98 GiB" },
		{ plot_show_bytes, 12345ULL << 20, "12.1 GiB" },
		{ plot_show_bytes, UINT64_MAX, "16777216 TiB" },
		{ plot_show_us, 999, "999 \xc2\xb5s" },
		{ plot_show_us, 18400, "18.4 ms" },
		{ plot_show_us, 999000, "999 ms" },
		{ plot_show_us, 1234567, "1.23 s" },
		{ plot_show_count, 0, "0" },
		{ plot_show_count, 999, "999" },
		{ plot_show_count, 1000, "1 000" },
		{ plot_show_count, UINT64_MAX, "18 446 744 073 709 551 615" },
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cases[i].show(text, sizeof(text), cases[i].value);
		assert_string_equal(text, cases[i].text);
	}
	plot_show_rate(text, sizeof(text), 4.56e9);
	assert_string_equal(text, "4.56 Gbit/s");
	plot_show_rate(text, sizeof(text), 123e6);
	assert_string_equal(text, "123 Mbit/s");
}

static void test_ticks(void **state)
{
	double range = 1e-6;

	(void)state;
	for (unsigned i = 0; i < 180; i++) {
		double step = plot_tick(range, 6);

		/* Neither too many, nor so few that one could not tell the scale. */
		assert_true(range / step <= 6.0001);
		assert_true(range / step > 2);
		range *= 1.37;
	}
	assert_true(plot_tick(0, 6) > 0);
	assert_true(plot_tick(-1, 6) > 0);
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

	p.surface =
		cairo_image_surface_create(CAIRO_FORMAT_RGB24, DRAW_WIDTH, DRAW_TELEPORT_HEIGHT);
	cr = cairo_create(p.surface);
	draw_teleport(r, cr);
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
		for (int x = 0; x < DRAW_WIDTH; x++)
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

enum { LEGEND = 80, TOP = 120, BOTTOM = 420, END = DRAW_TELEPORT_HEIGHT };

static void test_picture(void **state)
{
	struct report r = report_example();
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
	struct report r = report_example();
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
	struct report r = report_example();
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

/* --- documents --- */

static int draw_text(const char *text, size_t len, struct err *e)
{
	char *svg = NULL;
	size_t svg_len = 0;
	FILE *out = open_memstream(&svg, &svg_len);
	int rc;

	assert_non_null(out);
	rc = draw_document(text, len, out, e);
	(void)fclose(out);
	if (rc == 0) {
		assert_non_null(strstr(svg, "<svg"));
		assert_non_null(strstr(svg, "</svg>"));
	}
	free(svg);
	return rc;
}

static void test_document(void **state)
{
	struct report r = report_example();
	json_t *doc = report_to_json(&r);
	char *text = json_dumps(doc, 0);
	struct err e;

	(void)state;
	assert_int_equal(draw_text(text, strlen(text), &e), 0);
	free(text);
	/* Names are cut where they are too long, but not within a character. */
	for (unsigned i = 0; i < 4; i++) {
		char name[256] = "aaa";

		for (unsigned at = i; at < 240; at += 3)
			memcpy(name + at, "\xe2\x82\xac", 4);
		(void)json_object_set_new(doc, "guest", json_string(name));
		(void)json_object_set_new(doc, "destination", json_string(name));
		(void)json_object_set_new(doc, "status", json_string(name));
		(void)json_object_set_new(doc, "error", json_string(name));
		text = json_dumps(doc, 0);
		assert_int_equal(draw_text(text, strlen(text), &e), 0);
		free(text);
	}
	json_decref(doc);
	report_fini(&r);
}

#define RECORDING(devices)    "{\"guest\": \"web\", \"devices\": [" devices "]}"
#define DEVICE(kind, samples) "{\"id\": \"x\", \"kind\": \"" kind "\", \"samples\": [" samples "]}"

static void test_recordings(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{ RECORDING(""), 0 },
		{ RECORDING(DEVICE("nic", "")), 0 },
		{ RECORDING(DEVICE("nic", "[0,0,0,0,0,0,0]")), 0 },
		{ RECORDING(DEVICE("nic", "[0,0,0,0,0,0,0], [7,5,0,1,0,1,1]")), 0 },
		{ RECORDING(DEVICE("disk", "[0,0,0,0,0,0,0], [1,9223372036854775807,0,0,0,0,0]")),
		  0 },
		{ RECORDING(DEVICE("disk", "[1,0,0,0,0,0,0], [9223372036854775,5,0,1,0,0,0]")), 0 },
		{ RECORDING(DEVICE("disk", "[0,0,0,0,0,0,0], [9223372036854776,5,0,1,0,0,0]")),
		  -EPROTO },
		{ RECORDING(DEVICE("tape", "")), -EPROTO },
		{ RECORDING(DEVICE("nic", "[0,0,0,0,0,0]")), -EPROTO },
		{ RECORDING(DEVICE("nic", "[0,0,0,0,0,0,-1]")), -EPROTO },
		{ RECORDING(DEVICE("nic", "[5,0,0,0,0,0,0], [5,0,0,0,0,0,0]")), -EPROTO },
		{ RECORDING(DEVICE("nic", "[5,3,0,0,0,0,0], [6,2,0,0,0,0,0]")), -EPROTO },
		{ RECORDING("{}"), -EPROTO },
		{ "{\"devices\": []}", -EPROTO },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(draw_text(cases[i].text, strlen(cases[i].text), &e), cases[i].rc);
}

static void test_bad_documents(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "{}", "7", "{\"summary\": {}}", "\xff", "{\"a\": 1, \"a\": 1}",
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(draw_text(bad[i], strlen(bad[i]), &e), -EPROTO);
}

static void test_full_disk(void **state)
{
	struct report r = report_example();
	json_t *doc = report_to_json(&r);
	char *text = json_dumps(doc, 0);
	FILE *full = fopen("/dev/full", "we");
	struct err e;

	(void)state;
	assert_non_null(full);
	assert_int_equal(draw_document(text, strlen(text), full, &e), -ENOSPC);
	assert_string_equal(e.text, "No space left on device");
	(void)fclose(full);
	free(text);
	json_decref(doc);
	report_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),    cmocka_unit_test(test_ticks),
		cmocka_unit_test(test_picture),    cmocka_unit_test(test_picture_of_failure),
		cmocka_unit_test(test_extremes),   cmocka_unit_test(test_document),
		cmocka_unit_test(test_recordings), cmocka_unit_test(test_bad_documents),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests_name("plot", tests, NULL, NULL);
}
