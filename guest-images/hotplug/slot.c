// SPDX-License-Identifier: MIT
/* One device in a slot: entropy (VIRTIO 1.2, 5.4) and disks (5.2) are used, others only opened. */
#include "hotplug.h"

#define DEVICE_RNG   0x1044
#define DEVICE_BLK   0x1042
#define REQUEST_NS   (30 * NS_PER_S)
#define SECTOR_BYTES 512

struct blk_header {
	uint32_t type; /* 0: in */
	uint32_t reserved;
	uint64_t sector;
};

bool slot_open(struct slot *s, unsigned int n)
{
	struct virtio_dev old = s->dev;
	enum virtio_irq_mode mode = param_number("poll", 1) ? VIRTIO_POLL : VIRTIO_MSIX;
	uint64_t features = VIRTIO_BIT(VIRTIO_F_EVENT_IDX);

	if (!virtio_open(&s->dev, n << 3))
		return false;
	/* There are not vectors enough for each that comes. */
	s->dev.config_vector = old.config_vector;
	virtio_negotiate(&s->dev, features, mode);
	virtio_queue_setup(&s->dev, &s->queue, 0, 16);
	virtio_start(&s->dev);
	s->driven = true;
	return true;
}

static uint32_t request(struct slot *s, const struct virtq_seg *segs, unsigned int out,
			unsigned int in)
{
	uint64_t end_ns = clock_ns() + REQUEST_NS;
	uint32_t len = 0;

	if (!virtq_add(&s->queue.vq, segs, out, in, s))
		panic("hotplug: a queue is full");
	virtio_kick(&s->queue);
	while (!virtq_pop(&s->queue.vq, &len)) {
		if (s->queue.vq.broken)
			panic("hotplug: %s", s->queue.vq.broken);
		/* A device that is taken away leaves its requests. */
		if (pci_read(&s->dev.pci, PCI_VENDOR_ID, 2) == 0xffff)
			return 1;
		if (clock_ns() > end_ns)
			panic("hotplug: STALLED");
		virtio_wait(&s->dev, end_ns);
	}
	return len;
}

void slot_use(struct slot *s)
{
	static uint8_t *page;
	uint32_t len = 1;

	if (!page)
		page = memory_alloc_pages(1);
	if (s->dev.pci.device == DEVICE_RNG) {
		struct virtq_seg seg = { gpa_of(page), PAGE_BYTES };

		len = request(s, &seg, 0, 1);
	} else if (s->dev.pci.device == DEVICE_BLK) {
		uint8_t *header = page + SECTOR_BYTES, *status = header + sizeof(struct blk_header);
		const struct virtq_seg segs[] = {
			{ gpa_of(header), sizeof(struct blk_header) },
			{ gpa_of(page), SECTOR_BYTES },
			{ gpa_of(status), 1 },
		};

		memset(header, 0, sizeof(struct blk_header));
		*status = 0xff;
		len = request(s, segs, 1, 2);
		if (*status && len > 1)
			panic("hotplug: a disk answers %u", *status);
	}
	if (!len)
		panic("hotplug: a request brought nothing");
}
