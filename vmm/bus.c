// SPDX-License-Identifier: MIT
// Address spaces: a sorted table of ranges.
#include "vmm/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void bus_init(struct bus *bus)
{
	int rc;

	*bus = (struct bus){ 0 };
	rc = pthread_rwlock_init(&bus->lock, NULL);
	assert(rc == 0);
	(void)rc;
}

void bus_fini(struct bus *bus)
{
	free(bus->ranges);
	(void)pthread_rwlock_destroy(&bus->lock);
	bus->ranges = NULL;
	bus->nr = bus->cap = 0;
}

/* Index of the first range that ends above @addr. */
static size_t find_locked(const struct bus *bus, uint64_t addr)
{
	size_t lo = 0, hi = bus->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (bus->ranges[mid].addr + bus->ranges[mid].bytes - 1 < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int add_locked(struct bus *bus, const struct bus_range *range)
{
	size_t at = find_locked(bus, range->addr);

	if (at < bus->nr && bus->ranges[at].addr <= range->addr + range->bytes - 1)
		return -EEXIST;
	if (bus->nr == bus->cap) {
		size_t cap = MAX(bus->cap * 2, 16);
		struct bus_range *grown = realloc(bus->ranges, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		bus->ranges = grown;
		bus->cap = cap;
	}
	memmove(&bus->ranges[at + 1], &bus->ranges[at], (bus->nr - at) * sizeof(*range));
	bus->ranges[at] = *range;
	bus->nr++;
	return 0;
}

int bus_add(struct bus *bus, uint64_t addr, uint64_t bytes, const struct bus_ops *ops, void *opaque)
{
	const struct bus_range range = { addr, bytes, ops, opaque };
	int rc;

	if (bytes == 0 || addr + (bytes - 1) < addr)
		return -EINVAL;
	(void)pthread_rwlock_wrlock(&bus->lock);
	rc = add_locked(bus, &range);
	(void)pthread_rwlock_unlock(&bus->lock);
	return rc;
}

void bus_remove(struct bus *bus, uint64_t addr, const void *opaque)
{
	size_t at;

	(void)pthread_rwlock_wrlock(&bus->lock);
	at = find_locked(bus, addr);
	if (at < bus->nr && bus->ranges[at].addr == addr && bus->ranges[at].opaque == opaque) {
		bus->nr--;
		memmove(&bus->ranges[at], &bus->ranges[at + 1],
			(bus->nr - at) * sizeof(bus->ranges[0]));
	}
	(void)pthread_rwlock_unlock(&bus->lock);
}

/* The range that holds all of [addr, addr + len), copied out of the table. */
static bool lookup(struct bus *bus, uint64_t addr, unsigned len, struct bus_range *ret)
{
	bool found = false;
	size_t at;

	(void)pthread_rwlock_rdlock(&bus->lock);
	at = find_locked(bus, addr);
	if (at < bus->nr && bus->ranges[at].addr <= addr &&
	    len <= bus->ranges[at].bytes - (addr - bus->ranges[at].addr)) {
		*ret = bus->ranges[at];
		found = true;
	}
	(void)pthread_rwlock_unlock(&bus->lock);
	return found;
}

static bool is_access_size(unsigned len)
{
	return len == 1 || len == 2 || len == 4 || len == 8;
}

bool bus_read(struct bus *bus, uint64_t addr, void *data, unsigned len)
{
	struct bus_range r;
	uint64_t value;

	memset(data, 0xff, len);
	if (!lookup(bus, addr, len, &r))
		return false;
	if (!is_access_size(len)) {
		for (unsigned i = 0; i < len; i++)
			((uint8_t *)data)[i] = (uint8_t)r.ops->read(r.opaque, addr - r.addr + i, 1);
		return true;
	}
	value = r.ops->read(r.opaque, addr - r.addr, len);
	memcpy(data, &value, len);
	return true;
}

bool bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned len)
{
	struct bus_range r;
	uint64_t value = 0;

	if (!lookup(bus, addr, len, &r))
		return false;
	if (!is_access_size(len)) {
		for (unsigned i = 0; i < len; i++)
			r.ops->write(r.opaque, addr - r.addr + i, ((const uint8_t *)data)[i], 1);
		return true;
	}
	memcpy(&value, data, len);
	r.ops->write(r.opaque, addr - r.addr, value, len);
	return true;
}
