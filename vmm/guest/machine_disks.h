/* SPDX-License-Identifier: MIT */
/* The disks of a guest that runs: found, enlarged, limited. Main thread. */
#ifndef FERRY_VMM_GUEST_MACHINE_DISKS_H
#define FERRY_VMM_GUEST_MACHINE_DISKS_H

#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"
#include "virtio/blk.h"

struct machine;

/* The number of the disk called @id, for machine_disk() and the settings; -ENOENT with @e. */
__must_check int machine_find_disk(const struct machine *m, const char *id, struct err *e);

/*
 * Enlarge disk @i, see blk_resize(); give it other limits, all zeroes for none. The guest
 * stands still for a moment. Its settings change as well, so nobody may be reading
 * them (run_check_idle()). 0 or -errno with @e.
 */
__must_check int machine_resize_disk(struct machine *m, size_t i, uint64_t bytes, struct err *e);
__must_check int machine_limit_disk(struct machine *m, size_t i, const struct blk_limits *limits,
				    struct err *e);

#endif
