/* SPDX-License-Identifier: MIT */
/* Options of sub-commands that have no more than --json. */
#ifndef FERRY_VMM_CLI_REMOTE_H
#define FERRY_VMM_CLI_REMOTE_H

#include <stdbool.h>

#include "vmm/guest/config_field.h"

struct plain_options {
	bool json;
};

extern const struct field plain_fields[];
extern const size_t plain_nr_fields;

#endif
