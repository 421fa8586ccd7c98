// SPDX-License-Identifier: MIT
// Whole pages by vector registers: AVX2 where the processor has it, else SSE2.
#include "util/page.h"

#include <immintrin.h>
#include <stddef.h>

#define PAGE_BYTES 4096U

/* Another thread may write to the page: that is the caller's intention, not a race to report. */
#define RACY __attribute__((no_sanitize("thread")))
#define AVX2 RACY __attribute__((target("avx2")))

static inline bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

AVX2 static bool is_zero_avx2(const __m256i *p)
{
	for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i += 8) {
		__m256i a = _mm256_or_si256(_mm256_load_si256(p + i), _mm256_load_si256(p + i + 1));
		__m256i b =
			_mm256_or_si256(_mm256_load_si256(p + i + 2), _mm256_load_si256(p + i + 3));
		__m256i c =
			_mm256_or_si256(_mm256_load_si256(p + i + 4), _mm256_load_si256(p + i + 5));
		__m256i d =
			_mm256_or_si256(_mm256_load_si256(p + i + 6), _mm256_load_si256(p + i + 7));
		__m256i all = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));

		if (!_mm256_testz_si256(all, all))
			return false;
	}
	return true;
}

RACY static bool is_zero_sse2(const __m128i *p)
{
	const __m128i zero = _mm_setzero_si128();

	for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i += 4) {
		__m128i a = _mm_or_si128(_mm_load_si128(p + i), _mm_load_si128(p + i + 1));
		__m128i b = _mm_or_si128(_mm_load_si128(p + i + 2), _mm_load_si128(p + i + 3));

		if (_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_or_si128(a, b), zero)) != 0xffff)
			return false;
	}
	return true;
}

AVX2 static void copy_avx2(__m256i *to, const __m256i *p)
{
	for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i += 4) {
		__m256i a = _mm256_load_si256(p + i), b = _mm256_load_si256(p + i + 1);
		__m256i c = _mm256_load_si256(p + i + 2), d = _mm256_load_si256(p + i + 3);

		_mm256_store_si256(to + i, a);
		_mm256_store_si256(to + i + 1, b);
		_mm256_store_si256(to + i + 2, c);
		_mm256_store_si256(to + i + 3, d);
	}
}

RACY static void copy_sse2(__m128i *to, const __m128i *p)
{
	for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i++)
		_mm_store_si128(to + i, _mm_load_si128(p + i));
}

bool page_is_zero_as(const void *page, bool avx2)
{
	return avx2 ? is_zero_avx2(page) : is_zero_sse2(page);
}

void page_copy_as(void *to, const void *page, bool avx2)
{
	if (avx2)
		copy_avx2(to, page);
	else
		copy_sse2(to, page);
}

bool page_is_zero(const void *page)
{
	return page_is_zero_as(page, has_avx2());
}

void page_copy(void *to, const void *page)
{
	page_copy_as(to, page, has_avx2());
}
