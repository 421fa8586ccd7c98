/* SPDX-License-Identifier: MIT */
/* Inside the report: its forms, and the scales of its picture. */
#ifndef FERRY_MIGRATION_REPORT_IMPL_H
#define FERRY_MIGRATION_REPORT_IMPL_H

#include <stddef.h>
#include <stdio.h>

#include "migration/report.h"

/* Write one form of it to @out. 0 or -errno. */
__must_check int report_put_json(const struct report *r, FILE *out);
__must_check int report_put_csv(const struct report *r, FILE *out);
__must_check int report_put_svg(const struct report *r, FILE *out);

#define REPORT_WIDTH  960
#define REPORT_HEIGHT 640

struct _cairo;

/* Draw it on @cr, REPORT_WIDTH by REPORT_HEIGHT. */
void report_draw(const struct report *r, struct _cairo *cr);

/* "1.23 GiB", "4.56 Gbit/s", "18.4 ms", "12 345". */
void report_show_bytes(char *buf, size_t len, uint64_t bytes);
void report_show_us(char *buf, size_t len, uint64_t us);
void report_show_rate(char *buf, size_t len, double bits_per_s);
void report_show_count(char *buf, size_t len, uint64_t count);

/*
 * A distance of ticks that is 1, 2 or 5 times a power of ten, so that at most
 * @max_ticks are in @range.
 */
double report_tick(double range, unsigned max_ticks);

#endif
