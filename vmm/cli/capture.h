/* SPDX-License-Identifier: MIT */
/* Options of `ferry capture`. */
#ifndef FERRY_VMM_CLI_CAPTURE_H
#define FERRY_VMM_CLI_CAPTURE_H

#include "vmm/guest/config_field.h"

extern const struct field capture_fields[];
extern const size_t capture_nr_fields;

#endif
