/* SPDX-License-Identifier: MIT */
/* Inside the machine: what its two files share. */
#ifndef FERRY_VMM_GUEST_MACHINE_IMPL_H
#define FERRY_VMM_GUEST_MACHINE_IMPL_H

#include "vmm/guest/machine.h"
#include "vmm/guest/net_helper.h"
#include "vmm/loop.h"

struct vm_state;

struct machine {
	/* const after machine_new() */
	const struct config *cfg;
	struct loop *loop;
	struct console *con;
	struct machine_listener listener;
	struct boot *boot;
	struct vm *vm;
	struct pci_host *pci; /* the vm's */
	struct acpi_pm *pm;   /* the vm's */
	struct loop *io_loop; /* works the small virtio devices; NULL: there are none */

	/* the vm's, const after machine_new(); NULL: not there */
	struct virtio_dev *disks[CONFIG_MAX_DISKS];
	struct virtio_dev *nics[CONFIG_MAX_NICS];
	struct virtio_dev *balloon;

	struct net_helper helper; /* of nics that need privilege; main thread */

	struct vm_state *state; /* what was loaded; NULL after the start */
	enum machine_clock clock;
	bool arriving;    /* its state comes from elsewhere, and has not been started */
	const char *held; /* why nobody may touch it now: it is being saved; NULL: not held */
	bool started, ended;
	bool crashed; /* an event of the VM stands until it is reset */
	bool paused;  /* by the user */
	uint64_t start_ns;
	uint64_t boot_ns; /* of the last start or reset */
	struct loop_timer restart;
};

/* The platform's fixed devices and the PCI bus. 0 or -errno with @e. */
__must_check int machine_add_platform(struct machine *m, struct err *e);

/* The devices that the settings ask for. 0 or -errno with @e. */
__must_check int machine_add_devices(struct machine *m, struct err *e);

#endif
