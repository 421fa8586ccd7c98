// SPDX-License-Identifier: MIT
// virtio over PCI (VIRTIO 1.2, 4.1): set-up, interrupts, start, pause and reset.
#include <assert.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "util/io.h"
#include "virtio/pci_impl.h"

#define VIRTIO_VENDOR     0x1af4
#define VIRTIO_DEVICE_MIN 0x1040 /* 4.1.2.1: plus the virtio device id */
#define VIRTIO_REVISION   1      /* not transitional */

#define ISR_QUEUE 1U

/* --- interrupts: any thread ------------------------------------------------------ */

static void raise_intx(struct virtio_pci *p, uint8_t isr_bit)
{
	MUTEX_SCOPE(&p->isr_lock);
	p->state.isr |= isr_bit;
	pci_set_intx(&p->func, true);
}

static void raise_irq(struct virtio_pci *p, unsigned vector_index, uint8_t isr_bit)
{
	if (!atomic_load(&p->live))
		return;
	if (msix_is_enabled(&p->func.msix))
		msix_raise(&p->func.msix,
			   atomic_load_explicit(&p->vectors[vector_index], memory_order_relaxed));
	else
		raise_intx(p, isr_bit);
}

static void raise_queue(struct virtio_dev *dev, struct virtio_queue *q)
{
	raise_irq(dev->transport_priv, 1 + q->index, ISR_QUEUE);
}

static void raise_config(struct virtio_dev *dev)
{
	raise_irq(dev->transport_priv, 0, VIRTIO_PCI_ISR_CONFIG);
}

static const struct virtio_transport_ops transport_ops = {
	.raise_queue = raise_queue,
	.raise_config = raise_config,
};

uint8_t virtio_pci_take_isr(struct virtio_pci *p)
{
	MUTEX_SCOPE(&p->isr_lock);
	uint8_t isr = p->state.isr;

	p->state.isr = 0;
	pci_set_intx(&p->func, false);
	return isr;
}

/* --- start, stop, reset ---------------------------------------------------------- */

static void start_some_locked(struct virtio_pci *p, struct virtio_queue *first, unsigned nr)
{
	if (p->master && atomic_load(&p->live) && !atomic_load(&p->dev->broken))
		virtio_start_queues(first, nr);
}

void virtio_pci_start_queue_locked(struct virtio_pci *p, struct virtio_queue *q)
{
	start_some_locked(p, q, 1);
}

static void start_queues_locked(struct virtio_pci *p)
{
	start_some_locked(p, p->dev->queues, p->dev->nr_queues);
}

static void stop_queues_locked(struct virtio_pci *p, bool cancel)
{
	virtio_stop_queues(p->dev->queues, p->dev->nr_queues, cancel);
}

void virtio_pci_start_locked(struct virtio_pci *p)
{
	struct virtio_dev *dev = p->dev;

	atomic_store(&p->live, true);
	if (dev->cls->start)
		dev->cls->start(dev);
	start_queues_locked(p);
}

static void clear_queue_locked(struct virtio_pci *p, struct virtio_queue *q)
{
	q->ring.state = (struct vq_state){
		.size = q->max_size,
		.vector = VIRTIO_MSI_NO_VECTOR,
	};
	virtio_pci_set_vector(p, 1 + q->index, VIRTIO_MSI_NO_VECTOR);
}

void virtio_pci_reset_queue_locked(struct virtio_pci *p, struct virtio_queue *q)
{
	virtio_stop_queues(q, 1, true);
	clear_queue_locked(p, q);
}

/* Power-on values; queues are stopped. */
static void clear_locked(struct virtio_pci *p)
{
	for (unsigned i = 0; i < p->dev->nr_queues; i++)
		clear_queue_locked(p, &p->dev->queues[i]);
	(void)virtio_pci_take_isr(p);
	p->state = (struct virtio_pci_state){ .config_vector = VIRTIO_MSI_NO_VECTOR };
	virtio_pci_set_vector(p, 0, VIRTIO_MSI_NO_VECTOR);
	p->dev->features = 0;
	atomic_store(&p->dev->broken, false);
}

void virtio_pci_reset_locked(struct virtio_pci *p)
{
	atomic_store(&p->live, false);
	stop_queues_locked(p, true);
	if (p->dev->cls->reset)
		p->dev->cls->reset(p->dev);
	clear_locked(p);
}

/*
 * Without bus mastering the device stands still as if it were paused: nothing is
 * in flight when the driver's write returns, and it goes on where it was.
 */
