/* SPDX-License-Identifier: MIT */
/* What the control socket of a guest offers. */
#ifndef FERRY_VMM_CONTROL_CMDS_H
#define FERRY_VMM_CONTROL_CMDS_H

#include "vmm/control/control.h"

/* Its commands expect a struct run as the opaque pointer. */
extern const struct control_table control_guest_table;

/* Its events. */
extern const struct control_event_info control_guest_events[];

/* The commands of the table, and the arguments of those that take some. */
int control_cmd_query_status(struct control_call *c);
int control_cmd_query_name(struct control_call *c);
int control_cmd_query_cpus(struct control_call *c);
int control_cmd_pin(struct control_call *c);
int control_cmd_stop(struct control_call *c);
int control_cmd_cont(struct control_call *c);
int control_cmd_powerdown(struct control_call *c);
int control_cmd_reset(struct control_call *c);
int control_cmd_quit(struct control_call *c);
int control_cmd_reboot(struct control_call *c);
int control_cmd_rename(struct control_call *c);
int control_cmd_nmi(struct control_call *c);
int control_cmd_sysrq(struct control_call *c);
int control_cmd_query_balloon(struct control_call *c);
int control_cmd_balloon(struct control_call *c);
int control_cmd_console(struct control_call *c);
int control_cmd_save(struct control_call *c);
int control_cmd_save_finish(struct control_call *c);
int control_cmd_info(struct control_call *c);
int control_cmd_device_add(struct control_call *c);
int control_cmd_device_del(struct control_call *c);

extern const struct control_arg control_cont_args[];
extern const struct control_arg control_balloon_args[];
extern const struct control_arg control_save_args[];
extern const struct control_arg control_console_args[];
extern const struct control_arg control_sysrq_args[];
extern const struct control_arg control_pin_args[];
extern const struct control_arg control_rename_args[];
extern const struct control_arg control_device_add_args[];
extern const struct control_arg control_device_del_args[];

#endif
