/* SPDX-License-Identifier: MIT */
/* Plots: text, axes and curves, for whatever is drawn. */
#ifndef FERRY_PLOT_PLOT_H
#define FERRY_PLOT_PLOT_H

#include <cairo.h>
#include <stddef.h>
#include <stdint.h>

/* Okabe and Ito's colours, which the colour-blind can tell apart too. */
struct colour {
	double r, g, b, a;
};

extern const struct colour plot_ink, plot_grey, plot_grid, plot_band, plot_blue, plot_orange,
	plot_red, plot_blush, plot_green, plot_purple;

/* What is drawn next has that colour. */
void plot_colour(cairo_t *cr, struct colour c);

enum plot_align { PLOT_LEFT, PLOT_CENTRE, PLOT_RIGHT };

/*
 * Text, which must be UTF-8: how wide it is; on the current point; at a point, in
 * the usual size of 11. The colour is that which is set.
 */
double plot_text_width(cairo_t *cr, double size, const char *text);
void plot_text(cairo_t *cr, double size, enum plot_align align, const char *text);
void plot_text_at(cairo_t *cr, double x, double y, enum plot_align align, const char *text);

/* How many bytes of UTF-8 @text are at most @max and no half characters; for "%.*s". */
int plot_prefix(const char *text, int max);

/* A rectangle with scales: y is its upper edge; x0 to y1 are the values at its edges. */
struct plot {
	cairo_t *cr;
	double x, y, w, h;
	double x0, x1, y0, y1;
};

#define PLOT_MAX_Y_TICKS 6U

/* Where a value is on the picture. */
double plot_x(const struct plot *p, double value);
double plot_y(const struct plot *p, double value);

/* A line in the colour and width that are set. */
void plot_line(cairo_t *cr, double x0, double y0, double x1, double y1);

/* What stands around a plot: above it from @x on; upwards beside it at @x; below it. */
void plot_title(const struct plot *p, double x, const char *title);
void plot_y_name(const struct plot *p, double x, const char *name);
void plot_x_name(const struct plot *p, const char *name);

/*
 * Axes with ticks. @unit: how many of the scale's values are one of what is
 * written; @zero: the value that is written as 0.
 */
void plot_y_axis(const struct plot *p, double unit);
void plot_x_axis(const struct plot *p, double unit, double zero);

/* The two lines at its edges: last, above everything else in it. */
void plot_frame(const struct plot *p);

/* All of its height from one value of x to another; a line at one. Cut at its edges. */
void plot_span(const struct plot *p, double from, double to, struct colour colour);
void plot_mark(const struct plot *p, double at, struct colour colour);

/* A curve of @nr steps over its whole width, and what is below it in a pale tone. */
void plot_steps(const struct plot *p, const double *values, unsigned nr, struct colour colour);

/* What to count a range of time in, milliseconds or seconds; its name. */
double plot_time_unit(double range_us, const char **ret_name);

/*
 * A distance of ticks that is 1, 2 or 5 times a power of ten, so that at most
 * @max_ticks are in @range.
 */
double plot_tick(double range, unsigned max_ticks);

/* "1.23 GiB", "18.4 ms", "4.56 Gbit/s", "12 345". */
void plot_show_bytes(char *buf, size_t len, uint64_t bytes);
void plot_show_us(char *buf, size_t len, uint64_t us);
void plot_show_rate(char *buf, size_t len, double bits_per_s);
void plot_show_count(char *buf, size_t len, uint64_t count);

#endif
