// SPDX-License-Identifier: MIT
// virtio-pci: saved state of the transport and of the queues.
//
// The device was paused, so nothing is in flight and a queue is no more than two
// indexes and three addresses. Rings are looked up only when the queue is started
// again: one that is not in memory then breaks the device, as it would at
// DRIVER_OK, and not ferry. Each queue is run once at that time: a kick that the
// guest made just before the pause is in the ring, even if its eventfd is gone.
#include <errno.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <string.h>

#include "virtio/pci_impl.h"
#include "virtio/vstate.h"

static int check_vq(const void *state, struct err *e)
{
	const struct vq_state *s = state;

	if (s->size == 0 || s->size > VQ_MAX_SIZE || (s->size & (s->size - 1)))
		return err_set(e, -EINVAL, "size: %u is no power of two up to %u", s->size,
			       VQ_MAX_SIZE);
	/* More taken than the ring has entries: no sequence of requests leads there. */
	if ((uint16_t)(s->last_avail - s->used_idx) > s->size)
		return err_set(e, -EINVAL, "last_avail: %u is too far from used_idx %u",
			       s->last_avail, s->used_idx);
	return 0;
}

static const struct vstate_field vq_fields[] = {
	VS_U64(1, struct vq_state, desc_gpa), VS_U64(2, struct vq_state, avail_gpa),
	VS_U64(3, struct vq_state, used_gpa), VS_U16(4, struct vq_state, size),
	VS_U16(5, struct vq_state, vector),   VS_U16(6, struct vq_state, last_avail),
	VS_U16(7, struct vq_state, used_idx), VS_U8_MAX(8, struct vq_state, enabled, 1),
};

const struct vstate_table vq_vstate = {
	VSTATE_TABLE("virtqueue", struct vq_state, vq_fields),
	.check = check_vq,
};

