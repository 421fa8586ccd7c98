// SPDX-License-Identifier: MIT
/* The whole span in order: written before a run, verified after it or by a later guest. */
#include "work.h"

#define CHUNK_BYTES   65536ul
#define CHUNK_SECTORS (uint32_t)(CHUNK_BYTES / SECTOR_BYTES)

static void pattern_pass(struct work *work, enum blk_type type, uint32_t generation)
{
	static struct blk_req req;
	struct sector *data;

	if (!req.data)
		req.data = memory_alloc_pages(CHUNK_BYTES / PAGE_BYTES);
	data = req.data;
	for (uint64_t index = 0; index < work->p.sectors; index += CHUNK_SECTORS) {
		uint64_t left = work->p.sectors - index, lba = work->p.start + index;
		uint32_t sectors = left < CHUNK_SECTORS ? (uint32_t)left : CHUNK_SECTORS;

		blk_prepare(&req, type, lba, sectors);
		for (uint32_t i = 0; type == BLK_OUT && i < sectors; i++) {
			sector_make(&data[i], lba + i, generation, work->p.seed);
			work->expected[index + i] = generation;
		}
		if (blk_do(work->blk, &req) != BLK_OK)
			panic("blk: type %u at sector %lu: status %u", type, lba, req.status);
		if (type == BLK_IN)
			work_verify(work, data, index, sectors);
	}
}

void pattern_fill(struct work *work, uint32_t generation)
{
	pattern_pass(work, BLK_OUT, generation);
}

void pattern_verify(struct work *work)
{
	pattern_pass(work, BLK_IN, 0);
}

int pattern_run(struct work *work)
{
	bool write = param_is("pattern", "write");
	uint32_t generation = (uint32_t)param_number("gen", 1);

	if (!generation || (!write && !param_is("pattern", "verify")))
		power_usage("pattern or gen");
	for (uint64_t i = 0; i < work->p.sectors; i++)
		work->expected[i] = generation;
	if (write)
		pattern_fill(work, generation);
	else
		pattern_verify(work);
	print("blk: pattern %s sectors=%lu generation=%u seed=%u corrupt=%lu\n",
	      write ? "written" : "verified", work->p.sectors, generation, work->p.seed,
	      work->stats.corrupt);
	return work->stats.corrupt ? EXIT_CORRUPT : EXIT_OK;
}
