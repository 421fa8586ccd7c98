/* SPDX-License-Identifier: MIT */
/* ACPI tables: what the guest's firmware would have left in memory. */
#ifndef FERRY_VMM_ACPI_H
#define FERRY_VMM_ACPI_H

#include <stdint.h>

#include "util/compiler.h"
#include "vmm/gmem.h"

/*
 * Write RSDP, XSDT, FADT, FACS, MADT, MCFG and DSDT for @nr_vcpus vCPUs at
 * MAP_ACPI. The DSDT is dsdt.asl, compiled when ferry is built, and @nr_hot_slots slots
 * for hotplug (acpi_slots.h), without which there is no GPE block either. Both numbers are the
 * guest's, so that it finds the same tables wherever it runs. 0 with the RSDP's address, or
 * -errno. Source: ACPI 6.4, 5.2; PCI Firmware 3.3, 4.1.2 (MCFG).
 */
__must_check int acpi_write(struct gmem *gm, unsigned nr_vcpus, unsigned nr_hot_slots,
			    gpa_t *ret_rsdp_gpa);

#endif
