// SPDX-License-Identifier: MIT
// PCI: both configuration mechanisms, register by register, BARs, INTx, capabilities.
#include <errno.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/machine.h"
#include "vmm/memmap.h"

#define BAR0_BYTES 0x4000U
#define BAR3_BYTES 0x100U
#define WINDOW_CAP 8

struct func {
	struct pci_func f;
	uint64_t mapped_addr; /* of BAR 0 */
	unsigned nr_mapped;
	uint32_t window_in, window_out;
};

struct fixture {
	struct machine m;
	struct func a, b;
	unsigned window; /* offset of a's */
};

static const struct pci_ids ids = {
	.vendor = 0x1234,
	.device = 0x5678,
	.subsystem_vendor = 0x9abc,
	.subsystem = 0xdef0,
	.class_code = 0x01,
	.subclass = 0x02,
	.prog_if = 0x03,
	.revision = 0x04,
};

/* A BAR that says which one it is, and where it was hit. */
static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	(void)opaque;
	return 0xba000000U | size << 16 | offset;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)opaque;
	(void)offset;
	(void)value;
	(void)size;
}

static const struct bus_ops bar_ops = { .read = bar_read, .write = bar_write };

static void bar_mapped(void *opaque, uint64_t addr)
{
	struct func *fn = opaque;

	fn->mapped_addr = addr;
	fn->nr_mapped++;
}

static uint32_t window(struct pci_func *f, bool write, uint32_t data)
{
	struct func *fn = (struct func *)(void *)f;

	if (write)
		fn->window_in = data;
	return fn->window_out;
}

