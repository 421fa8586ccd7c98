/* SPDX-License-Identifier: MIT */
/* Options of the sub-commands about a guest's memory, CPUs and log. */
#ifndef FERRY_VMM_CLI_TUNE_H
#define FERRY_VMM_CLI_TUNE_H

#include "vmm/guest/config_field.h"

extern const struct field memory_fields[];
extern const size_t memory_nr_fields;
extern const struct field log_fields[];
extern const size_t log_nr_fields;

#endif
