/* SPDX-License-Identifier: MIT */
/* All of a vCPU's state that a guest can see, taken and put back. */
#ifndef FERRY_VMM_VCPU_STATE_H
#define FERRY_VMM_VCPU_STATE_H

#include <linux/kvm.h>
#include <stdint.h>

#include "util/compiler.h"
#include "vmm/kvm.h"

#define VCPU_MAX_MSRS    512U
#define VCPU_XSAVE_BYTES 16384U /* AMX needs 11 KiB */

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	uint32_t mp_state;
	uint32_t nr_msrs;
	struct kvm_msr_entry msrs[VCPU_MAX_MSRS];
	uint32_t xsave_bytes;
	uint8_t xsave[VCPU_XSAVE_BYTES];
};

/*
 * Read the state of a vCPU that is not running, @xsave_bytes (kvm_xsave_bytes())
 * of its FPU. @list names the MSRs to read; those that KVM lists but does not let
 * one read are left out. 0 or -errno; -E2BIG where KVM has more state than there
 * is room for.
 */
__must_check int vcpu_state_get(struct kvm_vcpu *vcpu, const struct kvm_msr_list *list,
				uint32_t xsave_bytes, struct vcpu_state *ret);

/* What KVM did not take. */
struct vcpu_state_refusal {
	const char *registers; /* "LAPIC"; NULL: none of these */
	const struct kvm_msr_entry
		*msr; /* the first that is not 0, of the state that was written */
};

/*
 * Write it back. MSRs that this KVM refuses are skipped; @ret (NULL: nobody wants
 * to know) tells. 0, or -errno where it refuses something else.
 */
__must_check int vcpu_state_set(struct kvm_vcpu *vcpu, const struct vcpu_state *state,
				struct vcpu_state_refusal *ret);

/* Take an MSR out of @state. Its value, or @none where it is not there. */
uint64_t vcpu_state_take_msr(struct vcpu_state *state, uint32_t index, uint64_t none);

/*
 * Leave out of @state what a reset does not touch: the time stamp counter
 * goes on, as on hardware (SDM vol. 3, table 9-1).
 */
void vcpu_state_forget_tsc(struct vcpu_state *state);

#endif
