/* SPDX-License-Identifier: MIT */
/* A machine's clocks and timers: taken at one moment, started at another. */
#ifndef FERRY_VMM_VM_CLOCK_H
#define FERRY_VMM_VM_CLOCK_H

#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

struct vm;
struct vm_clock_state;
struct vm_state;

/*
 * Read kvmclock and the time stamp counters of the paused machine, and set them back
 * to the moment of the pause. 0 or -errno.
 */
__must_check int vm_clock_get(struct vm *vm, struct vm_clock_state *ret);

/*
 * Let the time stamp counters run at the frequency that the guest knows: -ENOTSUP
 * if this host's do not and KVM cannot scale them. What else is doubtful is
 * logged. 0 or -errno.
 */
__must_check int vm_clock_set(struct vm *vm, const struct vm_clock_state *clock, struct err *e);

/* Write clocks and timers as they are @elapsed_ns after the pause. 0 or -errno. */
__must_check int vm_clock_start(struct vm *vm, const struct vm_state *st, uint64_t elapsed_ns);

#endif
