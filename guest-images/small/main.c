// SPDX-License-Identifier: MIT
/* Drives one of the small virtio devices, as the command line says. */
#include "small.h"

void small_open(struct virtio_dev *dev, unsigned int type, uint64_t features)
{
	enum virtio_irq_mode mode = param_number("intx", 0)   ? VIRTIO_INTX
				    : param_number("poll", 1) ? VIRTIO_POLL
							      : VIRTIO_MSIX;

	if (!virtio_find(dev, type, 0))
		panic("small: no device of type %u", type);
	if (param_number("event_idx", 1))
		features |= VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
	if (param_number("indirect", 1))
		features |= VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
	virtio_negotiate(dev, features, mode);
}

uint32_t small_request(struct virtio_dev *dev, struct virtio_queue *queue,
		       const struct virtq_seg *seg, bool write)
{
	uint64_t end_ns = clock_ns() + REQUEST_NS;
	uint32_t len = 0;

	if (!virtq_add(&queue->vq, seg, !write, write, queue))
		panic("small: queue %u is full", queue->index);
	virtio_kick(queue);
	while (!virtq_pop(&queue->vq, &len)) {
		if (queue->vq.broken)
			panic("small: queue %u: %s", queue->index, queue->vq.broken);
		if (clock_ns() > end_ns)
			panic("small: queue %u: STALLED", queue->index);
		virtio_wait(dev, end_ns);
	}
	return len;
}

int guest_main(void)
{
	irq_init();
	if (param_get("rng"))
		return small_rng();
	if (param_get("balloon"))
		return small_balloon();
	if (param_get("console"))
		return small_console();
	power_usage("rng, balloon, console");
}
