// SPDX-License-Identifier: MIT
// A teleport as a picture: throughput over time, pages of each pass, the hand-over.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "migration/report.h"
#include "plot/draw.h"
#include "plot/plot.h"
#include "util/clock.h"

/* --- throughput --- */

/* Bytes on the wire at @us, between two samples in proportion. */
static double bytes_at(const struct report *r, double us)
{
	double ns = us * (double)NSEC_PER_USEC;
	unsigned low = 0, high = r->nr_samples;
	const struct stats_sample *a, *b;

	/* The first sample behind that moment. */
	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if ((double)r->samples[mid].at_ns <= ns)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return 0;
	a = &r->samples[low - 1];
	if (low == r->nr_samples)
		return (double)a->bytes;
	b = a + 1;
	return (double)a->bytes + (double)(b->bytes - a->bytes) * (ns - (double)a->at_ns) /
					  (double)(b->at_ns - a->at_ns);
}

#define MAX_BINS   240U
#define MIN_BIN_US 1000.0

/* Bits a second in each of *@ret_nr equal spans of the plot's time. Returns the largest. */
static double get_rates(const struct report *r, double from_us, double to_us, double *ret,
			unsigned *ret_nr)
{
	double bins = MIN((to_us - from_us) / MIN_BIN_US, (double)MAX_BINS);
	unsigned nr = MAX((unsigned)bins, 1U);
	double width = (to_us - from_us) / nr, largest = 0;

	for (unsigned i = 0; i < nr; i++) {
		double bytes =
			bytes_at(r, from_us + (i + 1) * width) - bytes_at(r, from_us + i * width);

		ret[i] = bytes * 8 * 1e6 / width;
		largest = MAX(largest, ret[i]);
	}
	*ret_nr = nr;
	return largest;
}

static double rate_unit(double largest, const char **ret_name)
{
	*ret_name = largest < 2e9 ? "throughput (Mbit/s)" : "throughput (Gbit/s)";
	return largest < 2e9 ? 1e6 : 1e9;
}

/* Every other pass is shaded; those that are wide enough have their number. */
static void put_passes(const struct plot *p, const struct report *r)
{
	for (unsigned i = 0; i < r->nr_passes; i++) {
		double from = (double)r->passes[i].start_ns / (double)NSEC_PER_USEC;
		double to = from + (double)r->passes[i].duration_ns / (double)NSEC_PER_USEC;
		double left = plot_x(p, MAX(from, p->x0)), room = plot_x(p, MIN(to, p->x1)) - left;
		char text[32];

		if (i % 2 == 0)
			plot_span(p, from, to, plot_band);
		(void)snprintf(text, sizeof(text), room > 60 ? "pass %u" : "%u", r->first_pass + i);
		if (room < plot_text_width(p->cr, 10, text) + 4)
			continue;
		plot_colour(p->cr, plot_grey);
		cairo_move_to(p->cr, left + room / 2, p->y + 13);
		plot_text(p->cr, 10, PLOT_CENTRE, text);
	}
}

/* The destination runs it, or the source again. */
static uint64_t resumed_us(const struct report *r)
{
	return MAX(r->running_us ? r->running_us : r->total_us, r->stopped_us);
}

static void put_handover(const struct plot *p, const struct report *r)
{
	if (!r->stopped_us)
		return;
	plot_span(p, (double)r->stopped_us, (double)resumed_us(r), plot_blush);
	plot_mark(p, (double)r->stopped_us, plot_red);
	if (r->running_us)
		plot_mark(p, (double)r->running_us, plot_green);
}

static bool has_throttle(const struct report *r)
{
	for (unsigned i = 0; i < r->nr_samples; i++) {
		if (r->samples[i].throttle)
			return true;
	}
	return false;
}

/* On a scale of its own, at the right. */
static void put_throttle(struct plot p, const struct report *r)
{
	static const double dashes[] = { 5, 3 };

	p.y0 = 0;
	p.y1 = 100;
	plot_colour(p.cr, plot_purple);
	for (unsigned percent = 0; percent <= 100; percent += 25) {
		char text[8];

		(void)snprintf(text, sizeof(text), "%u", percent);
		plot_text_at(p.cr, p.x + p.w + 7, plot_y(&p, percent) + 4, PLOT_LEFT, text);
	}
	cairo_set_dash(p.cr, dashes, ARRAY_SIZE(dashes), 0);
	cairo_set_line_width(p.cr, 1.4);
	for (unsigned i = 0; i < r->nr_samples; i++) {
		double x = plot_x(&p, (double)r->samples[i].at_ns / (double)NSEC_PER_USEC);

		if (i > 0)
			cairo_line_to(p.cr, x, plot_y(&p, r->samples[i - 1].throttle));
		cairo_line_to(p.cr, x, plot_y(&p, r->samples[i].throttle));
	}
	cairo_stroke(p.cr);
	cairo_set_dash(p.cr, NULL, 0, 0);
	plot_y_name(&p, p.x + p.w + 42, "vCPUs throttled (%)");
}

