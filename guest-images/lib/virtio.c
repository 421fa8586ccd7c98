// SPDX-License-Identifier: MIT
/*
 * Driver side of virtio over PCI.
 *
 * Theory of operation: a driver calls find, negotiate, queue_setup for each queue and start; then
 * it adds requests to queues, kicks them, and pops what is finished, polling or after
 * virtio_wait(). After virtio_reset() it begins again with negotiate. MSI-X entry 0 is for
 * configuration changes, entry 1 + i for queue i; queues beyond the table share its last entry.
 */
#include "virtio.h"
#include "guest.h"

#define VIRTIO_VENDOR      0x1af4
#define VIRTIO_DEVICE_BASE 0x1040
#define VIRTIO_NO_VECTOR   0xffff
#define RESET_LIMIT_NS     (10 * NS_PER_S)

enum { /* device status, 2.1 */
       STATUS_ACKNOWLEDGE = 1,
       STATUS_DRIVER = 2,
       STATUS_DRIVER_OK = 4,
       STATUS_FEATURES_OK = 8,
       STATUS_NEEDS_RESET = 64,
};

enum { /* struct virtio_pci_cap, 4.1.4 */
       CAP_TYPE = 3,
       CAP_BAR = 4,
       CAP_OFFSET = 8,
       CAP_NOTIFY_MULTIPLIER = 16,

       CAP_COMMON_CFG = 1,
       CAP_NOTIFY_CFG = 2,
       CAP_ISR_CFG = 3,
       CAP_DEVICE_CFG = 4,

       ISR_CONFIG = 2, /* 4.1.4.5 */
};

enum { /* struct virtio_pci_common_cfg, 4.1.4.3 */
       DEVICE_FEATURE_SELECT = 0,
       DEVICE_FEATURE = 4,
       DRIVER_FEATURE_SELECT = 8,
       DRIVER_FEATURE = 12,
       CONFIG_MSIX_VECTOR = 16,
       NUM_QUEUES = 18,
       DEVICE_STATUS = 20,
       CONFIG_GENERATION = 21,
       QUEUE_SELECT = 22,
       QUEUE_SIZE = 24,
       QUEUE_MSIX_VECTOR = 26,
       QUEUE_ENABLE = 28,
       QUEUE_NOTIFY_OFF = 30,
       QUEUE_DESC = 32,
       QUEUE_DRIVER = 40,
       QUEUE_DEVICE = 48,
       QUEUE_RESET = 58,
};

static uint8_t virtio_status(const struct virtio_dev *dev)
{
	return mmio_read8(dev->common_gpa + DEVICE_STATUS);
}

static void virtio_add_status(const struct virtio_dev *dev, uint8_t bits)
{
	mmio_write8(dev->common_gpa + DEVICE_STATUS, virtio_status(dev) | bits);
}

/* Of several capabilities of one type the first usable one counts (4.1.4.1). */
static void virtio_map_cap(struct virtio_dev *dev, uint8_t cap)
{
	uint64_t *gpas[] = { NULL, &dev->common_gpa, &dev->notify_gpa, &dev->isr_gpa,
			     &dev->config_gpa };
	uint32_t type = pci_read(&dev->pci, cap + CAP_TYPE, 1);
	uint32_t bar = pci_read(&dev->pci, cap + CAP_BAR, 1);
	uint64_t bar_gpa;

	if (type < CAP_COMMON_CFG || type > CAP_DEVICE_CFG || bar >= PCI_BARS || *gpas[type])
		return;
	bar_gpa = pci_bar_map(&dev->pci, bar);
	if (!bar_gpa)
		return;
	*gpas[type] = bar_gpa + pci_read(&dev->pci, cap + CAP_OFFSET, 4);
	if (type == CAP_NOTIFY_CFG)
		dev->notify_multiplier = pci_read(&dev->pci, cap + CAP_NOTIFY_MULTIPLIER, 4);
}

static bool virtio_map(struct virtio_dev *dev)
{
	for (uint8_t cap = 0; (cap = pci_next_cap(&dev->pci, PCI_CAP_VENDOR, cap));)
		virtio_map_cap(dev, cap);
	return dev->common_gpa && dev->notify_gpa && dev->isr_gpa;
}

bool virtio_find(struct virtio_dev *dev, unsigned int type, unsigned int nth)
{
	memset(dev, 0, sizeof(*dev));
	return pci_find(&dev->pci, VIRTIO_VENDOR, (uint16_t)(VIRTIO_DEVICE_BASE + type), nth) &&
	       virtio_map(dev);
}

bool virtio_open(struct virtio_dev *dev, unsigned int bdf)
{
	memset(dev, 0, sizeof(*dev));
	return pci_probe(&dev->pci, bdf) && dev->pci.vendor == VIRTIO_VENDOR &&
	       dev->pci.device >= VIRTIO_DEVICE_BASE && virtio_map(dev);
}

