/* SPDX-License-Identifier: MIT */
/* The nics of a guest that runs: found, limited, plugged and unplugged. Main thread. */
#ifndef FERRY_VMM_GUEST_MACHINE_NICS_H
#define FERRY_VMM_GUEST_MACHINE_NICS_H

#include <stdbool.h>
#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"
#include "virtio/net.h"

struct machine;

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
