/* SPDX-License-Identifier: MIT */
/* Inside the hotplug guest: a device in a slot. */
#ifndef GUEST_HOTPLUG_H
#define GUEST_HOTPLUG_H

#include "guest.h"
#include "pci.h"
#include "virtio.h"
#include "virtq.h"

struct slot {
	bool driven;
	bool ignored; /* was to be let go of */
	struct virtio_dev dev;
	struct virtio_queue queue; /* its memory is kept from one device to the next */
};

/* Drives what is in slot @n of bus 0. False: nothing, or nothing that is known here. */
bool slot_open(struct slot *s, unsigned int n);

/* One request: random bytes, or the disk's first sector; none where there is no such queue. Ends
 * the guest if it does not come back, or brings nothing. */
void slot_use(struct slot *s);

#endif