static int check_transport(const void *state, struct err *e)
{
	const struct virtio_pci_state *s = state;

	if (s->status & ~STATUS_WRITABLE)
		return err_set(e, -EINVAL, "status: %#x has bits that do not exist", s->status);
	if (s->status & VIRTIO_CONFIG_S_DRIVER_OK && !(s->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return err_set(e, -EINVAL, "status: %#x is DRIVER_OK without FEATURES_OK",
			       s->status);
	return 0;
}

static const struct vstate_field transport_fields[] = {
	VS_U64(1, struct virtio_pci_state, driver_features),
	VS_U32(2, struct virtio_pci_state, device_feature_select),
	VS_U32(3, struct virtio_pci_state, driver_feature_select),
	VS_U16(4, struct virtio_pci_state, queue_select),
	VS_U16(5, struct virtio_pci_state, config_vector),
	VS_U8(6, struct virtio_pci_state, status),
	VS_U8_MAX(7, struct virtio_pci_state, isr, 3),
	VS_U32(8, struct virtio_pci_state, config_generation),
	VS_BOOL(9, struct virtio_pci_state, needs_reset),
};

const struct vstate_table virtio_pci_vstate = {
	VSTATE_TABLE("virtio-pci", struct virtio_pci_state, transport_fields),
	.check = check_transport,
};

static struct virtio_pci *from_device(struct device *device)
{
	return container_of(device, struct virtio_dev, device)->transport_priv;
}

/* --- save ------------------------------------------------------------------------- */

int virtio_pci_can_save(struct device *device, struct err *e)
{
	struct virtio_dev *dev = from_device(device)->dev;

	return dev->cls->can_save ? dev->cls->can_save(dev, e) : 0;
}

static struct virtio_pci_state snapshot_locked(struct virtio_pci *p)
{
	struct virtio_pci_state state;

	MUTEX_SCOPE(&p->isr_lock);
	state = p->state;
	state.config_generation = atomic_load(&p->dev->config_generation);
	state.needs_reset = atomic_load(&p->dev->broken);
	return state;
}

void virtio_pci_save(struct device *device, struct vstate_writer *w)
{
	struct virtio_pci *p = from_device(device);
	struct virtio_dev *dev = p->dev;
	struct virtio_pci_state state;

	MUTEX_SCOPE(&p->lock);
	state = snapshot_locked(p);
	pci_save(&p->func, w);
	vstate_put(w, &virtio_pci_vstate, 0, &state);
	for (unsigned i = 0; i < dev->nr_queues; i++)
		vstate_put(w, &vq_vstate, i, &dev->queues[i].ring.state);
	if (dev->cls->save)
		dev->cls->save(dev, w);
}

/* --- load ------------------------------------------------------------------------- */

static int check_features(const struct virtio_pci *p, const struct virtio_pci_state *s,
			  struct err *e)
{
	int rc;

	/* Before FEATURES_OK it is only what the driver has written so far. */
	if (!(s->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return 0;
	rc = virtio_check_features(p->dev, s->driver_features, e);
	if (rc < 0)
		return rc;
	if (!(s->driver_features >> VIRTIO_F_VERSION_1 & 1))
		return err_set(e, -EINVAL, "virtio features without VERSION_1");
	return 0;
}

static int check_vector(const struct virtio_pci *p, const char *what, uint16_t vector,
			struct err *e)
{
	if (vector < p->func.msix.nr_vectors || vector == VIRTIO_MSI_NO_VECTOR)
		return 0;
	return err_set(e, -EINVAL, "%s: there is no vector %u", what, vector);
}

static int load_transport_locked(struct virtio_pci *p, struct vstate_reader *r, struct err *e)
{
	struct virtio_pci_state state = { 0 };
	struct virtio_dev *dev = p->dev;
	int rc = vstate_get(r, &virtio_pci_vstate, 0, &state, e);

	if (rc == 0)
		rc = check_features(p, &state, e);
	if (rc == 0)
		rc = check_vector(p, "config_vector", state.config_vector, e);
	if (rc < 0)
		return rc;
	mutex_lock(&p->isr_lock);
	p->state = state;
	mutex_unlock(&p->isr_lock);
	virtio_pci_set_vector(p, 0, state.config_vector);
	if (state.status & VIRTIO_CONFIG_S_FEATURES_OK)
		dev->features = state.driver_features;
	atomic_store(&dev->config_generation, state.config_generation);
	atomic_store(&dev->broken, state.needs_reset);
	atomic_store(&p->live, (state.status & VIRTIO_CONFIG_S_DRIVER_OK) != 0);
	return 0;
}

static int load_queue_locked(struct virtio_pci *p, struct virtio_queue *q, struct vstate_reader *r,
			     struct err *e)
{
	struct vq_state state = { 0 };
	int rc = vstate_get(r, &vq_vstate, q->index, &state, e);

	if (rc == 0)
		rc = check_vector(p, "virtqueue", state.vector, e);
	if (rc < 0)
		return rc;
	if (state.size > q->max_size)
		return err_set(e, -EINVAL, "virtqueue[%u]: has %u entries, but at most %u here",
			       q->index, state.size, q->max_size);
	q->ring.state = state;
	virtio_pci_set_vector(p, 1 + q->index, state.vector);
	return 0;
}

int virtio_pci_load(struct device *device, struct vstate_reader *r, struct err *e)
{
	struct virtio_pci *p = from_device(device);
	struct virtio_dev *dev = p->dev;
	int rc;

	MUTEX_SCOPE(&p->lock);
	rc = pci_load(&p->func, r, e);
	p->master = pci_is_master(&p->func);
	if (rc == 0)
		rc = load_transport_locked(p, r, e);
	for (unsigned i = 0; i < dev->nr_queues && rc == 0; i++)
		rc = load_queue_locked(p, &dev->queues[i], r, e);
	if (rc == 0 && dev->cls->load)
		rc = dev->cls->load(dev, r, e);
	return rc;
}