static void add_func(struct fixture *f, struct func *fn, unsigned device)
{
	const struct pci_bar bar0 = { .bytes = BAR0_BYTES,
				      .ops = &bar_ops,
				      .opaque = fn,
				      .mapped = bar_mapped,
				      .is_64bit = true };
	const struct pci_bar bar3 = { .bytes = BAR3_BYTES, .ops = &bar_ops, .opaque = &fn->f };
	const uint8_t body[WINDOW_CAP] = { 0 };

	pci_func_init(&fn->f, f->m.vm, &ids);
	pci_set_bar(&fn->f, 0, &bar0);
	pci_set_bar(&fn->f, 3, &bar3);
	assert_int_equal(pci_add_msix(&fn->f, 2, 4), 0);
	f->window = pci_add_cap(&fn->f, PCI_CAP_ID_VNDR, body, sizeof(body)) + 4;
	fn->f.window = window;
	fn->f.window_offset = f->window;
	memset(fn->f.writable + f->window, 0xff, 4);
	assert_int_equal(pci_add(f->m.pci, &fn->f, device), 0);
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	machine_init(&f->m, 1 * MIB);
	if (f->m.vm) {
		add_func(f, &f->a, 3);
		add_func(f, &f->b, 11); /* the same line as 3 */
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pci_remove(&f->a.f);
	pci_remove(&f->b.f);
	pci_func_fini(&f->a.f);
	pci_func_fini(&f->b.f);
	machine_fini(&f->m);
	test_free(f);
	return 0;
}

static uint32_t rd(struct fixture *f, unsigned reg, unsigned size)
{
	return machine_cfg_read(&f->m, 3, reg, size);
}

static void wr(struct fixture *f, unsigned reg, uint32_t value, unsigned size)
{
	machine_cfg_write(&f->m, 3, reg, value, size);
}

/* --- registers ------------------------------------------------------------------- */

/* Power-on value, and what is left after writing all ones and then all zeroes. */
struct reg_case {
	const char *name;
	unsigned reg, size;
	uint32_t power_on, ones, zeroes;
};

static const struct reg_case reg_cases[] = {
	{ "vendor", PCI_VENDOR_ID, 2, 0x1234, 0x1234, 0x1234 },
	{ "device", PCI_DEVICE_ID, 2, 0x5678, 0x5678, 0x5678 },
	{ "command", PCI_COMMAND, 2, PCI_COMMAND_MEMORY, 0x0546, 0 },
	{ "status", PCI_STATUS, 2, PCI_STATUS_CAP_LIST, PCI_STATUS_CAP_LIST, PCI_STATUS_CAP_LIST },
	{ "revision", PCI_REVISION_ID, 1, 4, 4, 4 },
	{ "class", PCI_CLASS_REVISION, 4, 0x01020304, 0x01020304, 0x01020304 },
	{ "cache line", PCI_CACHE_LINE_SIZE, 1, 0, 0xff, 0 },
	{ "latency", PCI_LATENCY_TIMER, 1, 0, 0, 0 },
	{ "header type", PCI_HEADER_TYPE, 1, 0, 0, 0 },
	{ "BIST", PCI_BIST, 1, 0, 0, 0 },
	{ "BAR 0", PCI_BASE_ADDRESS_0, 4, 0xc0000004, 0xffffc004, 4 },
	{ "BAR 1", PCI_BASE_ADDRESS_1, 4, 0, 0xffffffff, 0 },
	{ "BAR 2", PCI_BASE_ADDRESS_2, 4, 0xc0004000, 0xfffff000, 0 },
	{ "BAR 3", PCI_BASE_ADDRESS_3, 4, 0xc0005000, 0xffffff00, 0 },
	{ "BAR 4", PCI_BASE_ADDRESS_4, 4, 0, 0, 0 },
	{ "BAR 5", PCI_BASE_ADDRESS_5, 4, 0, 0, 0 },
	{ "cardbus", PCI_CARDBUS_CIS, 4, 0, 0, 0 },
	{ "subsystem", PCI_SUBSYSTEM_VENDOR_ID, 4, 0xdef09abc, 0xdef09abc, 0xdef09abc },
	{ "ROM", PCI_ROM_ADDRESS, 4, 0, 0, 0 },
	{ "capabilities", PCI_CAPABILITY_LIST, 1, 0x40, 0x40, 0x40 },
	{ "interrupt line", PCI_INTERRUPT_LINE, 1, 19, 0xff, 0 },
	{ "interrupt pin", PCI_INTERRUPT_PIN, 1, 1, 1, 1 },
	{ "express", 0x40, 4, 0x00927c10, 0x00927c10, 0x00927c10 },
	{ "express caps", 0x44, 4, PCI_EXP_DEVCAP_RBER, PCI_EXP_DEVCAP_RBER, PCI_EXP_DEVCAP_RBER },
	{ "express control", 0x48, 2, 0x2810, 0x781f, 0 },
	{ "express status", 0x4a, 2, 0, 0, 0 },
	{ "express link", 0x4c, 4, 0, 0, 0 },
	{ "MSI-X", 0x7c, 4, 0x00038811, 0xc0038811, 0x00038811 },
	{ "MSI-X table", 0x80, 4, 2, 2, 2 },
	{ "MSI-X PBA", 0x84, 4, 0x802, 0x802, 0x802 },
	{ "vendor capability", 0x88, 4, 0x00000009, 0x00000009, 0x00000009 },
	{ "beyond", 0xfc, 4, 0, 0, 0 },
	{ "extended", 0x100, 4, 0, 0, 0 },
	{ "extended end", 0xffc, 4, 0, 0, 0 },
};

static void test_registers(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(reg_cases); i++) {
		const struct reg_case *c = &reg_cases[i];
		uint32_t power_on = rd(f, c->reg, c->size), ones, zeroes;

		wr(f, c->reg, UINT32_MAX, c->size);
		ones = rd(f, c->reg, c->size);
		wr(f, c->reg, 0, c->size);
		zeroes = rd(f, c->reg, c->size);
		if (power_on != c->power_on || ones != c->ones || zeroes != c->zeroes)
			fail_msg("%s: %#x, %#x, %#x", c->name, power_on, ones, zeroes);
	}
	/* And back to power-on values, all of them. */
	pci_reset(&f->a.f);
	for (size_t i = 0; i < ARRAY_SIZE(reg_cases); i++) {
		if (rd(f, reg_cases[i].reg, reg_cases[i].size) != reg_cases[i].power_on)
			fail_msg("%s: not reset", reg_cases[i].name);
	}
}

