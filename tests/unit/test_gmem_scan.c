// SPDX-License-Identifier: MIT
// Populated pages: none that was written is missing, what was not touched is not there.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/bitmap.h"
#include "vmm/gmem_scan.h"

#define RAM_BYTES (64 * MIB)
#define NR_PAGES  (RAM_BYTES / GMEM_PAGE_BYTES)
#define NR_WORDS  BITMAP_WORDS(NR_PAGES)

struct fixture {
	struct gmem gm;
	struct gmem_scan *scan;
	uint64_t words[NR_WORDS];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	assert_non_null(f);
	assert_int_equal(gmem_init(&f->gm, RAM_BYTES, 0, NULL), 0);
	/* Each page for itself, so that the expected answer is exact. */
	assert_int_equal(madvise(f->gm.base, RAM_BYTES, MADV_NOHUGEPAGE), 0);
	assert_int_equal(gmem_scan_new(&f->scan, &f->gm), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gmem_scan_free(f->scan);
	gmem_fini(&f->gm);
	free(f);
	return 0;
}

static bool reported(const struct fixture *f, uint64_t page)
{
	return f->words[page / 64] >> (page % 64) & 1;
}

static uint64_t count(const struct fixture *f)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < NR_WORDS; i++)
		n += (unsigned)__builtin_popcountll(f->words[i]);
	return n;
}

static void touch(struct fixture *f, uint64_t page)
{
	f->gm.base[page * GMEM_PAGE_BYTES] = 1;
}

static void test_what_was_written(void **state)
{
	static const uint64_t pages[] = { 0, 1, 63, 64, 511, 512, 1000, 5000, NR_PAGES - 1 };
	struct fixture *f = *state;

	gmem_scan_pages(f->scan, 0, NR_WORDS, f->words);
	assert_int_equal(count(f), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		touch(f, pages[i]);
	gmem_scan_pages(f->scan, 0, NR_WORDS, f->words);
	assert_int_equal(count(f), ARRAY_SIZE(pages));
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		assert_true(reported(f, pages[i]));
}

/* More pieces than one answer of the kernel's has room for. */
static void test_every_other_page(void **state)
{
	struct fixture *f = *state;

	for (uint64_t page = 0; page < NR_PAGES; page += 2)
		touch(f, page);
	gmem_scan_pages(f->scan, 0, NR_WORDS, f->words);
	for (unsigned i = 0; i < NR_WORDS; i++)
		assert_int_equal(f->words[i], 0x5555555555555555);
}

static void test_window(void **state)
{
	struct fixture *f = *state;

	touch(f, 127);
	touch(f, 128);
	touch(f, 255);
	touch(f, 256);
	memset(f->words, 0xff, sizeof(f->words));
	gmem_scan_pages(f->scan, 128, 2, f->words);
	assert_int_equal(f->words[0], 1);
	assert_int_equal(f->words[1], 1ULL << 63);
	assert_int_equal(f->words[2], UINT64_MAX);
	/* What is past the end is not there. */
	gmem_scan_pages(f->scan, NR_PAGES, 1, f->words);
	assert_int_equal(f->words[0], 0);
}

/* A page that was only read is the kernel's page of zeroes, or one that says so when it is read. */
static void test_discarded_and_read(void **state)
{
	struct fixture *f = *state;
	volatile uint8_t *ram = f->gm.base;

	touch(f, 10);
	touch(f, 11);
	assert_int_equal(gmem_discard(&f->gm, 10 * GMEM_PAGE_BYTES, GMEM_PAGE_BYTES), 0);
	gmem_scan_pages(f->scan, 0, NR_WORDS, f->words);
	assert_false(reported(f, 10));
	assert_true(reported(f, 11));
	assert_int_equal(ram[20 * GMEM_PAGE_BYTES], 0);
	gmem_scan_pages(f->scan, 0, NR_WORDS, f->words);
	assert_true(reported(f, 11));
}

static void test_huge_page(void **state)
{
	struct fixture *f = *state;

	(void)madvise(f->gm.base, RAM_BYTES, MADV_HUGEPAGE);
	touch(f, 1024 + 5);
	gmem_scan_pages(f->scan, 0, NR_WORDS, f->words);
	assert_true(reported(f, 1024 + 5));
	/* One page, or the huge page around it, and nothing else. */
	for (uint64_t page = 0; page < NR_PAGES; page++)
		assert_true(!reported(f, page) || page / 512 == 2);
}

static void test_other_ways(void **state)
{
	struct fixture *f = *state;
	struct gmem_scan *scan;

	for (uint64_t page = 3; page < NR_PAGES; page += 1000)
		touch(f, page);
	assert_int_equal(gmem_scan_new_as(&scan, &f->gm, GMEM_SCAN_ENTRIES), 0);
	gmem_scan_pages(scan, 0, NR_WORDS, f->words);
	for (uint64_t page = 0; page < NR_PAGES; page++)
		assert_int_equal(reported(f, page), page % 1000 == 3);
	gmem_scan_free(scan);
	assert_int_equal(gmem_scan_new_as(&scan, &f->gm, GMEM_SCAN_NOBODY), 0);
	gmem_scan_pages(scan, 0, NR_WORDS, f->words);
	assert_int_equal(count(f), NR_PAGES);
	gmem_scan_free(scan);
}

/* Where the page is, and not which of the host's it is; root would be told. */
static void test_no_physical_address(void **state)
{
	const uint64_t present = 1ULL << 63, frame = (1ULL << 55) - 1;
	struct fixture *f = *state;
	uint64_t entry = 0;
	off_t offset;

	touch(f, 5);
	offset = (off_t)((uintptr_t)f->gm.base / GMEM_PAGE_BYTES + 5) * (off_t)sizeof(entry);
	assert_int_equal(pread(f->gm.pagemap_fd, &entry, sizeof(entry), offset), sizeof(entry));
	assert_true(entry & present);
	assert_true((entry & frame) == 0);
}

static void test_file(void **state)
{
	struct fixture *f = *state;
	const struct gmem_file file = { .fd = memfd_create("ram", MFD_CLOEXEC),
					.offset = 3 * GMEM_PAGE_BYTES };
	int fd = file.fd;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(file.offset + RAM_BYTES)), 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), 1); /* not RAM */
	assert_int_equal(pwrite(fd, "x", 1, (off_t)(file.offset + 7 * GMEM_PAGE_BYTES)), 1);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)(file.offset + RAM_BYTES - 1)), 1);
	gmem_fini(&f->gm);
	assert_int_equal(gmem_init_file(&f->gm, RAM_BYTES, 0, &file, NULL), 0);
	touch(f, 9);
	gmem_scan_pages(f->scan, 0, NR_WORDS, f->words);
	assert_true(reported(f, 7) && reported(f, 9) && reported(f, NR_PAGES - 1));
	assert_int_equal(count(f), 3);
	assert_int_equal(gmem_discard(&f->gm, 7 * GMEM_PAGE_BYTES, GMEM_PAGE_BYTES), 0);
	gmem_scan_pages(f->scan, 0, NR_WORDS, f->words);
	assert_false(reported(f, 7));
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_was_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_other_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_discarded_and_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_physical_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
	};

	return cmocka_run_group_tests_name("gmem_scan", tests, NULL, NULL);
}
