// SPDX-License-Identifier: MIT
/*
 * Takes PCI devices that come and go. What the methods of a DSDT do is done here by hand: the
 * registers are where hotplug= says, laid out as QEMU's (docs/specs/acpi_pci_hotplug.txt); writing
 * back what was read of the first two clears it, or does nothing. The GPE block is the FADT's.
 */
#include "hotplug.h"

enum {
	REG_UP = 0,
	REG_DOWN = 4,
	REG_EJECT = 8,
	REG_STATUS = 12, /* ferry's alone */

	GPE_HOTPLUG = 2, /* \_GPE._E01 */
	GPE_ALL_SLOTS = 1,
	SLOTS = 32,
	GONE_LOOKS = 10000,

	NOTIFY_CHECK = 1,
	NOTIFY_EJECT = 3,
	OST_SUCCESS = 0,
	OST_BUSY = 0x82,
	OST_PENDING = 0x84,
};

static struct slot slots[SLOTS];
static uint16_t gpe_port, hotplug_port;
static uint64_t came, went;

static void enable_gpe(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();

	if (!power_button_enable() || !fadt->gpe0 || fadt->gpe0_bytes < 2)
		panic("hotplug: no GPE block");
	gpe_port = (uint16_t)fadt->gpe0;
	out8(gpe_port, GPE_HOTPLUG);
	out8((uint16_t)(gpe_port + fadt->gpe0_bytes / 2), GPE_HOTPLUG);
}

static void take(unsigned int n)
{
	struct slot *s = &slots[n];

	if (s->driven || !slot_open(s, n))
		return;
	came++;
	s->ignored = false;
	slot_use(s);
	print("hotplug: slot=%u came device=%#x\n", n, s->dev.pci.device);
}

/* What _OST does. */
static void answer(unsigned int n, unsigned int source, unsigned int status)
{
	out32((uint16_t)(hotplug_port + REG_STATUS), n << 24 | source << 8 | status);
}

/* Empty, or just about to be said to have another: that may come at once. */
static void check_gone(unsigned int n)
{
	for (unsigned int i = 0; i < GONE_LOOKS; i++) {
		if (pci_read(&slots[n].dev.pci, PCI_VENDOR_ID, 2) == 0xffff ||
		    in32((uint16_t)(hotplug_port + REG_UP)) >> n & 1)
			return;
	}
	panic("hotplug: slot %u is not empty", n);
}

static void eject(unsigned int n)
{
	struct slot *s = &slots[n];

	slot_use(s);
	if (param_number("reset", 1))
		virtio_reset(&s->dev);
	s->driven = s->ignored = false;
	out32((uint16_t)(hotplug_port + REG_EJECT), 1u << n);
	check_gone(n);
	went++;
	print("hotplug: slot=%u ejected\n", n);
}

static void let_go(unsigned int n)
{
	static uint64_t ignored, refused;

	if (!slots[n].driven)
		return;
	if (refused < param_number("refuse", 0)) {
		refused++;
		answer(n, NOTIFY_EJECT, OST_PENDING);
		answer(n, NOTIFY_EJECT, (unsigned int)param_number("status", OST_BUSY));
		print("hotplug: slot=%u refused\n", n);
		return;
	}
	if (ignored < param_number("ignore", 0)) {
		ignored++;
		slots[n].ignored = true;
		print("hotplug: slot=%u ignored\n", n);
		return;
	}
	eject(n);
	answer(n, NOTIFY_EJECT, OST_SUCCESS);
}

/* The power button makes up for what was ignored; false: for nothing. */
static bool eject_ignored(void)
{
	const char *button = param_get("button");
	bool any = false;

	for (unsigned int n = 1; n < SLOTS && button; n++) {
		if (slots[n].driven && slots[n].ignored) {
			eject(n);
			any = true;
		}
	}
	return any;
}

/* Without a word a device has been taken away. */
static void look_for_lost(void)
{
	for (unsigned int n = 0; n < SLOTS; n++) {
		struct slot *s = &slots[n];

		if (!s->driven || pci_read(&s->dev.pci, PCI_VENDOR_ID, 2) != 0xffff)
			continue;
		s->driven = false;
		went++;
		print("hotplug: slot=%u lost\n", n);
	}
}

static uint32_t take_register(unsigned int reg)
{
	uint32_t bits = in32((uint16_t)(hotplug_port + reg));

	out32((uint16_t)(hotplug_port + reg), bits);
	return bits;
}

/*
 * Edge-triggered in ACPI's words: the status is cleared first. Who is to go came before: both may
 * be asked for by the time that the guest looks.
 */
static void serve(void)
{
	uint32_t up, down;

	if (!(in8(gpe_port) & GPE_HOTPLUG))
		return;
	out8(gpe_port, GPE_HOTPLUG);
	up = take_register(REG_UP);
	down = take_register(REG_DOWN);
	if (up & GPE_ALL_SLOTS)
		look_for_lost();
	for (unsigned int n = 1; n < SLOTS; n++) {
		if (up >> n & 1) {
			take(n);
			answer(n, NOTIFY_CHECK, OST_SUCCESS);
		}
	}
	for (unsigned int n = 1; n < SLOTS; n++) {
		if (down >> n & 1)
			let_go(n);
	}
}

int guest_main(void)
{
	bool busy = param_number("busy", 0);

	irq_init();
	hotplug_port = (uint16_t)param_number("hotplug", 0x640);
	enable_gpe();
	for (unsigned int n = 1; n < SLOTS; n++)
		take(n);
	print("hotplug: ready\n");
	for (;;) {
		uint64_t seq = irq_seq();

		serve();
		/* Acknowledges the line, which both share. */
		if (power_button_pressed() && !eject_ignored())
			break;
		if (!busy)
			irq_wait(seq);
		for (unsigned int n = 1; n < SLOTS && busy; n++) {
			if (slots[n].driven)
				slot_use(&slots[n]);
		}
	}
	print("hotplug: came=%lu went=%lu\n", came, went);
	return EXIT_OK;
}
