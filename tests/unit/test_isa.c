// SPDX-License-Identifier: MIT
// The small devices at fixed ports: what each reads as, and what a write does to the guest.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "devices/isa.h"
#include "tests/unit/machine.h"
#include "util/clock.h"
#include "vmm/memmap.h"

#define PM1_STS 0x600
#define PM1_EN  0x602
#define PM1_CNT 0x604
#define PM_TMR  0x608

#define PWRBTN 0x100U

struct fixture {
	struct machine m;
	struct acpi_pm *pm;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	machine_init(&f->m, 1 * MIB);
	if (!f->m.vm)
		return 0;
	assert_int_equal(debug_exit_new(f->m.vm), 0);
	assert_int_equal(pvpanic_new(f->m.vm), 0);
	assert_int_equal(i8042_new(f->m.vm), 0);
	assert_int_equal(acpi_pm_new(f->m.vm, &f->pm), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_fini(&f->m);
	test_free(f);
	return 0;
}

static void test_reads(void **state)
{
	static const struct {
		uint16_t port;
		unsigned size;
		uint32_t value;
	} cases[] = {
		{ 0x60, 1, 0 },                /* no key */
		{ 0x64, 1, 0 },                /* both buffers empty */
		{ 0xf4, 1, 0 },                /* debug-exit */
		{ 0xf4, 4, 0 },                /* */
		{ 0x505, 1, 3 },               /* pvpanic can tell both of its events */
		{ PM1_STS, 2, 0 },             /* */
		{ PM1_EN, 2, 0 },              /* */
		{ PM1_CNT, 2, 1 },             /* SCI_EN: there is no legacy mode */
		{ 0x61, 1, 0xff },             /* nobody there */
		{ 0x60, 2, 0xffff },           /* reaches beyond the port */
		{ 0x506, 1, 0xff },            /* */
		{ 0x606, 2, 0xffff },          /* */
		{ PM_TMR + 2, 4, UINT32_MAX }, /* half of it is the timer's */
	};
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(machine_in(&f->m, cases[i].port, cases[i].size), cases[i].value);
}

/* Each way that a guest has to end or to reset itself, and what only looks like one. */
static void test_events(void **state)
{
	static const struct {
		uint16_t port;
		unsigned size;
		uint32_t value;
		enum vm_event event;
		unsigned code;
	} cases[] = {
		{ 0x64, 1, 0xfe, VM_EVENT_RESET, 0 },
		{ 0x64, 1, 0xf0, VM_EVENT_RESET, 0 },
		{ 0x64, 1, 0xff, VM_EVENT_NONE, 0 }, /* pulses nothing */
		{ 0x64, 1, 0xee, VM_EVENT_NONE, 0 },
		{ 0x64, 1, 0xd1, VM_EVENT_NONE, 0 },
		{ 0x60, 1, 0xfe, VM_EVENT_NONE, 0 },
		{ 0xcf9, 1, 0x06, VM_EVENT_RESET, 0 },
		{ 0xcf9, 1, 0x0e, VM_EVENT_RESET, 0 },
		{ 0xcf9, 1, 0x02, VM_EVENT_NONE, 0 }, /* which reset, but not yet */
		{ 0xf4, 1, 7, VM_EVENT_DEBUG_EXIT, 7 },
		{ 0xf4, 4, 0x12345, VM_EVENT_DEBUG_EXIT, 0x12345 },
		{ 0xf4, 1, 0, VM_EVENT_DEBUG_EXIT, 0 },
		{ 0x505, 1, 1, VM_EVENT_CRASH, VM_CRASH_PANIC },
		{ 0x505, 1, 2, VM_EVENT_NONE, 0 }, /* its crash kernel takes over */
		{ 0x505, 1, 3, VM_EVENT_NONE, 0 },
		{ 0x505, 1, 0, VM_EVENT_NONE, 0 },
		{ PM1_CNT, 2, 0x3400, VM_EVENT_POWEROFF, 0 }, /* SLP_EN, type 5 */
		{ PM1_CNT, 2, 0x1400, VM_EVENT_NONE, 0 },     /* only the type */
		{ PM1_CNT + 1, 1, 0x34, VM_EVENT_POWEROFF, 0 },
		{ PM1_CNT, 2, 0x2400, VM_EVENT_NONE, 0 }, /* type 1 is not offered */
	};
	struct fixture *f = *state;
	struct vm *vm = f->m.vm;

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		machine_out(&f->m, cases[i].port, cases[i].value, cases[i].size);
		assert_int_equal(vm->event, cases[i].event);
		if (cases[i].event == VM_EVENT_NONE)
			continue;
		assert_int_equal(vm->event_code, cases[i].code);
		vm_event_done(vm);
	}
}

