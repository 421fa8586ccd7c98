/* SPDX-License-Identifier: MIT */
/* Rest for vCPUs: the guest runs for a part of the time only, so that memory can be sent. */
#ifndef FERRY_VMM_VCPU_THROTTLE_H
#define FERRY_VMM_VCPU_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/*
 * Theory of operation
 *
 * In each period of 10 ms a vCPU runs for its share, and rests for what is left. A
 * timer interrupts KVM_RUN when the share is used up, by the signal that also kicks
 * vCPUs; the vCPU then waits as one that is parked, for which a pause need not
 * wake it. While nothing is throttled there is no timer, and nothing to look at
 * between two KVM_RUNs.
 */
#define VCPU_THROTTLE_MAX 99U /* percent */

/* The vCPU's thread only. */
struct vcpu_throttle {
	timer_t timer;
	bool armed;       /* there is a timer */
	uint64_t turn_ns; /* when the share is used up; 0: no period has begun */
};

/*
 * KVM_RUN has come back: until when is the vCPU to rest, by its thread? 0: not at
 * all. @percent of the time is rest.
 */
uint64_t vcpu_throttle_rest(struct vcpu_throttle *t, unsigned percent);

/*
 * KVM_RUN comes next: have @signal sent to this thread, with @value, when its
 * share is used up. 0 or -errno.
 */
int vcpu_throttle_run(struct vcpu_throttle *t, unsigned percent, int signal, void *value);

/* The thread ends. */
void vcpu_throttle_fini(struct vcpu_throttle *t);

#endif
