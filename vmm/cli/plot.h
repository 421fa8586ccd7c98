/* SPDX-License-Identifier: MIT */
/* Options of `ferry plot`. */
#ifndef FERRY_VMM_CLI_PLOT_H
#define FERRY_VMM_CLI_PLOT_H

#include "vmm/guest/config_field.h"

extern const struct field plot_fields[];
extern const size_t plot_nr_fields;

#endif
