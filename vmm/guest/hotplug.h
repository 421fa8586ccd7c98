/* SPDX-License-Identifier: MIT */
/* Devices that come and go while the guest runs. */
#ifndef FERRY_VMM_GUEST_HOTPLUG_H
#define FERRY_VMM_GUEST_HOTPLUG_H

#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

struct block_given;
struct machine;
struct machine_nic_given;

/*
 * Theory of operation
 *
 * Plug: the settings are appended to the machine's config, the device is made and put into a
 * free slot of those for hotplug (config.hotplug_slots), and the guest is told
 * (devices/acpi_hotplug.h). It may also be paused, or not care.
 *
 * Unplug: the guest is asked. When it ejects the slot (on a vCPU's thread), the
 * device is hidden from it at once, and the main loop is told; that resets the device, which
 * leaves nothing of it in flight, frees it with the vCPUs parked, takes its settings out of
 * the config, and tells DEVICE_DELETED. A reset of the guest ends a pending request the
 * same way: who starts anew has let go of everything. By force the guest is not asked,
 * but told afterwards. A guest that says that it will not let go of the device (_OST) keeps it:
 * the request is over, and DEVICE_UNPLUG_GUEST_ERROR is told.
 *
 * The guest's device list is part of what travels, so neither is begun while somebody
 * moves or saves the guest, from his start to his end (machine_set_moving()). A guest
 * that ejects a device meanwhile is believed, but the device stays, hidden, until that is
 * over: here, or at the destination, as "ejected" is part of the state. The request
 * travels as well. So does the slot of each device (guest/spec.c: "slots").
 *
 * Indexes of machine_disk() and machine_nic() are those of the config's lists. When an
 * item goes, those behind it move up: no index or pointer into a list survives the
 * return to the main loop, but of one who moves the guest.
 *
 * All on the main thread.
 */
enum machine_plug_kind { MACHINE_PLUG_DISK, MACHINE_PLUG_NIC, MACHINE_PLUG_RNG };

struct machine_plug {
	enum machine_plug_kind kind;
	const char *text; /* what --disk or --net takes; not used for an entropy device */
	const struct machine_nic_given *nic; /* what came with a nic, see machine_nics.h */
	struct block_given *disk;            /* the image of a disk, which is taken over */
};

/*
 * Make the device and show it to the guest. 0 with its id in *@ret_id (the config's, until
 * the device goes), or -errno with @e and nothing changed: -EBUSY while the guest is being
 * moved, saved or looked at, or has not arrived; -ENOSPC: no slot is free.
 */
__must_check int machine_plug(struct machine *m, const struct machine_plug *plug,
			      const char **ret_id, struct err *e);

/*
 * Ask the guest to let go of the device @id, or, with @force, take it away without asking: what
 * it was doing is lost. Without it, the guest may take its time, or never do it; asking
 * again reminds it. DEVICE_DELETED is told in the end, by force before this returns. 0, or
 * -errno with @e: -ENOENT: there is no such device; -ENOTSUP: it is in a slot that
 * is not for that; -EBUSY as above.
 */
__must_check int machine_unplug(struct machine *m, const char *id, bool force, struct err *e);

/* The PCI slot of the device @id; 0: there is none. */
unsigned machine_slot(struct machine *m, const char *id);

/*
 * From now on nothing may come or go, since @why: "the guest is being moved". NULL: that
 * is over; what the guest has ejected meanwhile is taken away.
 */
void machine_set_moving(struct machine *m, const char *why);

#endif
