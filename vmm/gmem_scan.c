// SPDX-License-Identifier: MIT
// Populated pages, by PAGEMAP_SCAN or /proc/self/pagemap, and by the saved file.
#include "vmm/gmem_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/io.h"

/*
 * Documentation/admin-guide/mm/pagemap.rst. The ioctl is younger (6.7) than the
 * headers that ferry is built with.
 */
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

struct page_region {
	uint64_t start, end, categories;
};

#define PM_SCAN         _IOWR('f', 16, struct pm_scan_arg)
#define PM_IS_PRESENT   (1U << 3)
#define PM_IS_SWAPPED   (1U << 4)
#define PM_IS_PFNZERO   (1U << 5)
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_SWAPPED (1ULL << 62)
#define NR_REGIONS      512U
#define NR_ENTRIES      512U
#define PAGEMAP_ENTRY   sizeof(uint64_t)

struct gmem_scan {
	const struct gmem *gm;
	uint64_t nr_pages;
	enum gmem_scan_way way;
	union {
		struct page_region regions[NR_REGIONS];
		uint64_t entries[NR_ENTRIES];
	};
};

int gmem_scan_new_as(struct gmem_scan **ret, const struct gmem *gm, enum gmem_scan_way way)
{
	struct gmem_scan *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->gm = gm;
	s->nr_pages = gm->bytes / GMEM_PAGE_BYTES;
	s->way = gm->pagemap_fd < 0 ? GMEM_SCAN_NOBODY : way;
	*ret = s;
	return 0;
}

int gmem_scan_new(struct gmem_scan **ret, const struct gmem *gm)
{
	return gmem_scan_new_as(ret, gm, GMEM_SCAN_IOCTL);
}

void gmem_scan_free(struct gmem_scan *s)
{
	free(s);
}

/* The pages to look at, and where their bits go. */
struct window {
	uint64_t first, end; /* in pages of RAM; end not past it */
	uint64_t *words;
};

/* Set the bits of pages [start, end) as far as they are in the window. */
static void set_bits(const struct window *w, uint64_t start, uint64_t end)
{
	start = MAX(start, w->first) - w->first;
	end = MIN(end, w->end) - w->first;
	while (start < end) {
		uint64_t shift = start % 64, n = MIN(end - start, 64 - shift);

		w->words[start / 64] |= (n == 64 ? ~0ULL : (1ULL << n) - 1) << shift;
		start += n;
	}
}

/* The quick way. False: this kernel has no such ioctl. */
static bool scan_ioctl(struct gmem_scan *s, const struct window *w)
{
	uint64_t base = (uintptr_t)s->gm->base;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = base + w->first * GMEM_PAGE_BYTES,
		.end = base + w->end * GMEM_PAGE_BYTES,
		.vec = (uintptr_t)s->regions,
		.vec_len = NR_REGIONS,
		.category_inverted = PM_IS_PFNZERO,
		.category_mask = PM_IS_PFNZERO,
		.category_anyof_mask = PM_IS_PRESENT | PM_IS_SWAPPED,
		.return_mask = PM_IS_PRESENT,
	};

	while (arg.start < arg.end) {
		int n = ioctl(s->gm->pagemap_fd, PM_SCAN, &arg);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		for (int i = 0; i < n; i++)
			set_bits(w, (s->regions[i].start - base) / GMEM_PAGE_BYTES,
				 (s->regions[i].end - base) / GMEM_PAGE_BYTES);
		arg.start = arg.walk_end;
	}
	return true;
}

/* One entry a page, with the page of zeroes among them. False: it cannot be read. */
static bool scan_entries(struct gmem_scan *s, const struct window *w)
{
	uint64_t base_page = (uintptr_t)s->gm->base / GMEM_PAGE_BYTES;

	for (uint64_t page = w->first; page < w->end; page += NR_ENTRIES) {
		uint64_t n = MIN(w->end - page, NR_ENTRIES);
		off_t offset = (off_t)((base_page + page) * PAGEMAP_ENTRY);

		if (io_pread_full(s->gm->pagemap_fd, s->entries, n * PAGEMAP_ENTRY, offset) < 0)
			return false;
		for (uint64_t i = 0; i < n; i++) {
			if (s->entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED))
				set_bits(w, page + i, page + i + 1);
		}
	}
	return true;
}

/* A way that fails once is not tried again. */
static bool scan_pagemap(struct gmem_scan *s, const struct window *w)
{
	if (s->way == GMEM_SCAN_IOCTL && !scan_ioctl(s, w))
		s->way = GMEM_SCAN_ENTRIES;
	if (s->way == GMEM_SCAN_ENTRIES && !scan_entries(s, w))
		s->way = GMEM_SCAN_NOBODY;
	return s->way != GMEM_SCAN_NOBODY;
}

void gmem_scan_pages(struct gmem_scan *s, uint64_t first, uint64_t nr_words, uint64_t *words)
{
	struct window w = { .first = first, .words = words };

	memset(words, 0, nr_words * sizeof(*words));
	if (first >= s->nr_pages)
		return;
	w.end = first + MIN(nr_words * 64, s->nr_pages - first);
	if (!scan_pagemap(s, &w) || gmem_file_pages(s->gm, first, words, (unsigned)nr_words) < 0)
		set_bits(&w, w.first, w.end);
}
