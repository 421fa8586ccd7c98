/* SPDX-License-Identifier: MIT */
/* The buffers of samples, without the thread. */
#ifndef FERRY_MIGRATION_STATS_IMPL_H
#define FERRY_MIGRATION_STATS_IMPL_H

#include "migration/stats.h"

struct stats_buffer {
	struct stats_sample coarse[STATS_MAX_COARSE];
	unsigned nr_coarse;
	uint64_t every; /* a power of two: that many samples for each one that is kept */
	struct stats_sample fine[STATS_MAX_FINE];
	uint64_t nr; /* of all samples so far */
};

/* Add the next one. */
void stats_buffer_add(struct stats_buffer *b, const struct stats_sample *sample);

/* As stats_get(). */
unsigned stats_buffer_get(const struct stats_buffer *b, struct stats_sample *ret);

#endif
