/* SPDX-License-Identifier: MIT */
/* Whole pages of 4 KiB: are they zero, and copies of them. */
#ifndef FERRY_UTIL_PAGE_H
#define FERRY_UTIL_PAGE_H

#include <stdbool.h>

/*
 * Both use what vector registers the processor has, and take a page that someone
 * else writes to meanwhile: the answer, or the copy, is then one of the
 * states that each word had. @page is aligned to 64 bytes.
 */

/* Are all 4096 bytes zero? Most pages that are not are told by their first line. */
bool page_is_zero(const void *page);

/* Copy 4096 bytes; @to is aligned to 64 bytes. */
void page_copy(void *to, const void *page);

/* The same with the registers that @avx2 says (the processor has them), for tests. */
bool page_is_zero_as(const void *page, bool avx2);
void page_copy_as(void *to, const void *page, bool avx2);

#endif
