// SPDX-License-Identifier: MIT
// A recording of nics and disks as a picture: a plot for each.
#include <math.h>
#include <stdio.h>

#include "plot/draw.h"
#include "plot/plot.h"
#include "plot/recording.h"

#define HEAD     70
#define SLOT     240 /* of each device */
#define MAX_BINS 240U

typedef uint64_t (*counter)(const struct recording_sample *s);

static uint64_t in_bytes(const struct recording_sample *s)
{
	return s->in_bytes;
}

static uint64_t out_bytes(const struct recording_sample *s)
{
	return s->out_bytes;
}

double recording_height(const struct recording *r)
{
	return HEAD + SLOT * (double)MAX(r->nr_devices, 1U);
}

/* The counter at @us, between two samples in proportion. There are two at least. */
static double value_at(const struct recording_device *d, counter count, double us)
{
	unsigned low = 0, high = d->nr_samples - 1;
	const struct recording_sample *a, *b;

	while (high - low > 1) {
		unsigned mid = low + (high - low) / 2;

		if ((double)d->samples[mid].at_us <= us)
			low = mid;
		else
			high = mid;
	}
	a = &d->samples[low];
	b = &d->samples[high];
	return (double)count(a) + (double)(count(b) - count(a)) * (us - (double)a->at_us) /
					  (double)(b->at_us - a->at_us);
}

/* How much a second in each of @nr spans of the plot's time. Returns the largest. */
static double get_rates(const struct recording_device *d, const struct plot *p, counter count,
			double *ret, unsigned nr)
{
	double width = (p->x1 - p->x0) / nr, largest = 0;

	for (unsigned i = 0; i < nr; i++) {
		double n = value_at(d, count, p->x0 + (i + 1) * width) -
			   value_at(d, count, p->x0 + i * width);

		ret[i] = MAX(n, 0.0) * (d->nic ? 8 : 1) * 1e6 / width;
		largest = MAX(largest, ret[i]);
	}
	return largest;
}

static const struct unit {
	const char *bits, *bytes;
	double unit;
} units[] = {
	{ "kbit/s", "kB/s", 1e3 },
	{ "Mbit/s", "MB/s", 1e6 },
	{ "Gbit/s", "GB/s", 1e9 },
};

static const struct unit *unit_of(double largest)
{
	return largest < 2e6 ? &units[0] : largest < 2e9 ? &units[1] : &units[2];
}

static void put_curves(struct plot *p, const struct recording_device *d)
{
	unsigned nr = MIN(d->nr_samples - 1, MAX_BINS);
	double in[MAX_BINS], out[MAX_BINS], largest, step;
	const struct unit *unit;
	const char *x_name;
	char text[64];

	p->x0 = (double)d->samples[0].at_us;
	p->x1 = (double)d->samples[d->nr_samples - 1].at_us;
	largest = MAX(get_rates(d, p, in_bytes, in, nr), get_rates(d, p, out_bytes, out, nr));
	largest = MAX(largest, 1e3) * 1.08;
	unit = unit_of(largest);
	step = plot_tick(largest / unit->unit, PLOT_MAX_Y_TICKS);
	p->y1 = ceil(largest / unit->unit / step) * step * unit->unit;
	plot_y_axis(p, unit->unit);
	plot_steps(p, in, nr, plot_blue);
	plot_steps(p, out, nr, plot_orange);
	plot_x_axis(p, plot_time_unit(p->x1 - p->x0, &x_name), p->x0);
	plot_frame(p);
	plot_y_name(p, p->x - 46, d->nic ? unit->bits : unit->bytes);
	(void)snprintf(text, sizeof(text), "time (%s)", x_name);
	plot_x_name(p, text);
}

/* "1.23 GiB in 12 345 packets" */
static void show_sum(char *buf, size_t len, uint64_t bytes, uint64_t ops, const char *what)
{
	char size[32], count[32];

	plot_show_bytes(size, sizeof(size), bytes);
	plot_show_count(count, sizeof(count), ops);
	(void)snprintf(buf, len, "%s, %s %s", size, count, what);
}

static double put_key(cairo_t *cr, double x, double y, struct colour colour, const char *text)
{
	plot_colour(cr, colour);
	cairo_rectangle(cr, x, y - 8, 10, 8);
	cairo_fill(cr);
	plot_colour(cr, plot_ink);
	plot_text_at(cr, x + 15, y, PLOT_LEFT, text);
	return x + 15 + plot_text_width(cr, 11, text) + 18;
}

/* What went through while it was recorded, and what did not. */
static void put_sums(const struct plot *p, const struct recording_device *d)
{
	const struct recording_sample *a = d->samples, *b = &d->samples[d->nr_samples - 1];
	double x = p->x + 130, y = p->y - 14;
	char sum[80], text[120];

	show_sum(sum, sizeof(sum), b->in_bytes - a->in_bytes, b->in_ops - a->in_ops,
		 d->nic ? "packets" : "requests");
	(void)snprintf(text, sizeof(text), "%s: %s", d->nic ? "to the guest" : "read", sum);
	x = put_key(p->cr, x, y, plot_blue, text);
	show_sum(sum, sizeof(sum), b->out_bytes - a->out_bytes, b->out_ops - a->out_ops,
		 d->nic ? "packets" : "requests");
	(void)snprintf(text, sizeof(text), "%s: %s", d->nic ? "from the guest" : "written", sum);
	x = put_key(p->cr, x, y, plot_orange, text);
	if (b->dropped == a->dropped && b->errors == a->errors)
		return;
	plot_show_count(text, sizeof(text), b->dropped - a->dropped);
	plot_show_count(sum, sizeof(sum), b->errors - a->errors);
	plot_colour(p->cr, plot_red);
	cairo_move_to(p->cr, x, y);
	plot_text(p->cr, 11, PLOT_LEFT, text);
	x += plot_text_width(p->cr, 11, text) + 5;
	plot_text_at(p->cr, x, y, PLOT_LEFT, d->nic ? "dropped, errors:" : "waits, errors:");
	plot_text_at(p->cr, x + 85, y, PLOT_LEFT, sum);
}

static void put_device(cairo_t *cr, const struct recording_device *d, double y)
{
	struct plot p = { .cr = cr, .x = 82, .y = y, .w = DRAW_WIDTH - 82 - 24, .h = SLOT - 90 };
	char title[80];

	(void)snprintf(title, sizeof(title), "%.*s", plot_prefix(d->id, 20), d->id);
	plot_title(&p, 20, title);
	if (d->nr_samples < 2) {
		plot_colour(cr, plot_grey);
		plot_text_at(cr, p.x, p.y + 20, PLOT_LEFT, "too few samples");
		return;
	}
	put_sums(&p, d);
	put_curves(&p, d);
}

void recording_draw(const struct recording *r, cairo_t *cr)
{
	char text[160];

	plot_colour(cr, (struct colour){ 1, 1, 1, 1 });
	cairo_paint(cr);
	cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
	plot_colour(cr, plot_ink);
	(void)snprintf(text, sizeof(text), "Guest %.*s", plot_prefix(r->guest, 100), r->guest);
	cairo_move_to(cr, 20, 32);
	plot_text(cr, 17, PLOT_LEFT, text);
	for (unsigned i = 0; i < r->nr_devices; i++)
		put_device(cr, &r->devices[i], HEAD + 24 + SLOT * (double)i);
}
