/* SPDX-License-Identifier: MIT */
/* Fuzzing one queue of a virtio-net device: what the targets share. */
#ifndef FERRY_TESTS_FUZZ_NET_QUEUE_H
#define FERRY_TESTS_FUZZ_NET_QUEUE_H

#include <stdlib.h>
#include <string.h>

/* Fuzz targets are linked from one file each. */
/* NOLINTBEGIN(bugprone-suspicious-include): on purpose, for that reason */
#include "tests/unit/net_rig.c"
#include "tests/unit/ring.c"
/* NOLINTEND(bugprone-suspicious-include) */

#define FUZZ_DATA_BYTES 4096U
#define FUZZ_DESCS      8U

/*
 * The input: features, then FUZZ_DESCS descriptors of two bytes each, then
 * what is in the buffers. A chain starts at every descriptor that none before
 * it refers to.
 */
struct fuzz_input {
	const uint8_t *data;
	size_t len;
};

static inline uint64_t fuzz_take(struct fuzz_input *in, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes && in->len; i++, in->data++, in->len--)
		value |= (uint64_t)*in->data << (8 * i);
	return value;
}

/* Lengths from 1 byte to all of the data, many of them small; some buffers outside RAM. */
static inline struct ring_desc fuzz_desc(struct fuzz_input *in, unsigned i)
{
	unsigned length = (unsigned)fuzz_take(in, 1), how = (unsigned)fuzz_take(in, 1);
	uint16_t flags = (uint16_t)((how & 1 ? RING_NEXT : 0) | (how & 2 ? RING_WRITE : 0));

	return (struct ring_desc){
		.addr = how & 0x80 ? NET_RIG_MEM - 8 : NET_RIG_BUFFERS + (how & 0x7c) * 4,
		.len = length < 128 ? length : (length - 127) * 1024,
		.flags = flags,
		.next = (uint16_t)(i + 1),
	};
}

/* Fill memory and ring @queue from the input, and let the device work it to the end. */
static inline void fuzz_queue(struct net_rig *rig, unsigned queue, struct fuzz_input *in)
{
	struct ring *r = &rig->rings[queue];
	bool linked = false;

	ring_init(r, &rig->vm->gmem, r->desc, NET_RIG_SIZE);
	for (uint16_t i = 0; i < FUZZ_DESCS; i++) {
		struct ring_desc d = fuzz_desc(in, i);

		ring_put_desc(r, r->desc, i, d);
		if (!linked)
			ring_offer(r, i);
		linked = d.flags & RING_NEXT;
	}
	memset(net_rig_buffer(rig, 0), 0, FUZZ_DATA_BYTES);
	memcpy(net_rig_buffer(rig, 0), in->data, MIN(in->len, FUZZ_DATA_BYTES));
	net_rig_start(rig, queue);
	net_rig_settle(rig, 0);
	net_rig_stop(rig, queue);
}

/* The device with the driver's choice of features, as after a reset. */
static inline struct net_rig *fuzz_device(uint64_t features)
{
	static struct net_rig rig;

	if (!rig.net)
		net_rig_open(&rig, 0);
	atomic_store(&rig.net->dev.broken, false);
	rig.net->dev.features = features & (rig.net->dev.offered | NET_BIT(VIRTIO_NET_F_MQ));
	rig.net->dev.cls->reset(&rig.net->dev);
	rig.net->dev.cls->start(&rig.net->dev);
	return &rig;
}

static inline void fuzz_require(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
