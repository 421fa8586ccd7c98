/* SPDX-License-Identifier: MIT */
/* Options of `ferry dump-core`. */
#ifndef FERRY_VMM_CLI_DUMP_H
#define FERRY_VMM_CLI_DUMP_H

#include "vmm/guest/config_field.h"

extern const struct field dump_fields[];
extern const size_t dump_nr_fields;

#endif
