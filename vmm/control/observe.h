/* SPDX-License-Identifier: MIT */
/* The control socket's commands that look into a guest. */
#ifndef FERRY_VMM_CONTROL_OBSERVE_H
#define FERRY_VMM_CONTROL_OBSERVE_H

#include "vmm/control/control.h"

/* Of dump-guest-memory; query-dump takes none. */
extern const struct control_arg control_dump_args[];

/* The commands that are called so. */
int control_cmd_dump(struct control_call *c);
int control_cmd_query_dump(struct control_call *c);
int control_cmd_metrics(struct control_call *c);

#endif
