// SPDX-License-Identifier: MIT
// Hotplug's registers, and what becomes of a function that is plugged, ejected, taken away.
#include <errno.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "devices/acpi_hotplug.h"
#include "devices/isa.h"
#include "devices/pci.h"
#include "migration/vstate.h"
#include "tests/unit/machine.h"
#include "tests/unit/saved.h"
#include "virtio/rng.h"
#include "virtio/virtio.h"
#include "vmm/memmap.h"

#define GPE_STS (PORT_GPE0 + 0)
#define GPE_EN  (PORT_GPE0 + 1)
#define UP      (PORT_HOTPLUG + 0)
#define DOWN    (PORT_HOTPLUG + 4)
#define EJECT   (PORT_HOTPLUG + 8)
#define STATUS  (PORT_HOTPLUG + 12)

/* The field of acpi-pm that has all of it. */
#define OPT (6 | VSTATE_OPTIONAL)

#define SLOT 5U
#define BIT  (1U << SLOT)

struct fixture {
	struct machine m;
	struct acpi_pm *pm;
	uint32_t ejected; /* what the guest did, as it was told */
	unsigned calls;
	unsigned answers; /* that it was told of */
};

static void on_ejected(void *opaque, uint32_t slots)
{
	struct fixture *f = opaque;

	f->ejected |= slots;
	f->calls++;
}

static void on_answered(void *opaque)
{
	struct fixture *f = opaque;

	f->answers++;
}

static const struct acpi_hotplug_ops ops = { .ejected = on_ejected, .answered = on_answered };

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	machine_init(&f->m, 1 * MIB);
	if (!f->m.vm)
		return 0;
	assert_int_equal(acpi_pm_new(f->m.vm, &f->pm), 0);
	acpi_hotplug_set_ops(f->pm, &ops, f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_fini(&f->m);
	test_free(f);
	return 0;
}

static bool sci(struct fixture *f)
{
	return machine_line(&f->m, GSI_SCI);
}

/* --- registers --- */

/* What \_GPE._E01 does: the status first, then the registers. */
static void test_added(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	acpi_hotplug_added(f->pm, SLOT);
	assert_int_equal(machine_in(&f->m, GPE_STS, 1), 2);
	assert_false(sci(f)); /* nobody listens */
	machine_out(&f->m, GPE_EN, 0xff, 1);
	assert_int_equal(machine_in(&f->m, GPE_EN, 1), 2);
	assert_true(sci(f));
	machine_out(&f->m, GPE_STS, 2, 1);
	assert_false(sci(f));
	assert_int_equal(machine_in(&f->m, UP, 4), BIT);
	machine_out(&f->m, UP, 0, 4);
	assert_int_equal(machine_in(&f->m, UP, 4), BIT);
	machine_out(&f->m, UP, BIT, 4);
	assert_int_equal(machine_in(&f->m, UP, 4), 0);
	assert_int_equal(machine_in(&f->m, DOWN, 4), 0);
}

static void test_request(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	machine_out(&f->m, GPE_EN, 2, 1);
	acpi_hotplug_request(f->pm, SLOT);
	assert_true(sci(f));
	assert_int_equal(machine_in(&f->m, DOWN, 4), BIT);
	machine_out(&f->m, GPE_STS, 2, 1);
	machine_out(&f->m, DOWN, BIT, 4);
	/* Read, but not done; and a second request is one. */
	assert_int_equal(acpi_hotplug_requested(f->pm), BIT);
	acpi_hotplug_request(f->pm, SLOT);
	assert_int_equal(machine_in(&f->m, DOWN, 4), BIT);
	assert_true(sci(f));

	machine_out(&f->m, EJECT, BIT, 4);
	assert_int_equal(f->ejected, BIT);
	acpi_hotplug_set_ejected(f->pm, SLOT);
	assert_int_equal(acpi_hotplug_requested(f->pm), 0);
	assert_int_equal(acpi_hotplug_ejected(f->pm), BIT);
	assert_int_equal(machine_in(&f->m, DOWN, 4), 0);
	acpi_hotplug_removed(f->pm, SLOT, false);
	assert_int_equal(acpi_hotplug_ejected(f->pm), 0);
	assert_int_equal(machine_in(&f->m, UP, 4), 0);
}

