/* SPDX-License-Identifier: MIT */
/* The control socket's commands about teleport: arguments to options, and back. */
#ifndef FERRY_VMM_CONTROL_MIGRATE_H
#define FERRY_VMM_CONTROL_MIGRATE_H

#include "vmm/control/control.h"

/* Of migrate; the rest take none. */
extern const struct control_arg control_migrate_args[];

/* The commands that are called so. */
int control_cmd_migrate(struct control_call *c);
int control_cmd_query_migrate(struct control_call *c);
int control_cmd_migrate_report(struct control_call *c);
int control_cmd_migrate_cancel(struct control_call *c);
int control_cmd_migrate_continue(struct control_call *c);

/* cont's part: with "force" true it ends SOURCE_UNKNOWN. */
int control_force_resume(struct control_call *c);

#endif
