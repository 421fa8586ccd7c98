/* SPDX-License-Identifier: MIT */
/* Options of the sub-commands that stop, start and poke guests. */
#ifndef FERRY_VMM_CLI_POWER_H
#define FERRY_VMM_CLI_POWER_H

#include "vmm/guest/config_field.h"

extern const struct field guests_fields[];
extern const size_t guests_nr_fields;
extern const struct field resume_fields[];
extern const size_t resume_nr_fields;
extern const struct field shutdown_fields[];
extern const size_t shutdown_nr_fields;

#endif
