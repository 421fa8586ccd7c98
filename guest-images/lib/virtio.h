/* SPDX-License-Identifier: MIT */
/* Driver side of virtio over PCI, modern only (VIRTIO 1.2, chapters 2, 3 and 4.1). */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include "pci.h"
#include "virtq.h"
#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_MAX_QUEUES 33 /* 16 pairs and a control queue */
#define VIRTIO_BIT(n)     (1ull << (n))

enum { /* device types, chapter 5 */
       VIRTIO_ID_NET = 1,
       VIRTIO_ID_BLOCK = 2,
};

enum { /* reserved feature bits, chapter 6 */
       VIRTIO_F_INDIRECT_DESC = 28,
       VIRTIO_F_EVENT_IDX = 29,
       VIRTIO_F_VERSION_1 = 32,
       VIRTIO_F_RING_RESET = 40,
};

enum virtio_irq_mode {
	VIRTIO_POLL, /* no interrupts */
	VIRTIO_MSIX, /* a vector for each queue and one for configuration changes */
	VIRTIO_INTX, /* one level-triggered line */
};

struct virtio_queue {
	struct virtq vq;
	uint16_t index;
	uint64_t doorbell_gpa;
	unsigned int vector; /* 0: none yet */
};

struct virtio_dev {
	struct pci_dev pci;
	uint64_t common_gpa;
	uint64_t notify_gpa;
	uint64_t isr_gpa;
	uint64_t config_gpa; /* 0: no device-specific configuration */
	uint32_t notify_multiplier;
	uint64_t offered;  /* features of the device */
	uint64_t features; /* negotiated */
	enum virtio_irq_mode irq_mode;
	unsigned int config_vector; /* MSI-X: configuration changes; INTx: everything */
	uint32_t config_irqs;       /* of config_vector that were seen */
	bool config_pending;        /* INTx: a change that nobody has asked for yet */
	uint16_t nr_queues;
	struct virtio_queue *queues[VIRTIO_MAX_QUEUES];
};

/* Finds the @nth device of this type on bus 0 and maps its registers. */
bool virtio_find(struct virtio_dev *dev, unsigned int type, unsigned int nth);

/* The same with what is at @bdf; false if that is no modern virtio device. */
bool virtio_open(struct virtio_dev *dev, unsigned int bdf);

/* Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK (3.1.1, steps 1 to 6). Accepts what is both
 * @wanted and offered; VERSION_1 always. Ends the guest if the device refuses. */
void virtio_negotiate(struct virtio_dev *dev, uint64_t wanted, enum virtio_irq_mode mode);

/* Number of queues that the device has. */
unsigned int virtio_queue_count(const struct virtio_dev *dev);

/* Sets up queue @index with at most @max_size entries, after negotiation. After a device reset the
 * same @queue keeps its memory. */
void virtio_queue_setup(struct virtio_dev *dev, struct virtio_queue *queue, uint16_t index,
			uint16_t max_size);

/* DRIVER_OK. */
void virtio_start(struct virtio_dev *dev);

/* Writes 0 to the status and waits until it reads 0 (2.4): then the device has let go of every
 * buffer. Ends the guest if that takes more than ten seconds. */
void virtio_reset(struct virtio_dev *dev);

/* Resets one queue (2.6.1; RING_RESET is negotiated): the device has let go of its buffers. Then it
 * is enabled again, empty; the caller knows what was in flight. */
void virtio_queue_reset(struct virtio_dev *dev, struct virtio_queue *queue);

static inline bool virtio_has(const struct virtio_dev *dev, unsigned int feature)
{
	return dev->features >> feature & 1;
}

/* Whether the device has set DEVICE_NEEDS_RESET (2.1.1). Costs an exit. */
bool virtio_needs_reset(const struct virtio_dev *dev);

/* Copies device configuration; again, if it has changed meanwhile (2.5.1). */
void virtio_config_read(const struct virtio_dev *dev, unsigned int offset, void *data,
			unsigned int size);

/* True once after each configuration change that an interrupt has told of. */
bool virtio_config_changed(struct virtio_dev *dev);

/* Publishes the added requests and notifies the device if it wants that. */
void virtio_kick(struct virtio_queue *queue);

/* Returns when a request is finished in a queue that wants interrupts, when a configuration change
 * waits for virtio_config_changed(), or at @until_ns of clock_ns(). At once in polling mode. */
void virtio_wait(struct virtio_dev *dev, uint64_t until_ns);

#endif
