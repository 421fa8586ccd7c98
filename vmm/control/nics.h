/* SPDX-License-Identifier: MIT */
/* The control socket's commands for the nics of a guest that runs. */
#ifndef FERRY_VMM_CONTROL_NICS_H
#define FERRY_VMM_CONTROL_NICS_H

#include "vmm/control/control.h"

/* ferry-nics: each nic, where it is, what it is behind, its limits and counters. */
int control_cmd_nics(struct control_call *c);

/* ferry-nic-limits: other limits from now on. */
int control_cmd_nic_limits(struct control_call *c);
extern const struct control_arg control_nic_limits_args[];

/* ferry-nic-check: what would a nic be called, and could there be one? */
int control_cmd_nic_check(struct control_call *c);
extern const struct control_arg control_nic_check_args[];

/* device_add of a nic. */
int control_add_nic(struct control_call *c);

/* set_link: QMP's. */
int control_cmd_set_link(struct control_call *c);
extern const struct control_arg control_set_link_args[];

#endif
