// SPDX-License-Identifier: MIT
/* Reset with requests in flight. */
#include "work.h"

#define CANARY 0xa5

/* When the reset has ended the device must not write here any more. */
static void reset_put_canary(const struct work *work, struct blk_req *req)
{
	req->status = CANARY;
	if (req->header.type == BLK_IN)
		memset(req->data, CANARY, work->p.bs_bytes);
}

static bool reset_canary_lives(const struct work *work, const struct blk_req *req)
{
	const uint8_t *data = req->data;

	if (req->status != CANARY)
		return false;
	for (uint32_t i = 0; req->header.type == BLK_IN && i < work->p.bs_bytes; i++) {
		if (data[i] != CANARY)
			return false;
	}
	return true;
}

/* Which of two generations does each sector of a dropped write hold? */
static void reset_settle(struct work *work, const struct blk_req *dropped, struct blk_req *probe)
{
	uint64_t lba = dropped->range.sector, index = lba - work->p.start;
	const struct sector *data = probe->data;

	blk_prepare(probe, BLK_IN, lba, work->p.bs_sectors);
	if (blk_do(work->blk, probe) != BLK_OK)
		panic("blk: read after reset: status %u", probe->status);
	for (uint32_t i = 0; i < work->p.bs_sectors; i++) {
		uint32_t *expected = &work->expected[index + i];

		if (*expected == SECTOR_UNKNOWN || dropped->header.type == BLK_DISCARD)
			*expected = SECTOR_UNKNOWN;
		else if (sector_identify(&data[i], lba + i, work->p.seed) == dropped->generation)
			*expected = dropped->generation;
	}
	work_verify(work, data, index, work->p.bs_sectors);
}

static void reset_drop(struct work *work, struct blk_req *req, struct blk_req *probe)
{
	work->stats.dropped++;
	if (req->header.type == BLK_FLUSH)
		return;
	if (req->header.type != BLK_IN)
		reset_settle(work, req, probe);
	work->busy[(req->range.sector - work->p.start) / work->p.bs_sectors] = 0;
}

void work_reset(struct work *work)
{
	static struct blk_req probe;

	if (!probe.data)
		probe.data =
			memory_alloc_pages(align_up(work->p.bs_bytes, PAGE_BYTES) / PAGE_BYTES);
	if (work->p.queue_reset)
		blk_restart_queues(work->blk);
	else
		blk_restart(work->blk);
	for (unsigned int i = 0; i < work->p.depth; i++) {
		if (work->slots[i].in_flight)
			reset_put_canary(work, &work->slots[i]);
	}
	for (unsigned int i = 0; i < work->p.depth; i++) {
		if (work->slots[i].in_flight)
			reset_drop(work, &work->slots[i], &probe);
	}
	for (unsigned int i = 0; i < work->p.depth; i++) {
		if (work->slots[i].in_flight && !reset_canary_lives(work, &work->slots[i]))
			panic("blk: the device wrote to a buffer after its reset");
		work->slots[i].in_flight = false;
	}
	work->in_flight = 0;
	work->stats.resets++;
}
