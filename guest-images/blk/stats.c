// SPDX-License-Identifier: MIT
/* What a run has done, in one line. */
#include "work.h"

void stats_count(struct stats *stats, const struct blk_req *req)
{
	uint64_t tsc = rdtsc() - req->start_tsc;

	if (!stats->done++ || tsc < stats->min_tsc)
		stats->min_tsc = tsc;
	if (tsc > stats->max_tsc)
		stats->max_tsc = tsc;
	stats->sum_tsc += tsc;
	if (req->status != BLK_OK)
		stats->errors++;
	else
		stats->bytes += req->bytes;
	stats->reads += req->header.type == BLK_IN;
	stats->writes += req->header.type == BLK_OUT;
	stats->flushes += req->header.type == BLK_FLUSH;
	stats->discards += req->header.type == BLK_DISCARD;
	stats->zeroes += req->header.type == BLK_WRITE_ZEROES;
}

/* In tenths of a microsecond: printed by TENTHS() as a number with one decimal. */
static uint64_t stats_us10(uint64_t tsc)
{
	return tsc * 10000 / (clock_tsc_hz() / 1000);
}

#define TENTHS(value) (value) / 10, (value) % 10

void stats_report(const struct work *work, const char *what)
{
	const struct stats *s = &work->stats;
	uint64_t us = (clock_ns() - s->start_ns) / NS_PER_US + 1;
	uint64_t mib10 = s->bytes / 1024 * 10000000 / us / 1024;
	uint64_t min = stats_us10(s->min_tsc), max = stats_us10(s->max_tsc);
	uint64_t avg = s->done ? stats_us10(s->sum_tsc / s->done) : 0;

	print("blk: %s iops=%lu mib_s=%lu.%lu lat_min_us=%lu.%lu lat_avg_us=%lu.%lu "
	      "lat_max_us=%lu.%lu ",
	      what, s->done * 1000000 / us, TENTHS(mib10), TENTHS(min), TENTHS(avg), TENTHS(max));
	print("ops=%lu reads=%lu writes=%lu flushes=%lu discards=%lu zeroes=%lu resets=%lu "
	      "dropped=%lu errors=%lu corrupt=%lu\n",
	      s->done, s->reads, s->writes, s->flushes, s->discards, s->zeroes, s->resets,
	      s->dropped, s->errors, s->corrupt);
}
