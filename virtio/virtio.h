/* SPDX-License-Identifier: MIT */
/* virtio devices: what a device class offers, and what the transport gives it. */
#ifndef FERRY_VIRTIO_VIRTIO_H
#define FERRY_VIRTIO_VIRTIO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/log.h"
#include "virtio/queue.h"
#include "vmm/device.h"
#include "vmm/loop.h"
#include "vmm/vm.h"

struct err;
struct virtio_dev;
struct virtio_queue;
struct vstate_reader;
struct vstate_writer;

/*
 * Theory of operation
 *
 * Three layers: a class (blk, net, ...) knows requests; queue.c knows rings;
 * the transport (pci.c) knows registers, status and interrupts. The transport
 * works on vCPU threads under its lock. Each queue is worked by one loop, on
 * that loop's thread alone: everything a class does with a queue, from its
 * first request to the last completion, happens there, so queues need no lock.
 *
 * DRIVER_OK: the transport calls ->start on the vCPU thread, then each enabled
 * queue is started on its loop and ->run is called once. A kick (ioeventfd, or
 * the transport's notify register) calls ->run again. Reset, queue reset,
 * pause and removal call ->quiesce on the queue's loop: requests are cancelled
 * (reset) or finished (pause), and nothing of the queue is in flight
 * afterwards. A loop's thread never waits for a vCPU or takes the transport's
 * lock, so the vCPU thread may wait for it. The main loop does wait for vCPUs
 * (vm_pause()), so it must not work a queue.
 */
struct virtio_class {
	const char *type;   /* "virtio-blk" */
	uint16_t device_id; /* VIRTIO 1.2, section 5 */
	uint8_t pci_class, pci_subclass;
	unsigned config_bytes;

	/* Device configuration (2.5); the range lies in config_bytes. write may
	 * be NULL: all read-only. vCPU thread, transport's lock held. */
	void (*config_read)(struct virtio_dev *dev, unsigned offset, void *data, unsigned len);
	void (*config_write)(struct virtio_dev *dev, unsigned offset, const void *data,
			     unsigned len);

	/* Driver is ready; dev->features is what was negotiated. vCPU thread. */
	void (*start)(struct virtio_dev *dev);
	/* Device-wide state back to power-on, queues are quiet. May be NULL. */
	void (*reset)(struct virtio_dev *dev);

	/* Process available requests. Queue's loop. */
	void (*run)(struct virtio_queue *q);
	/* Leave nothing in flight; @cancel: drop requests rather than finish
	 * them (they are not completed to the driver). Queue's loop. May be
	 * NULL where requests never outlast ->run. */
	void (*quiesce)(struct virtio_queue *q, bool cancel);

	/*
	 * The class's own saved state, as in struct device_ops; what transport
	 * and queues have is not its business. Load comes after theirs:
	 * dev->features is what was negotiated, none before FEATURES_OK. ->start
	 * is not called. May be NULL.
	 */
	int (*can_save)(struct virtio_dev *dev, struct err *e);
	void (*save)(struct virtio_dev *dev, struct vstate_writer *w);
	int (*load)(struct virtio_dev *dev, struct vstate_reader *r, struct err *e);

	/* Release the device (its queues are quiet, its loops still there). */
	void (*free)(struct virtio_dev *dev);
};

struct virtio_queue {
	struct virtio_dev *dev; /* const */
	unsigned index;         /* const */
	uint16_t max_size;      /* const: largest size offered */
	struct loop *loop;      /* const: who works this queue */
	struct vq ring;         /* transport's until started, then the loop's */
	bool running;           /* loop thread only: started; false before ->quiesce is called */
	struct loop_fd kick;    /* eventfd of notifications */
	bool started;           /* transport's: asked to start, and not to stop; maybe in vain */
	bool picked;            /* transport's: by the call under way */
	void *priv;             /* the class's */

	/* Written by its loop, read by anyone: relaxed counters. */
	_Atomic uint64_t kicks, interrupts;
};

/* What a transport does for its device; any thread. */
struct virtio_transport_ops {
	void (*raise_queue)(struct virtio_dev *dev, struct virtio_queue *q);
	void (*raise_config)(struct virtio_dev *dev);
};

