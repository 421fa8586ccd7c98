// SPDX-License-Identifier: MIT
/* blk: exercises a virtio disk and verifies what it reads. Parameters: guest-images/README.md. */
#include "work.h"

static void print_disk(struct work *work)
{
	const struct blk *blk = work->blk;
	struct blk_req *req = &work->slots[0];
	char id[BLK_ID_BYTES + 1] = "";

	blk_prepare(req, BLK_GET_ID, 0, 0);
	if (blk_do(work->blk, req) == BLK_OK)
		memcpy(id, req->data, BLK_ID_BYTES);
	print("blk: capacity=%lu blk_size=%u queues=%u/%u qsize=%u features=%#lx ro=%d id=%s\n",
	      blk->config.capacity, blk->config.blk_size, blk->nr_queues,
	      virtio_has(&blk->dev, BLK_F_MQ) ? blk->config.num_queues : 1, blk->queues[0].vq.size,
	      blk->dev.features, virtio_has(&blk->dev, BLK_F_RO), id);
}

int guest_main(void)
{
	static struct blk blk;
	static struct work work;

	irq_init();
	blk_open(&blk);
	work_init(&work, &blk);
	print_disk(&work);
	if (param_is("expect", "ro"))
		return checks_read_only(&work);
	if (param_is("expect", "needs_reset"))
		return mistakes_run(&work);
	if (param_is("expect", "edge"))
		return checks_edges(&work);
	if (param_is("expect", "growth"))
		return checks_growth(&work);
	if (param_get("pattern"))
		return pattern_run(&work);
	if (param_number("bench", 0))
		return bench_run(&work);
	return work_run(&work);
}
