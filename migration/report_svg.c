// SPDX-License-Identifier: MIT
// The report as a picture: throughput over time, pages of each pass, the hand-over.
#include <cairo-svg.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "migration/report_impl.h"
#include "util/clock.h"

/* --- colours: Okabe and Ito's, which the colour-blind can tell apart too --- */

struct colour {
	double r, g, b, a;
};

static const struct colour ink = { .13, .13, .13, 1 }, grey = { .42, .42, .42, 1 },
			   grid = { .90, .90, .90, 1 }, band = { .955, .962, .972, 1 },
			   blue = { 0, .447, .698, 1 }, pale = { 0, .447, .698, .16 },
			   orange = { .902, .624, 0, 1 }, red = { .835, .369, 0, 1 },
			   blush = { .835, .369, 0, .20 }, green = { 0, .62, .451, 1 },
			   purple = { .8, .475, .655, 1 };

static void set_colour(cairo_t *cr, struct colour c)
{
	cairo_set_source_rgba(cr, c.r, c.g, c.b, c.a);
}

/* --- text --- */

enum align { LEFT, CENTRE, RIGHT };

static double text_width(cairo_t *cr, double size, const char *text)
{
	cairo_text_extents_t ext;

	cairo_set_font_size(cr, size);
	cairo_text_extents(cr, text, &ext);
	return ext.x_advance;
}

/* On the current point; the colour is that which is set. */
static void put_text(cairo_t *cr, double size, enum align align, const char *text)
{
	double width = text_width(cr, size, text);

	cairo_rel_move_to(cr, align == LEFT ? 0 : align == CENTRE ? -width / 2 : -width, 0);
	cairo_show_text(cr, text);
	cairo_new_path(cr);
}

static void put_text_at(cairo_t *cr, double x, double y, enum align align, const char *text)
{
	cairo_move_to(cr, x, y);
	put_text(cr, 11, align, text);
}

#define MAX_Y_TICKS 6U

/* --- a plot: a rectangle with scales --- */

struct plot {
	cairo_t *cr;
	double x, y, w, h;     /* where it is; y is its upper edge */
	double x0, x1, y0, y1; /* what is at its edges */
};

static double px(const struct plot *p, double value)
{
	return p->x + p->w * (value - p->x0) / (p->x1 - p->x0);
}

static double py(const struct plot *p, double value)
{
	return p->y + p->h - p->h * (value - p->y0) / (p->y1 - p->y0);
}

static void put_line(cairo_t *cr, double x0, double y0, double x1, double y1)
{
	cairo_move_to(cr, x0, y0);
	cairo_line_to(cr, x1, y1);
	cairo_stroke(cr);
}

static void put_title(const struct plot *p, double x, const char *title)
{
	set_colour(p->cr, ink);
	cairo_select_font_face(p->cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
			       CAIRO_FONT_WEIGHT_BOLD);
	cairo_move_to(p->cr, x, p->y - 14);
	put_text(p->cr, 12, LEFT, title);
	cairo_select_font_face(p->cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
			       CAIRO_FONT_WEIGHT_NORMAL);
}

/* The name of the y axis, written upwards. */
static void put_y_name(const struct plot *p, double x, const char *name)
{
	cairo_save(p->cr);
	set_colour(p->cr, ink);
	cairo_move_to(p->cr, x, p->y + p->h / 2);
	cairo_rotate(p->cr, -M_PI / 2);
	put_text(p->cr, 11, CENTRE, name);
	cairo_restore(p->cr);
}

static void put_x_name(const struct plot *p, const char *name)
{
	set_colour(p->cr, ink);
	put_text_at(p->cr, p->x + p->w / 2, p->y + p->h + 34, CENTRE, name);
}

/* A scale's number with as many digits as its step needs. */
static void show_tick(char *buf, size_t len, double value, double step)
{
	int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);

	(void)snprintf(buf, len, "%.*f", digits, value);
}

/* @unit: how much of the scale's values is one of what is written. */
static void put_y_axis(const struct plot *p, double unit)
{
	double step = report_tick((p->y1 - p->y0) / unit, MAX_Y_TICKS);
	char text[32];

	cairo_set_line_width(p->cr, 1);
	for (unsigned i = 0; i * step * unit <= p->y1 * 1.0001; i++) {
		double v = i * step;
		double y = py(p, v * unit);

		set_colour(p->cr, grid);
		if (v > 0)
			put_line(p->cr, p->x, y, p->x + p->w, y);
		set_colour(p->cr, grey);
		show_tick(text, sizeof(text), v, step);
		put_text_at(p->cr, p->x - 7, y + 4, RIGHT, text);
	}
}

