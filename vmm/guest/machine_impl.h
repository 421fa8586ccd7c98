/* SPDX-License-Identifier: MIT */
/* Inside the machine: what its files share. */
#ifndef FERRY_VMM_GUEST_MACHINE_IMPL_H
#define FERRY_VMM_GUEST_MACHINE_IMPL_H

#include "net/netdev.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/net_helper.h"
#include "vmm/loop.h"
#include "vmm/vm.h"

struct block_given;
struct machine_nic_given;
struct vm_state;

/* As many as a disk has queues if nobody says. */
#define MACHINE_DISK_LOOPS 4U

/* What belongs to a nic besides its device and settings. */
struct machine_nic_host {
	struct net_helper helper; /* of one that needs privilege */
	unsigned number;          /* of the nic on the host, see nic_host.h */
};

/* A nic that is gone, and whose helper takes back what it did. */
struct machine_nic_leaving {
	struct machine *m;
	struct net_helper helper; /* running: the place is taken */
	struct loop_fd ended;
	char id[RUNTIME_NAME_MAX + 1];
};

struct machine {
	struct config *cfg; /* its devices: main thread; the rest const after machine_new() */
	/* const after machine_new() */
	struct loop *loop;
	struct console *con;
	struct machine_listener listener;
	struct boot *boot;
	struct vm *vm;
	struct pci_host *pci;          /* the vm's */
	struct acpi_pm *pm;            /* the vm's */
	uint64_t max_files;            /* that the process may have open */
	struct netdev_sockets sockets; /* of all user networks */
	struct loop *io_loop; /* works the small virtio devices; NULL: there were none yet */

	/* work the disks that come later; their threads start with the first of them */
	struct loop *disk_loops[MACHINE_DISK_LOOPS];
	unsigned nr_disk_loops;
	unsigned nr_disk_loops_run;

	/* the vm's, in the order of the settings; NULL: not there. See hotplug.h */
	struct virtio_dev *disks[CONFIG_MAX_DISKS];
	struct virtio_dev *nics[CONFIG_MAX_NICS];
	struct virtio_dev *balloon;

	/* main thread, both */
	struct machine_nic_host nic_hosts[CONFIG_MAX_NICS]; /* in the order of the settings */
	struct machine_nic_leaving nics_leaving[CONFIG_MAX_NICS];

	struct vm_state *state; /* what was loaded; NULL after the start */
	enum machine_clock clock;
	bool arriving;      /* its state comes from elsewhere, and has not been started */
	const char *held;   /* why nobody may touch it now: it is being saved; NULL: not held */
	const char *moving; /* why no device may come or go; NULL: one may */
	struct loop_work ejected_work, answered_work;
	bool started, ended;
	bool over;      /* off or crashed: an event of the VM stands until it is reset */
	bool crashed;   /* over by a crash */
	bool keeping;   /* its owner writes a core of it */
	bool rebooting; /* the user wants it to start again when it has switched itself off */
	enum guest_action next; /* of one that is over, once its core is written */
	enum machine_end next_end;
	bool paused;   /* by the user */
	bool debugged; /* gdb is attached: there may be breakpoints in its memory */
	uint64_t start_ns;
	uint64_t boot_ns; /* of the last start or reset */
	struct loop_timer restart;
};

/* Tell the control socket's clients; takes @data over. */
void machine_tell(struct machine *m, const char *name, json_t *data);

/*
 * Refuse what makes no sense for a guest that has crashed or ended, or must wait until it
 * is all here, or saved. 0 or -errno with @e.
 */
__must_check int machine_check_free(const struct machine *m, struct err *e);

enum machine_reset_by {
	MACHINE_RESET_BY_GUEST,
	MACHINE_RESET_BY_USER,
	MACHINE_RESET_AFTER_POWEROFF,
	MACHINE_RESET_AFTER_CRASH,
};

/* Power-on state and a fresh boot image; the vCPUs are parked. False: it has ended. */
bool machine_boot_again(struct machine *m, enum machine_reset_by by);

/* Nobody looks any more at a machine that is over: do what the user wants then. */
void machine_go_on(struct machine *m);

/* vm.on_event, and the restart timer's. */
void machine_on_event(void *opaque, enum vm_event event, unsigned code);
void machine_restart_now(void *opaque);

/* The platform's fixed devices and the PCI bus. 0 or -errno with @e. */
__must_check int machine_add_platform(struct machine *m, struct err *e);

/* The devices that the settings ask for. 0 or -errno with @e. */
__must_check int machine_add_devices(struct machine *m, struct err *e);

/*
 * One of them: disk or nic number @i of the settings, the entropy device. @given: what came
 * with it; NULL: it is opened here. 0 or -errno with @e.
 */
__must_check int machine_add_disk(struct machine *m, size_t i, struct block_given *given,
				  struct err *e);
__must_check int machine_add_nic(struct machine *m, size_t i, const struct machine_nic_given *given,
				 struct err *e);
__must_check int machine_add_rng(struct machine *m, struct err *e);

/* May devices come and go now? 0, or -EBUSY or -EINVAL with @e. */
__must_check int machine_check_changeable(const struct machine *m, struct err *e);

/* Is there a free slot for one more? 0, -ENOTSUP or -ENOSPC with @e. */
__must_check int machine_check_slot(const struct machine *m, struct err *e);

/* Ids of those that have no settings. */
#define MACHINE_RNG     "rng"
#define MACHINE_BALLOON "balloon"
#define MACHINE_CONSOLE "console"

/*
 * Loops for disks that come while the guest runs: made before the process is confined, since
 * it then can make no ring any more; started when they are needed; freed after the
 * devices. 0 or -errno with @e.
 */
__must_check int machine_make_disk_loops(struct machine *m, struct err *e);
__must_check int machine_run_disk_loops(struct machine *m, struct err *e);
void machine_free_disk_loops(struct machine *m);

/* Hotplug: the platform is there; the end; before the guest runs; its reset, vCPUs parked. */
void machine_hotplug_init(struct machine *m);
void machine_hotplug_fini(struct machine *m);
void machine_hotplug_start(struct machine *m);
void machine_hotplug_reset(struct machine *m);

/* Why the list of devices was fixed may be over: then take away what has been ejected. */
void machine_hotplug_changeable(struct machine *m);

/* --- machine_nics.c --- */

void machine_nics_init(struct machine *m);

/* The devices are gone: wait until nothing is left on the host, some seconds at most. */
void machine_nics_fini(struct machine *m);

/* What nic @i has on the host, handed over; those behind it move up. */
void machine_take_nic_host(struct machine *m, size_t i, struct machine_nic_host *ret);

/* The device is freed: let its helper take back what it did, and tell NIC_RELEASED. */
void machine_release_nic(struct machine *m, struct machine_nic_host *host, const char *id);

/* A number for nic @i that no other has. */
unsigned machine_free_nic_number(const struct machine *m, size_t i);

#endif
