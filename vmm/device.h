/* SPDX-License-Identifier: MIT */
/* What every device offers to the machine: its life cycle. */
#ifndef FERRY_VMM_DEVICE_H
#define FERRY_VMM_DEVICE_H

#include <sys/queue.h>

#include "util/compiler.h"

struct device;

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
	/* Release everything, the device itself included. */
	void (*free)(struct device *dev);
};

/*
 * Embedded as a member in the device's own structure. The machine owns it from
 * vm_add_device() on.
 */
struct device {
	const struct device_ops *ops;
	char id[32]; /* unique in the guest: "disk0", "net1", "serial" */
	TAILQ_ENTRY(device) link;
};

#endif
