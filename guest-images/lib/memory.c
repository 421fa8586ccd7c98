// SPDX-License-Identifier: MIT
/* The memory map, the page tables from C, and the allocator. */
#include "guest.h"

#define RAM          1
#define RANGES_MAX   64
#define LARGE_PAGE   (2 * MIB)
#define STATIC_LIMIT (3 * GIB) /* entry.S maps RAM up to here */

/* SDM vol. 3, 4.5. */
#define PTE_TABLE  0x27ul
#define PTE_RAM    0xe7ul
#define PTE_DEVICE 0xfful
#define PTE_GPA    0x000ffffffffff000ul

extern uint64_t page_map[512];
extern char image_end[];

static struct memory_range ranges[RANGES_MAX]; /* RAM, as the monitor orders it */
static unsigned int range_count;
static uint64_t next_gpa;  /* the allocator's */
static uint64_t limit_gpa; /* end of the range that holds the image */

static void add_range(uint64_t gpa, uint64_t bytes)
{
	if (range_count == RANGES_MAX)
		panic("more than %u ranges of RAM", RANGES_MAX);
	ranges[range_count++] = (struct memory_range){ gpa, bytes };
	if (gpa <= next_gpa && next_gpa < gpa + bytes)
		limit_gpa = gpa + bytes;
}

void memory_init(const struct pvh_start_info *info)
{
	const struct pvh_memmap_entry *entry = (const void *)info->memmap_gpa;

	if (info->magic != PVH_MAGIC || info->version < 1)
		panic("no PVH start info of version 1");
	next_gpa = align_up(gpa_of(image_end), PAGE_BYTES);
	for (uint32_t i = 0; i < info->memmap_entries; i++)
		if (entry[i].type == RAM)
			add_range(entry[i].gpa, entry[i].bytes);

	for (unsigned int i = 0; i < range_count; i++)
		if (ranges[i].gpa + ranges[i].bytes > STATIC_LIMIT)
			memory_map(ranges[i].gpa, ranges[i].bytes, MEMORY_RAM);
}

uint64_t memory_total_bytes(void)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < range_count; i++)
		total += ranges[i].bytes;
	return total;
}

struct memory_range memory_free_range(unsigned int n)
{
	for (unsigned int i = 0; i < range_count; i++) {
		uint64_t start = align_up(ranges[i].gpa, PAGE_BYTES);
		uint64_t end = (ranges[i].gpa + ranges[i].bytes) & ~(PAGE_BYTES - 1);

		if (start <= next_gpa && next_gpa < end)
			start = next_gpa;
		if (start < MIB || start >= end)
			continue;
		if (!n--)
			return (struct memory_range){ start, end - start };
	}
	return (struct memory_range){ 0, 0 };
}

static void *alloc(size_t bytes, size_t alignment)
{
	uint64_t gpa = align_up(next_gpa, alignment);

	if (gpa + bytes > limit_gpa)
		panic("out of memory: %lu bytes", bytes);
	next_gpa = gpa + bytes;
	return memset((void *)gpa, 0, bytes);
}

void *memory_alloc_pages(size_t pages)
{
	return alloc(pages * PAGE_BYTES, PAGE_BYTES);
}

void *memory_alloc(size_t bytes)
{
	return alloc(bytes, 64);
}

static uint64_t *next_table(uint64_t *entry)
{
	if (!*entry)
		*entry = gpa_of(memory_alloc_pages(1)) | PTE_TABLE;
	return (uint64_t *)(*entry & PTE_GPA);
}

void memory_map(uint64_t gpa, uint64_t bytes, enum memory_type type)
{
	uint64_t bits = type == MEMORY_RAM ? PTE_RAM : PTE_DEVICE;
	uint64_t end = align_up(gpa + bytes, LARGE_PAGE);
	bool changed = false;

	for (gpa &= ~(LARGE_PAGE - 1); gpa < end; gpa += LARGE_PAGE) {
		uint64_t *pointers = next_table(&page_map[gpa >> 39 & 511]);
		uint64_t *directory = next_table(&pointers[gpa >> 30 & 511]);
		uint64_t *entry = &directory[gpa >> 21 & 511];

		if (*entry == (gpa | bits))
			continue;
		changed |= *entry != 0;
		*entry = gpa | bits;
	}
	if (changed)
		kernel_call(KERNEL_FLUSH_TLB, 0, 0);
}