static void write_status(struct fixture *f, unsigned slot, unsigned source, unsigned status)
{
	machine_out(&f->m, STATUS, slot << 24 | source << 8 | status, 4);
}

/* One answer, and no more. */
static struct acpi_hotplug_answer take_one(struct fixture *f)
{
	struct acpi_hotplug_answer answer = { 0 }, none;

	assert_true(acpi_hotplug_take_answer(f->pm, &answer));
	assert_false(acpi_hotplug_take_answer(f->pm, &none));
	assert_int_equal(answer.slot, SLOT);
	return answer;
}

/* To each notification there is one answer, which what is under way is not. */
static void test_answers(void **state)
{
	struct fixture *f = *state;
	struct acpi_hotplug_answer answer;

	MACHINE_OR_SKIP(&f->m);
	acpi_hotplug_added(f->pm, SLOT);
	write_status(f, SLOT, ACPI_INSERTION, ACPI_INSERTION_IN_PROGRESS);
	write_status(f, SLOT, ACPI_EJECT_REQUEST, 0);
	write_status(f, SLOT + 1, ACPI_DEVICE_CHECK, 0);
	assert_int_equal(f->answers, 0);
	write_status(f, SLOT, ACPI_DEVICE_CHECK, 0);
	write_status(f, SLOT, ACPI_DEVICE_CHECK, 1);
	assert_int_equal(f->answers, 1);
	answer = take_one(f);
	assert_int_equal(answer.source, ACPI_DEVICE_CHECK);
	assert_true(!answer.status && !answer.refused);

	acpi_hotplug_request(f->pm, SLOT);
	write_status(f, SLOT, ACPI_EJECT_PROCESSING, ACPI_EJECT_IN_PROGRESS);
	assert_int_equal(acpi_hotplug_requested(f->pm), BIT);
	write_status(f, SLOT, ACPI_EJECT_PROCESSING, 0x82);
	assert_int_equal(acpi_hotplug_requested(f->pm), 0);
	assert_int_equal(machine_in(&f->m, DOWN, 4), 0);
	write_status(f, SLOT, ACPI_EJECT_REQUEST, 0x81);
	answer = take_one(f);
	assert_int_equal(answer.source, ACPI_EJECT_PROCESSING);
	assert_int_equal(answer.status, 0x82);
	assert_true(answer.refused);

	/* It does what it says that it does not: what has gone is no refusal. */
	acpi_hotplug_request(f->pm, SLOT);
	acpi_hotplug_set_ejected(f->pm, SLOT);
	write_status(f, SLOT, ACPI_EJECT_REQUEST, 1);
	assert_false(take_one(f).refused);
	assert_int_equal(f->answers, 3);
}

/* Written in pieces, of slots that there are not, of sources that nobody knows. */
static void test_hostile_answers(void **state)
{
	struct fixture *f = *state;
	struct acpi_hotplug_answer answer;

	MACHINE_OR_SKIP(&f->m);
	for (unsigned slot = 0; slot < PCI_MAX_DEVICES; slot++) {
		acpi_hotplug_added(f->pm, slot);
		acpi_hotplug_request(f->pm, slot);
	}
	machine_out(&f->m, STATUS + 2, SLOT << 8, 2);
	machine_out(&f->m, STATUS, ACPI_EJECT_REQUEST << 8, 2);
	machine_out(&f->m, STATUS - 1, SLOT << 16 | ACPI_EJECT_REQUEST, 4);
	for (unsigned slot = PCI_STD_HOT_SLOTS + 1; slot < 256; slot++)
		write_status(f, slot, ACPI_EJECT_REQUEST, 1);
	for (unsigned source = 4; source < 0x300; source++) {
		if (source != ACPI_EJECT_PROCESSING && source != ACPI_INSERTION)
			write_status(f, SLOT, source, 1);
	}
	assert_int_equal(f->answers, 0);
	assert_false(acpi_hotplug_take_answer(f->pm, &answer));
	assert_int_equal(machine_in(&f->m, STATUS, 4), 0);
	/* All at once, and none is lost. */
	for (unsigned slot = 1; slot <= PCI_STD_HOT_SLOTS; slot++) {
		write_status(f, slot, ACPI_EJECT_REQUEST, 1);
		write_status(f, slot, ACPI_DEVICE_CHECK, 1);
	}
	for (unsigned i = 0; i < 2 * PCI_STD_HOT_SLOTS; i++)
		assert_true(acpi_hotplug_take_answer(f->pm, &answer));
	assert_false(acpi_hotplug_take_answer(f->pm, &answer));
}

