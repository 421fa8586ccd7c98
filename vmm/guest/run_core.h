/* SPDX-License-Identifier: MIT */
/* Cores of guests that have crashed, or that are kept by --on-... rename-restart. */
#ifndef FERRY_VMM_GUEST_RUN_CORE_H
#define FERRY_VMM_GUEST_RUN_CORE_H

#include <stdbool.h>

struct config;
struct run;

/*
 * Begin to write the guest, which is over, to a file of its own in the settings' dump
 * directory. True: the machine is held until that is done. Main loop.
 */
bool run_keep_core(struct run *run, const struct config *cfg);

#endif
