// SPDX-License-Identifier: MIT
// Guest memory: the hole, every kind of bad range, ferry's own dirty bitmap.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/bitmap.h"
#include "vmm/gmem.h"
#include "vmm/memmap.h"

static void one_region_below_the_hole(void **state)
{
	struct gmem gm;

	(void)state;
	assert_int_equal(gmem_init(&gm, 64 * MIB, 0, NULL), 0);
	assert_int_equal(gm.nr_regions, 1);
	assert_non_null(gmem_ptr(&gm, 0, 64 * MIB));
	assert_null(gmem_ptr(&gm, 0, 64 * MIB + 1));
	/* Where huge pages can be. */
	assert_int_equal((uintptr_t)gm.base % (2 * MIB), 0);
	gmem_fini(&gm);
}

static void large_memory_goes_on_above_4g(void **state)
{
	struct gmem gm;

	(void)state;
	assert_int_equal(gmem_init(&gm, 64 * GIB, 0, NULL), 0);
	assert_int_equal(gm.nr_regions, 2);
	assert_int_equal(gm.regions[0].bytes, MAP_LOW_RAM_END);
	assert_int_equal(gm.regions[1].gpa, MAP_HIGH_RAM_START);
	assert_int_equal(gm.regions[0].bytes + gm.regions[1].bytes, 64 * GIB);
	assert_int_equal(gm.regions[1].offset, gm.regions[0].bytes);
	assert_int_equal((uintptr_t)gm.regions[1].hva % (2 * MIB), 0);
	assert_null(gmem_ptr(&gm, MAP_LOW_RAM_END, 1));
	assert_null(gmem_ptr(&gm, MAP_HIGH_RAM_START - 1, 2));
	/* The two regions are neighbours in the mapping, but not for a guest. */
	assert_null(gmem_ptr(&gm, MAP_LOW_RAM_END - 1, 2));
	assert_ptr_equal(gmem_ptr(&gm, MAP_HIGH_RAM_START, 1), gm.base + MAP_LOW_RAM_END);
	gmem_fini(&gm);
}

static void bad_sizes_are_refused(void **state)
{
	static const uint64_t sizes[] = {
		0, 4096, MIB - 4096, MIB + 1, 64 * GIB + 4096, UINT64_MAX
	};
	struct gmem gm;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		e.text[0] = '\0';
		assert_int_equal(gmem_init(&gm, sizes[i], 0, &e), -EINVAL);
		assert_non_null(strstr(e.text, "memory"));
	}
}

/* More than any host of these tests has free; said when the guest is made, not by a fault. */
static void missing_huge_pages_are_said(void **state)
{
	struct gmem gm;
	struct err e = { 0 };

	(void)state;
	assert_int_not_equal(gmem_init(&gm, 64 * GIB, GMEM_HUGEPAGES, &e), 0);
	assert_non_null(strstr(e.text, "nr_hugepages"));
}

static void bad_ranges_are_refused(void **state)
{
	static const struct {
		gpa_t gpa;
		size_t len;
	} bad[] = {
		{ MIB, 1 },
		{ MIB - 1, 2 },
		{ 0, MIB + 1 },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, 2 },
		{ 1, SIZE_MAX },
		{ MIB - 1, SIZE_MAX },
		{ 0, SIZE_MAX },
		{ UINT64_MAX - 4095, 8192 },
	};
	struct gmem gm;
	char byte = 0;

	(void)state;
	assert_int_equal(gmem_init(&gm, MIB, 0, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_null(gmem_ptr(&gm, bad[i].gpa, bad[i].len));
		assert_int_equal(gmem_read(&gm, bad[i].gpa, &byte, bad[i].len), -EFAULT);
		assert_int_equal(gmem_write(&gm, bad[i].gpa, &byte, bad[i].len), -EFAULT);
		assert_int_equal(gmem_zero(&gm, bad[i].gpa, bad[i].len), -EFAULT);
		assert_int_equal(gmem_discard(&gm, bad[i].gpa, bad[i].len), -EFAULT);
	}
	assert_null(gmem_ptr(&gm, 0, 0));
	assert_int_equal(gmem_write(&gm, UINT64_MAX, &byte, 0), 0);
	gmem_fini(&gm);
}

