/* SPDX-License-Identifier: MIT */
/* The small virtio devices: entropy, balloon, console. */
#ifndef GUEST_SMALL_H
#define GUEST_SMALL_H

#include "guest.h"
#include "virtio.h"

#define QUEUE_SIZE 64
#define REQUEST_NS (10 * NS_PER_S) /* a device that needs longer is broken */

enum { /* device types, VIRTIO 1.2, chapter 5 */
       VIRTIO_ID_CONSOLE = 3,
       VIRTIO_ID_RNG = 4,
       VIRTIO_ID_BALLOON = 5,
};

/* Finds the device and negotiates @features and the ring features of the command line. */
void small_open(struct virtio_dev *dev, unsigned int type, uint64_t features);

/* Adds one request, notifies the device and waits for the end; the bytes it wrote. */
uint32_t small_request(struct virtio_dev *dev, struct virtio_queue *queue,
		       const struct virtq_seg *seg, bool write);

/* One guest each, chosen by a word of its name; an enum guest_exit. */
int small_rng(void);
int small_balloon(void);
int small_console(void);

#endif