struct virtio_dev {
	const struct virtio_class *cls;               /* const */
	struct device device;                         /* in the machine's list */
	struct vm *vm;                                /* const */
	const struct virtio_transport_ops *transport; /* const after attach */
	void *transport_priv;

	uint64_t offered; /* features, const after set-up; the transport adds
			    * VERSION_1, EVENT_IDX, INDIRECT_DESC, RING_RESET */
	/* Negotiated; const between start and reset. Written by the transport, read by anyone. */
	_Atomic uint64_t features;
	unsigned nr_queues;
	struct virtio_queue *queues;

	_Atomic uint32_t config_generation; /* see virtio_config_changed() */
	_Atomic bool broken;                /* NEEDS_RESET: set by anyone, cleared by reset */
	struct log_limit log;
};

static inline bool virtio_has(const struct virtio_dev *dev, unsigned feature_bit)
{
	return dev->features >> feature_bit & 1;
}

/* The queues that a device starts with. */
struct virtio_layout {
	unsigned nr_queues;
	uint16_t queue_size; /* largest, a power of two */
	struct loop *loop;   /* who works them; a class may give single ones another
			      * loop before the device is attached */
};

/*
 * Prepare @dev with its queues. 0 or -errno; undone by virtio_dev_fini(), which accepts
 * a zeroed structure, too.
 */
__must_check int virtio_dev_init(struct virtio_dev *dev, struct vm *vm,
				 const struct virtio_class *cls, const char *id,
				 const struct virtio_layout *layout);
void virtio_dev_fini(struct virtio_dev *dev);

/*
 * For transports: of @nr queues of a device from @first on start those that are enabled and
 * not started yet: their loops look up the rings that q->ring.state describes, and run them; a bad
 * ring breaks the device. Stop those that run: nothing of them is in flight afterwards, and
 * their state is the caller's. Both return when the loops have done it. Any thread that no
 * loop waits for; one at a time for a device.
 */
void virtio_start_queues(struct virtio_queue *first, unsigned nr);
void virtio_stop_queues(struct virtio_queue *first, unsigned nr, bool cancel);

/*
 * Call ->run of @q again when the loop has seen to everything else that waits
 * there: how a run ends that found more than it may do at once. Queue's loop.
 */
void virtio_run_again(struct virtio_queue *q);

/* Interrupt the driver about @q if it wants that, and say whether. Queue's loop. */
bool virtio_notify(struct virtio_queue *q);

/*
 * Can a driver go on with @dev that has negotiated @features with another one of its
 * kind? 0 or -ENOTSUP with those that are missing in @e. Any thread, after the attach.
 */
__must_check int virtio_check_features(const struct virtio_dev *dev, uint64_t features,
				       struct err *e);

/*
 * The driver broke the rules: log (rate-limited), set NEEDS_RESET, interrupt,
 * and stop working all queues until reset. Any thread.
 */
void virtio_broken(struct virtio_dev *dev, const char *fmt, ...) __printf_like(2, 3);

/*
 * Configuration space has changed: new generation, configuration interrupt.
 * Called after the change, which must look atomic to the driver: a field of at
 * most four bytes, or a change while the vCPUs are parked. Any thread.
 */
void virtio_config_changed(struct virtio_dev *dev);

struct pci_host;

/*
 * Put @dev behind a virtio-pci function (VIRTIO 1.2, 4.1) on @host and into
 * the machine's device list. On success the machine owns it, and frees it
 * through cls->free. @slot 0: first free. 0 or -errno.
 */
__must_check int virtio_pci_attach(struct virtio_dev *dev, struct pci_host *host, unsigned slot);

/* The slot of a device; 0: it is none behind virtio-pci. Main thread. */
unsigned virtio_pci_slot(struct device *device);

/* What is in @slot; NULL: no virtio device. Main thread. */
struct device *virtio_pci_find(struct vm *vm, unsigned slot);

/* The device is freed next, without the guest's knowledge: pci_yank(). Main thread. */
void virtio_pci_yank(struct device *device);

/*
 * Before the guest has run: out of its slot, and into another one, with power-on values. 0 or
 * -errno, as pci_add(); without a slot it can only be freed. Main thread.
 */
void virtio_pci_take_out(struct device *device);
__must_check int virtio_pci_put_in(struct device *device, struct pci_host *host, unsigned slot);

#endif
