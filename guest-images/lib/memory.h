/* SPDX-License-Identifier: MIT */
/*
 * Memory: what there is, mappings, and an allocator that only gives.
 *
 * Everything is mapped at its physical address (gpa == pointer). RAM and device
 * windows below 4 GiB are mapped from the start, 3 to 4 GiB and every hole
 * between RAM ranges uncached; RAM above 4 GiB from the start too, and device
 * windows up there by memory_map().
 */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include "pvh.h"
#include <stddef.h>
#include <stdint.h>

struct memory_range {
	uint64_t gpa;
	uint64_t bytes;
};

/* All RAM in bytes, as the memory map says. */
uint64_t memory_total_bytes(void);

/* The n-th range of RAM from 1 MiB on that is neither image nor allocated; whole pages; 0 bytes: no
 * more. */
struct memory_range memory_free_range(unsigned int n);

/* Zeroed, contiguous and page-aligned; never freed. Ends the guest if there is no more. */
void *memory_alloc_pages(size_t pages);

/* The same by bytes, aligned to 64. */
void *memory_alloc(size_t bytes);

/* Maps [gpa, gpa + bytes) in 2 MiB pages. Below 4 GiB it only changes the caching. */
enum memory_type { MEMORY_RAM, MEMORY_DEVICE };
void memory_map(uint64_t gpa, uint64_t bytes, enum memory_type type);

static inline uint64_t gpa_of(const volatile void *pointer)
{
	return (uintptr_t)pointer;
}

/* Called once by the runtime. */
void memory_init(const struct pvh_start_info *info);

#endif
