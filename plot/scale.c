// SPDX-License-Identifier: MIT
// Numbers for people, and ticks for axes.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "plot/plot.h"
#include "util/compiler.h"

/* Three significant digits. */
static void show_scaled(char *buf, size_t len, double value, const char *unit)
{
	int digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;

	(void)snprintf(buf, len, "%.*f %s", digits, value, unit);
}

void plot_show_bytes(char *buf, size_t len, uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes / 1024;
	unsigned i = 0;

	for (; value >= 1000 && i + 1 < ARRAY_SIZE(units); i++)
		value /= 1024;
	show_scaled(buf, len, value, units[i]);
}

void plot_show_us(char *buf, size_t len, uint64_t us)
{
	if (us < 1000)
		(void)snprintf(buf, len, "%" PRIu64 " \xc2\xb5s", us);
	else if (us < 1000000)
		show_scaled(buf, len, (double)us / 1e3, "ms");
	else
		show_scaled(buf, len, (double)us / 1e6, "s");
}

void plot_show_rate(char *buf, size_t len, double bits_per_s)
{
	if (bits_per_s < 1e6)
		show_scaled(buf, len, bits_per_s / 1e3, "kbit/s");
	else if (bits_per_s < 1e9)
		show_scaled(buf, len, bits_per_s / 1e6, "Mbit/s");
	else
		show_scaled(buf, len, bits_per_s / 1e9, "Gbit/s");
}

/* A space before each three digits. */
void plot_show_count(char *buf, size_t len, uint64_t count)
{
	char digits[24];
	int nr = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	size_t at = 0;

	for (int i = 0; i < nr && at + 2 < len; i++) {
		if (i > 0 && (nr - i) % 3 == 0)
			buf[at++] = ' ';
		buf[at++] = digits[i];
	}
	buf[at] = '\0';
}

double plot_tick(double range, unsigned max_ticks)
{
	double power, step;

	if (!(range > 0))
		return 1;
	power = pow(10, floor(log10(range / max_ticks)));
	for (step = power; range / step > max_ticks;)
		step = step < 1.5 * power ? 2 * power : step < 3 * power ? 5 * power : 10 * power;
	return step;
}
