/* SPDX-License-Identifier: MIT */
/* Bitmaps of 64-bit words; the atomic forms may be used from any thread. */
#ifndef FERRY_UTIL_BITMAP_H
#define FERRY_UTIL_BITMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

#define BITMAP_WORDS(bits) (((bits) + 63) / 64)

/* Allocate @bits clear bits; freed with free(). NULL: no memory. */
__must_check _Atomic uint64_t *bitmap_new(size_t bits);

/*
 * Set bits [first, first + count). Release: who takes a bit with acquire sees
 * what was written before it was set.
 */
void bitmap_set_range(_Atomic uint64_t *map, size_t first, size_t count);

static inline bool bitmap_test(_Atomic uint64_t *map, size_t bit)
{
	return atomic_load_explicit(&map[bit / 64], memory_order_relaxed) >> (bit % 64) & 1;
}

/* Set one bit; true if it was clear. */
static inline bool bitmap_test_and_set(_Atomic uint64_t *map, size_t bit)
{
	uint64_t mask = 1ULL << (bit % 64);

	return !(atomic_fetch_or_explicit(&map[bit / 64], mask, memory_order_relaxed) & mask);
}

#endif
