/* SPDX-License-Identifier: MIT */
/* The small fixed devices of the machine: each is a port or two. */
#ifndef FERRY_DEVICES_ISA_H
#define FERRY_DEVICES_ISA_H

#include "util/compiler.h"

struct acpi_pm;
struct vm;

/*
 * Each adds one device to @vm, which owns it. 0 or -errno. Main thread, before
 * the guest starts.
 */

/* Port 0xf4, QEMU's isa-debug-exit: a write of v ends the guest, status (v << 1) | 1. */
__must_check int debug_exit_new(struct vm *vm);

/* Port 0x505, QEMU's pvpanic: bit 0 panicked, bit 1 crash kernel loaded. */
__must_check int pvpanic_new(struct vm *vm);

/* Ports 0x60 and 0x64: no keyboard behind it, but the reset line. */
__must_check int i8042_new(struct vm *vm);

/* Ports 0x70 and 0x71: MC146818 clock with alarm and periodic interrupt, and its RAM. */
__must_check int rtc_new(struct vm *vm);

/*
 * ACPI fixed hardware (ACPI 6.4, 4.8.3): PM1a event and control blocks, PM
 * timer, power button; port 0xcf9 is the PCI host bridge's.
 */
__must_check int acpi_pm_new(struct vm *vm, struct acpi_pm **ret);

/* Press the power button: the guest sees it if it listens. Any thread. */
void acpi_pm_power_button(struct acpi_pm *pm);

#endif
