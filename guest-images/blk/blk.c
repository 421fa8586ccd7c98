// SPDX-License-Identifier: MIT
/* virtio-blk driver. */
#include "blk.h"

#define QUEUE_SIZE     256
#define ONE_REQUEST_NS (60 * NS_PER_S)

static void blk_bring_up(struct blk *blk)
{
	virtio_negotiate(&blk->dev, blk->wanted, blk->irq_mode);
	virtio_config_read(&blk->dev, 0, &blk->config, sizeof(blk->config));
	for (unsigned int i = 0; i < blk->nr_queues; i++)
		virtio_queue_setup(&blk->dev, &blk->queues[i], (uint16_t)i, blk->queue_size);
	virtio_start(&blk->dev);
}

static uint64_t blk_wanted_features(void)
{
	uint64_t wanted = VIRTIO_BIT(BLK_F_SIZE_MAX) | VIRTIO_BIT(BLK_F_SEG_MAX) |
			  VIRTIO_BIT(BLK_F_RO) | VIRTIO_BIT(BLK_F_BLK_SIZE) |
			  VIRTIO_BIT(BLK_F_FLUSH) | VIRTIO_BIT(BLK_F_TOPOLOGY) |
			  VIRTIO_BIT(BLK_F_MQ) | VIRTIO_BIT(BLK_F_DISCARD) |
			  VIRTIO_BIT(BLK_F_WRITE_ZEROES) | VIRTIO_BIT(VIRTIO_F_RING_RESET);

	if (param_number("indirect", 1))
		wanted |= VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
	if (param_number("event_idx", 1))
		wanted |= VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
	return wanted;
}

void blk_open(struct blk *blk)
{
	uint64_t queues = param_number("queues", 1);

	blk->wanted = blk_wanted_features();
	blk->irq_mode = param_number("intx", 0)   ? VIRTIO_INTX
			: param_number("poll", 1) ? VIRTIO_POLL
						  : VIRTIO_MSIX;
	blk->queue_size = (uint16_t)param_number("qsize", QUEUE_SIZE);
	blk->segs = (unsigned int)param_number("segs", 1);
	if (!virtio_find(&blk->dev, VIRTIO_ID_BLOCK, (unsigned int)param_number("disk", 0)))
		panic("blk: no such virtio-blk device");
	if (!queues || queues > BLK_MAX_QUEUES || queues > virtio_queue_count(&blk->dev))
		panic("blk: the device has %u queues", virtio_queue_count(&blk->dev));
	if (!blk->segs || blk->segs > BLK_MAX_SEGS)
		power_usage("segs");
	blk->nr_queues = (unsigned int)queues;
	blk_bring_up(blk);
}

void blk_restart(struct blk *blk)
{
	virtio_reset(&blk->dev);
	blk_bring_up(blk);
}

void blk_restart_queues(struct blk *blk)
{
	for (unsigned int i = 0; i < blk->nr_queues; i++)
		virtio_queue_reset(&blk->dev, &blk->queues[i]);
}

void blk_prepare(struct blk_req *req, enum blk_type type, uint64_t sector, uint32_t sectors)
{
	bool ranged = type == BLK_DISCARD || type == BLK_WRITE_ZEROES;

	req->header.type = type;
	req->header.reserved = 0;
	req->header.sector = ranged || type == BLK_FLUSH ? 0 : sector;
	req->range = (struct blk_range){ .sector = sector, .sectors = sectors };
	req->bytes = type == BLK_IN || type == BLK_OUT ? sectors * SECTOR_BYTES : 0;
	if (type == BLK_GET_ID)
		req->bytes = BLK_ID_BYTES;
	req->generation = 0;
}

/* Splits the data into up to blk->segs buffers, at sector boundaries. */
static unsigned int blk_data_segs(const struct blk *blk, const struct blk_req *req,
				  struct virtq_seg *segs)
{
	uint32_t piece = (uint32_t)align_up(req->bytes / blk->segs, SECTOR_BYTES);
	unsigned int n = 0;

	for (uint32_t at = 0; at < req->bytes; n++) {
		uint32_t left = req->bytes - at;
		bool last = n + 1 == blk->segs || !piece || left <= piece;

		segs[n] = (struct virtq_seg){ gpa_of(req->data) + at, last ? left : piece };
		at += segs[n].len;
	}
	return n;
}

bool blk_submit(struct blk *blk, struct blk_req *req, unsigned int queue)
{
	bool ranged = req->header.type == BLK_DISCARD || req->header.type == BLK_WRITE_ZEROES;
	bool to_device = req->header.type == BLK_OUT;
	struct virtq_seg segs[VIRTQ_MAX_SEGS] = { { gpa_of(&req->header), sizeof(req->header) } };
	unsigned int n = 1;

	if (ranged)
		segs[n++] = (struct virtq_seg){ gpa_of(&req->range), sizeof(req->range) };
	else
		n += blk_data_segs(blk, req, segs + n);
	segs[n++] = (struct virtq_seg){ gpa_of(&req->status), 1 };
	req->status = BLK_NO_STATUS;
	req->queue = (uint16_t)queue;
	req->start_tsc = rdtsc();
	req->in_flight = virtq_add(&blk->queues[queue].vq, segs, ranged || to_device ? n - 1 : 1,
				   ranged || to_device ? 1 : n - 1, req);
	return req->in_flight;
}

void blk_kick(struct blk *blk)
{
	for (unsigned int i = 0; i < blk->nr_queues; i++)
		virtio_kick(&blk->queues[i]);
}

struct blk_req *blk_reap(struct blk *blk)
{
	struct blk_req *req;

	for (unsigned int i = 0; i < blk->nr_queues; i++) {
		struct virtq *vq = &blk->queues[i].vq;

		req = virtq_pop(vq, NULL);
		if (vq->broken)
			panic("blk: queue %u: %s", i, vq->broken);
		if (req) {
			req->in_flight = false;
			return req;
		}
	}
	return NULL;
}

enum blk_status blk_do(struct blk *blk, struct blk_req *req)
{
	uint64_t end = clock_ns() + ONE_REQUEST_NS;

	if (!blk_submit(blk, req, 0))
		panic("blk: the queue is full");
	blk_kick(blk);
	while (blk_reap(blk) != req) {
		if (clock_ns() > end)
			panic("blk: a request of type %u does not end", req->header.type);
		blk_wait(blk, end);
	}
	return req->status;
}

void blk_wait(struct blk *blk, uint64_t until_ns)
{
	if (virtio_config_changed(&blk->dev) && virtio_needs_reset(&blk->dev))
		panic("blk: the device needs a reset");
	virtio_wait(&blk->dev, until_ns);
}
