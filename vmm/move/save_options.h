/* SPDX-License-Identifier: MIT */
/* Options of `ferry save`. */
#ifndef FERRY_VMM_MOVE_SAVE_OPTIONS_H
#define FERRY_VMM_MOVE_SAVE_OPTIONS_H

#include <stdbool.h>

#include "vmm/guest/config_field.h"

struct save_options {
	bool keep_running, force, json;
	unsigned compress; /* 0: none, 1: zstd */
};

extern const struct field save_fields[];
extern const size_t save_nr_fields;

#endif
