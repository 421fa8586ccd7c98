/* SPDX-License-Identifier: MIT */
/* The control socket's command ferry-capture. */
#ifndef FERRY_VMM_CONTROL_CAPTURE_H
#define FERRY_VMM_CONTROL_CAPTURE_H

#include "vmm/control/control.h"

extern const struct control_arg control_capture_args[];

/* Send the frames of a nic to the socket that comes with the request. */
int control_cmd_capture(struct control_call *c);

#endif
