// SPDX-License-Identifier: MIT
/* Requests that a device must refuse, and go on working. */
#include "work.h"

#define GROWTH_NS (60 * NS_PER_S)

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

/* The device says that it has more sectors by now. Returns how many, once that is so. */
static uint64_t checks_await_growth(struct blk *blk, uint64_t before)
{
	uint64_t end = clock_ns() + GROWTH_NS, capacity = before;

	while (capacity == before) {
		if (clock_ns() > end)
			panic("blk: the disk does not grow");
		virtio_wait(&blk->dev, end);
		if (blk->irq_mode == VIRTIO_POLL || virtio_config_changed(&blk->dev))
			virtio_config_read(&blk->dev, 0, &capacity, sizeof(capacity));
	}
	return capacity;
}

/* Reads the sector; counts words that are not as they should be. */
static unsigned int checks_words(struct work *work, uint64_t sector, uint64_t want)
{
	struct blk_req *req = &work->slots[0];
	const uint64_t *word = req->data;
	unsigned int wrong = 0;

	memset(req->data, 0x55, SECTOR_BYTES);
	blk_prepare(req, BLK_IN, sector, 1);
	if (blk_do(work->blk, req) != BLK_OK)
		return 1;
	for (unsigned int i = 0; i < SECTOR_BYTES / 8; i++)
		wrong += word[i] != want;
	return wrong;
}

int checks_growth(struct work *work)
{
	struct blk_req *req = &work->slots[0];
	struct blk *blk = work->blk;
	unsigned int failed = 0;
	uint64_t before = blk->config.capacity, capacity, *word = req->data;

	print("blk: growth waits capacity=%lu\n", before);
	capacity = checks_await_growth(blk, before);
	failed += checks_words(work, before, 0) + checks_words(work, capacity - 1, 0);
	for (unsigned int i = 0; i < SECTOR_BYTES / 8; i++)
		word[i] = capacity;
	blk_prepare(req, BLK_OUT, capacity - 1, 1);
	failed += blk_do(blk, req) != BLK_OK;
	failed += checks_words(work, capacity - 1, capacity);
	blk_prepare(req, BLK_IN, capacity, 1);
	failed += blk_do(blk, req) != BLK_IOERR;
	print("blk: growth %s capacity=%lu\n", failed ? "FAILED" : "ok", capacity);
	return failed ? EXIT_FAILED : EXIT_OK;
}
