/* SPDX-License-Identifier: MIT */
/* A file that is not complete yet goes with the command that is interrupted. */
#ifndef FERRY_VMM_CLI_GUARD_H
#define FERRY_VMM_CLI_GUARD_H

struct new_file;

/*
 * From now on SIGINT, SIGTERM and SIGHUP remove the name that @file has for the time being,
 * before they end the process. Where it has none, which is the rule, nothing changes. Once
 * in a process, which has one thread; @file stays where it is until the end.
 */
void cli_guard_file(const struct new_file *file);

#endif
