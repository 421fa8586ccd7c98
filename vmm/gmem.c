// SPDX-License-Identifier: MIT
// Guest memory: one mapping, checked access, ferry's own dirty bitmap.
#include "vmm/gmem.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "util/bitmap.h"
#include "util/io.h"
#include "util/log.h"
#include "vmm/gmem_impl.h"
#include "vmm/memmap.h"

#define HUGE_PAGE_BYTES (2 * MIB)

/* Host and guest addresses are on the same boundary, so that huge pages can map both. */
_Static_assert(MAP_LOW_RAM_END % HUGE_PAGE_BYTES == 0 && MAP_HIGH_RAM_START % HUGE_PAGE_BYTES == 0,
	       "regions start at huge pages");

static void add_region(struct gmem *gm, gpa_t gpa, uint64_t bytes, uint64_t offset)
{
	gm->regions[gm->nr_regions++] = (struct gmem_region){
		.gpa = gpa,
		.bytes = bytes,
		.hva = gm->base + offset,
		.offset = offset,
	};
}

/* RAM up to the PCI window, and what is left of it above 4 GiB. */
static void cut_regions(struct gmem *gm)
{
	uint64_t low = MIN(gm->bytes, MAP_LOW_RAM_END);

	add_region(gm, 0, low, 0);
	if (gm->bytes > low)
		add_region(gm, MAP_HIGH_RAM_START, gm->bytes - low, low);
}

#ifdef __SANITIZE_THREAD__
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *start, size_t bytes,
			     const char *what);
#else
#define AnnotateBenignRaceSized(...) (void)0
#endif

/*
 * The sanitizer does not see in which order a guest lends a buffer to one queue and then to
 * another, and a hostile one lends it to both at once. What is in it then is the guest's own
 * affair, and no race to report: a byte that ferry judges by is copied before that.
 */
static void expect_races(const void *base, uint64_t bytes)
{
	(void)base;
	(void)bytes;
	AnnotateBenignRaceSized(__FILE__, __LINE__, base, bytes, "guest memory");
}

/* Ordinary memory on a boundary of huge pages, or the kernel cannot use any. NULL: errno. */
static void *map_ordinary(uint64_t bytes)
{
	uint8_t *area = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t head;

	if (area == MAP_FAILED)
		return NULL;
	head = (size_t)(ALIGN_UP((uintptr_t)area, HUGE_PAGE_BYTES) - (uintptr_t)area);
	if (head)
		(void)munmap(area, head);
	(void)munmap(area + head + bytes, HUGE_PAGE_BYTES - head);
	/* Advice only: where the kernel has no such pages, small ones serve. */
	(void)madvise(area + head, bytes, MADV_HUGEPAGE);
	return area + head;
}

/* Huge pages are reserved now: where they run out later, accesses fault. NULL: errno. */
static void *map_huge(uint64_t bytes)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);

	return base == MAP_FAILED ? NULL : base;
}

void gmem_keep_private(void *start, uint64_t bytes)
{
	(void)madvise(start, bytes, MADV_DONTDUMP);
	(void)madvise(start, bytes, MADV_DONTFORK);
}

/*
 * The kernel shows physical addresses to who opened the file as CAP_SYS_ADMIN, for good.
 * Nobody here needs them, and a guest that has taken the process over shall not have them.
 */
static int open_pagemap(void)
{
	bool admin = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN) == 1;
	int fd;

	if (admin && (capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_SYS_ADMIN) < 0 ||
		      capng_apply(CAPNG_SELECT_CAPS) < 0))
		return -1;
	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (admin && (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_SYS_ADMIN) < 0 ||
		      capng_apply(CAPNG_SELECT_CAPS) < 0))
		log_warn("CAP_SYS_ADMIN could not be had back: taps and disks may be refused");
	return fd;
}

int gmem_init(struct gmem *gm, uint64_t bytes, unsigned flags, struct err *e)
{
	bool huge = flags & GMEM_HUGEPAGES;
	uint64_t unit = huge ? HUGE_PAGE_BYTES : GMEM_PAGE_BYTES;
	void *base;

	if (bytes < GMEM_MIN_BYTES || bytes > GMEM_MAX_BYTES || bytes % unit)
		return err_set(e, -EINVAL,
			       "memory: %llu bytes: must be 1M to 64G, in multiples of %lluK",
			       (unsigned long long)bytes, (unsigned long long)(unit / KIB));
	base = huge ? map_huge(bytes) : map_ordinary(bytes);
	if (!base && huge)
		return err_set(e, -errno,
			       "hugepages: not enough free 2 MiB pages: write %llu to "
			       "/proc/sys/vm/nr_hugepages, or leave --hugepages out",
			       (unsigned long long)(bytes / HUGE_PAGE_BYTES));
	if (!base)
		return err_set(e, -errno, "guest memory: cannot map %llu MiB: %s",
			       (unsigned long long)(bytes / MIB), strerror(errno));
	gmem_keep_private(base, bytes);
	expect_races(base, bytes);
	*gm = (struct gmem){ .bytes = bytes, .base = base, .hugepages = huge, .file_fd = -1 };
	/* Now: whoever scans the memory may be confined by then. */
	gm->pagemap_fd = open_pagemap();
	cut_regions(gm);
	return 0;
}