void virtio_reset(struct virtio_dev *dev)
{
	uint64_t end = clock_ns() + RESET_LIMIT_NS;

	mmio_write8(dev->common_gpa + DEVICE_STATUS, 0);
	while (virtio_status(dev)) {
		if (clock_ns() > end)
			panic("virtio: the reset does not end");
	}
	dev->nr_queues = 0;
}

static uint64_t virtio_read_offered(const struct virtio_dev *dev)
{
	uint64_t features = 0;

	for (uint32_t i = 0; i < 2; i++) {
		mmio_write32(dev->common_gpa + DEVICE_FEATURE_SELECT, i);
		features |= (uint64_t)mmio_read32(dev->common_gpa + DEVICE_FEATURE) << 32 * i;
	}
	return features;
}

static void virtio_write_accepted(const struct virtio_dev *dev)
{
	for (uint32_t i = 0; i < 2; i++) {
		mmio_write32(dev->common_gpa + DRIVER_FEATURE_SELECT, i);
		mmio_write32(dev->common_gpa + DRIVER_FEATURE, (uint32_t)(dev->features >> 32 * i));
	}
}

/* Gives @vector, allocated at first use, to MSI-X entry @want or the last one there is, and the
 * entry to the selected object with the register @reg. */
static void virtio_route(struct virtio_dev *dev, unsigned int want, unsigned int *vector,
			 unsigned int reg)
{
	unsigned int last = dev->pci.msix_entries - 1u;
	unsigned int entry = want < last ? want : last;

	if (!*vector)
		*vector = irq_alloc();
	pci_msix_route(&dev->pci, entry, *vector);
	mmio_write16(dev->common_gpa + reg, (uint16_t)entry);
	if (mmio_read16(dev->common_gpa + reg) != entry)
		panic("virtio: the device refuses MSI-X entry %u", entry);
}

static void virtio_setup_irqs(struct virtio_dev *dev, enum virtio_irq_mode mode)
{
	uint32_t line;

	dev->irq_mode = mode;
	if (mode == VIRTIO_MSIX) {
		if (!dev->pci.msix_entries && !pci_msix_enable(&dev->pci))
			panic("virtio: no MSI-X");
		virtio_route(dev, 0, &dev->config_vector, CONFIG_MSIX_VECTOR);
	} else if (mode == VIRTIO_INTX && !dev->config_vector) {
		if (!pci_read(&dev->pci, PCI_INTERRUPT_PIN, 1))
			panic("virtio: no interrupt pin");
		line = pci_read(&dev->pci, PCI_INTERRUPT_LINE, 1);
		dev->config_vector = irq_route_gsi(line, true, false);
	}
}

void virtio_negotiate(struct virtio_dev *dev, uint64_t wanted, enum virtio_irq_mode mode)
{
	virtio_reset(dev);
	virtio_add_status(dev, STATUS_ACKNOWLEDGE);
	virtio_add_status(dev, STATUS_DRIVER);
	dev->offered = virtio_read_offered(dev);
	dev->features = dev->offered & (wanted | VIRTIO_BIT(VIRTIO_F_VERSION_1));
	if (!virtio_has(dev, VIRTIO_F_VERSION_1))
		panic("virtio: VERSION_1 is not offered");
	virtio_write_accepted(dev);
	virtio_add_status(dev, STATUS_FEATURES_OK);
	if (!(virtio_status(dev) & STATUS_FEATURES_OK))
		panic("virtio: the device refuses features %#lx", dev->features);
	virtio_setup_irqs(dev, mode);
}

unsigned int virtio_queue_count(const struct virtio_dev *dev)
{
	return mmio_read16(dev->common_gpa + NUM_QUEUES);
}

static void virtio_write_gpa(const struct virtio_dev *dev, unsigned int reg, const void *ring)
{
	mmio_write32(dev->common_gpa + reg, (uint32_t)gpa_of(ring));
	mmio_write32(dev->common_gpa + reg + 4, (uint32_t)(gpa_of(ring) >> 32));
}

/* Tells the device about the queue, which is selected (4.1.5.1.3). */
static void virtio_queue_enable(struct virtio_dev *dev, struct virtio_queue *queue)
{
	virtq_reset(&queue->vq, virtio_has(dev, VIRTIO_F_EVENT_IDX),
		    virtio_has(dev, VIRTIO_F_INDIRECT_DESC));
	virtq_set_interrupts(&queue->vq, dev->irq_mode != VIRTIO_POLL);
	mmio_write16(dev->common_gpa + QUEUE_SIZE, queue->vq.size);
	virtio_write_gpa(dev, QUEUE_DESC, queue->vq.desc);
	virtio_write_gpa(dev, QUEUE_DRIVER, queue->vq.avail);
	virtio_write_gpa(dev, QUEUE_DEVICE, queue->vq.used);
	if (dev->irq_mode == VIRTIO_MSIX)
		virtio_route(dev, 1u + queue->index, &queue->vector, QUEUE_MSIX_VECTOR);
	mmio_write16(dev->common_gpa + QUEUE_ENABLE, 1);
}

