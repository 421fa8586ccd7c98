// SPDX-License-Identifier: MIT
// virtio-console: what the guest prints comes out, what is typed goes in.
#include <errno.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/driver.h"
#include "util/io.h"
#include "virtio/console.h"
#include "vmm/console.h"

#define SLOT       1
#define QUEUE_SIZE 16
#define RX         0
#define TX         1
#define EVENT_IDX  (1ULL << VIRTIO_RING_F_EVENT_IDX)

/* The main loop has a thread of its own here, so that the test can be a vCPU. */
struct fixture {
	struct machine m;
	struct driver d;
	struct console *con;
	int term; /* the other end of the console's reader */
	int pair_in, pair_out;
};

static void add_reader(void *opaque)
{
	struct fixture *f = opaque;
	const struct console_reader_params p = { .out_fd = f->pair_out, .in_fd = f->pair_in };

	assert_int_equal(console_add_reader(f->con, &p), 0);
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));
	int pair[2];

	*state = f;
	machine_init(&f->m, 2 * MIB);
	if (!f->m.vm)
		return 0;
	assert_int_equal(console_new(&f->con, f->m.main_loop), 0);
	assert_int_equal(vcon_new(f->m.vm, f->m.pci, "console", f->m.io_loop, f->con), 0);
	driver_init(&f->d, &f->m, SLOT);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->term = pair[0];
	f->pair_in = pair[1];
	f->pair_out = dup(pair[1]);
	assert_int_equal(loop_start(f->m.main_loop, THREAD_IO, "test-main"), 0);
	loop_call_sync(f->m.main_loop, add_reader, f);
	return 0;
}

static void free_guest(void *opaque)
{
	struct fixture *f = opaque;

	vm_free(f->m.vm);
	f->m.vm = NULL;
	console_free(f->con);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->m.vm) {
		loop_call_sync(f->m.main_loop, free_guest, f);
		(void)close(f->term);
	}
	machine_fini(&f->m);
	test_free(f);
	return 0;
}

static void print(struct fixture *f, const char *text)
{
	assert_int_equal(gmem_write(&f->m.vm->gmem, DRIVER_DATA, text, strlen(text)), 0);
	driver_offer(&f->d, TX, DRIVER_DATA, (uint32_t)strlen(text), 0);
	driver_kick(&f->d, TX);
	(void)driver_await_used(&f->d, TX);
}

/* Room for @len bytes of input, at a place of its own for each ring entry. */
static void offer_room(struct fixture *f, uint32_t len)
{
	driver_offer(&f->d, RX, DRIVER_DATA + 0x1000ULL * (f->d.rings[RX].avail_idx % QUEUE_SIZE),
		     len, RING_WRITE);
}

static void expect_input(struct fixture *f, const char *text)
{
	while (*text) {
		struct ring_used u = driver_await_used(&f->d, RX);

		assert_int_not_equal(u.len, 0);
		assert_true(u.len <= strlen(text));
		assert_memory_equal(f->m.vm->gmem.base + DRIVER_DATA + 0x1000ULL * u.id, text,
				    u.len);
		text += u.len;
	}
}

static void type(struct fixture *f, const char *text)
{
	assert_int_equal(io_write_full(f->term, text, strlen(text)), 0);
}

static void test_output(void **state)
{
	struct fixture *f = *state;
	char text[12];

	MACHINE_OR_SKIP(&f->m);
	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		assert_true(driver_bring_up(&f->d, event_idx ? EVENT_IDX : 0, 2, QUEUE_SIZE));
		print(f, "hello ");
		print(f, "world\n");
		assert_int_equal(io_read_full(f->term, text, sizeof(text)), 0);
		assert_memory_equal(text, "hello world\n", sizeof(text));
	}
}

/* Ringfuls of output, one after the other. */
static void test_much_output(void **state)
{
	struct fixture *f = *state;
	char text[2 * QUEUE_SIZE];

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_bring_up(&f->d, EVENT_IDX, 2, QUEUE_SIZE));
	assert_int_equal(gmem_write(&f->m.vm->gmem, DRIVER_DATA, "ab", 2), 0);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < QUEUE_SIZE; i++)
			driver_offer(&f->d, TX, DRIVER_DATA, 2, 0);
		driver_kick(&f->d, TX);
		for (unsigned i = 0; i < QUEUE_SIZE; i++)
			(void)driver_await_used(&f->d, TX);
		assert_int_equal(io_read_full(f->term, text, sizeof(text)), 0);
		assert_memory_equal(text + sizeof(text) - 4, "abab", 4);
	}
}

static void test_input(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_bring_up(&f->d, EVENT_IDX, 2, QUEUE_SIZE));
	/* Room first, then input. */
	for (unsigned i = 0; i < 4; i++)
		offer_room(f, 4);
	driver_kick(&f->d, RX);
	type(f, "abcdefg");
	expect_input(f, "abcdefg");
	/* Input first: it waits for room. */
	type(f, "0123456789012345678901234567890123456789");
	for (unsigned i = 0; i < 12; i++) {
		offer_room(f, 4);
		driver_kick(&f->d, RX);
	}
	expect_input(f, "0123456789012345678901234567890123456789");
	driver_set_status(&f->d, 0);
	type(f, "kept");
	assert_true(driver_bring_up(&f->d, 0, 2, QUEUE_SIZE));
	offer_room(f, 4);
	driver_kick(&f->d, RX);
	expect_input(f, "kept");
}

static void test_wrong_direction(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_bring_up(&f->d, 0, 2, QUEUE_SIZE));
	driver_offer(&f->d, TX, DRIVER_DATA, 4, RING_WRITE);
	driver_kick(&f->d, TX);
	driver_await_status(&f->d, S_BROKEN);
	assert_true(driver_bring_up(&f->d, 0, 2, QUEUE_SIZE));
	driver_offer(&f->d, RX, DRIVER_DATA, 4, 0);
	driver_kick(&f->d, RX);
	driver_await_status(&f->d, S_BROKEN);
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, PCI_VENDOR_ID, 4), 0x10431af4);
	assert_int_equal(driver_read(&f->d, VIRTIO_PCI_COMMON_NUMQ, 2), 2);
	assert_int_equal(driver_offered(&f->d) & 0xffffff, 0); /* no multiport, no size */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_much_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_direction, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
