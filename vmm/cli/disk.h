/* SPDX-License-Identifier: MIT */
/* Options of `ferry disk`. */
#ifndef FERRY_VMM_CLI_DISK_H
#define FERRY_VMM_CLI_DISK_H

#include "vmm/guest/config_field.h"

extern const struct field disk_cli_fields[];
extern const size_t disk_cli_nr_fields;

#endif