/* From @p->x0 to x1; @since: what times count from, and @zero when that was. */
static void put_throughput(struct plot p, const struct report *r, const char *since, double zero)
{
	double rates[MAX_BINS];
	const char *x_name, *y_name;
	char text[64];
	unsigned nr;
	double largest = get_rates(r, p.x0, p.x1, rates, &nr);
	double y_unit = rate_unit(largest, &y_name), x_unit = plot_time_unit(p.x1 - p.x0, &x_name);
	double step = plot_tick(MAX(largest, 1.0) * 1.12 / y_unit, PLOT_MAX_Y_TICKS);

	p.y1 = ceil(MAX(largest, 1.0) * 1.12 / y_unit / step) * step * y_unit;
	put_passes(&p, r);
	plot_y_axis(&p, y_unit);
	plot_steps(&p, rates, nr, plot_blue);
	put_handover(&p, r);
	plot_x_axis(&p, x_unit, zero);
	plot_frame(&p);
	plot_y_name(&p, p.x - 42, y_name);
	(void)snprintf(text, sizeof(text), "time since %s (%s)", since, x_name);
	plot_x_name(&p, text);
}

/* --- pages of each pass, on a logarithmic scale --- */

static double log_of(uint64_t count)
{
	return count ? log10((double)count) + .3 : 0; /* one page can be seen, none cannot */
}

static void put_log_axis(const struct plot *p)
{
	uint64_t value = 1;

	for (unsigned power = 0; log_of(value) <= p->y1 && power < 19; power++, value *= 10) {
		double y = plot_y(p, log_of(value));
		char text[32];

		plot_colour(p->cr, plot_grid);
		cairo_set_line_width(p->cr, 1);
		plot_line(p->cr, p->x, y, p->x + p->w, y);
		plot_colour(p->cr, plot_grey);
		plot_show_count(text, sizeof(text), value);
		plot_text_at(p->cr, p->x - 7, y + 4, PLOT_RIGHT, text);
	}
}

static void put_bar(const struct plot *p, double x, double width, uint64_t count,
		    struct colour colour)
{
	plot_colour(p->cr, colour);
	cairo_rectangle(p->cr, x, plot_y(p, log_of(count)), width,
			p->y + p->h - plot_y(p, log_of(count)));
	cairo_fill(p->cr);
}

/* Numbers of the passes, as many as there is room for. */
static void put_pass_axis(const struct plot *p, const struct report *r, double slot)
{
	unsigned every = MAX((unsigned)ceil(22 / slot), 1U);

	plot_colour(p->cr, plot_grey);
	for (unsigned i = 0; i < r->nr_passes; i++) {
		char text[16];

		if ((r->first_pass + i) % every && i > 0)
			continue;
		(void)snprintf(text, sizeof(text), "%u", r->first_pass + i);
		plot_text_at(p->cr, p->x + (i + .5) * slot, p->y + p->h + 17, PLOT_CENTRE, text);
	}
}

static void put_pages(struct plot p, const struct report *r)
{
	uint64_t largest = 9;
	double slot = p.w / MAX(r->nr_passes, 1U), bar = MIN(slot * .38, 26.0);

	for (unsigned i = 0; i < r->nr_passes; i++)
		largest = MAX(largest, MAX(r->passes[i].pages, r->passes[i].dirty_pages));
	p.y1 = log_of(largest) * 1.08;
	put_log_axis(&p);
	for (unsigned i = 0; i < r->nr_passes; i++) {
		double x = p.x + (i + .5) * slot;

		put_bar(&p, x - bar, bar, r->passes[i].pages, plot_blue);
		put_bar(&p, x, bar, r->passes[i].dirty_pages, plot_orange);
	}
	plot_frame(&p);
	put_pass_axis(&p, r, slot);
	plot_y_name(&p, p.x - 62, "pages of 4 KiB");
	plot_x_name(&p, "pass");
}

/* --- words --- */

static double put_legend_item(cairo_t *cr, double x, struct colour colour, bool line,
			      const char *text)
{
	const double y = 96;

	plot_colour(cr, colour);
	if (line)
		cairo_rectangle(cr, x + 4, y - 10, 2, 12);
	else
		cairo_rectangle(cr, x, y - 8, 10, 8);
	cairo_fill(cr);
	plot_colour(cr, plot_ink);
	plot_text_at(cr, x + 15, y, PLOT_LEFT, text);
	return x + 15 + plot_text_width(cr, 11, text) + 18;
}