/* Times count from @zero. */
static void put_x_axis(const struct plot *p, double unit, double zero)
{
	double step = report_tick((p->x1 - p->x0) / unit, (unsigned)(p->w / 56));
	double first = ceil((p->x0 - zero) / unit / step) * step;
	int nr = (int)floor(((p->x1 - zero) / unit - first) / step) + 1;
	char text[32];

	cairo_set_line_width(p->cr, 1);
	for (int i = 0; i < nr; i++) {
		double v = first + i * step;
		double x = px(p, zero + v * unit);

		set_colour(p->cr, grey);
		put_line(p->cr, x, p->y + p->h, x, p->y + p->h + 4);
		show_tick(text, sizeof(text), fabs(v) < step / 2 ? 0 : v, step);
		put_text_at(p->cr, x, p->y + p->h + 17, CENTRE, text);
	}
}

/* Above everything else in it. */
static void put_frame(const struct plot *p)
{
	set_colour(p->cr, grey);
	cairo_set_line_width(p->cr, 1);
	put_line(p->cr, p->x, p->y, p->x, p->y + p->h);
	put_line(p->cr, p->x, p->y + p->h, p->x + p->w, p->y + p->h);
}

static void fill_span(const struct plot *p, double from, double to, struct colour colour)
{
	double x0 = px(p, MAX(from, p->x0)), x1 = px(p, MIN(to, p->x1));

	if (x1 < x0)
		return;
	set_colour(p->cr, colour);
	cairo_rectangle(p->cr, x0, p->y, MAX(x1 - x0, 1.0), p->h);
	cairo_fill(p->cr);
}

static void put_mark(const struct plot *p, double at, struct colour colour)
{
	if (at < p->x0 || at > p->x1)
		return;
	set_colour(p->cr, colour);
	cairo_set_line_width(p->cr, 1.5);
	put_line(p->cr, px(p, at), p->y, px(p, at), p->y + p->h);
}

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

static void trace_rates(const struct plot *p, const double *rates, unsigned nr)
{
	double width = p->w / nr;

	for (unsigned i = 0; i < nr; i++) {
		cairo_line_to(p->cr, p->x + i * width, py(p, rates[i]));
		cairo_line_to(p->cr, p->x + (i + 1) * width, py(p, rates[i]));
	}
}

static void put_rates(const struct plot *p, const double *rates, unsigned nr)
{
	cairo_move_to(p->cr, p->x, p->y + p->h);
	trace_rates(p, rates, nr);
	cairo_line_to(p->cr, p->x + p->w, p->y + p->h);
	cairo_close_path(p->cr);
	set_colour(p->cr, pale);
	cairo_fill(p->cr);
	trace_rates(p, rates, nr);
	set_colour(p->cr, blue);
	cairo_set_line_width(p->cr, 1.4);
	cairo_set_line_join(p->cr, CAIRO_LINE_JOIN_ROUND);
	cairo_stroke(p->cr);
}

static double rate_unit(double largest, const char **ret_name)
{
	*ret_name = largest < 2e9 ? "throughput (Mbit/s)" : "throughput (Gbit/s)";
	return largest < 2e9 ? 1e6 : 1e9;
}

static double time_unit(double range_us, const char **ret_name)
{
	*ret_name = range_us < 3e6 ? "ms" : "s";
	return range_us < 3e6 ? 1e3 : 1e6;
}

