// SPDX-License-Identifier: MIT
// Saved state of the fixed devices: what a second machine shows, and what it refuses.
#include <linux/pci_regs.h>
#include <linux/sockios.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include <cmocka.h>

#include "devices/isa.h"
#include "devices/serial.h"
#include "migration/vstate.h"
#include "tests/unit/guest_event.h"
#include "tests/unit/machine.h"
#include "tests/unit/saved.h"
#include "util/clock.h"
#include "vmm/console.h"
#include "vmm/memmap.h"

#define PM_TIMER_HZ 3579545ULL

struct side {
	struct machine m;
	struct console *con;
	struct acpi_pm *pm;
	int peer;
};

struct fixture {
	struct side src, dst;
};

static bool open_side(struct side *s)
{
	machine_init(&s->m, 1 * MIB);
	if (!s->m.vm)
		return false;
	s->peer = machine_add_console(&s->m, &s->con);
	assert_int_equal(serial_new(s->m.vm, s->con), 0);
	assert_int_equal(rtc_new(s->m.vm), 0);
	assert_int_equal(acpi_pm_new(s->m.vm, &s->pm), 0);
	return true;
}

static void close_side(struct side *s)
{
	machine_free_console(&s->m, s->con, s->peer);
	machine_fini(&s->m);
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	if (open_side(&f->src))
		(void)open_side(&f->dst);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_side(&f->src);
	close_side(&f->dst);
	test_free(f);
	return 0;
}

/* Save @id at the source, load it at the destination; the caller frees. */
static struct saved move(struct fixture *f, const char *id)
{
	struct saved s = saved_take(f->src.m.vm, id);

	saved_give(f->dst.m.vm, id, &s);
	return s;
}

/* --- serial ---------------------------------------------------------------------- */

static void put(struct side *s, uint16_t reg, uint8_t value)
{
	machine_out(&s->m, (uint16_t)(PORT_SERIAL + reg), value, 1);
}

static uint8_t get(struct side *s, uint16_t reg)
{
	return (uint8_t)machine_in(&s->m, (uint16_t)(PORT_SERIAL + reg), 1);
}

/* FIFO on, loopback: what is sent comes back, and stays in the FIFO. */
static void fill_fifo(struct side *s, const char *text)
{
	put(s, 2, 0xc1);
	put(s, 4, 0x18);
	for (; *text; text++)
		put(s, 0, (uint8_t)*text);
}

static void test_serial_goes_on(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	fill_fifo(&f->src, "moving");
	assert_int_equal(get(&f->src, 0), 'm');
	put(&f->src, 7, 0x5a);
	put(&f->src, 3, 0x83);
	put(&f->src, 0, 3);
	put(&f->src, 1, 1);
	put(&f->src, 3, 0x03);
	put(&f->src, 1, 0x01);
	assert_true(machine_line(&f->src.m, GSI_SERIAL));
	s = move(f, "serial");
	/* The line is the interrupt controllers' to bring: loading does not touch it. */
	assert_false(machine_line(&f->dst.m, GSI_SERIAL));
	saved_resume(f->dst.m.vm, "serial");
	assert_int_equal(get(&f->dst, 7), 0x5a);
	assert_int_equal(get(&f->dst, 1), 0x01);
	assert_int_equal(get(&f->dst, 3), 0x03);
	assert_int_equal(get(&f->dst, 4), 0x18);
	for (const char *rest = "oving"; *rest; rest++)
		assert_int_equal(get(&f->dst, 0), *rest);
	assert_int_equal(get(&f->dst, 5), 0x60);
	saved_free(&s);
}

/* Who types while the guest stands is heard when it runs. */
static bool is_taken(void *opaque)
{
	const struct side *s = opaque;
	int left = 1;

	assert_int_equal(ioctl(s->peer, SIOCOUTQ, &left), 0);
	return left == 0;
}

static void body_serial_input_waits(void *opaque)
{
	struct side *s = opaque;
	struct device *dev = vm_find_device(s->m.vm, "serial");

	put(s, 4, 0x08);
	put(s, 1, 0x01);
	dev->ops->pause(dev);
	assert_int_equal(write(s->peer, "x", 1), 1);
	loop_drain(s->m.main_loop, is_taken, s);
	assert_int_equal(get(s, 5) & 1, 0);
	assert_false(machine_line(&s->m, GSI_SERIAL));
	dev->ops->resume(dev);
	assert_true(machine_line(&s->m, GSI_SERIAL));
	assert_int_equal(get(s, 0), 'x');
}

