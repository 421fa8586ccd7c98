/* SPDX-License-Identifier: MIT */
/* What every device offers to the machine: its life cycle. */
#ifndef FERRY_VMM_DEVICE_H
#define FERRY_VMM_DEVICE_H

#include <sys/queue.h>

#include "util/compiler.h"

#define DEVICE_ID_BYTES 32 /* with the final zero */

struct device;
struct err;
struct vstate_reader;
struct vstate_writer;

/*
 * All on the main thread, while no vCPU runs; any may be NULL.
 */
struct device_ops {
	const char *type; /* "virtio-blk", "serial": stable, part of saved state */
	/* Power-on state. Requests in flight are cancelled and drained first. */
	void (*reset)(struct device *dev);
	/*
	 * Stop touching guest memory and raising interrupts: when it returns,
	 * nothing is in flight. resume() goes on where pause() stopped.
	 */
	void (*pause)(struct device *dev);
	void (*resume)(struct device *dev);
	/*
	 * Can the device be saved as it is now? 0, or -ENOTSUP with the reason
	 * in @e. NULL: always. The guest may be running.
	 */
	int (*can_save)(struct device *dev, struct err *e);
	/* Put all parts of the paused device's state into @w. NULL: it has none. */
	void (*save)(struct device *dev, struct vstate_writer *w);
	/*
	 * Take the state over from @r. The device is as new: paused, and its
	 * guest never ran. 0, or -errno with the reason in @e; the machine is
	 * then thrown away, so what was loaded before may stay. What is loaded
	 * shows an effect at resume(), not before.
	 */
	int (*load)(struct device *dev, struct vstate_reader *r, struct err *e);
	/* Release everything, the device itself included. */
	void (*free)(struct device *dev);
};

/*
 * Embedded as a member in the device's own structure. The machine owns it from
 * vm_add_device() on.
 */
struct device {
	const struct device_ops *ops;
	char id[DEVICE_ID_BYTES]; /* unique in the guest: "disk0", "net1", "serial" */
	TAILQ_ENTRY(device) link;
};

#endif
