/* SPDX-License-Identifier: MIT */
/* The guest-physical address map: every fixed address of the machine. */
#ifndef FERRY_VMM_MEMMAP_H
#define FERRY_VMM_MEMMAP_H

#include <stdint.h>

#include "util/compiler.h"

/*
 *   0 ........... RAM (0xa0000-0xfffff backed, but reserved in e820)
 *   3 GiB ....... PCI memory window (BARs)
 *   0xe0000000 .. ECAM, one bus
 *   0xfec00000 .. IOAPIC, LAPIC, and KVM's own pages below 4 GiB
 *   4 GiB ....... the rest of RAM
 */
#define MAP_LOW_RAM_END    0xc0000000ULL
#define MAP_HIGH_RAM_START 0x100000000ULL

#define MAP_PCI_WINDOW       0xc0000000ULL
#define MAP_PCI_WINDOW_BYTES 0x20000000ULL
#define MAP_ECAM             0xe0000000ULL
#define MAP_ECAM_BYTES       (1 * MIB) /* bus 0: 32 devices of 8 functions, 4 KiB each */

#define MAP_IOAPIC          0xfec00000U
#define MAP_LAPIC           0xfee00000U
#define MAP_KVM_PAGES       0xfffbc000ULL /* identity map and TSS: KVM's, see kvm.c */
#define MAP_KVM_PAGES_BYTES 0x4000ULL

/* Below 1 MiB: where PCs keep these things. */
#define MAP_EBDA       0x9fc00ULL
#define MAP_ISA_HOLE   0xa0000ULL
#define MAP_ACPI       0xe0000ULL /* RSDP and tables, inside the range that guests scan */
#define MAP_ACPI_BYTES 0x20000ULL
#define MAP_1M         0x100000ULL

/* Ports and GSIs of the platform devices. */
#define PORT_I8042_DATA   0x60
#define PORT_I8042_STATUS 0x64
#define PORT_RTC          0x70
#define PORT_SERIAL       0x3f8
#define PORT_PM1A_EVT     0x600
#define PORT_PM1A_CNT     0x604
#define PORT_PM_TMR       0x608
#define PORT_GPE0         0x620
#define PORT_HOTPLUG      0x640
#define PORT_RESET        0xcf9
#define PORT_DEBUG_EXIT   0xf4
#define PORT_PVPANIC      0x505

#define GSI_SERIAL    4
#define GSI_RTC       8
#define GSI_SCI       9
#define GSI_PCI_FIRST 16 /* INTx of PCI device n: 16 + n % 8 */
#define GSI_PCI_COUNT 8
/*
 * PCI devices 1 to nr can come and go while the guest runs (bit n: device n); device 0 is
 * the host bridge.
 */
#define PCI_HOT_SLOTS(nr) ((uint32_t)((2ULL << (nr)) - 2))
#define PCI_MAX_HOT_SLOTS 31U
#define PCI_STD_HOT_SLOTS 8U

#define GSI_MSI_FIRST 24 /* beyond the IOAPIC's inputs */

#endif
