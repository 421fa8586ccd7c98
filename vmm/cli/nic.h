/* SPDX-License-Identifier: MIT */
/* `ferry nic`: the actions that have a file of their own. */
#ifndef FERRY_VMM_CLI_NIC_H
#define FERRY_VMM_CLI_NIC_H

#include "vmm/cli/device.h"

/* Each a device_action. */
__must_check int nic_attach(const struct device_call *c);
__must_check int nic_detach(const struct device_call *c);

#endif
