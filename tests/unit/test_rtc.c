// SPDX-License-Identifier: MIT
// The clock: every way to write and read the time, and its three interrupts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "devices/isa.h"
#include "tests/unit/guest_event.h"
#include "tests/unit/machine.h"
#include "util/clock.h"
#include "vmm/memmap.h"

enum { SEC, SEC_AL, MIN_, MIN_AL, HOUR, HOUR_AL, WDAY, DAY, MON, YEAR, A, B, C, D, CENTURY = 0x32 };

#define B_24H    0x02U
#define B_BINARY 0x04U
#define B_UPDATE 0x10U
#define B_ALARM  0x20U
#define B_PERIOD 0x40U
#define B_SET    0x80U

struct fixture {
	struct machine m;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	machine_init(&f->m, 1 * MIB);
	if (f->m.vm)
		assert_int_equal(rtc_new(f->m.vm), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_fini(&f->m);
	test_free(f);
	return 0;
}

static uint8_t get(struct fixture *f, uint8_t reg)
{
	machine_out(&f->m, 0x70, reg, 1);
	return (uint8_t)machine_in(&f->m, 0x71, 1);
}

static void put(struct fixture *f, uint8_t reg, uint8_t value)
{
	machine_out(&f->m, 0x70, reg, 1);
	machine_out(&f->m, 0x71, value, 1);
}

static void test_registers(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(machine_in(&f->m, 0x70, 1), 0xff); /* write-only */
	assert_int_equal(get(f, A) & 0x7f, 0x26);
	assert_int_equal(get(f, B), B_24H);
	assert_int_equal(get(f, C), 0);
	assert_int_equal(get(f, D), 0x80); /* the battery is good */
	put(f, C, 0xff);
	put(f, D, 0);
	assert_int_equal(get(f, C), 0);
	assert_int_equal(get(f, D), 0x80);
	put(f, A, 0xaf); /* UIP is read-only */
	assert_int_equal(get(f, A) & 0x7f, 0x2f);
	for (unsigned reg = 0x0e; reg < 0x80; reg++) {
		if (reg == CENTURY)
			continue;
		put(f, (uint8_t)reg, (uint8_t)(reg ^ 0x5a));
	}
	for (unsigned reg = 0x0e; reg < 0x80; reg++)
		if (reg != CENTURY)
			assert_int_equal(get(f, (uint8_t)reg), reg ^ 0x5a);
	/* The top bit of the index masks NMIs; it is no address. */
	assert_int_equal(get(f, 0x80 | 0x10), 0x10 ^ 0x5a);
}

/* The same moment, 2031-12-24 21:43:05 and 00:07:59, as the four formats write it. */
static const struct {
	uint8_t b;
	uint8_t late[8], early[3]; /* SEC MIN HOUR DAY MON YEAR CENTURY WDAY; SEC MIN HOUR */
} formats[] = {
	{ B_24H, { 0x05, 0x43, 0x21, 0x24, 0x12, 0x31, 0x20, 0x04 }, { 0x58, 0x07, 0x00 } },
	{ B_24H | B_BINARY, { 5, 43, 21, 24, 12, 31, 20, 4 }, { 58, 7, 0 } },
	{ 0, { 0x05, 0x43, 0x89, 0x24, 0x12, 0x31, 0x20, 0x04 }, { 0x58, 0x07, 0x12 } },
	{ B_BINARY, { 5, 43, 0x89, 24, 12, 31, 20, 4 }, { 58, 7, 12 } },
};

static const uint8_t time_regs[] = { SEC, MIN_, HOUR, DAY, MON, YEAR, CENTURY, WDAY };

static void set_time(struct fixture *f, uint8_t b, const uint8_t *values, size_t nr)
{
	put(f, B, b | B_SET);
	for (size_t i = 0; i < nr; i++)
		put(f, time_regs[i], values[i]);
	/* While SET the clock stands, and reads as it was written. */
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(get(f, time_regs[i]), values[i]);
	put(f, B, b);
}

/* The seconds may have gone on by one since it was set, not more. */
static void check_time(struct fixture *f, const uint8_t *values, size_t nr)
{
	assert_in_range(get(f, SEC), values[0], values[0] + 1U);
	for (size_t i = 1; i < nr; i++)
		assert_int_equal(get(f, time_regs[i]), values[i]);
}

static void test_formats(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		set_time(f, formats[i].b, formats[i].late, 7);
		check_time(f, formats[i].late, 8);
		/* Written in one format, read in another. */
		put(f, B, formats[(i + 1) % 4].b);
		check_time(f, formats[(i + 1) % 4].late, 8);
		put(f, B, formats[i].b);
		set_time(f, formats[i].b, formats[i].early, 3);
		check_time(f, formats[i].early, 3);
	}
}

/* Years before 1900 have digits, too. SEC MIN HOUR DAY MON YEAR CENTURY. */
static void test_early_years(void **state)
{
	static const uint8_t times[][7] = {
		{ 0x05, 0x43, 0x21, 0x24, 0x12, 0x05, 0x18 },
		{ 0x05, 0x43, 0x21, 0x24, 0x12, 0x99, 0x01 },
		{ 0x05, 0x43, 0x21, 0x24, 0x12, 0x05, 0x00 },
	};
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		set_time(f, B_24H, times[i], 7);
		check_time(f, times[i], 7);
	}
}

