/* SPDX-License-Identifier: MIT */
/* Counters that one thread writes and anyone reads. */
#ifndef FERRY_UTIL_COUNTER_H
#define FERRY_UTIL_COUNTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A build that counts nothing: what bench/run compares with, to tell what counting costs. */
#ifdef FERRY_NO_COUNTERS
#define COUNTERS_KEPT false
#else
#define COUNTERS_KEPT true
#endif

/* Its only writer is this thread, so no locked instruction is needed. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t old;

	if (!COUNTERS_KEPT)
		return;
	old = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, old + n, memory_order_relaxed);
}

/* Any thread. */
static inline uint64_t counter_get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/*
 * Times in buckets of powers of two: bucket i has what took less than
 * counter_bucket_limit_ns(i) and not less than the one before; the last has the rest.
 */
#define COUNTER_BUCKETS       26U
#define COUNTER_FIRST_LOG2_NS 10U /* 1.024 us; so the last limit is 17 s */

static inline uint64_t counter_bucket_limit_ns(unsigned bucket)
{
	return 1ULL << (COUNTER_FIRST_LOG2_NS + bucket);
}

static inline unsigned counter_bucket(uint64_t ns)
{
	uint64_t units = ns >> COUNTER_FIRST_LOG2_NS;
	unsigned bucket = units ? 64U - (unsigned)__builtin_clzll(units) : 0;

	return bucket < COUNTER_BUCKETS ? bucket : COUNTER_BUCKETS - 1;
}

#endif