/* The power button and hotplug share the line. */
static void test_shared_line(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	machine_out(&f->m, PORT_PM1A_EVT + 2, 0x100, 2);
	machine_out(&f->m, GPE_EN, 2, 1);
	acpi_pm_power_button(f->pm);
	acpi_hotplug_removed(f->pm, SLOT, true);
	assert_int_equal(machine_in(&f->m, UP, 4), 1); /* look at all slots */
	machine_out(&f->m, PORT_PM1A_EVT, 0x100, 2);
	assert_true(sci(f));
	machine_out(&f->m, GPE_STS, 2, 1);
	assert_false(sci(f));
}

/* Any register, any size, any value: no bit appears that is none, nobody is told of no slot. */
static void test_hostile_writes(void **state)
{
	static const unsigned sizes[] = { 1, 2, 4 };
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (unsigned port = PORT_GPE0 - 4; port < PORT_HOTPLUG + 16; port++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			machine_out(&f->m, (uint16_t)port, UINT32_MAX, sizes[i]);
			machine_out(&f->m, (uint16_t)port, 0xa5c3f017U, sizes[i]);
			(void)machine_in(&f->m, (uint16_t)port, sizes[i]);
		}
	}
	assert_int_equal(f->ejected & ~PCI_HOT_SLOTS(PCI_STD_HOT_SLOTS), 0);
	assert_int_not_equal(f->calls, 0);
	assert_int_equal(machine_in(&f->m, GPE_STS, 2) & ~0x0200U, 0);
	assert_int_equal(machine_in(&f->m, UP, 4) | machine_in(&f->m, DOWN, 4), 0);
	assert_int_equal(machine_in(&f->m, EJECT, 4), PCI_HOT_SLOTS(PCI_STD_HOT_SLOTS));
	/* Bytes of a register, and across two. */
	acpi_hotplug_request(f->pm, 9);
	assert_int_equal(machine_in(&f->m, DOWN + 1, 1), 2);
	machine_out(&f->m, DOWN - 1, 0x020000, 4);
	assert_int_equal(machine_in(&f->m, DOWN, 4), 0);
	f->calls = 0;
	machine_out(&f->m, EJECT, 1, 4); /* the host bridge stays */
	assert_int_equal(f->calls, 0);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;
	struct device *dev;

	MACHINE_OR_SKIP(&f->m);
	dev = vm_find_device(f->m.vm, "acpi-pm");
	machine_out(&f->m, GPE_EN, 2, 1);
	acpi_hotplug_added(f->pm, SLOT);
	dev->ops->reset(dev);
	assert_int_equal(machine_in(&f->m, GPE_STS, 2), 0);
	assert_int_equal(machine_in(&f->m, UP, 4), 0);
	assert_false(sci(f));
	/* What was asked for stays asked for. */
	acpi_hotplug_request(f->pm, SLOT);
	machine_out(&f->m, DOWN, BIT, 4);
	dev->ops->reset(dev);
	assert_int_equal(machine_in(&f->m, DOWN, 4), BIT);
	assert_int_equal(machine_in(&f->m, GPE_STS, 2), 2);
}

/* --- saved state --- */

