// SPDX-License-Identifier: MIT
// Bitmaps of 64-bit words.
#include "util/bitmap.h"

#include <stdlib.h>

_Atomic uint64_t *bitmap_new(size_t bits)
{
	return calloc(MAX(BITMAP_WORDS(bits), 1), sizeof(_Atomic uint64_t));
}

void bitmap_set_range(_Atomic uint64_t *map, size_t first, size_t count)
{
	while (count > 0) {
		size_t shift = first % 64;
		size_t n = MIN(count, 64 - shift);
		uint64_t mask = (n == 64 ? ~0ULL : (1ULL << n) - 1) << shift;

		atomic_fetch_or_explicit(&map[first / 64], mask, memory_order_release);
		first += n;
		count -= n;
	}
}
