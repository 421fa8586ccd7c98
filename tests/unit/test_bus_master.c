// SPDX-License-Identifier: MIT
// A virtio function that may not access memory stands still, and goes on when it may.
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rng_fixture.h"

#define QUEUE_SIZE 16

static void set_master(struct rng_fixture *f, bool on)
{
	machine_cfg_write(&f->m, RNG_SLOT, PCI_COMMAND,
			  PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0U), 2);
}

static void offer(struct rng_fixture *f)
{
	driver_offer(&f->d, 0, DRIVER_DATA, 64, RING_WRITE);
	driver_kick(&f->d, 0);
}

static void do_nothing(void *opaque)
{
	(void)opaque;
}

/* Whatever the device was told to do before, it has had its chance. */
static void check_nothing_done(struct rng_fixture *f)
{
	uint8_t data[64], zeroes[64] = { 0 };

	for (unsigned i = 0; i < 4; i++)
		loop_call_sync(f->m.io_loop, do_nothing, NULL);
	assert_int_equal(gmem_read(&f->m.vm->gmem, DRIVER_DATA, data, sizeof(data)), 0);
	assert_memory_equal(data, zeroes, sizeof(data));
}

static void test_off_and_on_again(void **state)
{
	struct rng_fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_bring_up(&f->d, 0, 1, QUEUE_SIZE));
	driver_use_msix(&f->d);
	set_master(f, false);
	set_master(f, false);
	offer(f);
	check_nothing_done(f);
	set_master(f, true);
	assert_int_equal(driver_await_used(&f->d, 0).len, 64);
	set_master(f, true);
	offer(f);
	assert_int_equal(driver_await_used(&f->d, 0).len, 64);
}

/* DRIVER_OK and late queues wait for it as well. */
static void test_set_up_while_off(void **state)
{
	struct rng_fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	set_master(f, false);
	assert_true(driver_bring_up(&f->d, 1ULL << VIRTIO_F_RING_RESET, 1, QUEUE_SIZE));
	offer(f);
	check_nothing_done(f);
	driver_select(&f->d, 0);
	driver_write(&f->d, VIRTIO_PCI_COMMON_Q_RESET, 1, 2);
	driver_enable_queue(&f->d, 0, QUEUE_SIZE);
	offer(f);
	check_nothing_done(f);
	set_master(f, true);
	assert_int_equal(driver_await_used(&f->d, 0).len, 64);
}

/* Neither a pause nor a reset of the machine brings back what the guest took. */
static void test_pause_and_reset(void **state)
{
	struct rng_fixture *f = *state;
	struct device *dev;

	MACHINE_OR_SKIP(&f->m);
	dev = vm_find_device(f->m.vm, "rng0");
	assert_true(driver_bring_up(&f->d, 0, 1, QUEUE_SIZE));
	set_master(f, false);
	offer(f);
	dev->ops->pause(dev);
	dev->ops->resume(dev);
	check_nothing_done(f);
	dev->ops->reset(dev);
	assert_true(driver_bring_up(&f->d, 0, 1, QUEUE_SIZE));
	offer(f);
	check_nothing_done(f); /* off at power-on */
	set_master(f, true);
	assert_int_equal(driver_await_used(&f->d, 0).len, 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_off_and_on_again, rng_fixture_setup,
						rng_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_set_up_while_off, rng_fixture_setup,
						rng_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_pause_and_reset, rng_fixture_setup,
						rng_fixture_teardown),
	};

	return cmocka_run_group_tests_name("bus_master", tests, NULL, NULL);
}