void gmem_fini(struct gmem *gm)
{
	if (!gm->base)
		return;
	(void)munmap(gm->base, gm->bytes);
	free(gm->dirty_map);
	gmem_forget_file(gm);
	close_fd(&gm->pagemap_fd);
	*gm = (struct gmem){ 0 };
}

void *gmem_ptr(const struct gmem *gm, gpa_t gpa, size_t len)
{
	if (len == 0)
		return NULL;
	for (unsigned i = 0; i < gm->nr_regions; i++) {
		const struct gmem_region *r = &gm->regions[i];

		/* No sum of guest values here: neither side can overflow. */
		if (gpa >= r->gpa && gpa - r->gpa < r->bytes && len <= r->bytes - (gpa - r->gpa))
			return r->hva + (gpa - r->gpa);
	}
	return NULL;
}

int gmem_read(const struct gmem *gm, gpa_t gpa, void *buf, size_t len)
{
	const void *p = gmem_ptr(gm, gpa, len);

	if (len == 0)
		return 0;
	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

int gmem_write(struct gmem *gm, gpa_t gpa, const void *buf, size_t len)
{
	void *p = gmem_ptr(gm, gpa, len);

	if (len == 0)
		return 0;
	if (!p)
		return -EFAULT;
	memcpy(p, buf, len);
	gmem_mark_dirty_hva(gm, p, len);
	return 0;
}

int gmem_zero(struct gmem *gm, gpa_t gpa, size_t len)
{
	void *p = gmem_ptr(gm, gpa, len);

	if (len == 0)
		return 0;
	if (!p)
		return -EFAULT;
	memset(p, 0, len);
	gmem_mark_dirty_hva(gm, p, len);
	return 0;
}

void gmem_mark_dirty_hva(struct gmem *gm, const void *hva, size_t len)
{
	/* acquire: pairs with the release in gmem_log_start(). */
	_Atomic uint64_t *map = atomic_load_explicit(&gm->dirty, memory_order_acquire);
	size_t offset, first;

	if (!map || len == 0)
		return;
	offset = (size_t)((const uint8_t *)hva - gm->base);
	first = offset / GMEM_PAGE_BYTES;
	bitmap_set_range(map, first, (offset + len - 1) / GMEM_PAGE_BYTES - first + 1);
}

void gmem_mark_dirty(struct gmem *gm, gpa_t gpa, size_t len)
{
	const void *p = gmem_ptr(gm, gpa, len);

	if (p)
		gmem_mark_dirty_hva(gm, p, len);
}

int gmem_log_start(struct gmem *gm)
{
	size_t nr_pages = gm->bytes / GMEM_PAGE_BYTES;

	if (!gm->dirty_map)
		gm->dirty_map = bitmap_new(nr_pages);
	if (!gm->dirty_map)
		return -ENOMEM;
	for (size_t i = 0; i < BITMAP_WORDS(nr_pages); i++)
		atomic_store_explicit(&gm->dirty_map[i], 0, memory_order_relaxed);
	atomic_store_explicit(&gm->dirty, gm->dirty_map, memory_order_release);
	return 0;
}

void gmem_log_stop(struct gmem *gm)
{
	atomic_store(&gm->dirty, NULL);
}

int gmem_discard_hva(struct gmem *gm, void *hva, uint64_t len)
{
	uintptr_t start = ALIGN_UP((uintptr_t)hva, GMEM_PAGE_BYTES);
	uintptr_t end = ALIGN_DOWN((uintptr_t)hva + len, GMEM_PAGE_BYTES);

	if (start >= end || gm->hugepages)
		return 0;
	if (gm->file_fd >= 0)
		return gmem_discard_file(gm, (void *)start, end - start);
	/* Splits huge pages; the kernel has all of one back once all of it is given. */
	if (madvise((void *)start, end - start, MADV_DONTNEED) < 0)
		return -errno;
	gmem_mark_dirty_hva(gm, (void *)start, end - start);
	return 0;
}

int gmem_discard(struct gmem *gm, gpa_t gpa, uint64_t len)
{
	void *hva = gmem_ptr(gm, gpa, len);

	return hva ? gmem_discard_hva(gm, hva, len) : -EFAULT;
}
