/* SPDX-License-Identifier: MIT */
/* One vCPU: its thread, its exits, its state. */
#ifndef FERRY_VMM_VCPU_H
#define FERRY_VMM_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "vmm/kvm.h"
#include "vmm/vcpu_throttle.h"

struct vm;

#define VCPU_EXIT_REASONS 64

struct vcpu {
	/* const after vcpu_new() */
	struct vm *vm;
	unsigned id; /* also its APIC id */
	struct kvm_vcpu kvm;
	struct vcpu_state *power_on; /* for reset */
	int stats_fd;                /* see kvm_stats.h; -1: this KVM has none */

	pthread_t thread; /* valid once started */
	_Atomic int tid;  /* the kernel's number of it; 0 until it runs */
	bool started;     /* vm.lock */
	bool frozen;      /* vm.lock: parked, whatever the others do */

	struct vcpu_throttle throttle; /* vCPU thread only */

	/* Written by the vCPU's thread, read by anyone: relaxed counters. */
	_Atomic uint64_t exits[VCPU_EXIT_REASONS];
};

/* Create vCPU @id in power-on state, CPUID set. 0 or -errno. */
__must_check int vcpu_new(struct vm *vm, unsigned id, struct vcpu **ret);

/* Free a vCPU whose thread has ended or never started. NULL: no-op. */
void vcpu_free(struct vcpu *vcpu);

/* Start its thread, which runs the guest unless the VM is paused. With vm.lock held. */
__must_check int vcpu_start(struct vcpu *vcpu);

/* Make KVM_RUN return with -EINTR, now or when it is next called. Any thread. */
void vcpu_kick(struct vcpu *vcpu);

/* Back to power-on state; the vCPU is parked. */
__must_check int vcpu_reset(struct vcpu *vcpu);

#endif
