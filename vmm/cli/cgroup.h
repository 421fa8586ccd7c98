/* SPDX-License-Identifier: MIT */
/* The share of the host's CPUs that a process has: cgroup v2's cpu controller. */
#ifndef FERRY_VMM_CLI_CGROUP_H
#define FERRY_VMM_CLI_CGROUP_H

#include <limits.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

/* Where hosts mount it; the second with version 1 beside it. */
#define CGROUP_ROOTS                                                                               \
	{                                                                                          \
		"/sys/fs/cgroup", "/sys/fs/cgroup/unified"                                         \
	}

/*
 * The folder below @root of the cgroup with the cpu controller that the guest's process @pid
 * is in, with nobody but what it has started (the keeper, ferry-net, KVM's thread in the
 * kernel): by @membership, which is the text of /proc/PID/cgroup. 0, or -errno with what is
 * missing and the remedy in @e.
 */
__must_check int cgroup_find(const char *root, const char *membership, pid_t pid,
			     char ret_dir[PATH_MAX], struct err *e);

#define CGROUP_MAX_WEIGHT 10000U

/* cpu.weight: 1 to CGROUP_MAX_WEIGHT, 100 if nobody sets it. 0 or -errno with @e. */
__must_check int cgroup_get_weight(const char *dir, unsigned *ret, struct err *e);
__must_check int cgroup_set_weight(const char *dir, unsigned weight, struct err *e);

/* cpu.max as percents of one CPU; 0: no limit. 0 or -errno with @e. */
__must_check int cgroup_get_cap(const char *dir, unsigned *ret_percent, struct err *e);
__must_check int cgroup_set_cap(const char *dir, unsigned percent, struct err *e);

#endif
