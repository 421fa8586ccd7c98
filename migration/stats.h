/* SPDX-License-Identifier: MIT */
/* How a migration goes, sampled while it goes: for the report. */
#ifndef FERRY_MIGRATION_STATS_H
#define FERRY_MIGRATION_STATS_H

#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * A thread takes a sample every STATS_INTERVAL_NS. All of them go into a ring of
 * the last ones, and every n-th into a buffer that starts over with every second
 * of its samples, and twice the distance, when it is full. So however long it
 * takes, memory is bounded, all of it is there at an even distance, and its
 * end, where the hand-over is, at the full resolution.
 */
#define STATS_INTERVAL_NS 1000000ULL
#define STATS_MAX_COARSE  512U
#define STATS_MAX_FINE    1024U
#define STATS_MAX         (STATS_MAX_COARSE + STATS_MAX_FINE)

struct stats_sample {
	uint64_t at_ns;    /* since the migration's start */
	uint64_t bytes;    /* on the wire so far */
	unsigned throttle; /* percent */
};

struct stats;

/*
 * Start the thread; @read gives a sample, on that thread and once more in
 * stats_stop(). 0 or -errno.
 */
__must_check int stats_start(struct stats **ret,
			     void (*read)(void *opaque, struct stats_sample *ret), void *opaque,
			     struct err *e);

/* Take the last sample and end the thread: read is not called any more. Once. */
void stats_stop(struct stats *s);

/* Free; stopped before. NULL: no-op. */
void stats_free(struct stats *s);

/* The samples in the order of time, at most STATS_MAX into @ret. Returns how many. Any thread. */
unsigned stats_get(struct stats *s, struct stats_sample *ret);

#endif
