// SPDX-License-Identifier: MIT
// Fuzz: the descriptor walker. The input is the driver's share of guest memory.
#include <stdlib.h>
#include <string.h>

#include "virtio/queue.h"

#define MEM         (1 * MIB)
#define HEAD_BYTES  4
#define INPUT_BYTES 8192
#define MAX_IOV     64

/* Layout: descriptors at 0, then the rings, then what is left for tables. */
static void set_up(struct vq *q, struct gmem *gm, const uint8_t *head)
{
	uint16_t size = (uint16_t)(1U << (head[0] % 7));

	*q = (struct vq){
		.gm = gm,
		.event_idx = head[1] & 1,
		.indirect = head[1] & 2,
		.state =
			{
				.desc_gpa = 0,
				.avail_gpa = size * 16ULL,
				.used_gpa = 0x4000,
				.size = size,
				.last_avail = (uint16_t)(head[2] | head[3] << 8),
				.used_idx = (uint16_t)(head[2] | head[3] << 8),
			},
	};
}

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* Every byte of every buffer must be the guest's, and the sums must be right. */
static void check_chain(const struct vq *q, const struct vq_chain *c)
{
	uint64_t sum = 0;

	require(c->head < q->state.size);
	require(c->nr_out + c->nr_in >= 1 && c->nr_out + c->nr_in <= c->max_iov);
	require(c->nr_out + c->nr_in <= q->state.size);
	for (unsigned i = 0; i < c->nr_out + c->nr_in; i++) {
		const uint8_t *p = c->iov[i].iov_base;

		require(p >= q->gm->base && c->iov[i].iov_len > 0);
		require(c->iov[i].iov_len <= q->gm->bytes - (size_t)(p - q->gm->base));
		sum += c->iov[i].iov_len;
	}
	require(sum == c->out_bytes + c->in_bytes);
}

static void work(struct vq *q)
{
	struct iovec iov[MAX_IOV];
	struct vq_chain chain = { .iov = iov, .max_iov = MAX_IOV };
	uint8_t buf[64] = { 0 };

	for (unsigned n = 0; n < 2 * VQ_MAX_SIZE && vq_pop(q, &chain) == 1; n++) {
		check_chain(q, &chain);
		if (n % 5 == 4) {
			vq_unpop(q, 1);
			require(vq_pop(q, &chain) <= 1);
			break;
		}
		require(vq_read_out(&chain, n, buf, sizeof(buf)) <= sizeof(buf));
		require(vq_write_in(&chain, n, buf, sizeof(buf)) <= sizeof(buf));
		vq_push(q, &chain, (uint32_t)chain.in_bytes);
		(void)vq_wants_interrupt(q);
		vq_disable_kicks(q);
		(void)vq_enable_kicks(q);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct gmem gm; /* one for all inputs: what they change is put back */
	struct vq q;

	if (!gm.base)
		require(gmem_init(&gm, MEM, 0, NULL) == 0);
	if (len < HEAD_BYTES)
		return 0;
	memset(gm.base, 0, 2 * INPUT_BYTES);
	memcpy(gm.base, data + HEAD_BYTES, MIN(len - HEAD_BYTES, INPUT_BYTES));
	set_up(&q, &gm, data);
	require(vq_start(&q) == 0);
	work(&q);
	return 0;
}
