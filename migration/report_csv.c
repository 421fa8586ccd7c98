// SPDX-License-Identifier: MIT
// The report as a table: a row for each sample, pass and mark.
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "migration/report_impl.h"
#include "util/clock.h"

static const char header[] =
	"record,time_us,duration_us,wire_bytes,bits_per_s,pages,left_pages,throttle_percent\n";

static void put_mark(FILE *out, const char *name, uint64_t at_us)
{
	if (at_us)
		(void)fprintf(out, "%s,%" PRIu64 ",,,,,,\n", name, at_us);
}

static void put_pass(FILE *out, const struct source_pass *p)
{
	double seconds = (double)p->duration_ns / (double)NSEC_PER_SEC;

	(void)fprintf(
		out, "pass,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.0f,%" PRIu64 ",%" PRIu64 ",%u\n",
		(uint64_t)(p->start_ns / NSEC_PER_USEC), (uint64_t)(p->duration_ns / NSEC_PER_USEC),
		p->bytes_wire, seconds > 0 ? (double)p->bytes_wire * 8 / seconds : 0, p->pages,
		p->dirty_pages, p->throttle);
}

/* The rate is that since the sample before. */
static void put_sample(FILE *out, const struct stats_sample *before, const struct stats_sample *s)
{
	uint64_t ns = before ? s->at_ns - before->at_ns : 0;
	double bits = before ? (double)(s->bytes - before->bytes) * 8 : 0;

	(void)fprintf(out, "sample,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.0f,,,%u\n",
		      (uint64_t)(s->at_ns / NSEC_PER_USEC), (uint64_t)(ns / NSEC_PER_USEC),
		      s->bytes, ns ? bits * (double)NSEC_PER_SEC / (double)ns : 0, s->throttle);
}

int report_put_csv(const void *what, FILE *out, struct err *e)
{
	const struct report *r = what;

	(void)fputs(header, out);
	put_mark(out, "setup", r->setup_us);
	put_mark(out, "stopped", r->stopped_us);
	put_mark(out, "running", r->running_us);
	put_mark(out, "end", r->total_us);
	for (unsigned i = 0; i < r->nr_passes; i++)
		put_pass(out, &r->passes[i]);
	for (unsigned i = 0; i < r->nr_samples; i++)
		put_sample(out, i ? &r->samples[i - 1] : NULL, &r->samples[i]);
	return ferror(out) ? err_set(e, -EIO, "%s", strerror(errno)) : 0;
}
