// SPDX-License-Identifier: MIT
// gdb's protocol: packets, registers, and commands on a target of memory alone.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/gdb/session.h"

#define MEMORY_BYTES 4096U

struct fake {
	struct gdb_regs regs[2];
	uint8_t memory[MEMORY_BYTES];
	enum gdb_action actions[2];
	unsigned resumed, stopped;
	uint64_t breaks[8];
	unsigned nr_breaks;
};

struct fixture {
	struct fake fake;
	struct gdb_session s;
	struct rsp_parser parser;
};

static unsigned nr_cpus(void *target)
{
	(void)target;
	return 2;
}

static int get_regs(void *target, unsigned cpu, struct gdb_regs *ret)
{
	*ret = ((struct fake *)target)->regs[cpu];
	return 0;
}

static int set_regs(void *target, unsigned cpu, const struct gdb_regs *regs)
{
	((struct fake *)target)->regs[cpu] = *regs;
	return 0;
}

static ssize_t read_memory(void *target, unsigned cpu, uint64_t addr, void *buf, size_t len)
{
	const struct fake *f = target;

	(void)cpu;
	if (addr >= MEMORY_BYTES)
		return -EFAULT;
	len = MIN(len, MEMORY_BYTES - addr);
	memcpy(buf, f->memory + addr, len);
	return (ssize_t)len;
}

static int write_memory(void *target, unsigned cpu, uint64_t addr, const void *buf, size_t len)
{
	struct fake *f = target;

	(void)cpu;
	if (addr > MEMORY_BYTES || len > MEMORY_BYTES - addr)
		return -EFAULT;
	memcpy(f->memory + addr, buf, len);
	return 0;
}

static int insert(void *target, unsigned cpu, enum gdb_break kind, uint64_t addr, uint64_t len)
{
	struct fake *f = target;

	(void)cpu, (void)len;
	if (kind == GDB_READ)
		return -EOPNOTSUPP;
	f->breaks[f->nr_breaks++] = addr;
	return 0;
}

static int remove_break(void *target, unsigned cpu, enum gdb_break kind, uint64_t addr,
			uint64_t len)
{
	struct fake *f = target;

	(void)cpu, (void)kind, (void)len;
	if (!f->nr_breaks || f->breaks[f->nr_breaks - 1] != addr)
		return -ENOENT;
	f->nr_breaks--;
	return 0;
}

static int resume(void *target, const enum gdb_action *actions)
{
	struct fake *f = target;

	memcpy(f->actions, actions, sizeof(f->actions));
	f->resumed++;
	return 0;
}

static void stop(void *target)
{
	((struct fake *)target)->stopped++;
}

static const struct gdb_ops fake_ops = {
	.nr_cpus = nr_cpus,
	.get_regs = get_regs,
	.set_regs = set_regs,
	.read = read_memory,
	.write = write_memory,
	.insert = insert,
	.remove = remove_break,
	.resume = resume,
	.stop = stop,
	.kill = stop,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	assert_non_null(f);
	gdb_session_init(&f->s, &fake_ops, &f->fake);
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

/* A packet, whose answer is a text. */
static const char *ask(struct fixture *f, const char *packet)
{
	gdb_session_packet(&f->s, packet, strlen(packet));
	assert_in_range(f->s.reply_len, 0, sizeof(f->s.reply) - 1);
	f->s.reply[f->s.reply_len] = '\0';
	return f->s.no_reply ? "(none)" : f->s.reply;
}

static enum rsp_event feed(struct fixture *f, const char *bytes, size_t len)
{
	enum rsp_event last = RSP_NOTHING;

	for (size_t i = 0; i < len; i++)
		last = rsp_feed(&f->parser, (uint8_t)bytes[i]);
	return last;
}

static void test_packets(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "+$g#67", 6), RSP_PACKET);
	assert_string_equal(f->parser.payload, "g");
	assert_int_equal(feed(f, "$g#68", 5), RSP_BAD);
	assert_int_equal(feed(f, "$g#6x", 5), RSP_BAD);
	assert_int_equal(feed(f, "\003", 1), RSP_BREAK);
	assert_int_equal(feed(f, "-", 1), RSP_NAK);
	assert_int_equal(feed(f, "#$ab$m1#9e", 10), RSP_PACKET); /* the first was cut off */
	assert_string_equal(f->parser.payload, "m1");
	assert_int_equal(feed(f, "$X}\003}\004#59", 9), RSP_PACKET);
	assert_memory_equal(f->parser.payload, "X#$", 4);
	/* Ctrl-C in a packet is a byte of it. */
	assert_int_equal(feed(f, "$\003#03", 5), RSP_PACKET);
}

