/* SPDX-License-Identifier: MIT */
/* Which pages of guest memory may hold anything but zeroes, without touching them. */
#ifndef FERRY_VMM_GMEM_SCAN_H
#define FERRY_VMM_GMEM_SCAN_H

#include <stdint.h>

#include "util/compiler.h"
#include "vmm/gmem.h"

/*
 * The kernel knows which pages it has given to the process: those that are
 * present or swapped, but for its page of zeroes. RAM that comes from a saved
 * file also has what that file holds. A page that is not reported reads as
 * zeroes, or was written after the scan passed it; one that is reported may
 * still be zero. Huge pages are reported as a whole.
 *
 * What was never touched costs nothing (0.1 ms for 1 GiB), what was some 6 ns a page
 * of 4 KiB. Where the kernel does not tell, every page is reported.
 */
struct gmem_scan;

/* Whom to ask, worst first. */
enum gmem_scan_way {
	GMEM_SCAN_NOBODY,
	GMEM_SCAN_ENTRIES, /* /proc/self/pagemap, read */
	GMEM_SCAN_IOCTL,   /* PAGEMAP_SCAN */
};

/*
 * @gm outlives the scan. The second form asks for less than the best way. 0 or
 * -ENOMEM.
 */
__must_check int gmem_scan_new(struct gmem_scan **ret, const struct gmem *gm);
__must_check int gmem_scan_new_as(struct gmem_scan **ret, const struct gmem *gm,
				  enum gmem_scan_way way);
void gmem_scan_free(struct gmem_scan *s);

/*
 * Write the bits of pages [first, first + 64 * nr_words) to @words; pages are
 * numbered by offset in RAM, and @first is a multiple of 64. Pages past the end
 * are not reported. One thread at a time.
 */
void gmem_scan_pages(struct gmem_scan *s, uint64_t first, uint64_t nr_words, uint64_t *words);

#endif
