/* SPDX-License-Identifier: MIT */
/* What KVM itself counts of a VM or vCPU. */
#ifndef FERRY_VMM_KVM_STATS_H
#define FERRY_VMM_KVM_STATS_H

#include <stdint.h>

#include "util/compiler.h"

/*
 * Call @fn for each single number in the file @stats_fd of kvm_stats_open() (section 4.133 of
 * api.rst); histograms are left out. Nothing is stopped for it. 0 or -errno. Any
 * thread.
 */
__must_check int kvm_stats_read(int stats_fd,
				void (*fn)(void *opaque, const char *name, uint64_t value),
				void *opaque);

#endif