static void test_too_long(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "$", 1), RSP_NOTHING);
	for (unsigned i = 0; i < 3 * RSP_MAX_BYTES; i++)
		assert_int_equal(rsp_feed(&f->parser, 0x80), RSP_NOTHING);
	assert_int_equal(feed(f, "#00", 3), RSP_BAD);
	assert_int_equal(feed(f, "$g#67", 5), RSP_PACKET);
}

static void test_encode(void **state)
{
	static char wire[RSP_WIRE_BYTES], big[RSP_MAX_BYTES];
	struct fixture *f = *state;
	size_t len = rsp_encode("a#b", 3, wire);

	assert_int_equal(len, 8);
	assert_memory_equal(wire, "$a}\003b#43", 8);
	memset(big, '#', sizeof(big));
	len = rsp_encode(big, sizeof(big), wire);
	assert_in_range(len, 1, sizeof(wire));
	assert_int_equal(feed(f, wire, len), RSP_PACKET);
	assert_int_equal(f->parser.len, sizeof(big));
}

static void test_registers(void **state)
{
	struct fixture *f = *state;
	char all[GDB_REGS_DIGITS + 2] = "G";

	f->fake.regs[1].regs.rax = 0x1122;
	f->fake.regs[1].sregs.cs.selector = 8;
	assert_string_equal(ask(f, "p0"), "0000000000000000");
	assert_string_equal(ask(f, "Hg2"), "OK");
	assert_string_equal(ask(f, "p0"), "2211000000000000");
	assert_string_equal(ask(f, "p12"), "08000000");
	assert_string_equal(ask(f, "P12=10000000"), "E16"); /* cs */
	assert_string_equal(ask(f, "P1=efcdab8967452301"), "OK");
	assert_int_equal(f->fake.regs[1].regs.rbx, 0x0123456789abcdef);
	assert_string_equal(ask(f, "P1=efcdab89674523"), "E16");
	assert_string_equal(ask(f, "pffffffff"), "E16");

	gdb_session_packet(&f->s, "g", 1);
	memcpy(all + 1, f->s.reply, f->s.reply_len);
	assert_int_equal(f->s.reply_len, 1200);
	f->fake.regs[1] = (struct gdb_regs){ .sregs.cs.selector = 8 };
	assert_string_equal(ask(f, all), "OK");
	assert_int_equal(f->fake.regs[1].regs.rax, 0x1122);
	assert_int_equal(f->fake.regs[1].sregs.cs.selector, 8);
	all[100] = '\0';
	assert_string_equal(ask(f, all), "E16");
}

/* The tag word: two bits a register for gdb, one for the processor. */
static void test_tags(void **state)
{
	struct fixture *f = *state;

	f->fake.regs[0].fpu.ftwx = 0x81;
	assert_string_equal(ask(f, "p22"), "fc3f0000");
	assert_string_equal(ask(f, "P22=ffff0000"), "OK");
	assert_int_equal(f->fake.regs[0].fpu.ftwx, 0);
}

