/* SPDX-License-Identifier: MIT */
/* What a guest's page tables map, as runs of virtual addresses. */
#ifndef FERRY_VMM_DUMP_PAGE_WALK_H
#define FERRY_VMM_DUMP_PAGE_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "vmm/gmem.h"

/*
 * The tables are the guest's and hostile: one that points at itself would be
 * walked for years. So the walk gives up after PAGE_WALK_MAX_TABLES tables, which is
 * 512 GiB mapped by pages of 4 KiB, or PAGE_WALK_MAX_RUNS runs.
 */
#define PAGE_WALK_MAX_TABLES (256U * 1024)
#define PAGE_WALK_MAX_RUNS   60000U /* an ELF file has fewer than 65535 headers */

/* Neighbours in both address spaces, all of it RAM. */
struct page_run {
	uint64_t va;
	gpa_t gpa;
	uint64_t bytes;
};

struct page_runs {
	struct page_run *runs; /* in order of va */
	size_t nr;
};

/*
 * Walk the tables of 64-bit mode (SDM vol. 3, 4.5) that @cr3 points at, of five
 * levels with @la57, of four without. What they map and is not RAM is left out. 0 and
 * *@ret, which the caller gives to page_runs_free(); -E2BIG past the limits, -ENOMEM.
 * Any thread; sure only while nothing of the guest runs.
 */
__must_check int page_walk(struct page_runs *ret, const struct gmem *gm, uint64_t cr3, bool la57);

void page_runs_free(struct page_runs *runs);

#endif