/* Every other pass is shaded; those that are wide enough have their number. */
static void put_passes(const struct plot *p, const struct report *r)
{
	for (unsigned i = 0; i < r->nr_passes; i++) {
		double from = (double)r->passes[i].start_ns / (double)NSEC_PER_USEC;
		double to = from + (double)r->passes[i].duration_ns / (double)NSEC_PER_USEC;
		double left = px(p, MAX(from, p->x0)), room = px(p, MIN(to, p->x1)) - left;
		char text[32];

		if (i % 2 == 0)
			fill_span(p, from, to, band);
		(void)snprintf(text, sizeof(text), room > 60 ? "pass %u" : "%u", r->first_pass + i);
		if (room < text_width(p->cr, 10, text) + 4)
			continue;
		set_colour(p->cr, grey);
		cairo_move_to(p->cr, left + room / 2, p->y + 13);
		put_text(p->cr, 10, CENTRE, text);
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
	fill_span(p, (double)r->stopped_us, (double)resumed_us(r), blush);
	put_mark(p, (double)r->stopped_us, red);
	if (r->running_us)
		put_mark(p, (double)r->running_us, green);
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
	set_colour(p.cr, purple);
	for (unsigned percent = 0; percent <= 100; percent += 25) {
		char text[8];

		(void)snprintf(text, sizeof(text), "%u", percent);
		put_text_at(p.cr, p.x + p.w + 7, py(&p, percent) + 4, LEFT, text);
	}
	cairo_set_dash(p.cr, dashes, ARRAY_SIZE(dashes), 0);
	cairo_set_line_width(p.cr, 1.4);
	for (unsigned i = 0; i < r->nr_samples; i++) {
		double x = px(&p, (double)r->samples[i].at_ns / (double)NSEC_PER_USEC);

		if (i > 0)
			cairo_line_to(p.cr, x, py(&p, r->samples[i - 1].throttle));
		cairo_line_to(p.cr, x, py(&p, r->samples[i].throttle));
	}
	cairo_stroke(p.cr);
	cairo_set_dash(p.cr, NULL, 0, 0);
	put_y_name(&p, p.x + p.w + 42, "vCPUs throttled (%)");
}

/* From @p->x0 to x1; @since: what times count from, and @zero when that was. */
static void put_throughput(struct plot p, const struct report *r, const char *since, double zero)
{
	double rates[MAX_BINS];
	const char *x_name, *y_name;
	char text[64];
	unsigned nr;
	double largest = get_rates(r, p.x0, p.x1, rates, &nr);
	double y_unit = rate_unit(largest, &y_name), x_unit = time_unit(p.x1 - p.x0, &x_name);
	double step = report_tick(MAX(largest, 1.0) * 1.12 / y_unit, MAX_Y_TICKS);

	p.y1 = ceil(MAX(largest, 1.0) * 1.12 / y_unit / step) * step * y_unit;
	put_passes(&p, r);
	put_y_axis(&p, y_unit);
	put_rates(&p, rates, nr);
	put_handover(&p, r);
	put_x_axis(&p, x_unit, zero);
	put_frame(&p);
	put_y_name(&p, p.x - 42, y_name);
	(void)snprintf(text, sizeof(text), "time since %s (%s)", since, x_name);
	put_x_name(&p, text);
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
		double y = py(p, log_of(value));
		char text[32];

		set_colour(p->cr, grid);
		cairo_set_line_width(p->cr, 1);
		put_line(p->cr, p->x, y, p->x + p->w, y);
		set_colour(p->cr, grey);
		report_show_count(text, sizeof(text), value);
		put_text_at(p->cr, p->x - 7, y + 4, RIGHT, text);
	}
}

static void put_bar(const struct plot *p, double x, double width, uint64_t count,
		    struct colour colour)
{
	set_colour(p->cr, colour);
	cairo_rectangle(p->cr, x, py(p, log_of(count)), width, p->y + p->h - py(p, log_of(count)));
	cairo_fill(p->cr);
}

/* Numbers of the passes, as many as there is room for. */
static void put_pass_axis(const struct plot *p, const struct report *r, double slot)
{
	unsigned every = MAX((unsigned)ceil(22 / slot), 1U);

	set_colour(p->cr, grey);
	for (unsigned i = 0; i < r->nr_passes; i++) {
		char text[16];

		if ((r->first_pass + i) % every && i > 0)
			continue;
		(void)snprintf(text, sizeof(text), "%u", r->first_pass + i);
		put_text_at(p->cr, p->x + (i + .5) * slot, p->y + p->h + 17, CENTRE, text);
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

		put_bar(&p, x - bar, bar, r->passes[i].pages, blue);
		put_bar(&p, x, bar, r->passes[i].dirty_pages, orange);
	}
	put_frame(&p);
	put_pass_axis(&p, r, slot);
	put_y_name(&p, p.x - 62, "pages of 4 KiB");
	put_x_name(&p, "pass");
}

/* --- words --- */

static double put_legend_item(cairo_t *cr, double x, struct colour colour, bool line,
			      const char *text)
{
	const double y = 96;

	set_colour(cr, colour);
	if (line)
		cairo_rectangle(cr, x + 4, y - 10, 2, 12);
	else
		cairo_rectangle(cr, x, y - 8, 10, 8);
	cairo_fill(cr);
	set_colour(cr, ink);
	put_text_at(cr, x + 15, y, LEFT, text);
	return x + 15 + text_width(cr, 11, text) + 18;
}

