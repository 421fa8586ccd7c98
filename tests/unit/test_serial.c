// SPDX-License-Identifier: MIT
// The serial port, register by register (PC16550D data sheet, section 8).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/serial.h"
#include "tests/unit/guest_event.h"
#include "tests/unit/machine.h"
#include "vmm/console.h"
#include "vmm/memmap.h"

enum { RBR = 0, THR = 0, DLL = 0, IER, DLM = IER, IIR, FCR = IIR, LCR, MCR, LSR, MSR, SCR };

#define LSR_IDLE  0x60U
#define LSR_DR    0x01U
#define LSR_OE    0x02U
#define MCR_OUT2  0x08U
#define MCR_LOOP  0x10U
#define IIR_NONE  0x01U
#define IIR_THRE  0x02U
#define IIR_RDA   0x04U
#define IIR_LATE  0x0cU
#define IIR_FIFOS 0xc0U

struct fixture {
	struct machine m;
	struct console *con;
	int peer; /* what is at the other end of the line */
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));
	struct console_reader_params p = { 0 };
	int pair[2];

	*state = f;
	machine_init(&f->m, 1 * MIB);
	if (!f->m.vm)
		return 0;
	assert_int_equal(console_new(&f->con, f->m.main_loop), 0);
	assert_int_equal(serial_new(f->m.vm, f->con), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p.out_fd = pair[0];
	p.in_fd = dup(pair[0]);
	assert_int_equal(console_add_reader(f->con, &p), 0);
	f->peer = pair[1];
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vm_free(f->m.vm);
	if (f->m.vm) {
		console_free(f->con);
		(void)close(f->peer);
	}
	f->m.vm = NULL;
	machine_fini(&f->m);
	test_free(f);
	return 0;
}

static uint8_t get(struct fixture *f, uint16_t reg)
{
	return (uint8_t)machine_in(&f->m, (uint16_t)(PORT_SERIAL + reg), 1);
}

static void put(struct fixture *f, uint16_t reg, uint8_t value)
{
	machine_out(&f->m, (uint16_t)(PORT_SERIAL + reg), value, 1);
}

static bool line(struct fixture *f)
{
	return machine_line(&f->m, GSI_SERIAL);
}

static void check_power_on(struct fixture *f)
{
	static const uint8_t values[] = {
		[IER] = 0,        [IIR] = IIR_NONE, [LCR] = 0, [MCR] = 0,
		[LSR] = LSR_IDLE, [MSR] = 0xb0,     [SCR] = 0,
	};

	for (unsigned reg = IER; reg <= SCR; reg++)
		assert_int_equal(get(f, (uint16_t)reg), values[reg]);
	put(f, LCR, 0x80);
	assert_int_equal(get(f, DLL), 12);
	assert_int_equal(get(f, DLM), 0);
	put(f, LCR, 0);
}

static void test_registers(void **state)
{
	static const struct {
		uint16_t reg;
		uint8_t lcr, written, read;
	} cases[] = {
		{ IER, 0, 0xff, 0x0f },
		{ IER, 0, 0, 0 },
		{ LCR, 0, 0x1b, 0x1b },
		{ MCR, 0, 0xff, 0x1f },
		{ MCR, 0, 0, 0 },
		{ LSR, 0, 0xff, LSR_IDLE },
		{ MSR, 0, 0xff, 0xb0 },
		{ SCR, 0, 0xa5, 0xa5 },
		{ SCR, 0x80, 0x5a, 0x5a },
		{ DLL, 0x80, 0x34, 0x34 },
		{ DLM, 0x80, 0x12, 0x12 },
		{ IER, 0, 0, 0 }, /* not the divisor's */
		{ FCR, 0, 0x01, IIR_NONE | IIR_FIFOS },
		{ FCR, 0, 0x00, IIR_NONE },
	};
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	check_power_on(f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(f, LCR, cases[i].lcr);
		put(f, cases[i].reg, cases[i].written);
		assert_int_equal(get(f, cases[i].reg), cases[i].read);
	}
	/* Two registers in one access. */
	put(f, LCR, 0x80);
	machine_out(&f->m, PORT_SERIAL, 0xbeef, 2);
	assert_int_equal(get(f, DLL), 0xef);
	assert_int_equal(get(f, DLM), 0xbe);
	assert_int_equal(machine_in(&f->m, PORT_SERIAL, 2), 0xbeef);
}

/* 8.6.7: outputs wired to inputs. DTR-DSR, RTS-CTS, OUT1-RI, OUT2-DCD. */
static void test_loopback_modem(void **state)
{
	static const struct {
		uint8_t mcr, msr;
	} cases[] = {
		{ 0x10, 0x00 }, { 0x11, 0x20 }, { 0x12, 0x10 }, { 0x14, 0x40 },
		{ 0x18, 0x80 }, { 0x1a, 0x90 }, { 0x1f, 0xf0 }, { 0x0f, 0xb0 },
	};
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(f, MCR, cases[i].mcr);
		assert_int_equal(get(f, MSR), cases[i].msr);
	}
}

