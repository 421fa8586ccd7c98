/* SPDX-License-Identifier: MIT */
/* The control socket's commands about a guest's disks: what they are, size, limits. */
#ifndef FERRY_VMM_CONTROL_DISKS_H
#define FERRY_VMM_CONTROL_DISKS_H

#include "vmm/control/control.h"

/* QMP's query-block, block_resize and block_set_io_throttle, as far as ferry has the thing. */
int control_cmd_query_block(struct control_call *c);
int control_cmd_block_resize(struct control_call *c);
int control_cmd_block_limits(struct control_call *c);

/* device_add of a virtio-blk-pci. */
int control_add_disk(struct control_call *c);

extern const struct control_arg control_block_resize_args[];
extern const struct control_arg control_block_limits_args[];

#endif