static void test_sizes(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(rd(f, 0, 1), 0x34);
	assert_int_equal(rd(f, 1, 1), 0x12);
	assert_int_equal(rd(f, 1, 2), 0x7812);
	assert_int_equal(rd(f, 3, 1), 0x56);
	assert_true(machine_read(&f->m, MAP_ECAM + 3 * 0x8000, 8) ==
		    (0x56781234ULL | (uint64_t)rd(f, 4, 4) << 32));
	/* A byte of a BAR, a word across two registers. */
	wr(f, PCI_BASE_ADDRESS_3 + 3, 0xd0, 1);
	assert_int_equal(rd(f, PCI_BASE_ADDRESS_3, 4), 0xd0005000);
	wr(f, PCI_INTERRUPT_LINE, 0x7705, 2);
	assert_int_equal(rd(f, PCI_INTERRUPT_LINE, 2), 0x0105);
	machine_write(&f->m, MAP_ECAM + 3 * 0x8000 + PCI_BASE_ADDRESS_0, 0x1122334455660000ULL, 8);
	assert_int_equal(rd(f, PCI_BASE_ADDRESS_0, 4), 0x55660004);
	assert_int_equal(rd(f, PCI_BASE_ADDRESS_1, 4), 0x11223344);
	/* Over the end of configuration space. */
	wr(f, 0xfe, UINT32_MAX, 4);
	wr(f, 0xffe, UINT32_MAX, 4);
	assert_int_equal(rd(f, 0xfe, 4), 0);
	assert_int_equal(machine_cfg_read(&f->m, 4, 0, 4), UINT32_MAX);
}

