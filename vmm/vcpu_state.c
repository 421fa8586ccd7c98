// SPDX-License-Identifier: MIT
// vCPU state: read and written in the order that KVM wants.
#include "vmm/vcpu_state.h"

#include <errno.h>
#include <string.h>

#define MSR_IA32_TSC        0x10
#define MSR_IA32_TSC_ADJUST 0x3b

struct msr_batch {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[VCPU_MAX_MSRS];
};

/* KVM stops at an MSR that it refuses: drop that one and ask again. */
static int get_msrs(struct kvm_vcpu *vcpu, const struct kvm_msr_list *list, struct vcpu_state *ret)
{
	struct msr_batch batch = { 0 };

	batch.head.nmsrs = MIN(list->nmsrs, (uint32_t)VCPU_MAX_MSRS);
	for (uint32_t i = 0; i < batch.head.nmsrs; i++)
		batch.entries[i].index = list->indices[i];
	for (;;) {
		int done = kvm_get_msrs(vcpu, &batch.head);
		uint32_t left;

		if (done < 0)
			return done;
		if ((uint32_t)done == batch.head.nmsrs)
			break;
		left = --batch.head.nmsrs - (uint32_t)done;
		memmove(&batch.entries[done], &batch.entries[done + 1],
			left * sizeof(batch.entries[0]));
	}
	ret->nr_msrs = batch.head.nmsrs;
	memcpy(ret->msrs, batch.entries, ret->nr_msrs * sizeof(ret->msrs[0]));
	return 0;
}

static int set_msrs(struct kvm_vcpu *vcpu, const struct vcpu_state *state)
{
	struct msr_batch batch = { 0 };
	uint32_t first = 0;

	while (first < state->nr_msrs) {
		int done;

		batch.head.nmsrs = state->nr_msrs - first;
		memcpy(batch.entries, &state->msrs[first],
		       batch.head.nmsrs * sizeof(batch.entries[0]));
		done = kvm_set_msrs(vcpu, &batch.head);
		if (done < 0)
			return done;
		first += (uint32_t)done;
		if (first < state->nr_msrs)
			first++; /* the one that was refused */
	}
	return 0;
}

int vcpu_state_get(struct kvm_vcpu *vcpu, const struct kvm_msr_list *list, struct vcpu_state *ret)
{
	int rc;

	/* MP state first: reading it makes KVM accept a pending INIT or SIPI. */
	if ((rc = kvm_get_mp_state(vcpu, &ret->mp_state)) < 0 ||
	    (rc = kvm_get_regs(vcpu, &ret->regs)) < 0 ||
	    (rc = kvm_get_sregs(vcpu, &ret->sregs)) < 0 ||
	    (rc = kvm_get_xsave(vcpu, &ret->xsave)) < 0 ||
	    (rc = kvm_get_xcrs(vcpu, &ret->xcrs)) < 0 ||
	    (rc = kvm_get_debugregs(vcpu, &ret->debugregs)) < 0 ||
	    (rc = kvm_get_lapic(vcpu, &ret->lapic)) < 0 ||
	    (rc = kvm_get_events(vcpu, &ret->events)) < 0)
		return rc;
	return get_msrs(vcpu, list, ret);
}

int vcpu_state_set(struct kvm_vcpu *vcpu, const struct vcpu_state *state)
{
	int rc;

	/* sregs sets the APIC base, which the LAPIC's registers and its timer
	 * MSRs need; events come after everything that could drop them. */
	if ((rc = kvm_set_sregs(vcpu, &state->sregs)) < 0 ||
	    (rc = kvm_set_regs(vcpu, &state->regs)) < 0 ||
	    (rc = kvm_set_xcrs(vcpu, &state->xcrs)) < 0 ||
	    (rc = kvm_set_xsave(vcpu, &state->xsave)) < 0 ||
	    (rc = kvm_set_debugregs(vcpu, &state->debugregs)) < 0 ||
	    (rc = kvm_set_lapic(vcpu, &state->lapic)) < 0 || (rc = set_msrs(vcpu, state)) < 0 ||
	    (rc = kvm_set_mp_state(vcpu, state->mp_state)) < 0)
		return rc;
	return kvm_set_events(vcpu, &state->events);
}

void vcpu_state_forget_tsc(struct vcpu_state *state)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < state->nr_msrs; i++) {
		uint32_t index = state->msrs[i].index;

		if (index != MSR_IA32_TSC && index != MSR_IA32_TSC_ADJUST)
			state->msrs[kept++] = state->msrs[i];
	}
	state->nr_msrs = kept;
}
