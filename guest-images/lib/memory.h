/* SPDX-License-Identifier: MIT */
/*
 * Memory: what there is, mappings, and an allocator that only gives.
 *
 * Everything is mapped at its physical address (gpa == pointer). From the start
 * that is all RAM, cached, and all from 3 to 4 GiB, uncached. Whoever uses a
 * device window elsewhere calls memory_map() first.
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

/*
 * The n-th range of RAM, from 1 MiB on, that is neither image nor allocated, in
 * whole pages. Behind the last one: 0 bytes.
 */
struct memory_range memory_free_range(unsigned int n);

/* Zeroed, contiguous and page-aligned; never freed. Ends the guest if there is no more. */
void *memory_alloc_pages(size_t pages);

/* The same by bytes, aligned to 64. */
void *memory_alloc(size_t bytes);

enum memory_type { MEMORY_RAM, MEMORY_DEVICE };

/* Maps [gpa, gpa + bytes) in 2 MiB pages; what is mapped already only changes its caching. */
void memory_map(uint64_t gpa, uint64_t bytes, enum memory_type type);

static inline uint64_t gpa_of(const volatile void *pointer)
{
	return (uintptr_t)pointer;
}

/* Called once by the runtime. */
void memory_init(const struct pvh_start_info *info);

#endif
