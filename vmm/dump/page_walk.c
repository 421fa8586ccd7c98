// SPDX-License-Identifier: MIT
// What a guest's page tables map, as runs of virtual addresses.
#include "vmm/dump/page_walk.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#define ENTRIES  512U
#define PTE_P    (1ULL << 0) /* present */
#define PTE_PS   (1ULL << 7) /* maps a page of 2 MiB or 1 GiB; PAT at the lowest level */
#define PTE_ADDR 0x000ffffffffff000ULL
#define LEVEL_4K 1U
#define LEVEL_1G 3U

struct walk {
	const struct gmem *gm;
	struct page_runs *out;
	size_t room;
	unsigned tables; /* looked at so far */
	unsigned top;    /* level of the table that CR3 points at */
};

/* How many address bits an entry at @level leaves to what is below. */
static unsigned shift_of(unsigned level)
{
	return 12 + 9 * (level - 1);
}

/* Bits above those that are translated repeat the highest of these. */
static uint64_t canonical(const struct walk *w, uint64_t va)
{
	unsigned top = shift_of(w->top) + 8;

	return va & (1ULL << top) ? va | (UINT64_MAX << top) : va;
}

static int grow(struct walk *w)
{
	size_t room = w->room ? 2 * w->room : 64;
	struct page_run *runs = realloc(w->out->runs, room * sizeof(*runs));

	if (!runs)
		return -ENOMEM;
	w->out->runs = runs;
	w->room = room;
	return 0;
}

static int add_run(struct walk *w, struct page_run run)
{
	struct page_run *last = w->out->nr ? &w->out->runs[w->out->nr - 1] : NULL;

	if (last && last->va + last->bytes == run.va && last->gpa + last->bytes == run.gpa) {
		last->bytes += run.bytes;
		return 0;
	}
	if (w->out->nr == PAGE_WALK_MAX_RUNS)
		return -E2BIG;
	if (w->out->nr == w->room && grow(w) < 0)
		return -ENOMEM;
	w->out->runs[w->out->nr++] = run;
	return 0;
}

/* The parts of [gpa, gpa + bytes) that are RAM: a large page may reach over its end. */
static int add_page(struct walk *w, uint64_t va, gpa_t gpa, uint64_t bytes)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < w->gm->nr_regions; i++) {
		const struct gmem_region *r = &w->gm->regions[i];
		uint64_t begin = MAX(gpa, r->gpa);
		uint64_t end = MIN(gpa + bytes, r->gpa + r->bytes);

		if (begin < end)
			rc = add_run(w, (struct page_run){ .va = va + (begin - gpa),
							   .gpa = begin,
							   .bytes = end - begin });
	}
	return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as there are levels, five */
static int walk_table(struct walk *w, gpa_t table, unsigned level, uint64_t base)
{
	uint64_t size = 1ULL << shift_of(level);
	const uint64_t *entries = gmem_ptr(w->gm, table, GMEM_PAGE_BYTES);
	int rc = 0;

	if (!entries)
		return 0;
	if (++w->tables > PAGE_WALK_MAX_TABLES)
		return -E2BIG;
	for (unsigned i = 0; rc == 0 && i < ENTRIES; i++) {
		uint64_t entry = le64toh(__atomic_load_n(&entries[i], __ATOMIC_RELAXED));
		uint64_t va = canonical(w, base + i * size);
		gpa_t gpa = entry & PTE_ADDR;

		if (!(entry & PTE_P))
			continue;
		if (level == LEVEL_4K || (level <= LEVEL_1G && (entry & PTE_PS)))
			rc = add_page(w, va, gpa & ~(size - 1), size);
		else
			rc = walk_table(w, gpa, level - 1, va);
	}
	return rc;
}

int page_walk(struct page_runs *ret, const struct gmem *gm, uint64_t cr3, bool la57)
{
	struct page_runs runs = { 0 };
	struct walk w = { .gm = gm, .out = &runs, .top = la57 ? 5 : 4 };
	int rc = walk_table(&w, cr3 & PTE_ADDR, w.top, 0);

	if (rc < 0) {
		page_runs_free(&runs);
		return rc;
	}
	*ret = runs;
	return 0;
}

void page_runs_free(struct page_runs *runs)
{
	free(runs->runs);
	*runs = (struct page_runs){ 0 };
}
