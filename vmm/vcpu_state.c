// SPDX-License-Identifier: MIT
// vCPU state: read and written in the order that KVM wants.
#include "vmm/vcpu_state.h"

#include <errno.h>
#include <string.h>

#define MSR_IA32_TSC        0x10
#define MSR_IA32_TSC_ADJUST 0x3b

#define BATCH_MSRS 128U /* KVM takes fewer than 256 at once */

struct msr_batch {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[BATCH_MSRS];
};

/* KVM stops at an MSR that it refuses: leave that one out and go on behind it. */
static int get_msrs(struct kvm_vcpu *vcpu, const struct kvm_msr_list *list, struct vcpu_state *ret)
{
	struct msr_batch batch = { 0 };
	uint32_t next = 0;

	if (list->nmsrs > VCPU_MAX_MSRS)
		return -E2BIG;
	ret->nr_msrs = 0;
	while (next < list->nmsrs) {
		uint32_t count = MIN(list->nmsrs - next, BATCH_MSRS);
		int done;

		for (uint32_t i = 0; i < count; i++)
			batch.entries[i] =
				(struct kvm_msr_entry){ .index = list->indices[next + i] };
		batch.head.nmsrs = count;
		done = kvm_get_msrs(vcpu, &batch.head);
		if (done < 0)
			return done;
		memcpy(&ret->msrs[ret->nr_msrs], batch.entries,
		       (uint32_t)done * sizeof(ret->msrs[0]));
		ret->nr_msrs += (uint32_t)done;
		next += (uint32_t)done + ((uint32_t)done < count);
	}
	return 0;
}

static int set_msrs(struct kvm_vcpu *vcpu, const struct vcpu_state *state,
		    struct vcpu_state_refusal *refusal)
{
	struct msr_batch batch = { 0 };
	uint32_t next = 0;

	while (next < state->nr_msrs) {
		uint32_t count = MIN(state->nr_msrs - next, BATCH_MSRS);
		int done;

		memcpy(batch.entries, &state->msrs[next], count * sizeof(batch.entries[0]));
		batch.head.nmsrs = count;
		done = kvm_set_msrs(vcpu, &batch.head);
		if (done < 0)
			return done;
		next += (uint32_t)done;
		if ((uint32_t)done == count)
			continue;
		if (!refusal->msr && state->msrs[next].data)
			refusal->msr = &state->msrs[next];
		next++;
	}
	return 0;
}

int vcpu_state_get(struct kvm_vcpu *vcpu, const struct kvm_msr_list *list, uint32_t xsave_bytes,
		   struct vcpu_state *ret)
{
	int rc;

	if (xsave_bytes > sizeof(ret->xsave))
		return -E2BIG;
	ret->xsave_bytes = xsave_bytes;
	/* MP state first: reading it makes KVM accept a pending INIT or SIPI. */
	if ((rc = kvm_get_mp_state(vcpu, &ret->mp_state)) < 0 ||
	    (rc = kvm_get_regs(vcpu, &ret->regs)) < 0 ||
	    (rc = kvm_get_sregs(vcpu, &ret->sregs)) < 0 ||
	    (rc = kvm_get_xsave(vcpu, xsave_bytes, ret->xsave)) < 0 ||
	    (rc = kvm_get_xcrs(vcpu, &ret->xcrs)) < 0 ||
	    (rc = kvm_get_debugregs(vcpu, &ret->debugregs)) < 0 ||
	    (rc = kvm_get_lapic(vcpu, &ret->lapic)) < 0 ||
	    (rc = kvm_get_events(vcpu, &ret->events)) < 0)
		return rc;
	return get_msrs(vcpu, list, ret);
}

/* One group of registers; the first failure names it. */
static int tried(int rc, const char *registers, struct vcpu_state_refusal *refusal)
{
	if (rc < 0)
		refusal->registers = registers;
	return rc;
}

static int set_all(struct kvm_vcpu *vcpu, const struct vcpu_state *st,
		   struct vcpu_state_refusal *no)
{
	int rc;

	/* sregs sets the APIC base, which the LAPIC's registers and its timer
	 * MSRs need; events come after everything that could drop them. */
	if ((rc = tried(kvm_set_sregs(vcpu, &st->sregs), "special registers", no)) < 0 ||
	    (rc = tried(kvm_set_regs(vcpu, &st->regs), "registers", no)) < 0 ||
	    (rc = tried(kvm_set_xcrs(vcpu, &st->xcrs), "XCRs", no)) < 0 ||
	    (rc = tried(kvm_set_xsave(vcpu, st->xsave), "FPU", no)) < 0 ||
	    (rc = tried(kvm_set_debugregs(vcpu, &st->debugregs), "debug registers", no)) < 0 ||
	    (rc = tried(kvm_set_lapic(vcpu, &st->lapic), "LAPIC", no)) < 0 ||
	    (rc = tried(set_msrs(vcpu, st, no), "MSRs", no)) < 0 ||
	    (rc = tried(kvm_set_mp_state(vcpu, st->mp_state), "MP state", no)) < 0)
		return rc;
	return tried(kvm_set_events(vcpu, &st->events), "events", no);
}

int vcpu_state_set(struct kvm_vcpu *vcpu, const struct vcpu_state *state,
		   struct vcpu_state_refusal *ret)
{
	struct vcpu_state_refusal refusal = { 0 };
	int rc = set_all(vcpu, state, &refusal);

	if (ret)
		*ret = refusal;
	return rc;
}

uint64_t vcpu_state_take_msr(struct vcpu_state *state, uint32_t index, uint64_t none)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < state->nr_msrs; i++) {
		if (state->msrs[i].index == index)
			none = state->msrs[i].data;
		else
			state->msrs[kept++] = state->msrs[i];
	}
	state->nr_msrs = kept;
	return none;
}

void vcpu_state_forget_tsc(struct vcpu_state *state)
{
	(void)vcpu_state_take_msr(state, MSR_IA32_TSC, 0);
	(void)vcpu_state_take_msr(state, MSR_IA32_TSC_ADJUST, 0);
}
