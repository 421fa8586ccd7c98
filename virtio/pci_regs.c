// SPDX-License-Identifier: MIT
// virtio-pci registers (VIRTIO 1.2, 4.1.4): common configuration, ISR, device, notification.
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "util/io.h"
#include "virtio/pci_impl.h"

/* One register of the common configuration. A driver uses its natural width (4.1.3.1). */
struct reg {
	uint8_t offset, bytes;
	uint8_t field, shift; /* of queue addresses: where in struct vq_state, which half */
	uint32_t (*read)(struct virtio_pci *p, const struct reg *r);
	void (*write)(struct virtio_pci *p, const struct reg *r, uint32_t value);
};

/* --- features ------------------------------------------------------------------ */

static uint32_t read_device_feature_select(struct virtio_pci *p, const struct reg *r)
{
	(void)r;
	return p->state.device_feature_select;
}

static void write_device_feature_select(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	(void)r;
	p->state.device_feature_select = value;
}

static uint32_t read_device_feature(struct virtio_pci *p, const struct reg *r)
{
	uint32_t select = p->state.device_feature_select;

	(void)r;
	return select < 2 ? (uint32_t)(p->dev->offered >> (32 * select)) : 0;
}

static uint32_t read_driver_feature_select(struct virtio_pci *p, const struct reg *r)
{
	(void)r;
	return p->state.driver_feature_select;
}

static void write_driver_feature_select(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	(void)r;
	p->state.driver_feature_select = value;
}

static uint32_t read_driver_feature(struct virtio_pci *p, const struct reg *r)
{
	uint32_t select = p->state.driver_feature_select;

	(void)r;
	return select < 2 ? (uint32_t)(p->state.driver_features >> (32 * select)) : 0;
}

