// SPDX-License-Identifier: MIT
/* The devices: as they were found, put back in order, and what each is for. */
#include "chaos.h"

#define REQUEST_NS (10 * NS_PER_S) /* a device that needs longer has not recovered */
#define FRAME      72u             /* of a nic, with its header */

enum {
	MSIX_TABLE = 4, /* PCI 3.0, 6.8.2 */
	CAP_TYPE = 3,   /* VIRTIO 1.2, 4.1.4 */
	CAP_TYPE_PCI = 5,

	BLK_IN = 0,
	BLK_OUT = 1,
	BLK_SECTOR = 8, /* what is read and written */
};

static const struct {
	const char *name;
	unsigned int type;
} kinds[] = {
	{ "blk", VIRTIO_ID_BLOCK },       { "net", VIRTIO_ID_NET },
	{ "rng", VIRTIO_ID_RNG },         { "balloon", VIRTIO_ID_BALLOON },
	{ "console", VIRTIO_ID_CONSOLE },
};

static void remember(struct target *t)
{
	const struct pci_dev *pci = &t->dev.pci;
	uint8_t cap = pci_next_cap(pci, PCI_CAP_MSIX, 0);

	for (unsigned int i = 0; i < PCI_BARS; i++)
		t->bars[i] = pci_read(pci, PCI_BAR0 + 4 * i, 4);
	if (cap) {
		uint32_t table = pci_read(pci, cap + MSIX_TABLE, 4);

		t->msix_gpa = pci_bar_map(&t->dev.pci, table & 7) + (table & ~7u);
	}
	for (cap = 0; (cap = pci_next_cap(pci, PCI_CAP_VENDOR, cap));)
		if (pci_read(pci, cap + CAP_TYPE, 1) == CAP_TYPE_PCI)
			t->window_cap = cap;
}

static void add_kind(unsigned int type)
{
	for (unsigned int n = 0; chaos.nr_targets < MAX_TARGETS; n++) {
		struct target *t = &chaos.targets[chaos.nr_targets];

		t->type = type;
		if (!virtio_find(&t->dev, type, n))
			break;
		remember(t);
		t->nr_queues = virtio_queue_count(&t->dev);
		if (t->nr_queues > MAX_QUEUES)
			t->nr_queues = MAX_QUEUES;
		chaos.nr_targets++;
	}
}

unsigned int targets_find(const char *name)
{
	/* What other devices write into the arena a balloon would take for pages. */
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(name, kinds[i].name) ||
		    (!strcmp(name, "all") && (chaos.wild || kinds[i].type != VIRTIO_ID_BALLOON)))
			add_kind(kinds[i].type);
	return chaos.nr_targets;
}

/* --- what a device is for ------------------------------------------------------- */

static void serve(struct target *t, unsigned int queue, const struct virtq_seg *segs,
		  unsigned int out, unsigned int in)
{
	struct virtio_queue *q = &t->queues[queue];
	uint64_t end_ns = clock_ns() + REQUEST_NS;

	if (!virtq_add(&q->vq, segs, out, in, t))
		panic("chaos: type %u: queue %u is full", t->type, queue);
	virtio_kick(q);
	while (!virtq_pop(&q->vq, NULL)) {
		if (q->vq.broken)
			panic("chaos: type %u: %s", t->type, q->vq.broken);
		if (virtio_needs_reset(&t->dev) || clock_ns() > end_ns)
			panic("chaos: type %u: queue %u does not recover", t->type, queue);
	}
}

static uint8_t *arena(unsigned int offset)
{
	return (uint8_t *)(chaos.arena + offset);
}

static struct virtq_seg seg(unsigned int offset, uint32_t len)
{
	return (struct virtq_seg){ chaos.arena + offset, len };
}

static uint8_t disk_request(struct target *t, uint32_t type)
{
	const uint64_t header[2] = { type, BLK_SECTOR };
	struct virtq_seg segs[] = { seg(0, 16), seg(4096, 512), seg(64, 1) };

	memcpy(arena(0), header, sizeof(header));
	*arena(64) = 0xff;
	serve(t, 0, segs, type == BLK_OUT ? 2 : 1, type == BLK_OUT ? 1 : 2);
	return *arena(64);
}

static unsigned int use_disk(struct target *t)
{
	static uint8_t number;

	memset(arena(4096), ++number, 512);
	if (disk_request(t, BLK_OUT) != 0)
		return 1; /* it is read-only */
	memset(arena(4096), 0, 512);
	if (disk_request(t, BLK_IN) != 0 || *arena(4096) != number || *arena(4096 + 511) != number)
		panic("chaos: what was written is not there");
	return 2;
}

static unsigned int use_nic(struct target *t)
{
	struct virtq_seg frame = seg(0, FRAME);

	memset(arena(0), 0, FRAME);
	serve(t, 1, &frame, 1, 0);
	return 1;
}

static unsigned int use_rng(struct target *t)
{
	struct virtq_seg room = seg(0, 64);

	serve(t, 0, &room, 0, 1);
	return 1;
}

static unsigned int use_balloon(struct target *t)
{
	uint32_t pfn = (uint32_t)(chaos.arena / PAGE_BYTES) + 1;
	struct virtq_seg pages = seg(0, sizeof(pfn));

	memcpy(arena(0), &pfn, sizeof(pfn));
	serve(t, 0, &pages, 1, 0);
	serve(t, 1, &pages, 1, 0);
	return 2;
}

static unsigned int use_console(struct target *t)
{
	static const char text[] = "chaos: hvc\n";
	struct virtq_seg line = seg(0, sizeof(text) - 1);

	memcpy(arena(0), text, sizeof(text) - 1);
	serve(t, 1, &line, 1, 0);
	return 1;
}

static unsigned int use(struct target *t)
{
	switch (t->type) {
	case VIRTIO_ID_BLOCK:
		return use_disk(t);
	case VIRTIO_ID_NET:
		return use_nic(t);
	case VIRTIO_ID_RNG:
		return use_rng(t);
	case VIRTIO_ID_BALLOON:
		return use_balloon(t);
	default:
		return use_console(t);
	}
}

/* --- order ------------------------------------------------------------------------ */

/* Out of the way first: two of them may have changed places. */
static void hide(const struct target *t)
{
	pci_write(&t->dev.pci, PCI_COMMAND, 2, 0);
}

static void bring_home(const struct target *t)
{
	for (unsigned int i = 0; i < PCI_BARS; i++)
		pci_write(&t->dev.pci, PCI_BAR0 + 4 * i, 4, t->bars[i]);
	pci_write(&t->dev.pci, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void start(struct target *t)
{
	uint64_t features = VIRTIO_BIT(VIRTIO_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) |
			    VIRTIO_BIT(VIRTIO_F_RING_RESET);

	virtio_negotiate(&t->dev, features, VIRTIO_POLL);
	for (unsigned int i = 0; i < t->nr_queues; i++)
		virtio_queue_setup(&t->dev, &t->queues[i], (uint16_t)i, QUEUE_SIZE);
	virtio_start(&t->dev);
}

unsigned int targets_mend(void)
{
	unsigned int served = 0;

	for (unsigned int i = 0; i < chaos.nr_targets; i++)
		hide(&chaos.targets[i]);
	for (unsigned int i = 0; i < chaos.nr_targets; i++)
		bring_home(&chaos.targets[i]);
	for (unsigned int i = 0; i < chaos.nr_targets; i++) {
		start(&chaos.targets[i]);
		served += use(&chaos.targets[i]);
	}
	return served;
}
