/* SPDX-License-Identifier: MIT */
/* Options of the sub-commands that talk to a running guest. */
#ifndef FERRY_VMM_CLI_REMOTE_H
#define FERRY_VMM_CLI_REMOTE_H

#include <stdbool.h>

#include "vmm/guest/config_field.h"

struct plain_options {
	bool json;
};

struct shutdown_options {
	bool wait;
};

struct resume_options {
	bool force;
};

extern const struct field resume_fields[];
extern const size_t resume_nr_fields;
extern const struct field plain_fields[];
extern const size_t plain_nr_fields;
extern const struct field shutdown_fields[];
extern const size_t shutdown_nr_fields;

#endif
