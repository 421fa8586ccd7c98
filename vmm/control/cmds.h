/* SPDX-License-Identifier: MIT */
/* What the control socket of a guest offers. */
#ifndef FERRY_VMM_CONTROL_CMDS_H
#define FERRY_VMM_CONTROL_CMDS_H

#include "vmm/control/control.h"

/* Its commands expect a struct run as the opaque pointer. */
extern const struct control_table control_guest_table;

/* The command ferry-info, which has a file of its own. */
int control_cmd_info(struct control_call *c);

#endif
