// SPDX-License-Identifier: MIT
/*
 * Mistakes of a driver that a device must survive: it asks for a reset (VIRTIO 1.2, 2.1.2), and
 * works after that.
 */
#include "work.h"

#define NOTICE_NS (5 * NS_PER_S)

static void mistake_head(struct virtq *vq)
{
	vq->avail->ring[vq->avail_idx++ & (vq->size - 1)] = vq->size;
}

static void mistake_next(struct virtq *vq)
{
	vq->desc[0] = (struct virtq_desc){ gpa_of(vq->tables), 16, VIRTQ_DESC_NEXT, vq->size };
	vq->avail->ring[vq->avail_idx++ & (vq->size - 1)] = 0;
}

static void mistake_loop(struct virtq *vq)
{
	vq->desc[0] = (struct virtq_desc){ gpa_of(vq->tables), 16, VIRTQ_DESC_NEXT, 1 };
	vq->desc[1] = (struct virtq_desc){ gpa_of(vq->tables), 16, VIRTQ_DESC_NEXT, 0 };
	vq->avail->ring[vq->avail_idx++ & (vq->size - 1)] = 0;
}

static void mistake_jump(struct virtq *vq)
{
	vq->avail_idx = (uint16_t)(vq->avail_idx + vq->size + 1);
}

static const struct mistake {
	const char *name;
	void (*make)(struct virtq *vq);
} mistakes[] = {
	{ "head out of range", mistake_head },
	{ "next out of range", mistake_next },
	{ "loop", mistake_loop },
	{ "index that jumps", mistake_jump },
};

static bool mistake_is_noticed(struct blk *blk, const struct mistake *mistake)
{
	uint64_t end = clock_ns() + NOTICE_NS;
	struct virtio_queue *queue = &blk->queues[0];

	mistake->make(&queue->vq);
	virtio_kick(queue);
	while (!virtio_needs_reset(&blk->dev)) {
		if (clock_ns() < end)
			continue;
		print("blk: mistake %s: the device does not ask for a reset\n", mistake->name);
		return false;
	}
	return true;
}

int mistakes_run(struct work *work)
{
	struct blk_req *req = &work->slots[0];
	unsigned int failed = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(mistakes); i++) {
		failed += !mistake_is_noticed(work->blk, &mistakes[i]);
		blk_restart(work->blk);
		blk_prepare(req, BLK_IN, work->p.start, work->p.bs_sectors);
		if (blk_do(work->blk, req) != BLK_OK) {
			print("blk: mistake %s: no reading after it\n", mistakes[i].name);
			failed++;
		}
	}
	print("blk: mistakes %s made=%u\n", failed ? "FAILED" : "ok",
	      (unsigned int)ARRAY_SIZE(mistakes));
	return failed ? EXIT_FAILED : EXIT_OK;
}
