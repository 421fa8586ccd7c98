// SPDX-License-Identifier: MIT
// Page tables of a guest: what they map is found, and hostile ones end.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vmm/dump/page_walk.h"

#define RAM_BYTES (16 * MIB)
#define TOP       0x1000U
#define P         1ULL
#define PS        (1ULL << 7)

static int setup(void **state)
{
	struct gmem *gm = calloc(1, sizeof(*gm));

	*state = gm;
	assert_non_null(gm);
	return gmem_init(gm, RAM_BYTES, 0, NULL);
}

static int teardown(void **state)
{
	gmem_fini(*state);
	free(*state);
	return 0;
}

static void put(struct gmem *gm, gpa_t table, unsigned i, uint64_t entry)
{
	assert_int_equal(gmem_write(gm, table + i * sizeof(entry), &entry, sizeof(entry)), 0);
}

static void check_run(const struct page_run *run, uint64_t va, gpa_t gpa, uint64_t bytes)
{
	assert_int_equal(run->va, va);
	assert_int_equal(run->gpa, gpa);
	assert_int_equal(run->bytes, bytes);
}

/* 2 MiB pages that are neighbours, one that is not; small ones in the upper half. */
static void test_runs(void **state)
{
	struct gmem *gm = *state;
	struct page_runs runs;

	put(gm, TOP, 0, 0x2000 | P);
	put(gm, 0x2000, 0, 0x3000 | P);
	put(gm, 0x3000, 0, 0x000000 | P | PS);
	put(gm, 0x3000, 1, 0x200000 | P | PS);
	put(gm, 0x3000, 2, 0x800000 | P | PS);
	put(gm, 0x3000, 3, 0xa00000 | PS); /* not present */
	put(gm, TOP, 511, 0x4000 | P);
	put(gm, 0x4000, 510, 0x5000 | P);
	put(gm, 0x5000, 0, 0x6000 | P);
	put(gm, 0x6000, 5, 0x9000 | P | PS | 1ULL << 63); /* PAT and XD */
	put(gm, 0x6000, 6, 0xfee00000 | P);               /* not RAM */
	assert_int_equal(page_walk(&runs, gm, TOP | 0x18, false), 0);
	assert_int_equal(runs.nr, 3);
	check_run(&runs.runs[0], 0, 0, 4 * MIB);
	check_run(&runs.runs[1], 4 * MIB, 8 * MIB, 2 * MIB);
	check_run(&runs.runs[2], 0xffffffff80005000, 0x9000, GMEM_PAGE_BYTES);
	page_runs_free(&runs);
}

/* What a page of 1 GiB has beyond RAM is not there. */
static void test_large_page(void **state)
{
	struct gmem *gm = *state;
	struct page_runs runs;

	put(gm, TOP, 256, 0x2000 | P);
	put(gm, 0x2000, 0, 0 | P | PS);
	assert_int_equal(page_walk(&runs, gm, TOP, false), 0);
	assert_int_equal(runs.nr, 1);
	check_run(&runs.runs[0], 0xffff800000000000, 0, RAM_BYTES);
	page_runs_free(&runs);
}

static void test_five_levels(void **state)
{
	struct gmem *gm = *state;
	struct page_runs runs;

	put(gm, TOP, 511, 0x2000 | P);
	put(gm, 0x2000, 0, 0x3000 | P);
	put(gm, 0x3000, 0, 0 | P | PS);
	assert_int_equal(page_walk(&runs, gm, TOP, true), 0);
	assert_int_equal(runs.nr, 1);
	check_run(&runs.runs[0], 0xffff000000000000, 0, RAM_BYTES);
	page_runs_free(&runs);
}

static void test_no_tables(void **state)
{
	struct page_runs runs;

	assert_int_equal(page_walk(&runs, *state, 0xffffffff000, false), 0);
	assert_int_equal(runs.nr, 0);
	page_runs_free(&runs);
}

/* A table all of whose entries are itself: 2^36 pages, and no two are neighbours. */
static void test_endless(void **state)
{
	struct gmem *gm = *state;
	struct page_runs runs;

	for (unsigned i = 0; i < 512; i++)
		put(gm, TOP, i, TOP | P);
	assert_int_equal(page_walk(&runs, gm, TOP, false), -E2BIG);
}

/* The same without any page at the end. */
static void test_endless_and_empty(void **state)
{
	struct gmem *gm = *state;
	struct page_runs runs;

	for (unsigned i = 0; i < 512; i++) {
		put(gm, TOP, i, 0x2000 | P);
		put(gm, 0x2000, i, 0x3000 | P);
		put(gm, 0x3000, i, 0x4000 | P);
		put(gm, 0x4000, i, 0xfee00000 | P);
	}
	assert_int_equal(page_walk(&runs, gm, TOP, false), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_five_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_and_empty, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
