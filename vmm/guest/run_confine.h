/* SPDX-License-Identifier: MIT */
/* What a guest's process needs of the host's files when it is confined. */
#ifndef FERRY_VMM_GUEST_RUN_CONFINE_H
#define FERRY_VMM_GUEST_RUN_CONFINE_H

#include "util/compiler.h"
#include "util/err.h"

struct config;

/*
 * Tell vmm/sandbox/ which files go with the guest and what it still has to reach, and refuse
 * what cannot be had together. A relative --dump-dir becomes absolute. After sandbox_begin(),
 * before there is a thread. 0, or -errno with @e.
 */
__must_check int run_plan_confinement(struct config *cfg, struct err *e);

/*
 * The same for another name that the guest may get, once it has one: @lock_fd is the
 * claim's.
 */
__must_check int run_plan_rename(const struct config *cfg, int lock_fd, struct err *e);

#endif
