/* SPDX-License-Identifier: MIT */
/* The part of the DSDT about hotplug: one device and its methods for each PCI slot. */
#ifndef FERRY_VMM_ACPI_SLOTS_H
#define FERRY_VMM_ACPI_SLOTS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Theory of operation
 *
 * A DSDT is a list of terms, so what is written here goes behind the terms that dsdt.asl was
 * compiled to. It is put together when a guest is set up, because each slot costs the
 * guest's boot: its kernel makes several objects of each. For n slots, in ASL:
 *
 *     Scope (\_SB.PCI0) {
 *         OperationRegion (HPRG, SystemIO, PORT_HOTPLUG, 16)   devices/acpi_hotplug.h
 *         Field (HPRG, DWordAcc, NoLock, WriteAsZeros) {
 *             PCUP, 32, PCDN, 32, PCEJ, 32, PCST, 32
 *         }
 *         Device (S01) {
 *             Name (_ADR, 0x00010000)
 *             Name (_SUN, 1)
 *             Method (_EJ0, 1, Serialized) { PCEJ = 0x02 }
 *             Method (_OST, 3, Serialized) {
 *                 PCST = (Arg0 & 0xFFFF) << 8 | (Arg1 & 0xFF) | 0x01000000
 *             }
 *         }
 *         ...
 *         Method (HPEV, 0, Serialized) {
 *             Local0 = PCUP, PCUP = Local0, Local1 = PCDN, PCDN = Local1
 *             If (Local0 & 1) { Notify (\_SB.PCI0, 0) }
 *             If (Local0 & 0x01FE) {
 *                 If (Local0 & 0x02) { Notify (S01, 1) }
 *                 ...
 *             }
 *             ... the next eight slots, and the same for Local1 with the value 3
 *         }
 *     }
 *     Scope (\_GPE) { Method (_E01, 0, Serialized) { \_SB.PCI0.HPEV () } }
 *
 * Straight-line on purpose, as all of the DSDT. A method is marked as serialized, which it
 * is as a GPE's anyway, because Linux otherwise reads all of it at the boot to see whether it
 * should be. Slots are asked for by eights, so that an event's time does not grow with them.
 *
 * Source: ACPI 6.4, 20.2 (encoding), 6.3 and 5.6.4 (what the methods mean).
 */
#define ACPI_SLOTS_MAX_BYTES 4096U

/*
 * Write the terms for the slots 1 to @nr (at most PCI_MAX_HOT_SLOTS) to @buf, which has
 * ACPI_SLOTS_MAX_BYTES. Returns their length; 0 for no slots.
 */
size_t acpi_slots_write(uint8_t *buf, unsigned nr);

#endif