static void follow_master(struct pci_func *f)
{
	struct virtio_pci *p = container_of(f, struct virtio_pci, func);
	bool master;

	MUTEX_SCOPE(&p->lock);
	master = pci_is_master(f);
	if (p->master == master)
		return;
	p->master = master;
	if (master)
		start_queues_locked(p);
	else
		stop_queues_locked(p, false);
}

/* --- the machine's side: main thread, no vCPU runs -------------------------------- */

static struct virtio_pci *from_device(struct device *device)
{
	struct virtio_dev *dev = container_of(device, struct virtio_dev, device);

	return dev->transport_priv;
}

static void device_reset(struct device *device)
{
	struct virtio_pci *p = from_device(device);

	mutex_lock(&p->lock);
	virtio_pci_reset_locked(p);
	p->master = false;
	mutex_unlock(&p->lock);
	pci_reset(&p->func);
}

static void device_pause(struct device *device)
{
	struct virtio_pci *p = from_device(device);

	MUTEX_SCOPE(&p->lock);
	stop_queues_locked(p, false);
	pci_pause(&p->func);
}

static void device_resume(struct device *device)
{
	struct virtio_pci *p = from_device(device);

	MUTEX_SCOPE(&p->lock);
	pci_resume(&p->func);
	start_queues_locked(p);
}

static void device_free(struct device *device)
{
	struct virtio_pci *p = from_device(device);
	struct virtio_dev *dev = p->dev;

	mutex_lock(&p->lock);
	atomic_store(&p->live, false);
	stop_queues_locked(p, true);
	mutex_unlock(&p->lock);
	pci_remove(&p->func);
	pci_func_fini(&p->func);
	mutex_fini(&p->isr_lock);
	mutex_fini(&p->lock);
	dev->cls->free(dev);
	free(p);
}

/* --- set-up ------------------------------------------------------------------------ */

/*
 * BAR 0 has moved: the ioeventfds follow. Where KVM refuses one (there is a
 * limit), the write comes to notify_write() instead, which does the same.
 */
static void map_notify(void *opaque, uint64_t addr)
{
	struct virtio_pci *p = opaque;
	int vm_fd = p->dev->vm->vm_fd;

	for (unsigned i = 0; i < p->dev->nr_queues; i++) {
		gpa_t offset = i * NOTIFY_MULTIPLIER;
		int fd = p->dev->queues[i].kick.fd;
		int rc = 0;

		if (p->notify_gpa)
			rc = kvm_ioeventfd(vm_fd, false, false, p->notify_gpa + offset, 0, fd);
		if (addr)
			rc = kvm_ioeventfd(vm_fd, true, false,
					   addr + REGION_NOTIFY * REGION_BYTES + offset, 0, fd);
		(void)rc;
	}
	p->notify_gpa = addr ? addr + REGION_NOTIFY * REGION_BYTES : 0;
}

static unsigned add_cap(struct virtio_pci *p, uint8_t type, unsigned region, uint32_t length)
{
	/* The longest of them: two have four more bytes behind the common part. */
	struct {
		struct virtio_pci_cap cap;
		uint32_t extra;
	} body = {
		.cap = {
			.cap_len = sizeof(body.cap),
			.cfg_type = type,
			.bar = VIRTIO_PCI_BAR,
			.offset = region * REGION_BYTES,
			.length = length,
		},
	};

	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		body.extra = NOTIFY_MULTIPLIER;
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG || type == VIRTIO_PCI_CAP_PCI_CFG)
		body.cap.cap_len += sizeof(body.extra);
	return pci_add_cap(&p->func, PCI_CAP_ID_VNDR, &body, body.cap.cap_len);
}

static void add_caps(struct virtio_pci *p)
{
	struct pci_func *f = &p->func;

	(void)add_cap(p, VIRTIO_PCI_CAP_COMMON_CFG, REGION_COMMON, VIRTIO_PCI_COMMON_BYTES);
	(void)add_cap(p, VIRTIO_PCI_CAP_NOTIFY_CFG, REGION_NOTIFY,
		      p->dev->nr_queues * NOTIFY_MULTIPLIER);
	(void)add_cap(p, VIRTIO_PCI_CAP_ISR_CFG, REGION_ISR, 1);
	if (p->dev->cls->config_bytes)
		(void)add_cap(p, VIRTIO_PCI_CAP_DEVICE_CFG, REGION_DEVICE,
			      p->dev->cls->config_bytes);
	p->cfg_cap = add_cap(p, VIRTIO_PCI_CAP_PCI_CFG, 0, 0);
	/* 4.1.4.9: the driver writes bar, offset, length and data. */
	f->writable[p->cfg_cap + VIRTIO_PCI_CAP_BAR] = 0xff;
	for (unsigned i = VIRTIO_PCI_CAP_OFFSET; i < sizeof(struct virtio_pci_cfg_cap); i++)
		f->writable[p->cfg_cap + i] = 0xff;
	f->window = virtio_pci_window;
	f->command_written = follow_master;
	f->window_offset = p->cfg_cap + sizeof(struct virtio_pci_cap);
}