static void test_serial_input_waits(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->src.m);
	run_on_loop(f->src.m.main_loop, body_serial_input_waits, &f->src);
}

static void test_serial_refuses(void **state)
{
	static const struct saved_lie lies[] = {
		{ "serial", 0, 1, 0x10, "ier" },     { "serial", 0, 3, 0x20, "mcr" },
		{ "serial", 0, 5, 0x03, "fcr" },     { "serial", 0, 11, 16, "rx_head" },
		{ "serial", 0, 12, 17, "rx_count" }, { "serial", 0, 5, 0, "rx_count" },
		{ "serial", 0, 13, 2, "irq_level" }, { "serial", 0, 9, 2, "thre_pending" },
	};
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	fill_fifo(&f->src, "ab");
	s = saved_take(f->src.m.vm, "serial");
	saved_refuses(f->dst.m.vm, "serial", &s, lies, ARRAY_SIZE(lies));
	saved_survives_damage(f->dst.m.vm, "serial", &s);
	saved_free(&s);
}

/* --- rtc ------------------------------------------------------------------------- */

static void rtc_put(struct side *s, uint8_t reg, uint8_t value)
{
	machine_out(&s->m, PORT_RTC, reg, 1);
	machine_out(&s->m, PORT_RTC + 1, value, 1);
}

static uint8_t rtc_get(struct side *s, uint8_t reg)
{
	machine_out(&s->m, PORT_RTC, reg, 1);
	return (uint8_t)machine_in(&s->m, PORT_RTC + 1, 1);
}

/* A guest whose clock says 2031 finds itself there on the other host, too. */
static void test_rtc_goes_on(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	rtc_put(&f->src, 11, 0x86);
	rtc_put(&f->src, 9, 31);
	rtc_put(&f->src, 0x32, 20);
	rtc_put(&f->src, 8, 6);
	rtc_put(&f->src, 7, 15);
	rtc_put(&f->src, 4, 12);
	rtc_put(&f->src, 2, 0);
	rtc_put(&f->src, 11, 0x06);
	rtc_put(&f->src, 5, 0xc7);
	rtc_put(&f->src, 0x40, 0xab);
	rtc_put(&f->src, 0x7f, 0xcd);
	s = move(f, "rtc");
	saved_resume(f->dst.m.vm, "rtc");
	/* The index that was chosen is part of it. */
	assert_int_equal(machine_in(&f->dst.m, PORT_RTC + 1, 1), 0xcd);
	assert_int_equal(rtc_get(&f->dst, 9), 31);
	assert_in_range(rtc_get(&f->dst, 4), 12, 13);
	assert_int_equal(rtc_get(&f->dst, 5), 0xc7);
	assert_int_equal(rtc_get(&f->dst, 11), 0x06);
	assert_int_equal(rtc_get(&f->dst, 0x40), 0xab);
	saved_free(&s);
}

static bool rtc_line_is_up(void *opaque)
{
	struct side *s = opaque;

	return machine_line(&s->m, GSI_RTC);
}

static void body_rtc_ticks(void *opaque)
{
	struct side *s = opaque;

	saved_resume(s->m.vm, "rtc");
	loop_drain(s->m.main_loop, rtc_line_is_up, s);
	assert_int_equal(rtc_get(s, 12), 0xc0);
	assert_false(machine_line(&s->m, GSI_RTC));
}

static void test_rtc_periodic_interrupt_goes_on(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	rtc_put(&f->src, 11, 0x46);
	s = move(f, "rtc");
	run_on_loop(f->dst.m.main_loop, body_rtc_ticks, &f->dst);
	saved_free(&s);
}

