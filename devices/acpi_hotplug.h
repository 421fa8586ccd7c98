/* SPDX-License-Identifier: MIT */
/* Which PCI devices have come and which shall go: registers that the DSDT's methods work. */
#ifndef FERRY_DEVICES_ACPI_HOTPLUG_H
#define FERRY_DEVICES_ACPI_HOTPLUG_H

#include <stdbool.h>
#include <stdint.h>

struct acpi_pm;

/*
 * Theory of operation
 *
 * ACPI 6.4, 5.6.4 and 6.3. Something happens to a slot: a bit is set in UP or DOWN, and
 * GPE 1 is raised. The guest's \_GPE._E01 (vmm/acpi_slots.h) reads both registers, clears what it
 * has read by writing it back, and notifies the slots: a device check (it looks for what
 * is new there), or an eject request (it lets go of the device, and evaluates _EJ0, which
 * writes the slot's bit to EJECT). All of it is part of "acpi-pm", and under its lock.
 *
 *   PORT_GPE0        1 byte   status: bit 1, write 1 to clear
 *   PORT_GPE0 + 1    1 byte   enable
 *   PORT_HOTPLUG     4 bytes  UP: bit n: slot n has a new device; write 1 to clear. Bit 0:
 *                             a device has vanished from some slot, and all are to be looked at
 *   PORT_HOTPLUG + 4 4 bytes  DOWN: bit n: let go of the device in slot n; write 1 to clear
 *   PORT_HOTPLUG + 8 4 bytes  EJECT: write bit n: slot n may be emptied; reads the slots
 *                             that can be (vm.nr_hot_slots)
 *   PORT_HOTPLUG + 12 4 bytes STATUS: written whole: what came of a notification, as _OST has it
 *                             (6.3.5): status in bits 0 to 7, source event in 8 to 23, slot in 24
 *                             to 31. Reads as 0.
 *
 * Of an eject request that the guest has seen nothing is left in DOWN; the machine
 * remembers it (requested) until the device has gone, or the guest says that it will not
 * let go of it.
 *
 * A guest may write STATUS as often as it likes. It is heard once for each notification.
 */

/* What came of a notification: the arguments of _OST (6.3.5). */
struct acpi_hotplug_answer {
	unsigned slot;
	unsigned source; /* ACPI_DEVICE_CHECK and so on */
	unsigned status; /* 0: success */
	bool refused;    /* the guest was asked to let go of the device, and will not */
};

/* Source events */
#define ACPI_DEVICE_CHECK     0x01U
#define ACPI_EJECT_REQUEST    0x03U
#define ACPI_EJECT_PROCESSING 0x103U
#define ACPI_INSERTION        0x200U

/* The status while it is under way: no answer yet. */
#define ACPI_INSERTION_IN_PROGRESS 0x80U
#define ACPI_EJECT_IN_PROGRESS     0x84U

/*
 * What the guest does. Called on the vCPU's thread, with no lock held: the guest
 * has ejected @slots, of which some may have no device; there is an answer to be taken.
 */
struct acpi_hotplug_ops {
	void (*ejected)(void *opaque, uint32_t slots);
	void (*answered)(void *opaque);
};

/* Tell @ops from now on; once, before the guest starts. Main thread. */
void acpi_hotplug_set_ops(struct acpi_pm *pm, const struct acpi_hotplug_ops *ops, void *opaque);

/* A device has come into @slot. Any thread, as are all below. */
void acpi_hotplug_added(struct acpi_pm *pm, unsigned slot);

/* Ask the guest to let go of the device in @slot. Once more is another request. */
void acpi_hotplug_request(struct acpi_pm *pm, unsigned slot);

/* The guest has ejected @slot, whose device is taken away later. */
void acpi_hotplug_set_ejected(struct acpi_pm *pm, unsigned slot);

/*
 * The device in @slot is gone, and nothing is known of it any more. If the guest did not
 * eject it (@surprise), it is told to look.
 */
void acpi_hotplug_removed(struct acpi_pm *pm, unsigned slot, bool surprise);

/* Take what the guest has answered, one answer after the other. False: there is none. */
bool acpi_hotplug_take_answer(struct acpi_pm *pm, struct acpi_hotplug_answer *ret);

/* Slots whose device the guest was asked to let go of, and has not. */
uint32_t acpi_hotplug_requested(struct acpi_pm *pm);

/* Slots that the guest has ejected, and whose device is there yet. */
uint32_t acpi_hotplug_ejected(struct acpi_pm *pm);

#endif