static void write_driver_feature(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	uint32_t select = p->state.driver_feature_select;
	uint64_t *features = &p->state.driver_features;

	(void)r;
	/* 3.1.1: settled once FEATURES_OK is set. */
	if (select >= 2 || (p->state.status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	*features &= ~((uint64_t)UINT32_MAX << (32 * select));
	*features |= (uint64_t)value << (32 * select);
}

/* 3.1.1, step 5: only what was offered, and never without VERSION_1 (6.1). */
static bool accept_features(struct virtio_pci *p)
{
	uint64_t features = p->state.driver_features;

	if ((features & ~p->dev->offered) || !(features >> VIRTIO_F_VERSION_1 & 1))
		return false;
	p->dev->features = features;
	return true;
}

/* --- the device ---------------------------------------------------------------- */

/* 4.1.5.1.2: NO_VECTOR reads back where a vector cannot be had. */
static uint16_t check_vector(const struct virtio_pci *p, uint32_t value)
{
	return value < p->func.msix.nr_vectors ? (uint16_t)value : VIRTIO_MSI_NO_VECTOR;
}

static uint32_t read_config_vector(struct virtio_pci *p, const struct reg *r)
{
	(void)r;
	return p->state.config_vector;
}

static void write_config_vector(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	(void)r;
	p->state.config_vector = check_vector(p, value);
	virtio_pci_set_vector(p, 0, p->state.config_vector);
}

static uint32_t read_num_queues(struct virtio_pci *p, const struct reg *r)
{
	(void)r;
	return p->dev->nr_queues;
}

static uint32_t read_status(struct virtio_pci *p, const struct reg *r)
{
	(void)r;
	return p->state.status | (atomic_load(&p->dev->broken) ? VIRTIO_CONFIG_S_NEEDS_RESET : 0U);
}

static void write_status(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	uint8_t old = p->state.status;
	uint8_t added = (uint8_t)(value & STATUS_WRITABLE & ~old);

	(void)r;
	if (value == 0) {
		virtio_pci_reset_locked(p);
		return;
	}
	/* 2.1.1: bits are only ever added; a driver that takes one away is not heard. */
	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && !accept_features(p))
		added &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!((old | added) & VIRTIO_CONFIG_S_FEATURES_OK))
		added &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	p->state.status = old | added;
	if (added & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_pci_start_locked(p);
}

static uint32_t read_generation(struct virtio_pci *p, const struct reg *r)
{
	(void)r;
	return (uint8_t)atomic_load(&p->dev->config_generation);
}

/* --- the selected queue -------------------------------------------------------- */

/* NULL where queue_select names none: its registers then read as 0 and ignore writes. */
static struct virtio_queue *selected(struct virtio_pci *p)
{
	unsigned i = p->state.queue_select;

	return i < p->dev->nr_queues ? &p->dev->queues[i] : NULL;
}

/* 4.1.4.3.2: set up before it is enabled, never after. */
static struct vq_state *selected_setup(struct virtio_pci *p)
{
	struct virtio_queue *q = selected(p);

	return q && !q->ring.state.enabled ? &q->ring.state : NULL;
}

static uint32_t read_queue_select(struct virtio_pci *p, const struct reg *r)
{
	(void)r;
	return p->state.queue_select;
}

static void write_queue_select(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	(void)r;
	p->state.queue_select = (uint16_t)value;
}

static uint32_t read_queue_size(struct virtio_pci *p, const struct reg *r)
{
	struct virtio_queue *q = selected(p);

	(void)r;
	return q ? q->ring.state.size : 0;
}

static void write_queue_size(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	struct vq_state *s = selected_setup(p);

	(void)r;
	if (s && value && value <= selected(p)->max_size && !(value & (value - 1)))
		s->size = (uint16_t)value;
}

static uint32_t read_queue_vector(struct virtio_pci *p, const struct reg *r)
{
	struct virtio_queue *q = selected(p);

	(void)r;
	return q ? q->ring.state.vector : VIRTIO_MSI_NO_VECTOR;
}

static void write_queue_vector(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	struct virtio_queue *q = selected(p);

	(void)r;
	if (!q)
		return;
	q->ring.state.vector = check_vector(p, value);
	virtio_pci_set_vector(p, 1 + q->index, q->ring.state.vector);
}

static uint32_t read_queue_enable(struct virtio_pci *p, const struct reg *r)
{
	struct virtio_queue *q = selected(p);

	(void)r;
	return q ? q->ring.state.enabled : 0;
}

static void write_queue_enable(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	struct vq_state *s = selected_setup(p);

	(void)r;
	/* 4.1.4.3.2: 0 is not for the driver to write. */
	if (!s || value != 1)
		return;
	s->enabled = 1;
	/* Again after a queue reset (2.6.1), otherwise DRIVER_OK starts it. */
	virtio_pci_start_queue_locked(p, selected(p));
}

static uint32_t read_queue_notify_off(struct virtio_pci *p, const struct reg *r)
{
	struct virtio_queue *q = selected(p);

	(void)r;
	return q ? q->index : 0;
}

static uint64_t *address_field(struct vq_state *s, const struct reg *r)
{
	return (uint64_t *)(void *)((uint8_t *)s + r->field);
}

static uint32_t read_queue_address(struct virtio_pci *p, const struct reg *r)
{
	struct virtio_queue *q = selected(p);

	return q ? (uint32_t)(*address_field(&q->ring.state, r) >> r->shift) : 0;
}

static void write_queue_address(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	struct vq_state *s = selected_setup(p);
	uint64_t *field;

	if (!s)
		return;
	field = address_field(s, r);
	*field &= ~((uint64_t)UINT32_MAX << r->shift);
	*field |= (uint64_t)value << r->shift;
}

/* Queue reset (2.6.1) is done when the write returns, so queue_reset always reads 0. */
static uint32_t read_zero(struct virtio_pci *p, const struct reg *r)
{
	(void)p;
	(void)r;
	return 0;
}

static void write_queue_reset(struct virtio_pci *p, const struct reg *r, uint32_t value)
{
	struct virtio_queue *q = selected(p);

	(void)r;
	if (q && value == 1 && virtio_has(p->dev, VIRTIO_F_RING_RESET))
		virtio_pci_reset_queue_locked(p, q);
}

/* --- common configuration ------------------------------------------------------ */

#define ADDRESS(offset, field)                                                                     \
	{                                                                                          \
		offset,                                                                            \
		4,                                                                                 \
		offsetof(struct vq_state, field),                                                  \
		0,                                                                                 \
		read_queue_address,                                                                \
		write_queue_address                                                                \
	},                                                                                         \
	{                                                                                          \
		(offset) + 4, 4, offsetof(struct vq_state, field), 32, read_queue_address,         \
			write_queue_address                                                        \
	}

static const struct reg common_regs[] = {
	{ 0x00, 4, 0, 0, read_device_feature_select, write_device_feature_select },
	{ 0x04, 4, 0, 0, read_device_feature, NULL },
	{ 0x08, 4, 0, 0, read_driver_feature_select, write_driver_feature_select },
	{ 0x0c, 4, 0, 0, read_driver_feature, write_driver_feature },
	{ 0x10, 2, 0, 0, read_config_vector, write_config_vector },
	{ 0x12, 2, 0, 0, read_num_queues, NULL },
	{ 0x14, 1, 0, 0, read_status, write_status },
	{ 0x15, 1, 0, 0, read_generation, NULL },
	{ 0x16, 2, 0, 0, read_queue_select, write_queue_select },
	{ 0x18, 2, 0, 0, read_queue_size, write_queue_size },
	{ 0x1a, 2, 0, 0, read_queue_vector, write_queue_vector },
	{ 0x1c, 2, 0, 0, read_queue_enable, write_queue_enable },
	{ 0x1e, 2, 0, 0, read_queue_notify_off, NULL },
	ADDRESS(0x20, desc_gpa),
	ADDRESS(0x28, avail_gpa),
	ADDRESS(0x30, used_gpa),
	{ 0x38, 2, 0, 0, read_zero, NULL }, /* queue_notify_data: NOTIF_CONFIG_DATA not offered */
	{ 0x3a, 2, 0, 0, read_zero, write_queue_reset },
};

static const struct reg *find_reg(uint64_t offset, unsigned size)
{
	for (unsigned i = 0; i < ARRAY_SIZE(common_regs); i++) {
		if (common_regs[i].offset == offset && common_regs[i].bytes == size)
			return &common_regs[i];
	}
	return NULL;
}

static uint64_t common_read(struct virtio_pci *p, uint64_t offset, unsigned size)
{
	const struct reg *r = find_reg(offset, size);
	uint32_t value;

	if (size == 8)
		return common_read(p, offset, 4) | common_read(p, offset + 4, 4) << 32;
	if (!r)
		return 0;
	mutex_lock(&p->lock);
	value = r->read(p, r);
	mutex_unlock(&p->lock);
	return value;
}

static void common_write(struct virtio_pci *p, uint64_t offset, uint64_t value, unsigned size)
{
	const struct reg *r = find_reg(offset, size);

	if (size == 8) {
		common_write(p, offset, (uint32_t)value, 4);
		common_write(p, offset + 4, value >> 32, 4);
	}
	if (!r || !r->write)
		return;
	mutex_lock(&p->lock);
	r->write(p, r, (uint32_t)value);
	mutex_unlock(&p->lock);
}

/* --- the other structures ------------------------------------------------------- */

static uint64_t isr_read(struct virtio_pci *p, uint64_t offset, unsigned size)
{
	(void)size;
	return offset == 0 ? virtio_pci_take_isr(p) : 0;
}

static uint64_t device_read(struct virtio_pci *p, uint64_t offset, unsigned size)
{
	const unsigned bytes = p->dev->cls->config_bytes;
	uint64_t value = 0;

	if (offset >= bytes)
		return 0;
	mutex_lock(&p->lock);
	p->dev->cls->config_read(p->dev, (unsigned)offset, &value,
				 (unsigned)MIN(size, bytes - offset));
	mutex_unlock(&p->lock);
	return value;
}

static void device_write(struct virtio_pci *p, uint64_t offset, uint64_t value, unsigned size)
{
	const struct virtio_class *cls = p->dev->cls;

	if (!cls->config_write || offset + size > cls->config_bytes)
		return;
	mutex_lock(&p->lock);
	cls->config_write(p->dev, (unsigned)offset, &value, size);
	mutex_unlock(&p->lock);
}

/* Only where KVM does not take the write itself: ioeventfds, see map_notify(). */
static void notify_write(struct virtio_pci *p, uint64_t offset, uint64_t value, unsigned size)
{
	uint64_t i = offset / NOTIFY_MULTIPLIER;

	(void)value;
	(void)size;
	if (i < p->dev->nr_queues)
		eventfd_signal(p->dev->queues[i].kick.fd);
}

static const struct {
	uint64_t (*read)(struct virtio_pci *p, uint64_t offset, unsigned size);
	void (*write)(struct virtio_pci *p, uint64_t offset, uint64_t value, unsigned size);
} regions[NR_REGIONS] = {
	[REGION_COMMON] = { common_read, common_write },
	[REGION_ISR] = { isr_read, NULL },
	[REGION_DEVICE] = { device_read, device_write },
	[REGION_NOTIFY] = { NULL, notify_write },
};

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	uint64_t region = offset / REGION_BYTES;

	if (!regions[region].read)
		return 0;
	return regions[region].read(opaque, offset % REGION_BYTES, size);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	uint64_t region = offset / REGION_BYTES;

	if (regions[region].write)
		regions[region].write(opaque, offset % REGION_BYTES, value, size);
}

const struct bus_ops virtio_pci_bar_ops = { .read = bar_read, .write = bar_write };

uint32_t virtio_pci_window(struct pci_func *f, bool write, uint32_t data)
{
	struct virtio_pci *p = container_of(f, struct virtio_pci, func);
	uint32_t bar = pci_cfg_read(f, p->cfg_cap + VIRTIO_PCI_CAP_BAR, 1);
	uint32_t offset = pci_cfg_read(f, p->cfg_cap + VIRTIO_PCI_CAP_OFFSET, 4);
	uint32_t bytes = pci_cfg_read(f, p->cfg_cap + VIRTIO_PCI_CAP_LENGTH, 4);

	/* 4.1.4.9.2: length 1, 2 or 4, offset a multiple of it. */
	if (bar != VIRTIO_PCI_BAR || (bytes != 1 && bytes != 2 && bytes != 4) || offset % bytes ||
	    offset >= VIRTIO_PCI_BAR_BYTES)
		return 0;
	if (!write)
		return (uint32_t)bar_read(p, offset, bytes);
	bar_write(p, offset, data, bytes);
	return 0;
}
