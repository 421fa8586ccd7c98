/* SPDX-License-Identifier: MIT */
/* The tables of saved state of the devices, for those who want all of them by name. */
#ifndef FERRY_DEVICES_VSTATE_H
#define FERRY_DEVICES_VSTATE_H

#include "migration/vstate.h"

/* Each stands beside the structure that it describes. */
extern const struct vstate_table serial_vstate;       /* serial.c */
extern const struct vstate_table rtc_vstate;          /* rtc.c */
extern const struct vstate_table acpi_pm_vstate;      /* acpi_pm.c */
extern const struct vstate_table acpi_hotplug_vstate; /* acpi_hotplug.c, in acpi_pm.c */
extern const struct vstate_table pci_host_vstate;     /* pci_host.c */
extern const struct vstate_table pci_vstate;          /* pci_state.c: any function */
extern const struct vstate_table msix_vstate;         /* msix.c */

#endif
