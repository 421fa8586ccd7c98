// SPDX-License-Identifier: MIT
// What a person sees of a teleport: the bar, the passes, the summary.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/compiler.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/teleport.h"

#define BAR_WIDTH 20

static double number(const json_t *obj, const char *key)
{
	return json_number_value(json_object_get(obj, key));
}

static const json_t *ram_of(const json_t *st)
{
	return json_object_get(st, "ram");
}

static const json_t *own_of(const json_t *st)
{
	return json_object_get(st, "ferry");
}

static const char *text(const json_t *obj, const char *key)
{
	const char *value = json_string_value(json_object_get(obj, key));

	return value ? value : "-";
}

/* "512 KiB", "3.4 MiB", "1.20 GiB" */
static const char *show_size(double bytes, char *buf, size_t len)
{
	if (bytes < (double)MIB)
		(void)snprintf(buf, len, "%.0f KiB", bytes / (double)KIB);
	else if (bytes < (double)GIB)
		(void)snprintf(buf, len, "%.1f MiB", bytes / (double)MIB);
	else
		(void)snprintf(buf, len, "%.2f GiB", bytes / (double)GIB);
	return buf;
}

/* How much of memory needs not be sent any more, 0 to 1. */
static double part_done(const json_t *st)
{
	double total = number(ram_of(st), "total");
	double left = number(ram_of(st), "remaining");

	return total > 0 && left <= total ? 1 - left / total : 0;
}

static void describe(const json_t *st, char *buf, size_t len)
{
	const json_t *ram = ram_of(st);
	char rate[32], dirty[32], left[32];
	size_t used = (size_t)snprintf(buf, len, "%s/s, left %s",
				       show_size(number(ram, "mbps") * 1e6 / 8, rate, sizeof(rate)),
				       show_size(number(ram, "remaining"), left, sizeof(left)));

	/* What the guest writes is known after the first pass. */
	if (number(ram, "dirty-sync-count") > 0)
		(void)snprintf(buf + used, len - used, ", dirty %s/s, downtime ~%.0f ms",
			       show_size(number(ram, "dirty-pages-rate") * number(ram, "page-size"),
					 dirty, sizeof(dirty)),
			       number(st, "expected-downtime"));
}

static void draw_bar(struct teleport_progress *p, const json_t *st)
{
	int filled = (int)(part_done(st) * BAR_WIDTH);
	char what[160];

	describe(st, what, sizeof(what));
	(void)fprintf(stderr, "\r%-6s pass %-3.0f [%.*s%*s] %s\033[K", text(st, "status"),
		      number(ram_of(st), "dirty-sync-count") + 1, filled, "####################",
		      BAR_WIDTH - filled, "", what);
	p->drawn = true;
}

static void tell_pass(struct teleport_progress *p, const json_t *st)
{
	json_int_t passes = (json_int_t)number(ram_of(st), "dirty-sync-count");
	char what[160];

	if (passes == p->passes)
		return;
	p->passes = passes;
	describe(st, what, sizeof(what));
	(void)fprintf(stderr, "pass %d: %s\n", (int)passes, what);
}

void teleport_end_progress(struct teleport_progress *p)
{
	if (p->drawn)
		(void)fprintf(stderr, "\r\033[K");
	p->drawn = false;
}

void teleport_show_progress(struct teleport_progress *p, const json_t *st)
{
	bool held = json_is_true(json_object_get(own_of(st), "held"));

	if (p->quiet)
		return;
	if (held && !p->told_hold) {
		teleport_end_progress(p);
		(void)fprintf(stderr, "held at phase %s; 'ferry teleport --continue' goes on\n",
			      text(own_of(st), "phase"));
	}
	p->told_hold = held;
	if (held)
		return;
	if (isatty(STDERR_FILENO))
		draw_bar(p, st);
	else
		tell_pass(p, st);
}

/* --- one line --- */

int teleport_print_summary(const char *name, const char *dest, const json_t *st)
{
	const json_t *ram = ram_of(st);
	double total_s = number(own_of(st), "elapsed-us") / 1e6;
	double bytes = number(ram, "transferred");
	char size[32], rate[32];

	(void)printf("%s runs at %s: downtime %.1f ms, total %.3f s, %.0f passes, %s, %.0f pages, "
		     "%s/s\n",
		     name, dest, number(own_of(st), "downtime-us") / 1e3, total_s,
		     number(ram, "dirty-sync-count"), show_size(bytes, size, sizeof(size)),
		     number(ram, "normal") + number(ram, "duplicate"),
		     show_size(total_s > 0 ? bytes / total_s : 0, rate, sizeof(rate)));
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

int teleport_print_status(const char *name, const json_t *st)
{
	const char *why = json_string_value(json_object_get(st, "error-desc"));
	bool held = json_is_true(json_object_get(own_of(st), "held"));
	char what[160] = "";

	if (ram_of(st))
		describe(st, what, sizeof(what));
	(void)printf("%s: %s, phase %s%s%s%s%s%s\n", name, text(st, "status"),
		     text(own_of(st), "phase"), held ? " (held)" : "", *what ? ", " : "", what,
		     why ? ": " : "", why ? why : "");
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}