/* The alarm's second went by on the way: it comes at the resume, and once. */
static void test_rtc_missed_alarm(void **state)
{
	static const uint64_t away_s[] = { 10, 86400, 1000000 };
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->src.m);
	for (size_t i = 0; i < ARRAY_SIZE(away_s); i++) {
		struct saved s;
		size_t bytes = 0;
		uint64_t paused_s, from_s;
		time_t due;
		struct tm tm;
		uint8_t *field;

		rtc_put(&f->src, 11, 0x26);
		s = saved_take(f->src.m.vm, "rtc");
		field = saved_field(&s, "rtc", 0, 5 | VSTATE_OPTIONAL, &bytes);
		memcpy(&paused_s, field, sizeof(paused_s));
		from_s = paused_s - away_s[i];
		memcpy(field, &from_s, sizeof(from_s));
		due = (time_t)(paused_s - 3);
		assert_non_null(gmtime_r(&due, &tm));
		field = saved_field(&s, "rtc", 0, 2, &bytes);
		field[1] = (uint8_t)tm.tm_sec;
		field[3] = (uint8_t)tm.tm_min;
		field[5] = (uint8_t)tm.tm_hour;
		saved_give(f->dst.m.vm, "rtc", &s);
		assert_false(machine_line(&f->dst.m, GSI_RTC));
		saved_resume(f->dst.m.vm, "rtc");
		assert_true(machine_line(&f->dst.m, GSI_RTC));
		assert_int_equal(rtc_get(&f->dst, 12), 0xa0);
		assert_int_equal(rtc_get(&f->dst, 12), 0);
		assert_false(machine_line(&f->dst.m, GSI_RTC));
		saved_free(&s);
	}
}

/* One that is over, or yet to come, is not due. */
static void test_rtc_alarm_is_not_due(void **state)
{
	struct fixture *f = *state;
	struct saved s;
	time_t due;
	struct tm tm;
	size_t bytes = 0;
	uint8_t *field;

	MACHINE_OR_SKIP(&f->src.m);
	rtc_put(&f->src, 11, 0x26);
	s = saved_take(f->src.m.vm, "rtc");
	due = (time_t)(clock_wall_ns() / NSEC_PER_SEC) + 3600;
	assert_non_null(gmtime_r(&due, &tm));
	field = saved_field(&s, "rtc", 0, 2, &bytes);
	field[1] = (uint8_t)tm.tm_sec;
	field[3] = (uint8_t)tm.tm_min;
	field[5] = (uint8_t)tm.tm_hour;
	saved_give(f->dst.m.vm, "rtc", &s);
	saved_resume(f->dst.m.vm, "rtc");
	assert_false(machine_line(&f->dst.m, GSI_RTC));
	saved_free(&s);
}

static void test_rtc_refuses(void **state)
{
	static const struct saved_lie lies[] = {
		{ "rtc", 0, 1, 128, "index" },
		{ "rtc", 0, 4, 2, "irq_level" },
	};
	struct fixture *f = *state;
	struct saved s, odd;
	size_t bytes = 0;

	MACHINE_OR_SKIP(&f->src.m);
	s = saved_take(f->src.m.vm, "rtc");
	saved_refuses(f->dst.m.vm, "rtc", &s, lies, ARRAY_SIZE(lies));
	saved_survives_damage(f->dst.m.vm, "rtc", &s);
	/* Any offset is some time. */
	odd = saved_take(f->src.m.vm, "rtc");
	for (unsigned bit = 0; bit < 64; bit += 9) {
		uint64_t offset = ~0ULL << bit;

		memcpy(saved_field(&odd, "rtc", 0, 3, &bytes), &offset, sizeof(offset));
		saved_give(f->dst.m.vm, "rtc", &odd);
		(void)rtc_get(&f->dst, 9);
	}
	saved_free(&odd);
	saved_free(&s);
}

/* --- acpi ------------------------------------------------------------------------ */

static uint64_t ticks(struct side *s)
{
	return machine_in(&s->m, PORT_PM_TMR, 4);
}

static void test_power_button_goes_on(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	machine_out(&f->src.m, PORT_PM1A_EVT + 2, 0x100, 2);
	acpi_pm_power_button(f->src.pm);
	machine_out(&f->src.m, PORT_PM1A_CNT, 0x0400, 2);
	assert_true(machine_line(&f->src.m, GSI_SCI));
	s = move(f, "acpi-pm");
	saved_resume(f->dst.m.vm, "acpi-pm");
	assert_int_equal(machine_in(&f->dst.m, PORT_PM1A_EVT, 4), 0x01000100);
	assert_int_equal(machine_in(&f->dst.m, PORT_PM1A_CNT, 2), 0x0401);
	machine_out(&f->dst.m, PORT_PM1A_EVT, 0x100, 2);
	assert_int_equal(machine_in(&f->dst.m, PORT_PM1A_EVT, 2), 0);
	saved_free(&s);
}

