/* SPDX-License-Identifier: MIT */
/* Sub-commands that have no option but --json. */
#ifndef FERRY_VMM_CLI_REMOTE_H
#define FERRY_VMM_CLI_REMOTE_H

#include <jansson.h>
#include <stdbool.h>

#include "vmm/cli/cli.h"
#include "vmm/guest/config_field.h"

struct plain_options {
	bool json;
};

extern const struct field plain_fields[];
extern const size_t plain_nr_fields;

/*
 * All of a sub-command that is one command to one guest: @command with @args, which it
 * releases, and with --json the reply. Returns the exit status.
 */
int remote_execute(const struct cli *cli, const char *command, json_t *args);

#endif
