/* SPDX-License-Identifier: MIT */
/* What a machine's state is made of. */
#ifndef FERRY_VMM_VM_STATE_IMPL_H
#define FERRY_VMM_VM_STATE_IMPL_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/vstate.h"
#include "vmm/vcpu_state.h"
#include "vmm/vm.h"

/*
 * Clocks as they were when the guest was paused. Timers were read later: theirs
 * run on in KVM while the vCPUs stand.
 */
struct vm_clock_state {
	uint64_t kvmclock_ns;
	uint64_t realtime_ns;
	uint64_t stood_ns; /* since the pause, when all this was read */
	uint32_t tsc_khz;  /* 0: unknown */
	uint32_t nr_vcpus;
	uint64_t tsc[VM_MAX_VCPUS];
	uint64_t tsc_deadline[VM_MAX_VCPUS]; /* IA32_TSC_DEADLINE; 0: not armed */
};

struct vm_irqchip_state {
	struct kvm_pic_state pic[2]; /* master, slave */
	struct kvm_ioapic_state ioapic;
	struct kvm_pit_state2 pit;
};

struct vm_state {
	unsigned nr_vcpus;
	bool has_clock, has_irqchip;
	bool has_vcpu[VM_MAX_VCPUS];
	struct vm_clock_state clock;
	uint64_t loaded_ns; /* CLOCK_MONOTONIC, when clock came; 0: it was not loaded */
	struct vm_irqchip_state irqchip;
	struct vcpu_state vcpus[]; /* without the MSRs that are in clock */
};

#endif
