/* SPDX-License-Identifier: MIT */
/* What `ferry net` does, in ferry-net. */
#ifndef FERRY_VMM_NETWORK_COMMAND_H
#define FERRY_VMM_NETWORK_COMMAND_H

struct cli;

/* Do what the command line says; returns the exit status. */
int network_command(const struct cli *cli);

#endif
