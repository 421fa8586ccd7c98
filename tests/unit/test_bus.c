// SPDX-License-Identifier: MIT
// Buses: lookup, overlaps, odd sizes, ranges that move from inside a callback.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/bus.h"

struct device {
	struct bus *bus;
	uint64_t last_offset, last_value;
	unsigned last_size, accesses;
	uint64_t moved_from;
};

static const struct bus_ops ops;

static uint64_t on_read(void *opaque, uint64_t offset, unsigned size)
{
	struct device *d = opaque;

	d->accesses++;
	d->last_offset = offset;
	d->last_size = size;
	return 0x1122334455667788ULL;
}

static void on_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct device *d = opaque;

	d->accesses++;
	d->last_offset = offset;
	d->last_size = size;
	d->last_value = value;
	if (d->moved_from) {
		bus_remove(d->bus, d->moved_from, d);
		assert_int_equal(bus_add(d->bus, value, 16, &ops, d), 0);
	}
}

static const struct bus_ops ops = { .read = on_read, .write = on_write };

static int setup(void **state)
{
	struct bus *bus = test_calloc(1, sizeof(*bus));

	bus_init(bus);
	*state = bus;
	return 0;
}

static int teardown(void **state)
{
	bus_fini(*state);
	test_free(*state);
	return 0;
}

static void nobody_answers_with_ones(void **state)
{
	uint32_t value = 0;

	assert_false(bus_read(*state, 0x3f8, &value, 4));
	assert_int_equal(value, UINT32_MAX);
	assert_false(bus_write(*state, 0x3f8, &value, 4));
}

static void accesses_reach_their_device(void **state)
{
	struct bus *bus = *state;
	struct device d[20] = { 0 };
	uint64_t value = 0;

	/* In an order that is not sorted. */
	for (unsigned i = 0; i < ARRAY_SIZE(d); i++) {
		unsigned at = i * 7 % ARRAY_SIZE(d);

		assert_int_equal(bus_add(bus, 0x1000 + at * 0x10, 0x10, &ops, &d[at]), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(d); i++) {
		assert_true(bus_read(bus, 0x1000 + i * 0x10 + 8, &value, 8));
		assert_int_equal(d[i].accesses, 1);
		assert_int_equal(d[i].last_offset, 8);
		assert_int_equal(d[i].last_size, 8);
	}
	assert_int_equal(value, 0x1122334455667788ULL);
	value = 0;
	assert_true(bus_read(bus, 0x1000, &value, 2));
	assert_int_equal(value, 0x7788);
}

static void overlaps_are_refused(void **state)
{
	struct bus *bus = *state;
	struct device d = { 0 };

	assert_int_equal(bus_add(bus, 0x100, 0x10, &ops, &d), 0);
	assert_int_equal(bus_add(bus, 0x100, 0x10, &ops, &d), -EEXIST);
	assert_int_equal(bus_add(bus, 0x0, 0x101, &ops, &d), -EEXIST);
	assert_int_equal(bus_add(bus, 0x10f, 1, &ops, &d), -EEXIST);
	assert_int_equal(bus_add(bus, 0xf0, 0x1000, &ops, &d), -EEXIST);
	assert_int_equal(bus_add(bus, 0x110, 1, &ops, &d), 0);
	assert_int_equal(bus_add(bus, 0xff, 1, &ops, &d), 0);
	assert_int_equal(bus_add(bus, UINT64_MAX, 2, &ops, &d), -EINVAL);
	assert_int_equal(bus_add(bus, 0, 0, &ops, &d), -EINVAL);
	assert_int_equal(bus_add(bus, UINT64_MAX, 1, &ops, &d), 0);
}

static void an_access_across_the_end_finds_nobody(void **state)
{
	struct device d = { 0 };
	uint32_t value;

	assert_int_equal(bus_add(*state, 0x100, 4, &ops, &d), 0);
	assert_false(bus_read(*state, 0x102, &value, 4));
	assert_false(bus_read(*state, 0xff, &value, 2));
	assert_int_equal(d.accesses, 0);
}

static void odd_lengths_come_byte_by_byte(void **state)
{
	struct device d = { 0 };
	uint8_t data[3] = { 1, 2, 3 };

	assert_int_equal(bus_add(*state, 0x100, 8, &ops, &d), 0);
	assert_true(bus_write(*state, 0x101, data, 3));
	assert_int_equal(d.accesses, 3);
	assert_int_equal(d.last_offset, 3);
	assert_int_equal(d.last_value, 3);
	assert_true(bus_read(*state, 0x100, data, 3));
	assert_int_equal(data[2], 0x88);
}

static void a_range_may_move_itself(void **state)
{
	struct device d = { .bus = *state, .moved_from = 0x100 };
	uint64_t to = 0x200, value;

	assert_int_equal(bus_add(*state, 0x100, 16, &ops, &d), 0);
	assert_true(bus_write(*state, 0x100, &to, 8));
	assert_false(bus_read(*state, 0x100, &value, 8));
	assert_true(bus_read(*state, 0x200, &value, 8));
}

static void only_the_owner_removes(void **state)
{
	struct device d = { 0 }, other = { 0 };
	uint8_t value;

	assert_int_equal(bus_add(*state, 0x100, 4, &ops, &d), 0);
	bus_remove(*state, 0x100, &other);
	bus_remove(*state, 0x101, &d);
	assert_true(bus_read(*state, 0x100, &value, 1));
	bus_remove(*state, 0x100, &d);
	assert_false(bus_read(*state, 0x100, &value, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_answers_with_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(accesses_reach_their_device, setup, teardown),
		cmocka_unit_test_setup_teardown(overlaps_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(an_access_across_the_end_finds_nobody, setup,
						teardown),
		cmocka_unit_test_setup_teardown(odd_lengths_come_byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(a_range_may_move_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(only_the_owner_removes, setup, teardown),
	};

	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
