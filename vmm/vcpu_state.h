/* SPDX-License-Identifier: MIT */
/* All of a vCPU's state that a guest can see, taken and put back. */
#ifndef FERRY_VMM_VCPU_STATE_H
#define FERRY_VMM_VCPU_STATE_H

#include <linux/kvm.h>
#include <stdint.h>

#include "util/compiler.h"
#include "vmm/kvm.h"

#define VCPU_MAX_MSRS 256

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	uint32_t mp_state;
	uint32_t nr_msrs;
	struct kvm_msr_entry msrs[VCPU_MAX_MSRS];
};

/*
 * Read the state of a vCPU that is not running. @list names the MSRs to read;
 * those that KVM lists but does not let one read are left out. 0 or -errno.
 */
__must_check int vcpu_state_get(struct kvm_vcpu *vcpu, const struct kvm_msr_list *list,
				struct vcpu_state *ret);

/*
 * Write it back. MSRs that this KVM refuses are skipped. 0 or -errno.
 */
__must_check int vcpu_state_set(struct kvm_vcpu *vcpu, const struct vcpu_state *state);

/*
 * Leave out of @state what a reset does not touch: the time stamp counter
 * goes on, as on hardware (SDM vol. 3, table 9-1).
 */
void vcpu_state_forget_tsc(struct vcpu_state *state);

#endif
