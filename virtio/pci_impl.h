/* SPDX-License-Identifier: MIT */
/* Inside the virtio-pci transport: what its registers and its life cycle share. */
#ifndef FERRY_VIRTIO_PCI_IMPL_H
#define FERRY_VIRTIO_PCI_IMPL_H

#include <linux/virtio_config.h>
#include <stdatomic.h>

#include "devices/pci.h"
#include "virtio/virtio.h"

/* What is saved of a transport, besides the queues' vq_state and PCI. */
struct virtio_pci_state {
	/* as of the last save; they live in struct virtio_dev */
	uint32_t config_generation;
	bool needs_reset;

	uint64_t driver_features;
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint8_t status; /* without NEEDS_RESET, which is virtio_dev.broken */
	uint8_t isr;    /* isr_lock */
};

/*
 * Theory of operation
 *
 * Registers are worked under the lock by vCPU threads, and the main thread
 * pauses, resumes and resets while no vCPU runs. Both wait, with the lock held,
 * for queues' loops. So whatever a loop needs to raise an interrupt is not under
 * the lock: vectors are kept a second time as atomics, INTx has a lock of its own.
 */
struct virtio_pci {
	struct virtio_dev *dev;
	struct device_ops ops; /* const */
	struct pci_func func;
	unsigned cfg_cap; /* const: offset of the PCI_CFG capability */

	struct mutex lock; /* protects: state but isr, dev->features, ring.state of
			    * queues that do not run; order: before isr_lock and pci_host.lock */
	struct virtio_pci_state state;

	struct mutex isr_lock; /* protects: state.isr; order: after lock, before pci_host.lock */

	gpa_t notify_gpa; /* pci_host.lock: where ioeventfds are; 0: nowhere */

	bool master; /* lock: queues may run, the function is a bus master */

	_Atomic bool live; /* DRIVER_OK: interrupts may be sent (3.1.1) */
	/* Vectors for raising: [0] configuration changes, [1 + n] queue n. */
	_Atomic uint16_t vectors[];
};

/* BAR 0: one page a structure (4.1.4). Notifications have four bytes a queue. */
#define REGION_BYTES            4096U
#define REGION_COMMON           0U
#define REGION_ISR              1U
#define REGION_DEVICE           2U
#define REGION_NOTIFY           3U
#define NR_REGIONS              4U
#define NOTIFY_MULTIPLIER       4U
#define VIRTIO_PCI_BAR          0U
#define VIRTIO_PCI_BAR_BYTES    (NR_REGIONS * REGION_BYTES)
#define VIRTIO_PCI_MSIX_BAR     2U
#define VIRTIO_PCI_COMMON_BYTES 60U

/* Accesses to BAR 0; opaque is the struct virtio_pci. */
extern const struct bus_ops virtio_pci_bar_ops;

/* The PCI_CFG capability's window (4.1.4.9). */
uint32_t virtio_pci_window(struct pci_func *f, bool write, uint32_t data);

/*
 * Life cycle, as the registers demand it: DRIVER_OK was set; status was set to
 * 0; one queue was enabled late or reset. All with the lock held.
 */
void virtio_pci_start_locked(struct virtio_pci *p);
void virtio_pci_reset_locked(struct virtio_pci *p);
void virtio_pci_reset_queue_locked(struct virtio_pci *p, struct virtio_queue *q);

/* struct device_ops' can_save, save and load (pci_state.c). */
int virtio_pci_can_save(struct device *device, struct err *e);
void virtio_pci_save(struct device *device, struct vstate_writer *w);
int virtio_pci_load(struct device *device, struct vstate_reader *r, struct err *e);

/* What the driver may set in the status register (2.1); NEEDS_RESET is the device's. */
#define STATUS_WRITABLE                                                                            \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

/*
 * Start @q if it is enabled and the device may work at all: DRIVER_OK, a bus
 * master, not broken. Lock held; the queue does not run.
 */
void virtio_pci_start_queue_locked(struct virtio_pci *p, struct virtio_queue *q);

/* Set vector @index of p->vectors; the saved copy is the caller's. */
static inline void virtio_pci_set_vector(struct virtio_pci *p, unsigned index, uint16_t vector)
{
	atomic_store_explicit(&p->vectors[index], vector, memory_order_relaxed);
}

/* Read and clear the ISR, release INTA (4.1.4.5). */
uint8_t virtio_pci_take_isr(struct virtio_pci *p);

#endif