static void what_is_written_is_read(void **state)
{
	struct gmem gm;
	char buf[16] = { 0 };

	(void)state;
	assert_int_equal(gmem_init(&gm, MIB, 0, NULL), 0);
	assert_int_equal(gmem_write(&gm, 4090, "hello, guest", 13), 0);
	assert_int_equal(gmem_read(&gm, 4090, buf, 13), 0);
	assert_string_equal(buf, "hello, guest");
	assert_int_equal(gmem_zero(&gm, 4092, 3), 0);
	assert_int_equal(gmem_read(&gm, 4090, buf, 13), 0);
	assert_memory_equal(buf, "he\0\0\0, guest", 13);
	gmem_fini(&gm);
}

static void own_writes_mark_pages(void **state)
{
	struct gmem gm;

	(void)state;
	assert_int_equal(gmem_init(&gm, MIB, 0, NULL), 0);
	assert_int_equal(gmem_write(&gm, 0, "x", 1), 0); /* not logging: no map */
	assert_int_equal(gmem_log_start(&gm), 0);
	assert_int_equal(gmem_write(&gm, 2 * 4096 - 1, "xy", 2), 0);
	assert_int_equal(gmem_zero(&gm, 5 * 4096, 4096), 0);
	gmem_mark_dirty(&gm, 70 * 4096, 1);
	gmem_mark_dirty(&gm, MIB, 1); /* not RAM: ignored */
	for (unsigned page = 0; page < 256; page++) {
		bool expected = page == 1 || page == 2 || page == 5 || page == 70;

		assert_int_equal(bitmap_test(gm.dirty, page), expected);
	}
	gmem_log_stop(&gm);
	assert_int_equal(gmem_write(&gm, 0, "x", 1), 0);
	gmem_fini(&gm);
}

static void discard_frees_whole_pages_only(void **state)
{
	struct gmem gm;
	char byte = 'x';

	(void)state;
	assert_int_equal(gmem_init(&gm, MIB, 0, NULL), 0);
	memset(gmem_ptr(&gm, 0, 4 * 4096), 'x', 4 * 4096);
	assert_int_equal(gmem_discard(&gm, 4095, 4098), 0); /* covers page 1 */
	assert_int_equal(gmem_read(&gm, 4095, &byte, 1), 0);
	assert_int_equal(byte, 'x');
	assert_int_equal(gmem_read(&gm, 4096, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(gmem_read(&gm, 8192, &byte, 1), 0);
	assert_int_equal(byte, 'x');
	assert_int_equal(gmem_discard(&gm, 8193, 4095), 0); /* no whole page */
	assert_int_equal(gmem_read(&gm, 9000, &byte, 1), 0);
	assert_int_equal(byte, 'x');
	gmem_fini(&gm);
}

static void bitmap_ranges_cross_words(void **state)
{
	_Atomic uint64_t *map = bitmap_new(200);

	(void)state;
	assert_non_null(map);
	bitmap_set_range(map, 60, 70);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(bitmap_test(map, i), i >= 60 && i < 130);
	assert_true(bitmap_test_and_set(map, 199));
	assert_false(bitmap_test_and_set(map, 199));
	free(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_region_below_the_hole),
		cmocka_unit_test(large_memory_goes_on_above_4g),
		cmocka_unit_test(bad_sizes_are_refused),
		cmocka_unit_test(missing_huge_pages_are_said),
		cmocka_unit_test(bad_ranges_are_refused),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(own_writes_mark_pages),
		cmocka_unit_test(discard_frees_whole_pages_only),
		cmocka_unit_test(bitmap_ranges_cross_words),
	};

	return cmocka_run_group_tests_name("gmem", tests, NULL, NULL);
}