static void put_legend(cairo_t *cr, const struct report *r)
{
	double x = put_legend_item(cr, 20, blue, false, "throughput; pages sent");

	x = put_legend_item(cr, x, orange, false, "pages written meanwhile, to be sent again");
	if (r->stopped_us) {
		x = put_legend_item(cr, x, red, true, "guest pauses");
		x = put_legend_item(cr, x, blush, false, "downtime");
	}
	if (r->running_us)
		x = put_legend_item(cr, x, green, true, "runs at the destination");
	if (has_throttle(r))
		(void)put_legend_item(cr, x, purple, false, "throttle");
}

static void show_summary(const struct report *r, char *buf, size_t len)
{
	char total[32], downtime[32], pages[32], wire[32], memory[32], rate[32];
	uint64_t sending_us = MAX(r->total_us - MIN(r->setup_us, r->total_us), 1U);

	report_show_us(total, sizeof(total), r->total_us);
	report_show_us(downtime, sizeof(downtime), r->downtime_us);
	report_show_count(pages, sizeof(pages), r->pages_sent);
	report_show_bytes(wire, sizeof(wire), r->wire_bytes);
	report_show_bytes(memory, sizeof(memory), r->memory_bytes);
	report_show_rate(rate, sizeof(rate), (double)r->wire_bytes * 8 * 1e6 / (double)sending_us);
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
	set_colour(cr, ink);
	(void)snprintf(text, sizeof(text), "Live teleport of %.64s to %.120s%s%.16s", r->guest,
		       r->destination, completed ? "" : ": ", completed ? "" : r->status);
	cairo_move_to(cr, 20, 32);
	put_text(cr, 17, LEFT, text);
	cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
	show_summary(r, text, sizeof(text));
	cairo_move_to(cr, 20, 56);
	put_text(cr, 12, LEFT, text);
	if (r->error) {
		set_colour(cr, red);
		(void)snprintf(text, sizeof(text), "%.150s", r->error);
		put_text_at(cr, 20, 76, LEFT, text);
	}
}

/* The end of it all, some milliseconds of which are the reason for the rest. */
static void put_zoom(struct plot p, const struct report *r)
{
	double pause_us = (double)(resumed_us(r) - r->stopped_us);
	double margin_us = MAX(pause_us * .3, 1000.0);
	char title[64], time[32];

	report_show_us(time, sizeof(time), r->downtime_us);
	(void)snprintf(title, sizeof(title), "Hand-over, %s", time);
	put_title(&p, p.x - 52, title);
	p.x0 = (double)r->stopped_us - margin_us;
	p.x1 = (double)resumed_us(r) + margin_us;
	put_throughput(p, r, "the pause", (double)r->stopped_us);
}

void report_draw(const struct report *r, cairo_t *cr)
{
	double right = has_throttle(r) ? 70 : 24;
	struct plot top = { .cr = cr, .x = 72, .y = 136, .w = REPORT_WIDTH - 72 - right, .h = 214 };
	struct plot left = { .cr = cr, .x = 92, .y = 436, .w = REPORT_WIDTH - 92 - 24, .h = 150 };
	struct plot zoom = { .cr = cr, .x = 640, .y = 436, .w = REPORT_WIDTH - 640 - 24, .h = 150 };

	set_colour(cr, (struct colour){ 1, 1, 1, 1 });
	cairo_paint(cr);
	put_words(cr, r);
	put_legend(cr, r);
	put_title(&top, 20, "Throughput");
	top.x1 = (double)MAX(r->total_us, 1U) * 1.02;
	put_throughput(top, r, "the start", 0);
	if (has_throttle(r))
		put_throttle(top, r);
	if (r->stopped_us) {
		left.w = zoom.x - 90 - left.x;
		put_zoom(zoom, r);
	}
	put_title(&left, 20, "Pages of each pass");
	put_pages(left, r);
}

static cairo_status_t write_out(void *closure, const unsigned char *data, unsigned length)
{
	return fwrite(data, 1, length, closure) == length ? CAIRO_STATUS_SUCCESS
							  : CAIRO_STATUS_WRITE_ERROR;
}

int report_put_svg(const struct report *r, FILE *out)
{
	cairo_surface_t *surface =
		cairo_svg_surface_create_for_stream(write_out, out, REPORT_WIDTH, REPORT_HEIGHT);
	cairo_t *cr = cairo_create(surface);
	cairo_status_t status;

	report_draw(r, cr);
	cairo_destroy(cr);
	cairo_surface_finish(surface);
	status = cairo_surface_status(surface);
	cairo_surface_destroy(surface);
	if (status == CAIRO_STATUS_SUCCESS)
		return 0;
	return status == CAIRO_STATUS_NO_MEMORY ? -ENOMEM : -EIO;
}
