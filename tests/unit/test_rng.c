// SPDX-License-Identifier: MIT
// virtio-rng: random bytes, bounded in size and rate, and its answers to bad requests.
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rng_fixture.h"
#include "util/clock.h"
#include "virtio/rng.h"

#define QUEUE_SIZE 16
#define EVENT_IDX  (1ULL << VIRTIO_RING_F_EVENT_IDX)

static void test_identity(void **state)
{
	struct rng_fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(machine_cfg_read(&f->m, RNG_SLOT, PCI_VENDOR_ID, 4), 0x10441af4);
	assert_int_equal(driver_read(&f->d, VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	assert_int_equal(f->d.device, 0); /* no configuration of its own */
}

static void test_fills_requests(void **state)
{
	struct rng_fixture *f = *state;
	uint8_t first[256], second[256], zeroes[16] = { 0 };
	struct gmem *gm;

	MACHINE_OR_SKIP(&f->m);
	gm = &f->m.vm->gmem;
	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		assert_true(driver_bring_up(&f->d, event_idx ? EVENT_IDX : 0, 1, QUEUE_SIZE));
		for (unsigned i = 0; i < 2; i++) {
			driver_offer(&f->d, 0, DRIVER_DATA, 256, RING_WRITE);
			driver_kick(&f->d, 0);
			assert_int_equal(driver_await_used(&f->d, 0).len, 256);
			assert_int_equal(gmem_read(gm, DRIVER_DATA, i ? second : first, 256), 0);
		}
		assert_memory_not_equal(first, second, 256);
		assert_memory_not_equal(second, zeroes, sizeof(zeroes));
		assert_memory_not_equal(second + 240, zeroes, sizeof(zeroes));
	}
}

/* Buffers in pieces, and not a byte beyond them. */
static void test_stays_inside(void **state)
{
	struct rng_fixture *f = *state;
	struct ring *r = &f->d.rings[0];
	const uint32_t zero = 0;

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_bring_up(&f->d, 0, 1, QUEUE_SIZE));
	ring_put_desc(r, r->desc, 0,
		      (struct ring_desc){ DRIVER_DATA, 3, RING_WRITE | RING_NEXT, 1 });
	ring_put_desc(r, r->desc, 1, (struct ring_desc){ DRIVER_DATA + 0x100, 5, RING_WRITE, 0 });
	ring_offer(r, 0);
	driver_kick(&f->d, 0);
	assert_int_equal(driver_await_used(&f->d, 0).len, 8);
	assert_memory_equal(f->m.vm->gmem.base + DRIVER_DATA + 3, &zero, 4);
	assert_memory_equal(f->m.vm->gmem.base + DRIVER_DATA + 0x105, &zero, 4);
}

/* A huge request gets what one window allows, the next one waits for its window. */
static void test_bounded(void **state)
{
	struct rng_fixture *f = *state;
	uint64_t start;

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_bring_up(&f->d, EVENT_IDX, 1, QUEUE_SIZE));
	start = clock_now_ns();
	for (unsigned i = 0; i < 4; i++)
		driver_offer(&f->d, 0, DRIVER_DATA, 1 * MIB, RING_WRITE);
	driver_kick(&f->d, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(driver_await_used(&f->d, 0).len, RNG_WINDOW_BYTES);
	/* The first window may have begun before us. */
	assert_true(clock_now_ns() - start >= 2 * RNG_WINDOW_NS);
}

/* Reset and pause while requests wait for their allowance. */
static void test_waiting_requests(void **state)
{
	struct rng_fixture *f = *state;
	struct device *device;

	MACHINE_OR_SKIP(&f->m);
	device = vm_find_device(f->m.vm, "rng0");
	assert_non_null(device);
	for (unsigned round = 0; round < 3; round++) {
		assert_true(driver_bring_up(&f->d, EVENT_IDX, 1, QUEUE_SIZE));
		for (unsigned i = 0; i < QUEUE_SIZE; i++)
			driver_offer(&f->d, 0, DRIVER_DATA, 64 * KIB, RING_WRITE);
		driver_kick(&f->d, 0);
		(void)driver_await_used(&f->d, 0);
		device->ops->pause(device);
		device->ops->resume(device);
		(void)driver_await_used(&f->d, 0);
		(void)driver_await_used(&f->d, 0);
		driver_set_status(&f->d, 0);
	}
}

static void test_readable_buffer(void **state)
{
	struct rng_fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_bring_up(&f->d, 0, 1, QUEUE_SIZE));
	driver_offer(&f->d, 0, DRIVER_DATA, 16, 0);
	driver_kick(&f->d, 0);
	driver_await_status(&f->d, S_BROKEN);
	assert_true(driver_bring_up(&f->d, 0, 1, QUEUE_SIZE));
	driver_offer(&f->d, 0, DRIVER_DATA, 16, RING_WRITE);
	driver_kick(&f->d, 0);
	assert_int_equal(driver_await_used(&f->d, 0).len, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_identity, rng_fixture_setup,
						rng_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_fills_requests, rng_fixture_setup,
						rng_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_stays_inside, rng_fixture_setup,
						rng_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_bounded, rng_fixture_setup,
						rng_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_waiting_requests, rng_fixture_setup,
						rng_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_readable_buffer, rng_fixture_setup,
						rng_fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
