// SPDX-License-Identifier: MIT
// MSI-X: table, masks, pending bits, and what of it reaches a vCPU's APIC.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/machine.h"

#define NR      40
#define CONTROL 12

struct fixture {
	struct machine m;
	struct msix msix;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	machine_init(&f->m, 1 * MIB);
	if (f->m.vm)
		assert_int_equal(msix_init(&f->msix, &f->m.vm->irq, NR), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	msix_fini(&f->msix);
	machine_fini(&f->m);
	test_free(f);
	return 0;
}

static uint64_t get(struct fixture *f, uint64_t offset, unsigned size)
{
	return msix_bar_ops.read(&f->msix, offset, size);
}

static void put(struct fixture *f, uint64_t offset, uint64_t value, unsigned size)
{
	msix_bar_ops.write(&f->msix, offset, value, size);
}

static void set_message(struct fixture *f, unsigned vector, uint8_t intr)
{
	put(f, vector * 16U, 0xfee00000U, 8);
	put(f, vector * 16U + 8, intr, 4);
}

static void set_mask(struct fixture *f, unsigned vector, bool masked)
{
	put(f, vector * 16U + CONTROL, masked, 4);
}

static bool pending(struct fixture *f, unsigned vector)
{
	return get(f, MSIX_PBA_OFFSET + vector / 64 * 8, 8) >> (vector % 64) & 1;
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct msix m = { 0 };

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(msix_init(&m, &f->m.vm->irq, 0), -EINVAL);
	assert_int_equal(msix_init(&m, &f->m.vm->irq, MSIX_MAX_VECTORS + 1), -EINVAL);
	assert_int_equal(msix_init(&m, &f->m.vm->irq, MSIX_MAX_VECTORS), 0);
	msix_fini(&m);
	msix_fini(&m);
}

static void test_power_on(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_false(msix_is_enabled(&f->msix));
	for (unsigned v = 0; v < NR; v++) {
		assert_int_equal(get(f, v * 16, 8), 0);
		assert_int_equal(get(f, v * 16 + 8, 8), 1ULL << 32);
		assert_false(pending(f, v));
	}
}

static void test_table_access(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	put(f, 32, 0x1122334455667788ULL, 8);
	assert_true(get(f, 32, 8) == 0x1122334455667788ULL);
	assert_int_equal(get(f, 36, 4), 0x11223344);
	put(f, 36, 0xaabbccdd, 4);
	assert_true(get(f, 32, 8) == 0xaabbccdd55667788ULL);
	/* Vector control keeps its one bit. */
	put(f, 40, 0xffffffff12345678ULL, 8);
	assert_true(get(f, 40, 8) == 0x0000000112345678ULL);
	/* Other sizes and odd places do nothing. */
	put(f, 32, 0, 1);
	put(f, 32, 0, 2);
	put(f, 34, 0, 4);
	put(f, 36, 0, 8);
	assert_true(get(f, 32, 8) == 0xaabbccdd55667788ULL);
	assert_int_equal(get(f, 32, 1), 0);
	assert_int_equal(get(f, 32, 2), 0);
	assert_int_equal(get(f, 34, 4), 0);
	/* Beyond the last vector, and in the PBA. */
	put(f, NR * 16, 0x77, 4);
	assert_int_equal(get(f, NR * 16, 4), 0);
	put(f, MSIX_PBA_OFFSET, 0xff, 8);
	assert_int_equal(get(f, MSIX_PBA_OFFSET, 8), 0);
	assert_int_equal(get(f, MSIX_BAR_BYTES - 8, 8), 0);
}

static void test_delivery(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	set_message(f, 3, 0x41);
	set_mask(f, 3, false);
	msix_set_control(&f->msix, true, false);
	assert_true(msix_is_enabled(&f->msix));
	msix_raise(&f->msix, 3);
	assert_true(machine_wait_vector(&f->m, 0x41));
	assert_false(pending(f, 3));
}

/* What is raised while masked is pending, and delivered once, by any way of unmasking. */
static void test_pending(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	set_message(f, 39, 0x51);
	msix_set_control(&f->msix, true, false);
	msix_raise(&f->msix, 39);
	assert_true(pending(f, 39));
	assert_false(pending(f, 38));
	assert_int_equal(get(f, MSIX_PBA_OFFSET + 4, 4), 1 << (39 - 32));
	set_mask(f, 39, false);
	assert_true(machine_wait_vector(&f->m, 0x51));
	set_mask(f, 39, true);
	assert_false(pending(f, 39));
}

static void test_function_mask(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	set_message(f, 0, 0x61);
	set_mask(f, 0, false);
	msix_set_control(&f->msix, true, true);
	msix_raise(&f->msix, 0);
	assert_true(pending(f, 0));
	msix_set_control(&f->msix, true, false);
	assert_true(machine_wait_vector(&f->m, 0x61));
	msix_set_control(&f->msix, true, true);
	assert_false(pending(f, 0));
}

static void test_enable(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	set_message(f, 1, 0x71);
	set_mask(f, 1, false);
	msix_raise(&f->msix, 1);
	assert_true(pending(f, 1));
	msix_set_control(&f->msix, true, false);
	assert_true(machine_wait_vector(&f->m, 0x71));
	msix_set_control(&f->msix, false, false);
	assert_false(msix_is_enabled(&f->msix));
	assert_false(pending(f, 1));
}

static void test_rewrite_while_unmasked(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	set_message(f, 2, 0x81);
	set_mask(f, 2, false);
	msix_set_control(&f->msix, true, false);
	put(f, 2 * 16 + 8, 0x82, 4);
	msix_raise(&f->msix, 2);
	assert_true(machine_wait_vector(&f->m, 0x82));
}

static void test_raise_out_of_range(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	msix_set_control(&f->msix, true, true);
	msix_raise(&f->msix, NR);
	msix_raise(&f->msix, 0xffff);
	assert_int_equal(get(f, MSIX_PBA_OFFSET, 8), 0);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	set_message(f, 5, 0x91);
	set_mask(f, 5, false);
	msix_set_control(&f->msix, true, true);
	msix_raise(&f->msix, 5);
	msix_reset(&f->msix);
	test_power_on(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_power_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_access, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delivery, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pending, setup, teardown),
		cmocka_unit_test_setup_teardown(test_function_mask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rewrite_while_unmasked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raise_out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
