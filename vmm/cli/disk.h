/* SPDX-License-Identifier: MIT */
/* `ferry disk`: the actions that have a file of their own. */
#ifndef FERRY_VMM_CLI_DISK_H
#define FERRY_VMM_CLI_DISK_H

#include "vmm/cli/device.h"

/* Each a device_action. */
__must_check int disk_attach(const struct device_call *c);
__must_check int disk_detach(const struct device_call *c);

#endif