static void test_power_button(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	acpi_pm_power_button(f->pm);
	assert_int_equal(machine_in(&f->m, PM1_STS, 2), PWRBTN);
	assert_false(machine_line(&f->m, GSI_SCI));
	/* A guest that listens later hears of it all the same. */
	machine_out(&f->m, PM1_EN, PWRBTN, 2);
	assert_true(machine_line(&f->m, GSI_SCI));
	machine_out(&f->m, PM1_STS, PWRBTN, 2);
	assert_false(machine_line(&f->m, GSI_SCI));
	assert_int_equal(machine_in(&f->m, PM1_STS, 2), 0);
	acpi_pm_power_button(f->pm);
	assert_true(machine_line(&f->m, GSI_SCI));
	machine_out(&f->m, PM1_EN, 0, 2);
	assert_false(machine_line(&f->m, GSI_SCI));
}

static void test_pm1_bytes(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	acpi_pm_power_button(f->pm);
	/* Enables that do not exist stay 0: TMR, GBL, PWRBTN and RTC do. */
	machine_out(&f->m, PM1_EN, 0xffff, 2);
	assert_int_equal(machine_in(&f->m, PM1_EN, 2), 0x521);
	machine_out(&f->m, PM1_EN + 1, 0, 1);
	assert_int_equal(machine_in(&f->m, PM1_EN, 2), 0x21);
	/* Status and enable in one access; a 0 clears no status. */
	assert_int_equal(machine_in(&f->m, PM1_STS, 4), PWRBTN | 0x21U << 16);
	machine_out(&f->m, PM1_STS, 0x01000000, 4);
	assert_int_equal(machine_in(&f->m, PM1_STS, 4), PWRBTN | 0x100U << 16);
	machine_out(&f->m, PM1_STS, 0xff, 1);
	assert_int_equal(machine_in(&f->m, PM1_STS, 2), PWRBTN);
	machine_out(&f->m, PM1_STS + 1, 0x01, 1);
	assert_int_equal(machine_in(&f->m, PM1_STS, 2), 0);
	/* The sleep type reads back, SLP_EN does not. */
	machine_out(&f->m, PM1_CNT, 0x2800, 2);
	assert_int_equal(machine_in(&f->m, PM1_CNT, 2), 0x0801);
}

/* 3.579545 MHz, and it only goes forward. */
static void test_pm_timer(void **state)
{
	struct fixture *f = *state;
	uint64_t start_ns, end_ns;
	uint32_t first, ticks;

	MACHINE_OR_SKIP(&f->m);
	start_ns = clock_now_ns();
	first = machine_in(&f->m, PM_TMR, 4);
	do {
		ticks = machine_in(&f->m, PM_TMR, 4) - first;
		end_ns = clock_now_ns();
	} while (ticks < 35795); /* 10 ms */
	assert_true(end_ns - start_ns >= 9 * NSEC_PER_MSEC);
	assert_true(ticks <= (end_ns - start_ns) / 279 + 2);
	/* It cannot be set. */
	machine_out(&f->m, PM_TMR, 0, 4);
	assert_true(machine_in(&f->m, PM_TMR, 4) - first >= ticks);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	machine_out(&f->m, PM1_EN, PWRBTN, 2);
	machine_out(&f->m, PM1_CNT, 0x1400, 2);
	acpi_pm_power_button(f->pm);
	assert_true(machine_line(&f->m, GSI_SCI));
	assert_int_equal(vm_reset(f->m.vm), 0);
	assert_false(machine_line(&f->m, GSI_SCI));
	assert_int_equal(machine_in(&f->m, PM1_STS, 4), 0);
	assert_int_equal(machine_in(&f->m, PM1_CNT, 2), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_power_button, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pm1_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pm_timer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};

	return cmocka_run_group_tests_name("isa", tests, NULL, NULL);
}