static void test_loopback_data(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	put(f, MCR, MCR_LOOP);
	/* Without FIFO there is room for one. */
	put(f, THR, 'a');
	assert_int_equal(get(f, LSR), LSR_IDLE | LSR_DR);
	put(f, THR, 'b');
	assert_int_equal(get(f, LSR), LSR_IDLE | LSR_DR | LSR_OE);
	assert_int_equal(get(f, LSR), LSR_IDLE | LSR_DR); /* told once */
	(void)get(f, RBR);
	assert_int_equal(get(f, LSR), LSR_IDLE);
	/* With it, for sixteen, in order. */
	put(f, FCR, 0x01);
	for (uint8_t i = 0; i < 17; i++)
		put(f, THR, (uint8_t)('A' + i));
	assert_int_equal(get(f, LSR), LSR_IDLE | LSR_DR | LSR_OE);
	for (uint8_t i = 0; i < 16; i++)
		assert_int_equal(get(f, RBR), 'A' + i);
	assert_int_equal(get(f, LSR), LSR_IDLE);
	/* Clearing, and switching it on or off, empty it. */
	put(f, THR, 'x');
	put(f, FCR, 0x03);
	assert_int_equal(get(f, LSR), LSR_IDLE);
	put(f, THR, 'x');
	put(f, FCR, 0x00);
	assert_int_equal(get(f, LSR), LSR_IDLE);
}

static void test_trigger_levels(void **state)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	put(f, MCR, MCR_LOOP | MCR_OUT2);
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		put(f, IER, 0x01);
		put(f, FCR, (uint8_t)(0x03 | i << 6));
		assert_int_equal(get(f, IIR), IIR_NONE | IIR_FIFOS);
		assert_false(line(f));
		for (uint8_t n = 1; n <= 16; n++) {
			put(f, THR, n);
			/* Below the level it is the timeout that is reported. */
			assert_int_equal(get(f, IIR),
					 IIR_FIFOS | (n >= levels[i] ? IIR_RDA : IIR_LATE));
			assert_true(line(f));
		}
		put(f, IER, 0);
		assert_false(line(f));
	}
}

static void test_transmitter_interrupt(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	put(f, MCR, MCR_OUT2);
	/* Enabling it reports that the transmitter is empty, once. */
	put(f, IER, 0x02);
	assert_true(line(f));
	assert_int_equal(get(f, IIR), IIR_THRE);
	assert_false(line(f));
	assert_int_equal(get(f, IIR), IIR_NONE);
	/* And so does each byte. */
	put(f, THR, 'x');
	assert_true(line(f));
	assert_int_equal(get(f, IIR), IIR_THRE);
	assert_false(line(f));
	/* OUT2 is what connects it to the interrupt controller. */
	put(f, THR, 'y');
	put(f, MCR, 0);
	assert_false(line(f));
	put(f, MCR, MCR_OUT2);
	assert_true(line(f));
	put(f, IER, 0);
	assert_false(line(f));
}

/* Received data comes first (table 5 of the data sheet). */
static void test_priority(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	put(f, MCR, MCR_LOOP | MCR_OUT2);
	put(f, IER, 0x03);
	put(f, THR, 'x');
	assert_int_equal(get(f, IIR), IIR_RDA);
	assert_int_equal(get(f, IIR), IIR_RDA); /* only reading the data ends that */
	assert_int_equal(get(f, RBR), 'x');
	assert_true(line(f));
	assert_int_equal(get(f, IIR), IIR_THRE);
	assert_int_equal(get(f, IIR), IIR_NONE);
	assert_false(line(f));
}

/* --- the line --- */

static bool has_interrupt(void *opaque)
{
	return line(opaque);
}

static void body_receive(void *opaque)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	struct fixture *f = opaque;

	put(f, FCR, 0x81);
	put(f, MCR, MCR_OUT2);
	put(f, IER, 0x01);
	assert_int_equal(write(f->peer, text, sizeof(text)), sizeof(text));
	/* More than the FIFO holds: it comes as the guest makes room, and none is lost. */
	for (size_t i = 0; i < sizeof(text); i++) {
		loop_drain(f->m.main_loop, has_interrupt, f);
		assert_int_equal(get(f, LSR), LSR_IDLE | LSR_DR);
		assert_int_equal(get(f, RBR), text[i]);
	}
	assert_false(line(f));
	assert_int_equal(get(f, LSR), LSR_IDLE);
	assert_int_equal(get(f, RBR), 0);
}

static void test_receive(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_receive, f);
}

static void body_loopback_keeps_input(void *opaque)
{
	struct fixture *f = opaque;
	char byte = 0;

	put(f, MCR, MCR_LOOP | MCR_OUT2);
	put(f, IER, 0x01);
	assert_int_equal(write(f->peer, "i", 1), 1);
	/* Neither does input get in, nor output out. */
	put(f, THR, 'o');
	assert_int_equal(get(f, RBR), 'o');
	assert_int_equal(recv(f->peer, &byte, 1, MSG_DONTWAIT), -1);
	put(f, MCR, MCR_OUT2);
	loop_drain(f->m.main_loop, has_interrupt, f);
	assert_int_equal(get(f, RBR), 'i');
}

static void test_loopback_keeps_input(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_loopback_keeps_input, f);
}

static void test_transmit(void **state)
{
	struct fixture *f = *state;
	char got[3] = "";

	MACHINE_OR_SKIP(&f->m);
	put(f, THR, 'o');
	put(f, THR, 'k');
	assert_int_equal(get(f, LSR), LSR_IDLE); /* always ready */
	console_drain(f->con, 1000);
	assert_int_equal(recv(f->peer, got, 2, MSG_WAITALL), 2);
	assert_string_equal(got, "ok");
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (unsigned reg = IER; reg <= SCR; reg++)
		put(f, (uint16_t)reg, 0x1f);
	put(f, THR, 'x');
	assert_true(line(f));
	assert_int_equal(vm_reset(f->m.vm), 0);
	assert_false(line(f));
	check_power_on(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback_modem, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trigger_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transmitter_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_priority, setup, teardown),
		cmocka_unit_test_setup_teardown(test_receive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback_keeps_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transmit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};

	return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
