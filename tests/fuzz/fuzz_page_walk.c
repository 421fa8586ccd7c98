// SPDX-License-Identifier: MIT
// Page tables of a hostile guest: what is found is RAM, in order, and the walk ends.
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "vmm/dump/page_walk.h"

/* Small, so that tables point at each other. */
#define RAM_BYTES (1 * MIB)
#define TABLES    0x1000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct gmem *gm, const struct page_runs *runs)
{
	assert(runs->nr <= PAGE_WALK_MAX_RUNS);
	for (size_t i = 0; i < runs->nr; i++) {
		const struct page_run *r = &runs->runs[i];

		assert(gmem_ptr(gm, r->gpa, r->bytes));
		assert(i == 0 || r[-1].va + (r[-1].bytes - 1) < r->va);
	}
}

/* An entry is four bytes of input: flags, number of the table or page, place. */
static void fill(struct gmem *gm, const uint8_t *data, size_t size)
{
	assert(gmem_zero(gm, 0, RAM_BYTES) == 0);
	for (; size >= 4; data += 4, size -= 4) {
		uint64_t entry = (uint64_t)data[1] << 12 | (data[0] & 0x81);
		gpa_t at = TABLES + ((uint64_t)(data[2] % 8) << 12) + data[3] * sizeof(entry);

		/* Some in the upper half of the table, some of no RAM. */
		at += data[2] & 0x10 ? 2048 : 0;
		entry |= data[2] & 0x20 ? 1ULL << 40 : 0;
		assert(gmem_write(gm, at, &entry, sizeof(entry)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gmem gm;
	struct page_runs runs;

	if (!gm.base && gmem_init(&gm, RAM_BYTES, 0, NULL) < 0)
		return 0;
	if (size < 1)
		return 0;
	fill(&gm, data + 1, size - 1);
	if (page_walk(&runs, &gm, TABLES, data[0] & 1) < 0)
		return 0;
	check(&gm, &runs);
	page_runs_free(&runs);
	return 0;
}