static void test_saved(void **state)
{
	static const struct saved_lie lies[] = {
		{ "acpi-pm", 0, SAVED_IN(OPT, 5), 3, "gpe_sts" },
		{ "acpi-pm", 0, SAVED_IN(OPT, 6), 3, "gpe_en" },
	};
	struct fixture *f = *state, *to;
	void *other = NULL;
	struct saved s;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(setup(&other), 0);
	to = other;
	machine_out(&f->m, GPE_EN, 2, 1);
	acpi_hotplug_added(f->pm, 1);
	acpi_hotplug_request(f->pm, SLOT);
	acpi_hotplug_set_ejected(f->pm, 7);
	s = saved_take(f->m.vm, "acpi-pm");
	saved_refuses(to->m.vm, "acpi-pm", &s, lies, ARRAY_SIZE(lies));
	saved_give(to->m.vm, "acpi-pm", &s);
	saved_resume(to->m.vm, "acpi-pm");
	assert_int_equal(machine_in(&to->m, UP, 4), 2);
	assert_int_equal(machine_in(&to->m, DOWN, 4), BIT);
	assert_int_equal(machine_in(&to->m, GPE_STS, 2), 0x202);
	/* It may answer where it goes on. */
	write_status(to, SLOT, ACPI_EJECT_REQUEST, 0x81);
	assert_true(take_one(to).refused);
	acpi_hotplug_request(to->pm, SLOT);
	assert_int_equal(acpi_hotplug_requested(to->pm), BIT);
	assert_int_equal(acpi_hotplug_ejected(to->pm), 1U << 7);
	saved_free(&s);
	(void)teardown(&other);
}

/* --- functions on the bus --- */

static struct device *plug(struct fixture *f)
{
	assert_int_equal(rng_new(f->m.vm, f->m.pci, "rng", f->m.io_loop), 0);
	return vm_find_device(f->m.vm, "rng");
}

/* A guest that runs finds it as hardware comes: nothing is decoded. */
static void test_plug_at_run_time(void **state)
{
	struct fixture *f = *state;
	struct device *dev;
	unsigned slot;

	MACHINE_OR_SKIP(&f->m);
	f->m.vm->started = true;
	dev = plug(f);
	slot = virtio_pci_slot(dev);
	assert_ptr_equal(virtio_pci_find(f->m.vm, slot), dev);
	assert_in_range(slot, 1, PCI_STD_HOT_SLOTS);
	assert_int_equal(machine_cfg_read(&f->m, slot, PCI_VENDOR_ID, 2), 0x1af4);
	assert_int_equal(machine_cfg_read(&f->m, slot, PCI_COMMAND, 2), 0);
	f->m.vm->started = false;
}

