// SPDX-License-Identifier: MIT
// Pages: every single bit is seen, every byte is copied, by each set of registers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "util/compiler.h"
#include "util/page.h"

#define PAGE_BYTES 4096

static _Alignas(64) uint8_t page[PAGE_BYTES], copy[PAGE_BYTES];

static void every_byte_counts(bool avx2)
{
	memset(page, 0, sizeof(page));
	assert_true(page_is_zero_as(page, avx2));
	for (unsigned i = 0; i < PAGE_BYTES; i++) {
		page[i] = (uint8_t)(1U << (i % 8));
		assert_false(page_is_zero_as(page, avx2));
		page[i] = 0;
	}
}

static void every_byte_is_copied(bool avx2)
{
	for (unsigned i = 0; i < PAGE_BYTES; i++)
		page[i] = (uint8_t)(i * 7 + i / 256);
	memset(copy, 0xff, sizeof(copy));
	page_copy_as(copy, page, avx2);
	assert_memory_equal(copy, page, PAGE_BYTES);
}

static void test_sse2(void **state)
{
	(void)state;
	every_byte_counts(false);
	every_byte_is_copied(false);
}

static void test_avx2(void **state)
{
	(void)state;
	if (!__builtin_cpu_supports("avx2")) {
		print_message("skipped: no AVX2\n");
		skip();
	}
	every_byte_counts(true);
	every_byte_is_copied(true);
}

static void test_dispatch(void **state)
{
	(void)state;
	memset(page, 0, sizeof(page));
	assert_true(page_is_zero(page));
	page[PAGE_BYTES - 1] = 1;
	assert_false(page_is_zero(page));
	page_copy(copy, page);
	assert_memory_equal(copy, page, PAGE_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sse2),
		cmocka_unit_test(test_avx2),
		cmocka_unit_test(test_dispatch),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
