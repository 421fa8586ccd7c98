// SPDX-License-Identifier: MIT
// All tables of saved state, by name.
#include <string.h>

#include "devices/vstate.h"
#include "migration/vstate.h"
#include "net/user_state.h"
#include "virtio/vstate.h"
#include "vmm/guest/state.h"
#include "vmm/move/state.h"
#include "vmm/vm_state.h"

const struct vstate_table *const state_tables[] = {
	&guest_machine_table,
	/* outside devices */
	&vm_clock_table,
	&vm_irqchip_table,
	&vm_vcpu_table,
	/* devices */
	&serial_vstate,
	&rtc_vstate,
	&acpi_pm_vstate,
	&pci_host_vstate,
	&pci_vstate,
	&msix_vstate,
	/* virtio */
	&virtio_pci_vstate,
	&vq_vstate,
	&blk_vstate,
	&overlay_vstate,
	&net_vstate,
	&user_vstate,
	&rng_vstate,
	&balloon_vstate,
	NULL,
};

const struct vstate_table *state_find_table(const char *name)
{
	for (size_t i = 0; state_tables[i]; i++) {
		if (!strcmp(state_tables[i]->name, name))
			return state_tables[i];
	}
	return NULL;
}
