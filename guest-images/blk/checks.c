// SPDX-License-Identifier: MIT
/* Requests that a device must refuse, and go on working. */
#include "work.h"

#define ANY_STATUS BLK_NO_STATUS /* a discard may be ignored */

struct check {
	const char *name;
	enum blk_type type;
	uint64_t sector;
	uint32_t sectors;
	enum blk_status want;
};

/* Runs one request; prints and counts a surprise. */
static unsigned int checks_one(struct work *work, const struct check *check, uint64_t sector)
{
	struct blk_req *req = &work->slots[0];

	blk_prepare(req, check->type, sector, check->sectors);
	if (blk_do(work->blk, req) == check->want || check->want == ANY_STATUS)
		return 0;
	print("blk: check %s: status %u, expected %u\n", check->name, req->status, check->want);
	return 1;
}

/* The first sectors as they are now, to see that refused writes leave no trace. */
static uint64_t checks_sum(struct work *work)
{
	struct blk_req *req = &work->slots[0];
	const uint64_t *word = req->data;
	uint64_t sum = 0;

	blk_prepare(req, BLK_IN, work->p.start, work->p.bs_sectors);
	if (blk_do(work->blk, req) != BLK_OK)
		panic("blk: cannot read");
	for (uint32_t i = 0; i < work->p.bs_bytes / 8; i++)
		sum = (sum ^ word[i]) * 0x9e3779b97f4a7c15;
	return sum;
}

int checks_read_only(struct work *work)
{
	static const struct check checks[] = {
		{ "write", BLK_OUT, 0, 1, BLK_IOERR },
		{ "write zeroes", BLK_WRITE_ZEROES, 0, 1, BLK_IOERR },
		{ "discard", BLK_DISCARD, 0, 1, ANY_STATUS },
	};
	const struct virtio_dev *dev = &work->blk->dev;
	uint64_t sum = checks_sum(work);
	unsigned int failed = 0, done = 0;

	if (!virtio_has(dev, BLK_F_RO)) {
		print("blk: ro FAILED: the device does not offer RO\n");
		return EXIT_FAILED;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(checks); i++) {
		if ((checks[i].type == BLK_DISCARD && !virtio_has(dev, BLK_F_DISCARD)) ||
		    (checks[i].type == BLK_WRITE_ZEROES && !virtio_has(dev, BLK_F_WRITE_ZEROES)))
			continue;
		memset(work->slots[0].data, 0xee, work->p.bs_bytes);
		failed += checks_one(work, &checks[i], work->p.start);
		done++;
	}
	if (checks_sum(work) != sum) {
		print("blk: a refused request has changed the disk\n");
		failed++;
	}
	print("blk: ro %s refused=%u\n", failed ? "FAILED" : "ok", done);
	return failed ? EXIT_FAILED : EXIT_OK;
}

int checks_edges(struct work *work)
{
	uint64_t capacity = work->blk->config.capacity;
	const struct check checks[] = {
		{ "read at the end", BLK_IN, capacity, 1, BLK_IOERR },
		{ "write at the end", BLK_OUT, capacity, 1, BLK_IOERR },
		{ "read across the end", BLK_IN, capacity - 1, 2, BLK_IOERR },
		{ "write across the end", BLK_OUT, capacity - 1, 2, BLK_IOERR },
		{ "read far out", BLK_IN, ~0ull / SECTOR_BYTES, 1, BLK_IOERR },
		{ "read where the offset wraps", BLK_IN, ~0ull, 1, BLK_IOERR },
		{ "write where the offset wraps", BLK_OUT, ~0ull - 1, 1, BLK_IOERR },
		{ "read of the last sector", BLK_IN, capacity - 1, 1, BLK_OK },
		{ "type 99", (enum blk_type)99, 0, 0, BLK_UNSUPP },
	};
	unsigned int failed = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(checks); i++)
		failed += checks_one(work, &checks[i], checks[i].sector);
	(void)checks_sum(work);
	print("blk: edge %s checks=%u\n", failed ? "FAILED" : "ok",
	      (unsigned int)ARRAY_SIZE(checks));
	return failed ? EXIT_FAILED : EXIT_OK;
}