void virtio_queue_setup(struct virtio_dev *dev, struct virtio_queue *queue, uint16_t index,
			uint16_t max_size)
{
	uint16_t size, notify_off;

	if (index >= VIRTIO_MAX_QUEUES || index >= virtio_queue_count(dev))
		panic("virtio: no queue %u", index);
	mmio_write16(dev->common_gpa + QUEUE_SELECT, index);
	size = mmio_read16(dev->common_gpa + QUEUE_SIZE);
	if (!size)
		panic("virtio: queue %u has no entries", index);
	if (!queue->vq.size)
		virtq_init(&queue->vq, size < max_size ? size : max_size);
	queue->index = index;
	notify_off = mmio_read16(dev->common_gpa + QUEUE_NOTIFY_OFF);
	queue->doorbell_gpa = dev->notify_gpa + (uint64_t)notify_off * dev->notify_multiplier;
	dev->queues[dev->nr_queues++] = queue;
	virtio_queue_enable(dev, queue);
}

void virtio_start(struct virtio_dev *dev)
{
	virtio_add_status(dev, STATUS_DRIVER_OK);
}

void virtio_queue_reset(struct virtio_dev *dev, struct virtio_queue *queue)
{
	uint64_t end = clock_ns() + RESET_LIMIT_NS;

	mmio_write16(dev->common_gpa + QUEUE_SELECT, queue->index);
	mmio_write16(dev->common_gpa + QUEUE_RESET, 1);
	while (mmio_read16(dev->common_gpa + QUEUE_RESET)) {
		if (clock_ns() > end)
			panic("virtio: the reset of queue %u does not end", queue->index);
	}
	if (mmio_read16(dev->common_gpa + QUEUE_ENABLE))
		panic("virtio: queue %u is enabled after its reset", queue->index);
	virtio_queue_enable(dev, queue);
}

bool virtio_needs_reset(const struct virtio_dev *dev)
{
	return virtio_status(dev) & STATUS_NEEDS_RESET;
}

void virtio_config_read(const struct virtio_dev *dev, unsigned int offset, void *data,
			unsigned int size)
{
	uint8_t *bytes = data, before;

	do {
		before = mmio_read8(dev->common_gpa + CONFIG_GENERATION);
		for (unsigned int i = 0; i < size; i++)
			bytes[i] = mmio_read8(dev->config_gpa + offset + i);
	} while (before != mmio_read8(dev->common_gpa + CONFIG_GENERATION));
}

bool virtio_config_changed(struct virtio_dev *dev)
{
	bool changed = dev->config_pending;

	if (dev->irq_mode == VIRTIO_MSIX && irq_count(dev->config_vector) != dev->config_irqs) {
		dev->config_irqs = irq_count(dev->config_vector);
		changed = true;
	}
	dev->config_pending = false;
	return changed;
}

void virtio_kick(struct virtio_queue *queue)
{
	if (virtq_publish(&queue->vq))
		mmio_write16(queue->doorbell_gpa, queue->index);
}

/* Takes the interrupt line down if it is up. Reading the ISR clears it (4.1.4.5). */
static void virtio_intx_ack(struct virtio_dev *dev)
{
	if (dev->irq_mode != VIRTIO_INTX || irq_count(dev->config_vector) == dev->config_irqs)
		return;
	dev->config_irqs = irq_count(dev->config_vector);
	if (mmio_read8(dev->isr_gpa) & ISR_CONFIG)
		dev->config_pending = true;
	irq_ack(dev->config_vector);
}

static bool virtio_pending(const struct virtio_dev *dev)
{
	if (dev->config_pending ||
	    (dev->irq_mode == VIRTIO_MSIX && irq_count(dev->config_vector) != dev->config_irqs))
		return true;
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		const struct virtq *vq = &dev->queues[i]->vq;

		if (vq->interrupts && virtq_pending(vq))
			return true;
	}
	return false;
}

void virtio_wait(struct virtio_dev *dev, uint64_t until_ns)
{
	uint64_t seen;

	if (dev->irq_mode == VIRTIO_POLL)
		return;
	for (;;) {
		seen = irq_seq();
		virtio_intx_ack(dev);
		if (virtio_pending(dev) || clock_ns() >= until_ns)
			return;
		irq_wait_until(seen, until_ns);
	}
}
