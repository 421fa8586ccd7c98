/* SPDX-License-Identifier: MIT */
/* Port and memory-mapped I/O: from an address to the device behind it. */
#ifndef FERRY_VMM_BUS_H
#define FERRY_VMM_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

/*
 * What a device does with an access to its range. @offset is relative to the
 * range and @size is 1, 2, 4 or 8; the access lies inside the range, naturally
 * aligned or not. Called on a vCPU thread with no lock held. Reads return the
 * value in the low bytes.
 */
struct bus_ops {
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
	void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
};

struct bus_range {
	uint64_t addr;
	uint64_t bytes;
	const struct bus_ops *ops;
	void *opaque;
};

/*
 * An address space. Ranges never overlap. The table is looked up under the
 * read lock and the device is called after it was dropped, so that a device
 * may move its own range (a BAR write) from inside its callback. Whoever
 * frees a device makes sure first that no vCPU runs.
 */
struct bus {
	pthread_rwlock_t lock;    /* protects: ranges, nr, cap; order: innermost */
	struct bus_range *ranges; /* sorted by addr */
	size_t nr, cap;
};

void bus_init(struct bus *bus);
void bus_fini(struct bus *bus);

/* Add a range. 0, -EEXIST where it overlaps another, -EINVAL, -ENOMEM. */
__must_check int bus_add(struct bus *bus, uint64_t addr, uint64_t bytes, const struct bus_ops *ops,
			 void *opaque);

/* Remove the range that starts at @addr and belongs to @opaque, if it is there. */
void bus_remove(struct bus *bus, uint64_t addr, const void *opaque);

/*
 * Carry out a guest access of @len bytes (any length: KVM passes on what the
 * guest's instruction did). Where no device answers, reads give all ones and
 * writes are dropped, as on a PC. True if a device answered.
 */
bool bus_read(struct bus *bus, uint64_t addr, void *data, unsigned len);
bool bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned len);

#endif