static void put_legend(cairo_t *cr, const struct report *r)
{
	double x = put_legend_item(cr, 20, plot_blue, false, "throughput; pages sent");

	x = put_legend_item(cr, x, plot_orange, false, "pages written meanwhile, to be sent again");
	if (r->stopped_us) {
		x = put_legend_item(cr, x, plot_red, true, "guest pauses");
		x = put_legend_item(cr, x, plot_blush, false, "downtime");
	}
	if (r->running_us)
		x = put_legend_item(cr, x, plot_green, true, "runs at the destination");
	if (has_throttle(r))
		(void)put_legend_item(cr, x, plot_purple, false, "throttle");
}

static void show_summary(const struct report *r, char *buf, size_t len)
{
	char total[32], downtime[32], pages[32], wire[32], memory[32], rate[32];
	uint64_t sending_us = MAX(r->total_us - MIN(r->setup_us, r->total_us), 1U);

	plot_show_us(total, sizeof(total), r->total_us);
	plot_show_us(downtime, sizeof(downtime), r->downtime_us);
	plot_show_count(pages, sizeof(pages), r->pages_sent);
	plot_show_bytes(wire, sizeof(wire), r->wire_bytes);
	plot_show_bytes(memory, sizeof(memory), r->memory_bytes);
	plot_show_rate(rate, sizeof(rate), (double)r->wire_bytes * 8 * 1e6 / (double)sending_us);
	(void)snprintf(buf, len,
		       "total %s   \xc2\xb7   downtime %s   \xc2\xb7   %u pass%s   \xc2\xb7   "
		       "%s pages, %s sent for %s of memory   \xc2\xb7   %s on average",
		       total, r->stopped_us ? downtime : "none", r->first_pass - 1 + r->nr_passes,
		       r->first_pass - 1 + r->nr_passes == 1 ? "" : "es", pages, wire, memory,
		       rate);
}

static void put_words(cairo_t *cr, const struct report *r)
{
	bool completed = !strcmp(r->status, "completed");
	char text[512];

	cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
	plot_colour(cr, plot_ink);
	(void)snprintf(text, sizeof(text), "Live teleport of %.*s to %.*s%s%.*s",
		       plot_prefix(r->guest, 64), r->guest, plot_prefix(r->destination, 120),
		       r->destination, completed ? "" : ": ", plot_prefix(r->status, 16),
		       completed ? "" : r->status);
	cairo_move_to(cr, 20, 32);
	plot_text(cr, 17, PLOT_LEFT, text);
	cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
	show_summary(r, text, sizeof(text));
	cairo_move_to(cr, 20, 56);
	plot_text(cr, 12, PLOT_LEFT, text);
	if (r->error) {
		plot_colour(cr, plot_red);
		(void)snprintf(text, sizeof(text), "%.*s", plot_prefix(r->error, 150), r->error);
		plot_text_at(cr, 20, 76, PLOT_LEFT, text);
	}
}

/* The end of it all, some milliseconds of which are the reason for the rest. */
static void put_zoom(struct plot p, const struct report *r)
{
	double pause_us = (double)(resumed_us(r) - r->stopped_us);
	double margin_us = MAX(pause_us * .3, 1000.0);
	char title[64], time[32];

	plot_show_us(time, sizeof(time), r->downtime_us);
	(void)snprintf(title, sizeof(title), "Hand-over, %s", time);
	plot_title(&p, p.x - 52, title);
	p.x0 = (double)r->stopped_us - margin_us;
	p.x1 = (double)resumed_us(r) + margin_us;
	put_throughput(p, r, "the pause", (double)r->stopped_us);
}

void draw_teleport(const struct report *r, cairo_t *cr)
{
	double right = has_throttle(r) ? 70 : 24;
	struct plot top = { .cr = cr, .x = 72, .y = 136, .w = DRAW_WIDTH - 72 - right, .h = 214 };
	struct plot left = { .cr = cr, .x = 92, .y = 436, .w = DRAW_WIDTH - 92 - 24, .h = 150 };
	struct plot zoom = { .cr = cr, .x = 640, .y = 436, .w = DRAW_WIDTH - 640 - 24, .h = 150 };

	plot_colour(cr, (struct colour){ 1, 1, 1, 1 });
	cairo_paint(cr);
	put_words(cr, r);
	put_legend(cr, r);
	plot_title(&top, 20, "Throughput");
	top.x1 = (double)MAX(r->total_us, 1U) * 1.02;
	put_throughput(top, r, "the start", 0);
	if (has_throttle(r))
		put_throttle(top, r);
	if (r->stopped_us) {
		left.w = zoom.x - 90 - left.x;
		put_zoom(zoom, r);
	}
	plot_title(&left, 20, "Pages of each pass");
	put_pages(left, r);
}
