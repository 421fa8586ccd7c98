// SPDX-License-Identifier: MIT
// Fuzz: virtio-blk requests. The input is the driver's share of guest memory.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/blk_impl.h"

#define MEM         (1 * MIB)
#define HEAD_BYTES  2
#define INPUT_BYTES 8192
#define RING_SIZE   16
#define CAPACITY    (1000 * BLOCK_SECTOR_BYTES)

static void require(bool ok)
{
	if (!ok)
		abort();
}

static bool is_guest_memory(const struct gmem *gm, const void *p, size_t len)
{
	const uint8_t *at = p;

	return at >= gm->base && at < gm->base + gm->bytes &&
	       len <= gm->bytes - (size_t)(at - gm->base);
}

/* What goes to the back end must be inside the disk and the guest, and agree in length. */
static void check_submission(const struct gmem *gm, const struct blk_slot *s)
{
	const struct block_request *rq = &s->rq;
	uint64_t sum = 0;

	require(rq->op < BLOCK_OP_MAX);
	if (rq->op == BLOCK_FLUSH)
		return;
	require(rq->bytes > 0 && rq->bytes % BLOCK_SECTOR_BYTES == 0);
	require(rq->offset <= CAPACITY && rq->bytes <= CAPACITY - rq->offset);
	if (rq->op != BLOCK_READ)
		require(!s->q->blk->block->readonly);
	if (rq->op != BLOCK_READ && rq->op != BLOCK_WRITE)
		return;
	for (unsigned i = 0; i < rq->niov; i++) {
		require(is_guest_memory(gm, rq->iov[i].iov_base, rq->iov[i].iov_len));
		sum += rq->iov[i].iov_len;
	}
	require(sum == rq->bytes);
}

static void work(struct gmem *gm, struct blk_queue *q)
{
	struct iovec iov[RING_SIZE];
	struct vq vq = {
		.gm = gm,
		.indirect = true,
		.state = { .avail_gpa = 0x100, .used_gpa = 0x200, .size = RING_SIZE },
	};
	struct blk_slot s = { .q = q, .chain = { .iov = iov, .max_iov = RING_SIZE } };

	require(vq_start(&vq) == 0);
	for (unsigned n = 0; n < 2 * RING_SIZE && vq_pop(&vq, &s.chain) == 1; n++) {
		int rc = blk_request_parse(&s);

		if (rc == BLK_SUBMIT)
			check_submission(gm, &s);
		require(rc == -EPROTO || is_guest_memory(gm, s.status, 1));
		require(rc <= VIRTIO_BLK_S_UNSUPP || rc == BLK_SUBMIT);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct gmem gm; /* one for all inputs: what they change is put back */
	struct block block = { .bytes = CAPACITY, .max_discard_bytes = CAPACITY / 2 };
	struct blk blk = { .block = &block };
	struct blk_queue q = { .blk = &blk };

	if (!gm.base)
		require(gmem_init(&gm, MEM, 0, NULL) == 0);
	if (len < HEAD_BYTES)
		return 0;
	block.readonly = data[0] & 1;
	blk.vdev.features = data[0] & 2 ? ~0ULL : 0;
	atomic_init(&blk.state.writeback, data[1]);
	memset(gm.base, 0, 2 * INPUT_BYTES);
	memcpy(gm.base, data + HEAD_BYTES, MIN(len - HEAD_BYTES, INPUT_BYTES));
	work(&gm, &q);
	return 0;
}
