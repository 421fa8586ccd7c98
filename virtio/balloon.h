/* SPDX-License-Identifier: MIT */
/* virtio-balloon: memory that the guest lends back to the host (VIRTIO 1.2, 5.5). */
#ifndef FERRY_VIRTIO_BALLOON_H
#define FERRY_VIRTIO_BALLOON_H

#include <linux/virtio_balloon.h>
#include <stdint.h>

#include "util/compiler.h"

struct loop;
struct pci_host;
struct virtio_dev;
struct vm;

#define BALLOON_UNKNOWN UINT64_MAX

struct balloon_stats {
	uint64_t target_bytes;    /* what the guest is asked to live with */
	uint64_t actual_bytes;    /* what it has now, as its driver says */
	uint64_t discarded_bytes; /* given back to the host so far, in all ways */
	uint64_t guest_time_ns;   /* CLOCK_MONOTONIC of the values below; 0: none came */
	/* By VIRTIO_BALLOON_S_*; BALLOON_UNKNOWN where the guest did not say. */
	uint64_t guest[VIRTIO_BALLOON_S_NR];
};

/*
 * Put a balloon called @id on @pci, worked by @loop (not the main loop; it
 * outlives the device). The machine owns it. 0 or -errno. Main thread.
 */
__must_check int balloon_new(struct vm *vm, struct pci_host *pci, const char *id, struct loop *loop,
			     struct virtio_dev **ret);

/*
 * Ask the guest to live with @bytes of its memory, rounded up to pages; its
 * driver follows as far and as fast as it can. 0, or -EINVAL for more than the
 * machine has. Any thread but the device's loop.
 */
__must_check int balloon_set_target(struct virtio_dev *dev, uint64_t bytes);

/*
 * What is known now; the guest is asked for news, which a later call shows.
 * Any thread but the device's loop.
 */
void balloon_get_stats(struct virtio_dev *dev, struct balloon_stats *ret);

#endif