static int init_func(struct virtio_pci *p)
{
	const struct virtio_class *cls = p->dev->cls;
	const struct pci_ids ids = {
		.vendor = VIRTIO_VENDOR,
		.device = VIRTIO_DEVICE_MIN + cls->device_id,
		.subsystem_vendor = VIRTIO_VENDOR,
		.subsystem = VIRTIO_DEVICE_MIN + cls->device_id,
		.class_code = cls->pci_class,
		.subclass = cls->pci_subclass,
		.revision = VIRTIO_REVISION,
	};
	const struct pci_bar bar = {
		.bytes = VIRTIO_PCI_BAR_BYTES,
		.ops = &virtio_pci_bar_ops,
		.opaque = p,
		.mapped = map_notify,
		.is_64bit = true,
	};

	pci_func_init(&p->func, p->dev->vm, &ids);
	pci_set_bar(&p->func, VIRTIO_PCI_BAR, &bar);
	add_caps(p);
	return pci_add_msix(&p->func, VIRTIO_PCI_MSIX_BAR,
			    MIN(1 + p->dev->nr_queues, MSIX_MAX_VECTORS));
}

static struct virtio_pci *new_transport(struct virtio_dev *dev)
{
	const size_t nr_vectors = 1 + (size_t)dev->nr_queues;
	struct virtio_pci *p = calloc(1, sizeof(*p) + nr_vectors * sizeof(p->vectors[0]));

	if (!p)
		return NULL;
	p->dev = dev;
	p->ops = (struct device_ops){
		.type = dev->cls->type,
		.reset = device_reset,
		.pause = device_pause,
		.resume = device_resume,
		.can_save = virtio_pci_can_save,
		.save = virtio_pci_save,
		.load = virtio_pci_load,
		.free = device_free,
	};
	mutex_init(&p->lock);
	mutex_init(&p->isr_lock);
	return p;
}

static void offer_features(struct virtio_dev *dev)
{
	dev->offered |= 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_RING_RESET |
			1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC;
}

/* --- where it is -------------------------------------------------------------------- */

static bool is_virtio(const struct device *device)
{
	return device->ops->free == device_free;
}

unsigned virtio_pci_slot(struct device *device)
{
	return is_virtio(device) ? from_device(device)->func.device : 0;
}

struct device *virtio_pci_find(struct vm *vm, unsigned slot)
{
	struct device *device;

	TAILQ_FOREACH(device, &vm->devices, link)
	{
		if (is_virtio(device) && virtio_pci_slot(device) == slot)
			return device;
	}
	return NULL;
}

void virtio_pci_yank(struct device *device)
{
	pci_yank(&from_device(device)->func);
}

void virtio_pci_take_out(struct device *device)
{
	pci_remove(&from_device(device)->func);
}

int virtio_pci_put_in(struct device *device, struct pci_host *host, unsigned slot)
{
	return pci_add(host, &from_device(device)->func, slot);
}

int virtio_pci_attach(struct virtio_dev *dev, struct pci_host *host, unsigned slot)
{
	struct virtio_pci *p = new_transport(dev);
	int rc;

	if (!p)
		return -ENOMEM;
	for (unsigned i = 0; i < dev->nr_queues; i++)
		assert(dev->queues[i].loop != dev->vm->main_loop);
	dev->transport_priv = p;
	dev->transport = &transport_ops;
	dev->device.ops = &p->ops;
	offer_features(dev);
	rc = init_func(p);
	/* A guest that runs may find it at once, and what it has found must stay. */
	if (rc == 0 && vm_find_device(dev->vm, dev->device.id))
		rc = -EEXIST;
	if (rc < 0)
		goto err_func;
	mutex_lock(&p->lock);
	rc = pci_add(host, &p->func, slot);
	if (rc == 0)
		clear_locked(p);
	mutex_unlock(&p->lock);
	if (rc < 0)
		goto err_func;
	rc = vm_add_device(dev->vm, &dev->device);
	assert(rc == 0); /* the id is free, as was seen before */
	return rc;

err_func:
	pci_func_fini(&p->func);
	mutex_fini(&p->isr_lock);
	mutex_fini(&p->lock);
	free(p);
	return rc;
}