static void test_hidden(void **state)
{
	struct fixture *f = *state;
	struct device *dev;
	uint64_t bar;
	unsigned slot;

	MACHINE_OR_SKIP(&f->m);
	dev = plug(f);
	slot = virtio_pci_slot(dev);
	bar = machine_cfg_read(&f->m, slot, PCI_BASE_ADDRESS_0, 4) & ~0xfU;
	assert_int_equal(machine_read(&f->m, bar, 4), 0); /* device_feature_select */
	assert_int_equal(pci_hide(f->m.pci, UINT32_MAX), 1U << slot);
	assert_int_equal(pci_hide(f->m.pci, UINT32_MAX), 0); /* ejected once more: nothing new */
	assert_int_equal(machine_cfg_read(&f->m, slot, PCI_VENDOR_ID, 4), UINT32_MAX);
	assert_int_equal(machine_read(&f->m, bar, 4), UINT32_MAX);
	machine_cfg_write(&f->m, slot, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	dev->ops->reset(dev);
	assert_int_equal(machine_cfg_read(&f->m, slot, PCI_VENDOR_ID, 4), UINT32_MAX);
	assert_int_equal(machine_read(&f->m, bar, 4), UINT32_MAX);
	/* Its place is taken until it has gone; then another one may have it. */
	vm_remove_device(f->m.vm, dev);
	dev->ops->free(dev);
	assert_null(virtio_pci_find(f->m.vm, slot));
	assert_int_equal(virtio_pci_slot(plug(f)), slot);
	assert_int_equal(machine_cfg_read(&f->m, slot, PCI_VENDOR_ID, 2), 0x1af4);
}

/* What is ejected makes room at once, before it is freed. */
static void test_hidden_yields(void **state)
{
	struct fixture *f = *state;
	unsigned slot, other;
	uint32_t bar;

	MACHINE_OR_SKIP(&f->m);
	slot = virtio_pci_slot(plug(f));
	bar = machine_cfg_read(&f->m, slot, PCI_BASE_ADDRESS_0, 4) & ~0xfU;
	assert_int_equal(rng_new(f->m.vm, f->m.pci, "other", f->m.io_loop), 0);
	other = virtio_pci_slot(vm_find_device(f->m.vm, "other"));
	machine_cfg_write(&f->m, other, PCI_BASE_ADDRESS_0, bar, 4);
	/* Told apart by device_feature_select, the first of the registers. */
	machine_write(&f->m, bar, 1, 4);
	assert_int_equal(machine_read(&f->m, bar, 4), 1);
	assert_int_equal(pci_hide(f->m.pci, 1U << slot), 1U << slot);
	assert_int_equal(machine_read(&f->m, bar, 4), 0);
}

/* Refused before it is on the bus, where a guest that runs would find it. */
static void test_taken_id(void **state)
{
	struct fixture *f = *state;
	char id[8];

	MACHINE_OR_SKIP(&f->m);
	for (unsigned i = 1; i < PCI_MAX_DEVICES; i++) {
		(void)snprintf(id, sizeof(id), "rng%u", i);
		assert_int_equal(rng_new(f->m.vm, f->m.pci, id, f->m.io_loop), 0);
	}
	assert_int_equal(rng_new(f->m.vm, f->m.pci, "more", f->m.io_loop), -ENOSPC);
	assert_int_equal(rng_new(f->m.vm, f->m.pci, "acpi-pm", f->m.io_loop), -EEXIST);
}

/* By surprise: what was there reads as 0, until somebody else wants the place. */
static void test_yanked(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	/* More than there may be ghosts. */
	for (unsigned i = 0; i < 40; i++) {
		struct device *dev = plug(f);
		unsigned slot = virtio_pci_slot(dev);
		uint64_t bar = machine_cfg_read(&f->m, slot, PCI_BASE_ADDRESS_0, 4) & ~0xfU;

		/* Elsewhere each time. */
		bar += 0x100000ULL * (i + 1);
		machine_cfg_write(&f->m, slot, PCI_BASE_ADDRESS_0, (uint32_t)bar, 4);
		assert_int_equal(machine_read(&f->m, bar + 18, 2), 1); /* num_queues */
		virtio_pci_yank(dev);
		vm_remove_device(f->m.vm, dev);
		dev->ops->free(dev);
		assert_int_equal(machine_cfg_read(&f->m, slot, PCI_VENDOR_ID, 4), UINT32_MAX);
		assert_int_equal(machine_read(&f->m, bar + 18, 2), 0);
		machine_write(&f->m, bar + 20, 0, 1);
		/* Another one in its place. */
		dev = plug(f);
		machine_cfg_write(&f->m, slot, PCI_BASE_ADDRESS_0, (uint32_t)bar, 4);
		assert_int_equal(machine_read(&f->m, bar + 18, 2), 1);
		if (i % 2)
			virtio_pci_yank(dev);
		vm_remove_device(f->m.vm, dev);
		dev->ops->free(dev);
		assert_int_equal(machine_read(&f->m, bar + 18, 2), i % 2 ? 0 : 0xffff);
	}
	vm_find_device(f->m.vm, "pci")->ops->reset(vm_find_device(f->m.vm, "pci"));
}

static void test_places(void **state)
{
	struct fixture *f = *state;
	struct device *dev;

	MACHINE_OR_SKIP(&f->m);
	dev = plug(f);
	virtio_pci_take_out(dev);
	assert_int_equal(machine_cfg_read(&f->m, 1, PCI_VENDOR_ID, 4), UINT32_MAX);
	assert_int_equal(virtio_pci_put_in(dev, f->m.pci, 0), 0);
	virtio_pci_take_out(dev);
	assert_int_equal(virtio_pci_put_in(dev, f->m.pci, 32), -ENOSPC);
	assert_int_equal(virtio_pci_put_in(dev, f->m.pci, 19), 0);
	assert_int_equal(virtio_pci_slot(dev), 19);
	assert_int_equal(machine_cfg_read(&f->m, 19, PCI_VENDOR_ID, 2), 0x1af4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_added, setup, teardown),
		cmocka_unit_test_setup_teardown(test_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_saved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plug_at_run_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden_yields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_yanked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_places, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
