// SPDX-License-Identifier: MIT
// Plots: text, axes and curves, for whatever is drawn.
#include "plot/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "util/compiler.h"

const struct colour plot_ink = { .13, .13, .13, 1 }, plot_grey = { .42, .42, .42, 1 },
		    plot_grid = { .90, .90, .90, 1 }, plot_band = { .955, .962, .972, 1 },
		    plot_blue = { 0, .447, .698, 1 }, plot_orange = { .902, .624, 0, 1 },
		    plot_red = { .835, .369, 0, 1 }, plot_blush = { .835, .369, 0, .20 },
		    plot_green = { 0, .62, .451, 1 }, plot_purple = { .8, .475, .655, 1 };

void plot_colour(cairo_t *cr, struct colour c)
{
	cairo_set_source_rgba(cr, c.r, c.g, c.b, c.a);
}

/* --- text --- */

double plot_text_width(cairo_t *cr, double size, const char *text)
{
	cairo_text_extents_t ext;

	cairo_set_font_size(cr, size);
	cairo_text_extents(cr, text, &ext);
	return ext.x_advance;
}

void plot_text(cairo_t *cr, double size, enum plot_align align, const char *text)
{
	double width = plot_text_width(cr, size, text);

	cairo_rel_move_to(cr,
			  align == PLOT_LEFT     ? 0
			  : align == PLOT_CENTRE ? -width / 2
						 : -width,
			  0);
	cairo_show_text(cr, text);
	cairo_new_path(cr);
}

int plot_prefix(const char *text, int max)
{
	int len = (int)strnlen(text, (size_t)max + 1);

	if (len <= max)
		return len;
	for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
		len--;
	return len;
}

void plot_text_at(cairo_t *cr, double x, double y, enum plot_align align, const char *text)
{
	cairo_move_to(cr, x, y);
	plot_text(cr, 11, align, text);
}

/* --- a plot --- */

double plot_x(const struct plot *p, double value)
{
	return p->x + p->w * (value - p->x0) / (p->x1 - p->x0);
}

double plot_y(const struct plot *p, double value)
{
	return p->y + p->h - p->h * (value - p->y0) / (p->y1 - p->y0);
}

void plot_line(cairo_t *cr, double x0, double y0, double x1, double y1)
{
	cairo_move_to(cr, x0, y0);
	cairo_line_to(cr, x1, y1);
	cairo_stroke(cr);
}

void plot_title(const struct plot *p, double x, const char *title)
{
	plot_colour(p->cr, plot_ink);
	cairo_select_font_face(p->cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
			       CAIRO_FONT_WEIGHT_BOLD);
	cairo_move_to(p->cr, x, p->y - 14);
	plot_text(p->cr, 12, PLOT_LEFT, title);
	cairo_select_font_face(p->cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
			       CAIRO_FONT_WEIGHT_NORMAL);
}

void plot_y_name(const struct plot *p, double x, const char *name)
{
	cairo_save(p->cr);
	plot_colour(p->cr, plot_ink);
	cairo_move_to(p->cr, x, p->y + p->h / 2);
	cairo_rotate(p->cr, -M_PI / 2);
	plot_text(p->cr, 11, PLOT_CENTRE, name);
	cairo_restore(p->cr);
}

void plot_x_name(const struct plot *p, const char *name)
{
	plot_colour(p->cr, plot_ink);
	plot_text_at(p->cr, p->x + p->w / 2, p->y + p->h + 34, PLOT_CENTRE, name);
}

/* A scale's number with as many digits as its step needs. */
static void show_tick(char *buf, size_t len, double value, double step)
{
	int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);

	(void)snprintf(buf, len, "%.*f", digits, value);
}

void plot_y_axis(const struct plot *p, double unit)
{
	double step = plot_tick((p->y1 - p->y0) / unit, PLOT_MAX_Y_TICKS);
	char text[32];

	cairo_set_line_width(p->cr, 1);
	for (unsigned i = 0; i * step * unit <= p->y1 * 1.0001; i++) {
		double v = i * step;
		double y = plot_y(p, v * unit);

		plot_colour(p->cr, plot_grid);
		if (v > 0)
			plot_line(p->cr, p->x, y, p->x + p->w, y);
		plot_colour(p->cr, plot_grey);
		show_tick(text, sizeof(text), v, step);
		plot_text_at(p->cr, p->x - 7, y + 4, PLOT_RIGHT, text);
	}
}

void plot_x_axis(const struct plot *p, double unit, double zero)
{
	double step = plot_tick((p->x1 - p->x0) / unit, (unsigned)(p->w / 56));
	double first = ceil((p->x0 - zero) / unit / step) * step;
	int nr = (int)floor(((p->x1 - zero) / unit - first) / step) + 1;
	char text[32];

	cairo_set_line_width(p->cr, 1);
	for (int i = 0; i < nr; i++) {
		double v = first + i * step;
		double x = plot_x(p, zero + v * unit);

		plot_colour(p->cr, plot_grey);
		plot_line(p->cr, x, p->y + p->h, x, p->y + p->h + 4);
		show_tick(text, sizeof(text), fabs(v) < step / 2 ? 0 : v, step);
		plot_text_at(p->cr, x, p->y + p->h + 17, PLOT_CENTRE, text);
	}
}

void plot_frame(const struct plot *p)
{
	plot_colour(p->cr, plot_grey);
	cairo_set_line_width(p->cr, 1);
	plot_line(p->cr, p->x, p->y, p->x, p->y + p->h);
	plot_line(p->cr, p->x, p->y + p->h, p->x + p->w, p->y + p->h);
}

void plot_span(const struct plot *p, double from, double to, struct colour colour)
{
	double x0 = plot_x(p, MAX(from, p->x0)), x1 = plot_x(p, MIN(to, p->x1));

	if (x1 < x0)
		return;
	plot_colour(p->cr, colour);
	cairo_rectangle(p->cr, x0, p->y, MAX(x1 - x0, 1.0), p->h);
	cairo_fill(p->cr);
}

void plot_mark(const struct plot *p, double at, struct colour colour)
{
	if (at < p->x0 || at > p->x1)
		return;
	plot_colour(p->cr, colour);
	cairo_set_line_width(p->cr, 1.5);
	plot_line(p->cr, plot_x(p, at), p->y, plot_x(p, at), p->y + p->h);
}

/* --- curves --- */

static void trace_rates(const struct plot *p, const double *values, unsigned nr)
{
	double width = p->w / nr;

	for (unsigned i = 0; i < nr; i++) {
		cairo_line_to(p->cr, p->x + i * width, plot_y(p, values[i]));
		cairo_line_to(p->cr, p->x + (i + 1) * width, plot_y(p, values[i]));
	}
}

void plot_steps(const struct plot *p, const double *values, unsigned nr, struct colour colour)
{
	struct colour pale = { colour.r, colour.g, colour.b, .16 };

	cairo_move_to(p->cr, p->x, p->y + p->h);
	trace_rates(p, values, nr);
	cairo_line_to(p->cr, p->x + p->w, p->y + p->h);
	cairo_close_path(p->cr);
	plot_colour(p->cr, pale);
	cairo_fill(p->cr);
	trace_rates(p, values, nr);
	plot_colour(p->cr, colour);
	cairo_set_line_width(p->cr, 1.4);
	cairo_set_line_join(p->cr, CAIRO_LINE_JOIN_ROUND);
	cairo_stroke(p->cr);
}

double plot_time_unit(double range_us, const char **ret_name)
{
	*ret_name = range_us < 3e6 ? "ms" : "s";
	return range_us < 3e6 ? 1e3 : 1e6;
}
