// SPDX-License-Identifier: MIT
// A checksum of all memory, to compare the two sides.
#include <stdlib.h>
#include <xxh_x86dispatch.h>

#include "migration/ram.h"
#include "util/page.h"
#include "vmm/gmem_scan.h"

#define SCAN_WORDS 512U

static void add_page(XXH3_state_t *state, const struct gmem *gm, uint64_t page)
{
	const void *p = gm->base + page * RAM_PAGE_BYTES;

	if (page_is_zero(p))
		return;
	(void)XXH3_64bits_update(state, &page, sizeof(page));
	(void)XXH3_64bits_update(state, p, RAM_PAGE_BYTES);
}

uint64_t ram_checksum(struct gmem *gm)
{
	uint64_t nr_pages = gm->bytes / RAM_PAGE_BYTES;
	uint64_t words[SCAN_WORDS];
	struct gmem_scan *scan = NULL;
	XXH3_state_t *state = XXH3_createState();
	uint64_t ret = 0;

	if (!state)
		return 0;
	(void)XXH3_64bits_reset(state);
	/* Without a scan every page is looked at: the same sum, at more cost. */
	if (gmem_scan_new(&scan, gm) < 0)
		scan = NULL;
	for (uint64_t first = 0; first < nr_pages; first += 64ULL * SCAN_WORDS) {
		if (scan)
			gmem_scan_pages(scan, first, SCAN_WORDS, words);
		for (uint64_t i = 0; i < 64ULL * SCAN_WORDS && first + i < nr_pages; i++) {
			if (!scan || words[i / 64] >> (i % 64) & 1)
				add_page(state, gm, first + i);
		}
	}
	gmem_scan_free(scan);
	ret = XXH3_64bits_digest(state);
	(void)XXH3_freeState(state);
	return ret;
}