static void test_nothing_there(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(machine_cfg_read(&f->m, 4, 0, 4), 0xffffffff);
	assert_int_equal(machine_cfg_read(&f->m, 4, 0, 2), 0xffff);
	assert_int_equal(machine_cfg_read(&f->m, 4, 2, 1), 0xff);
	assert_int_equal(rd(f, 0x1000, 4), 0xffffffff); /* function 1 */
	wr(f, 0x1000 + PCI_COMMAND, 0, 2);
	assert_int_equal(rd(f, PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
}

static void test_bridge(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(machine_cfg_read(&f->m, 0, PCI_CLASS_DEVICE, 2), 0x0600);
	assert_int_equal(machine_cfg_read(&f->m, 0, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(machine_cfg_read(&f->m, 0, PCI_HEADER_TYPE, 1), 0);
}

/* --- ports ------------------------------------------------------------------------ */

static void select_reg(struct fixture *f, unsigned bdf, unsigned reg)
{
	machine_out(&f->m, 0xcf8, 0x80000000U | bdf << 8 | reg, 4);
}

static void test_config_ports(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	/* Without the enable bit nothing answers. */
	machine_out(&f->m, 0xcf8, 3 << 11, 4);
	assert_int_equal(machine_in(&f->m, 0xcfc, 4), 0xffffffff);
	machine_out(&f->m, 0xcf8, 0xffffffff, 4);
	assert_int_equal(machine_in(&f->m, 0xcf8, 4), 0x80fffffc);
	select_reg(f, 3 << 3, 0);
	assert_int_equal(machine_in(&f->m, 0xcfc, 4), 0x56781234);
	assert_int_equal(machine_in(&f->m, 0xcfe, 2), 0x5678);
	assert_int_equal(machine_in(&f->m, 0xcfd, 1), 0x12);
	assert_int_equal(machine_in(&f->m, 0xcfd, 2), 0x7812);
	/* Not the whole address port: not for us, and nothing changes. */
	machine_out(&f->m, 0xcf8, 0, 1);
	machine_out(&f->m, 0xcf8, 0, 2);
	machine_out(&f->m, 0xcfa, 0, 2);
	assert_int_equal(machine_in(&f->m, 0xcf8, 4), 0x80000000U | 3 << 11);
	assert_int_equal(machine_in(&f->m, 0xcf8, 2), 0xffff);
	assert_int_equal(machine_in(&f->m, 0xcfb, 2), 0xffff);
	/* Writes, down to a byte. */
	select_reg(f, 3 << 3, PCI_INTERRUPT_LINE);
	machine_out(&f->m, 0xcfc, 0x42, 1);
	assert_int_equal(rd(f, PCI_INTERRUPT_LINE, 1), 0x42);
	select_reg(f, 3 << 3, PCI_BASE_ADDRESS_3);
	machine_out(&f->m, 0xcfe, 0xd123, 2);
	assert_int_equal(rd(f, PCI_BASE_ADDRESS_3, 4), 0xd1235000);
	/* Other functions, buses, devices. */
	select_reg(f, 3 << 3 | 1, 0);
	assert_int_equal(machine_in(&f->m, 0xcfc, 4), 0xffffffff);
	select_reg(f, 1 << 8 | 3 << 3, 0);
	assert_int_equal(machine_in(&f->m, 0xcfc, 4), 0xffffffff);
	machine_out(&f->m, 0xcfc, 0, 4);
	select_reg(f, 9 << 3, 0);
	assert_int_equal(machine_in(&f->m, 0xcfc, 4), 0xffffffff);
}

static void test_reset_port(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	machine_out(&f->m, 0xcf9, 0x02, 1);
	assert_int_equal(machine_in(&f->m, 0xcf9, 1), 0x02);
	assert_int_equal(f->m.vm->event, VM_EVENT_NONE);
	machine_out(&f->m, 0xcf9, 0x06, 1);
	assert_int_equal(f->m.vm->event, VM_EVENT_RESET);
}

/* --- BARs ------------------------------------------------------------------------- */

static bool answers(struct fixture *f, uint64_t addr)
{
	return machine_read(&f->m, addr, 4) == (0xba040000U | (addr & (BAR0_BYTES - 1)));
}

static void test_bar_move(void **state)
{
	struct fixture *f = *state;
	uint64_t home = f->a.f.bars[0].home_addr;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(f->a.mapped_addr, home);
	assert_true(answers(f, home + 0x10));
	assert_true(answers(f, home + BAR0_BYTES - 4));
	/* 64 bits wide: above 4 GiB, in two writes. */
	wr(f, PCI_COMMAND, 0, 2);
	assert_int_equal(f->a.mapped_addr, 0);
	assert_false(answers(f, home));
	wr(f, PCI_BASE_ADDRESS_0, 0x10000000, 4);
	wr(f, PCI_BASE_ADDRESS_1, 0x12, 4);
	assert_int_equal(f->a.mapped_addr, 0);
	wr(f, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_true(f->a.mapped_addr == 0x1210000000ULL);
	assert_true(answers(f, 0x1210000000ULL + 0x20));
	/* Moved while decoding is on. */
	wr(f, PCI_BASE_ADDRESS_1, 0, 4);
	assert_true(f->a.mapped_addr == 0x10000000ULL);
	assert_true(answers(f, 0x10000000ULL));
	assert_false(answers(f, 0x1210000000ULL));
	/* Nothing moves: nobody is told. */
	f->a.nr_mapped = 0;
	wr(f, PCI_BASE_ADDRESS_1, 0, 4);
	wr(f, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	assert_int_equal(f->a.nr_mapped, 0);
	pci_reset(&f->a.f);
	assert_true(answers(f, home));
}

/* Two BARs at one place: one answers; when it leaves, the other one does. */
static void test_bar_conflict(void **state)
{
	struct fixture *f = *state;
	uint64_t a, b;

	MACHINE_OR_SKIP(&f->m);
	a = f->a.f.bars[0].home_addr;
	b = f->b.f.bars[0].home_addr;
	assert_int_not_equal(a, b);
	wr(f, PCI_BASE_ADDRESS_0, (uint32_t)b, 4);
	assert_int_equal(f->a.mapped_addr, 0);
	assert_int_equal(f->b.mapped_addr, b);
	assert_false(answers(f, a));
	machine_cfg_write(&f->m, 11, PCI_BASE_ADDRESS_0, (uint32_t)a, 4);
	assert_int_equal(f->a.mapped_addr, b);
	assert_int_equal(f->b.mapped_addr, a);
	/* Onto ECAM, onto the last page, onto 0: nowhere. */
	wr(f, PCI_BASE_ADDRESS_0, (uint32_t)MAP_ECAM, 4);
	assert_int_equal(f->a.mapped_addr, 0);
	wr(f, PCI_BASE_ADDRESS_0, 0, 4);
	assert_int_equal(f->a.mapped_addr, 0);
	wr(f, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	wr(f, PCI_BASE_ADDRESS_1, 0xffffffff, 4);
	assert_true(f->a.mapped_addr == 0ULL - BAR0_BYTES);
	assert_int_equal(rd(f, 0, 2), 0x1234);
}

static void test_bar_homes(void **state)
{
	struct fixture *f = *state;
	struct func big = { 0 }, more = { 0 };
	const struct pci_bar huge = { .bytes = 256 * MIB, .ops = &bar_ops, .opaque = &big };
	const struct pci_bar too_much = { .bytes = 512 * MIB, .ops = &bar_ops, .opaque = &more };

	MACHINE_OR_SKIP(&f->m);
	pci_func_init(&big.f, f->m.vm, &ids);
	pci_set_bar(&big.f, 0, &huge);
	assert_int_equal(pci_add(f->m.pci, &big.f, 0), 0);
	assert_int_equal(big.f.device, 1);
	assert_int_equal(big.f.bars[0].home_addr, MAP_PCI_WINDOW + 256 * MIB);
	pci_func_init(&more.f, f->m.vm, &ids);
	pci_set_bar(&more.f, 0, &too_much);
	assert_int_equal(pci_add(f->m.pci, &more.f, 0), -ENOSPC);
	pci_func_init(&more.f, f->m.vm, &ids);
	assert_int_equal(pci_add(f->m.pci, &more.f, 1), -EEXIST);
	assert_int_equal(pci_add(f->m.pci, &more.f, 32), -ENOSPC);
	pci_remove(&big.f);
	assert_int_equal(machine_cfg_read(&f->m, 1, 0, 4), UINT32_MAX);
	assert_int_equal(pci_add(f->m.pci, &more.f, 1), 0);
	pci_remove(&more.f);
}

static void test_bus_full(void **state)
{
	struct fixture *f = *state;
	struct pci_func *many = test_calloc(PCI_MAX_DEVICES, sizeof(*many));
	unsigned n = 0;

	if (f->m.vm) {
		do
			pci_func_init(&many[n], f->m.vm, &ids);
		while (pci_add(f->m.pci, &many[n], 0) == 0 && ++n);
		/* 0 is the bridge, 3 and 11 are taken. */
		assert_int_equal(n, PCI_MAX_DEVICES - 3);
	}
	for (unsigned i = 0; i < n; i++)
		pci_remove(&many[i]);
	test_free(many);
	MACHINE_OR_SKIP(&f->m);
}

/* --- interrupts --------------------------------------------------------------------- */

static void test_intx(void **state)
{
	struct fixture *f = *state;
	unsigned gsi = pci_intx_gsi(3);

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(gsi, 19);
	assert_int_equal(pci_intx_gsi(11), gsi);
	assert_false(machine_line(&f->m, gsi));
	pci_set_intx(&f->a.f, true);
	assert_true(machine_line(&f->m, gsi));
	assert_int_equal(rd(f, PCI_STATUS, 1), PCI_STATUS_CAP_LIST | PCI_STATUS_INTERRUPT);
	/* Shared: low only when both let go. */
	pci_set_intx(&f->b.f, true);
	pci_set_intx(&f->a.f, false);
	assert_true(machine_line(&f->m, gsi));
	assert_int_equal(rd(f, PCI_STATUS, 1), PCI_STATUS_CAP_LIST);
	pci_set_intx(&f->b.f, false);
	assert_false(machine_line(&f->m, gsi));
}

static void test_intx_disable(void **state)
{
	struct fixture *f = *state;
	unsigned gsi = pci_intx_gsi(3);

	MACHINE_OR_SKIP(&f->m);
	wr(f, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
	pci_set_intx(&f->a.f, true);
	assert_false(machine_line(&f->m, gsi));
	assert_int_equal(rd(f, PCI_STATUS, 1), PCI_STATUS_CAP_LIST | PCI_STATUS_INTERRUPT);
	wr(f, PCI_COMMAND, 0, 2);
	assert_true(machine_line(&f->m, gsi));
	wr(f, PCI_COMMAND + 1, PCI_COMMAND_INTX_DISABLE >> 8, 1);
	assert_false(machine_line(&f->m, gsi));
	wr(f, PCI_COMMAND, 0, 2);
	pci_reset(&f->a.f);
	assert_false(machine_line(&f->m, gsi));
	assert_int_equal(rd(f, PCI_STATUS, 1), PCI_STATUS_CAP_LIST);
}

static void test_intx_goes_with_its_function(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	pci_set_intx(&f->b.f, true);
	pci_remove(&f->b.f);
	assert_false(machine_line(&f->m, pci_intx_gsi(11)));
}

static void test_msix_capability(void **state)
{
	struct fixture *f = *state;
	uint64_t table;

	MACHINE_OR_SKIP(&f->m);
	table = f->a.f.bars[2].addr;
	machine_write(&f->m, table, 0xfee00000, 8);
	machine_write(&f->m, table + 8, 0x45, 8); /* and unmasked */
	wr(f, 0x7e, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	assert_true(msix_is_enabled(&f->a.f.msix));
	msix_raise(&f->a.f.msix, 0);
	assert_int_equal(machine_read(&f->m, table + MSIX_PBA_OFFSET, 8), 1);
	wr(f, 0x7f, PCI_MSIX_FLAGS_ENABLE >> 8, 1);
	/* A message is a write to memory: it waits until that is allowed. */
	assert_int_equal(machine_read(&f->m, table + MSIX_PBA_OFFSET, 8), 1);
	wr(f, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	assert_true(machine_wait_vector(&f->m, 0x45));
	assert_int_equal(machine_read(&f->m, table + MSIX_PBA_OFFSET, 8), 0);
	wr(f, 0x7c, 0, 4);
	assert_false(msix_is_enabled(&f->a.f.msix));
	wr(f, 0x7c, UINT32_MAX, 4);
	wr(f, 0x7f, PCI_MSIX_FLAGS_ENABLE >> 8, 1);
	wr(f, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	msix_raise(&f->a.f.msix, 0);
	assert_int_equal(machine_read(&f->m, table + MSIX_PBA_OFFSET, 8), 1);
	pci_reset(&f->a.f);
	assert_false(msix_is_enabled(&f->a.f.msix));
	assert_int_equal(machine_read(&f->m, table + 8, 8), 1ULL << 32);
}

static void test_window(void **state)
{
	struct fixture *f = *state;
	unsigned w = f->window;

	MACHINE_OR_SKIP(&f->m);
	f->a.window_out = 0x11223344;
	assert_int_equal(rd(f, w, 4), 0x11223344);
	assert_int_equal(rd(f, w + 2, 1), 0x22);
	assert_int_equal(rd(f, w - 2, 4), 0x33440000);
	wr(f, w, 0xaabbccdd, 4);
	assert_int_equal(f->a.window_in, 0xaabbccdd);
	wr(f, w + 1, 0xee, 1);
	assert_int_equal(f->a.window_in, 0xaabbeedd);
	wr(f, w + 4, 0, 4);
	wr(f, w - 4, 0, 4);
	assert_int_equal(f->a.window_in, 0xaabbeedd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bridge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bar_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bar_conflict, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bar_homes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bus_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_intx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_intx_disable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_intx_goes_with_its_function, setup, teardown),
		cmocka_unit_test_setup_teardown(test_msix_capability, setup, teardown),
		cmocka_unit_test_setup_teardown(test_window, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