static void test_starts_with_the_hosts_time(void **state)
{
	struct fixture *f = *state;
	time_t before, after, guest;
	struct tm tm = { 0 };

	MACHINE_OR_SKIP(&f->m);
	put(f, B, B_24H | B_BINARY);
	do {
		before = (time_t)(clock_wall_ns() / NSEC_PER_SEC);
		tm = (struct tm){
			.tm_sec = get(f, SEC),
			.tm_min = get(f, MIN_),
			.tm_hour = get(f, HOUR),
			.tm_mday = get(f, DAY),
			.tm_mon = get(f, MON) - 1,
			.tm_year = get(f, CENTURY) * 100 + get(f, YEAR) - 1900,
		};
		after = (time_t)(clock_wall_ns() / NSEC_PER_SEC);
	} while (before != after);
	guest = timegm(&tm);
	assert_int_equal(guest, before);
}

/* Bytes that are no time: some time comes of it, and nothing worse. */
static void test_nonsense(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		for (unsigned value = 0; value < 256; value += 51) {
			put(f, B, formats[i].b | B_SET);
			for (size_t r = 0; r < ARRAY_SIZE(time_regs); r++)
				put(f, time_regs[r], (uint8_t)value);
			put(f, B, formats[i].b);
			put(f, B, B_24H | B_BINARY);
			assert_in_range(get(f, SEC), 0, 60);
			assert_in_range(get(f, MON), 1, 12);
			assert_in_range(get(f, DAY), 1, 31);
		}
	}
}

/* --- interrupts --- */

static bool line_is_up(void *opaque)
{
	struct fixture *f = opaque;

	return machine_line(&f->m, GSI_RTC);
}

static void wait_irq(struct fixture *f)
{
	loop_drain(f->m.main_loop, line_is_up, f);
}

static void body_periodic(void *opaque)
{
	struct fixture *f = opaque;
	uint64_t start_ns;

	put(f, A, 0x2a); /* 64 Hz */
	put(f, B, B_24H | B_PERIOD);
	assert_false(machine_line(&f->m, GSI_RTC));
	wait_irq(f);
	start_ns = clock_now_ns();
	for (unsigned i = 0; i < 4; i++) {
		/* Reading C is the acknowledgement, and it reads as 0 then. */
		assert_int_equal(get(f, C), 0x80 | B_PERIOD);
		assert_false(machine_line(&f->m, GSI_RTC));
		assert_int_equal(get(f, C), 0);
		wait_irq(f);
	}
	assert_true(clock_now_ns() - start_ns >= 3 * NSEC_PER_SEC / 64);
	/* Disabled, its flag stays but the line falls. */
	put(f, B, B_24H);
	assert_false(machine_line(&f->m, GSI_RTC));
	assert_int_equal(get(f, C), B_PERIOD);
}

static void test_periodic(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_periodic, f);
}

/* Both come at the end of the second, and the alarm only when it matches. */
static void body_alarm_and_update(void *opaque)
{
	static const uint8_t eleven[] = { 0, 0, 11 };
	struct fixture *f = opaque;

	set_time(f, B_24H | B_BINARY, eleven, sizeof(eleven));
	put(f, SEC_AL, 0xff); /* any second, any minute, */
	put(f, MIN_AL, 0xc0);
	put(f, HOUR_AL, 11); /* of this hour */
	put(f, B, B_24H | B_BINARY | B_ALARM | B_UPDATE);
	wait_irq(f);
	assert_int_equal(get(f, C), 0x80 | B_ALARM | B_UPDATE);
	assert_in_range(get(f, SEC), 1, 59);
	put(f, HOUR_AL, 10); /* not now */
	wait_irq(f);
	assert_int_equal(get(f, C), 0x80 | B_UPDATE);
	/* A fast beat in the same second brings only itself. */
	put(f, A, 0x26);
	put(f, B, B_24H | B_BINARY | B_ALARM | B_UPDATE | B_PERIOD);
	for (unsigned i = 0; i < 20; i++) {
		wait_irq(f);
		assert_int_equal(get(f, C), 0x80 | B_PERIOD);
	}
}

static void test_alarm_and_update(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_alarm_and_update, f);
}

static void body_pause(void *opaque)
{
	struct fixture *f = opaque;

	put(f, A, 0x26);
	put(f, B, B_24H | B_PERIOD);
	wait_irq(f);
	vm_pause(f->m.vm);
	/* Acknowledged while paused (as a restored state may be): nothing comes until ... */
	assert_int_equal(get(f, C), 0x80 | B_PERIOD);
	vm_resume(f->m.vm);
	wait_irq(f);
}

static void test_goes_on_after_pause(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_pause, f);
}

static void body_reset(void *opaque)
{
	struct fixture *f = opaque;

	put(f, 0x40, 0x77);
	set_time(f, formats[0].b, formats[0].late, 7);
	put(f, B, B_24H | B_PERIOD);
	wait_irq(f);
	assert_int_equal(vm_reset(f->m.vm), 0);
	assert_false(machine_line(&f->m, GSI_RTC));
	assert_int_equal(get(f, B), B_24H);
	assert_int_equal(get(f, C), 0);
	/* The battery keeps time and memory. */
	assert_int_equal(get(f, 0x40), 0x77);
	check_time(f, formats[0].late, 8);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_reset, f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_formats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early_years, setup, teardown),
		cmocka_unit_test_setup_teardown(test_starts_with_the_hosts_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_periodic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alarm_and_update, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_after_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};

	return cmocka_run_group_tests_name("rtc", tests, NULL, NULL);
}
