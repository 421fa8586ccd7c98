/* SPDX-License-Identifier: MIT */
/* `ferry restore`: a guest out of a saved file. */
#ifndef FERRY_VMM_MOVE_RESTORE_H
#define FERRY_VMM_MOVE_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config_field.h"
#include "vmm/sandbox/sandbox.h"

enum restore_clock { RESTORE_CLOCK_REAL, RESTORE_CLOCK_CONTINUE };

struct restore_options {
	char *name;
	struct field_list maps; /* of char * */
	bool new_macs;
	unsigned clock; /* enum restore_clock */
	char *console;
	bool paused, ephemeral, hugepages;
	unsigned timeout_s;
	struct sandbox_options sandbox;
	bool json, verbose;
};

extern const struct field restore_fields[];
extern const size_t restore_nr_fields;

/* Run the guest in @path to its end. The exit status, as run_guest(), or -errno with @e. */
__must_check int restore_guest(const char *path, const struct restore_options *options,
			       struct err *e);

#endif