/* Pressed while the guest stands: it is told when it runs. */
static void test_power_button_waits(void **state)
{
	struct fixture *f = *state;
	struct device *dev;

	MACHINE_OR_SKIP(&f->src.m);
	dev = vm_find_device(f->src.m.vm, "acpi-pm");
	machine_out(&f->src.m, PORT_PM1A_EVT + 2, 0x100, 2);
	dev->ops->pause(dev);
	acpi_pm_power_button(f->src.pm);
	assert_false(machine_line(&f->src.m, GSI_SCI));
	dev->ops->resume(dev);
	assert_true(machine_line(&f->src.m, GSI_SCI));
}

/* The timer counts on where it was: a host's uptime is none of the guest's business. */
static void test_pm_timer_goes_on(void **state)
{
	struct fixture *f = *state;
	struct saved s;
	uint64_t base_ns = 1000 * NSEC_PER_SEC;
	uint64_t expected = base_ns / NSEC_PER_SEC * PM_TIMER_HZ & UINT32_MAX;
	size_t bytes = 0;

	MACHINE_OR_SKIP(&f->src.m);
	s = saved_take(f->src.m.vm, "acpi-pm");
	memcpy(saved_field(&s, "acpi-pm", 0, 5, &bytes), &base_ns, sizeof(base_ns));
	saved_give(f->dst.m.vm, "acpi-pm", &s);
	saved_resume(f->dst.m.vm, "acpi-pm");
	assert_in_range(ticks(&f->dst) - expected, 0, 5 * PM_TIMER_HZ);
	/* An ordinary pause does not turn it back. */
	vm_find_device(f->dst.m.vm, "acpi-pm")->ops->pause(vm_find_device(f->dst.m.vm, "acpi-pm"));
	saved_resume(f->dst.m.vm, "acpi-pm");
	assert_in_range(ticks(&f->dst) - expected, 0, 5 * PM_TIMER_HZ);
	/* The other clocks were put forward by a minute: so is this one. */
	f->dst.m.vm->clock_forward_ns = 60 * NSEC_PER_SEC;
	saved_give(f->dst.m.vm, "acpi-pm", &s);
	saved_resume(f->dst.m.vm, "acpi-pm");
	assert_in_range(ticks(&f->dst) - expected, 60 * PM_TIMER_HZ, 65 * PM_TIMER_HZ);
	saved_free(&s);
}

static void test_acpi_refuses(void **state)
{
	static const struct saved_lie lies[] = {
		{ "acpi-pm", 0, 1, 0x2, "sts" },
		{ "acpi-pm", 0, 2, 0x8000, "en" },
		{ "acpi-pm", 0, 3, 1U << 13, "cnt" },
		{ "acpi-pm", 0, 4, 2, "sci_level" },
	};
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	s = saved_take(f->src.m.vm, "acpi-pm");
	saved_refuses(f->dst.m.vm, "acpi-pm", &s, lies, ARRAY_SIZE(lies));
	saved_survives_damage(f->dst.m.vm, "acpi-pm", &s);
	saved_free(&s);
}

/* --- the host bridge --------------------------------------------------------------- */

static void test_pci_host_goes_on(void **state)
{
	static const struct saved_lie lies[] = {
		{ "pci", 0, 1, 0x1234, "0" },
		{ "pci-host", 0, 2, 0xf0, "reset_control" },
	};
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	machine_out(&f->src.m, 0xcf8, 0x80000004, 4);
	machine_out(&f->src.m, 0xcfc, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY, 2);
	s = move(f, "pci");
	saved_resume(f->dst.m.vm, "pci");
	assert_int_equal(machine_in(&f->dst.m, 0xcf8, 4), 0x80000004);
	assert_int_equal(machine_in(&f->dst.m, 0xcfc, 2), PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	saved_refuses(f->dst.m.vm, "pci", &s, lies, ARRAY_SIZE(lies));
	saved_survives_damage(f->dst.m.vm, "pci", &s);
	saved_free(&s);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_serial_goes_on),
		TEST(test_serial_input_waits),
		TEST(test_serial_refuses),
		TEST(test_rtc_goes_on),
		TEST(test_rtc_periodic_interrupt_goes_on),
		TEST(test_rtc_missed_alarm),
		TEST(test_rtc_alarm_is_not_due),
		TEST(test_rtc_refuses),
		TEST(test_power_button_goes_on),
		TEST(test_power_button_waits),
		TEST(test_pm_timer_goes_on),
		TEST(test_acpi_refuses),
		TEST(test_pci_host_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