static void test_memory(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask(f, "M10,3:a1b2c3"), "OK");
	assert_string_equal(ask(f, "m10,4"), "a1b2c300");
	assert_string_equal(ask(f, "X20,2:}#"), "OK");
	assert_memory_equal(f->fake.memory + 0x20, "}#", 2);
	assert_string_equal(ask(f, "X20,3:}#"), "E16");
	assert_string_equal(ask(f, "mfff,10"), "00");
	assert_string_equal(ask(f, "m1000,1"), "E0e");
	assert_string_equal(ask(f, "Mfff,2:0000"), "E0e");
	/* More than fits is cut. */
	gdb_session_packet(&f->s, "m0,ffffffffffffffff", 19);
	assert_int_equal(f->s.reply_len, 2 * MEMORY_BYTES);
	assert_string_equal(ask(f, "M0,2000:00"), "E16");
}

static void test_going_on(void **state)
{
	const struct gdb_stop hit = { GDB_HIT_WRITE, 1, 0x1234 };
	struct fixture *f = *state;

	assert_string_equal(ask(f, "?"), "T05thread:1;");
	assert_string_equal(ask(f, "vCont;s:2"), "(none)");
	assert_int_equal(f->fake.actions[0], GDB_STAY);
	assert_int_equal(f->fake.actions[1], GDB_STEP);
	/* Nothing but a break is heard while it runs. */
	assert_string_equal(ask(f, "g"), "(none)");
	gdb_session_break(&f->s);
	assert_int_equal(f->fake.stopped, 1);
	gdb_session_stopped(&f->s, &hit);
	assert_memory_equal(f->s.reply, "T05thread:2;watch:1234;", f->s.reply_len);
	assert_string_equal(ask(f, "qC"), "QC2");
	assert_string_equal(ask(f, "vCont;s:1;c"), "(none)");
	assert_int_equal(f->fake.actions[0], GDB_STEP);
	assert_int_equal(f->fake.actions[1], GDB_GO);
	gdb_session_stopped(&f->s, &hit);
	assert_string_equal(ask(f, "s"), "(none)");
	assert_int_equal(f->fake.actions[0], GDB_GO);
	assert_int_equal(f->fake.actions[1], GDB_STEP);
	gdb_session_stopped(&f->s, &hit);
	assert_string_equal(ask(f, "vCont;C05:1;S0b"), "(none)");
	assert_int_equal(f->fake.actions[1], GDB_STEP);
	assert_int_equal(f->fake.resumed, 4);
}

static void test_breaks_and_threads(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask(f, "Z0,1000,1"), "OK");
	assert_string_equal(ask(f, "Z3,1000,1"), "");
	assert_string_equal(ask(f, "z0,2000,1"), "E02");
	assert_string_equal(ask(f, "z0,1000,1"), "OK");
	assert_string_equal(ask(f, "qfThreadInfo"), "m1,2");
	assert_string_equal(ask(f, "qsThreadInfo"), "l");
	assert_string_equal(ask(f, "T2"), "OK");
	assert_string_equal(ask(f, "T3"), "E03");
	assert_string_equal(ask(f, "qThreadExtraInfo,2"), "764350552031");
	assert_string_equal(ask(f, "Hc-1"), "OK");
	assert_string_equal(ask(f, "D"), "OK");
	assert_true(f->s.detached);
}

/* The description comes in pieces, and is the same whatever they are. */
static void test_description(void **state)
{
	struct fixture *f = *state;
	static char xml[20000], whole[20000];
	size_t at = 0, bytes = gdb_target_xml(xml, sizeof(xml));

	assert_in_range(bytes, 1000, 16383);
	do {
		char packet[80];

		(void)snprintf(packet, sizeof(packet), "qXfer:features:read:target.xml:%zx,3e8",
			       at);
		(void)ask(f, packet);
		memcpy(whole + at, f->s.reply + 1, f->s.reply_len - 1);
		at += f->s.reply_len - 1;
	} while (f->s.reply[0] == 'm');
	assert_int_equal(at, bytes);
	assert_memory_equal(whole, xml, bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_encode, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_going_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_breaks_and_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_description, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
