/* SPDX-License-Identifier: MIT */
/* The nics of a guest that runs: found, limited, plugged and unplugged. Main thread. */
#ifndef FERRY_VMM_GUEST_MACHINE_NICS_H
#define FERRY_VMM_GUEST_MACHINE_NICS_H

#include <stdbool.h>
#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"
#include "virtio/net.h"
#include "vmm/device.h"

struct machine;
struct net_helper;

/*
 * What comes with a nic for a running guest, whose process opens nothing itself. Any of it
 * may be wrong. For user networking there is the number alone.
 */
struct machine_nic_given {
	const int *fds; /* queues of its tap: the caller's, and copied */
	unsigned nr_fds;
	unsigned host_mtu;
	struct net_helper *helper; /* the nic's if it is made, and then to be forgotten here */
	unsigned number;           /* see nic_host.h; free, as machine_check_nic() chose it */
};

/* What a nic would be called; see nic_host.h for the number. */
struct machine_nic_plan {
	char id[DEVICE_ID_BYTES];
	char mac[MAC_TEXT_BYTES];
	unsigned number;
};

/*
 * Could there be a nic that is what --net @text says? 0 with what is chosen for it, so
 * that it can be opened; nothing is kept. Or -errno with @e: there is already a device of its
 * id or MAC address, there are as many nics as there can be, no slot is free, devices
 * cannot come now.
 */
__must_check int machine_check_nic(struct machine *m, const char *text,
				   struct machine_nic_plan *ret, struct err *e);

/* Has no nic this number? */
bool machine_nic_number_is_free(const struct machine *m, unsigned number);

/*
 * The nic called @id; NULL: the only one. Its number, for machine_nic() and the
 * settings; -ENOENT or -EINVAL with @e.
 */
__must_check int machine_find_nic(const struct machine *m, const char *id, struct err *e);

/*
 * Nic @i has these limits from now on, also after a save or on another host: the settings
 * change, so nobody may be reading them (run_mover.busy). 0 or -errno with @e.
 */
__must_check int machine_set_nic_rates(struct machine *m, size_t i, const struct net_rate *rx,
				       const struct net_rate *tx, struct err *e);

/*
 * Put its cable in or take it out, which is saved with the guest. 0, or -errno with @e:
 * -EIO where the host's interface is gone.
 */
__must_check int machine_set_nic_link(struct machine *m, size_t i, bool up, struct err *e);

#endif
