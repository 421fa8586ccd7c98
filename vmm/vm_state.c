// SPDX-License-Identifier: MIT
// The state of a machine: out of KVM, into sections, and back.
#include "vmm/vm_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "vmm/vcpu.h"
#include "vmm/vm_clock.h"
#include "vmm/vm_state_impl.h"

#define MSR_IA32_TSC           0x10
#define MSR_IA32_TSC_DEADLINE  0x6e0
#define MSR_KVM_WALL_CLOCK     0x11
#define MSR_KVM_WALL_CLOCK_NEW 0x4b564d00

int vm_state_new(struct vm_state **ret, unsigned nr_vcpus)
{
	struct vm_state *st = calloc(1, sizeof(*st) + nr_vcpus * sizeof(st->vcpus[0]));

	if (!st)
		return -ENOMEM;
	st->nr_vcpus = nr_vcpus;
	*ret = st;
	return 0;
}

void vm_state_free(struct vm_state *st)
{
	free(st);
}

uint64_t vm_state_age_by_realtime_ns(const struct vm_state *st)
{
	uint64_t now_ns = clock_wall_ns();

	return now_ns - MIN(st->clock.realtime_ns, now_ns);
}

uint64_t vm_state_age_by_arrival_ns(const struct vm_state *st)
{
	return st->clock.stood_ns + clock_now_ns() - st->loaded_ns;
}

/* --- out of KVM --- */

static int get_vcpu(struct vm *vm, unsigned id, struct vm_state *st)
{
	struct vcpu_state *vcpu = &st->vcpus[id];
	int rc =
		vcpu_state_get(&vm->vcpus[id]->kvm, vm->msr_list, kvm_xsave_bytes(vm->vm_fd), vcpu);

	if (rc < 0)
		return rc;
	/* These start when the guest does: they are part of the clock. */
	(void)vcpu_state_take_msr(vcpu, MSR_IA32_TSC, 0);
	st->clock.tsc_deadline[id] = vcpu_state_take_msr(vcpu, MSR_IA32_TSC_DEADLINE, 0);
	/*
	 * These hold no state. KVM answers a write by writing the time into guest
	 * memory, once; a guest that asked for that when it booted may long have
	 * put something else there.
	 */
	(void)vcpu_state_take_msr(vcpu, MSR_KVM_WALL_CLOCK, 0);
	(void)vcpu_state_take_msr(vcpu, MSR_KVM_WALL_CLOCK_NEW, 0);
	return 0;
}

static int get_irqchip(struct vm *vm, struct vm_irqchip_state *ret)
{
	struct kvm_irqchip chips[KVM_NR_IRQCHIPS] = { 0 };

	for (unsigned i = 0; i < KVM_NR_IRQCHIPS; i++) {
		int rc;

		chips[i] = (struct kvm_irqchip){ .chip_id = i };
		rc = kvm_get_irqchip(vm->vm_fd, &chips[i]);
		if (rc < 0)
			return rc;
	}
	ret->pic[0] = chips[KVM_IRQCHIP_PIC_MASTER].chip.pic;
	ret->pic[1] = chips[KVM_IRQCHIP_PIC_SLAVE].chip.pic;
	ret->ioapic = chips[KVM_IRQCHIP_IOAPIC].chip.ioapic;
	return kvm_get_pit(vm->vm_fd, &ret->pit);
}

int vm_state_get(struct vm *vm, struct vm_state *st, struct err *e)
{
	int rc = vm_clock_get(vm, &st->clock);

	if (rc < 0)
		return err_set(e, rc, "KVM: clocks: %s", strerror(-rc));
	st->has_clock = true;
	rc = get_irqchip(vm, &st->irqchip);
	if (rc < 0)
		return err_set(e, rc, "KVM: interrupt controllers: %s", strerror(-rc));
	st->has_irqchip = true;
	for (unsigned i = 0; i < vm->nr_vcpus; i++) {
		rc = get_vcpu(vm, i, st);
		if (rc < 0)
			return err_set(e, rc, "KVM: vCPU %u: %s", i, strerror(-rc));
		st->has_vcpu[i] = true;
	}
	return 0;
}

/* --- into sections and out of them --- */

void vm_state_put_clock(const struct vm_state *st, struct vstate_writer *w)
{
	vstate_put(w, &vm_clock_table, 0, &st->clock);
}

void vm_state_put_irqchip(const struct vm_state *st, struct vstate_writer *w)
{
	vstate_put(w, &vm_irqchip_table, 0, &st->irqchip);
}

void vm_state_put_vcpu(const struct vm_state *st, unsigned id, struct vstate_writer *w)
{
	vstate_put(w, &vm_vcpu_table, 0, &st->vcpus[id]);
}

/* The one part of such a section, which must come once. */
static int load(const struct vstate_table *table, void *state, bool *loaded,
		struct vstate_reader *r, struct err *e)
{
	int rc;

	if (*loaded)
		return err_set(e, -EPROTO, "%s: is there twice", table->name);
	rc = vstate_get(r, table, 0, state, e);
	if (rc < 0)
		return rc;
	*loaded = true;
	return vstate_reader_finish(r, e);
}

int vm_state_load_clock(struct vm_state *st, struct vstate_reader *r, struct err *e)
{
	int rc = load(&vm_clock_table, &st->clock, &st->has_clock, r, e);

	st->loaded_ns = clock_now_ns();
	if (rc == 0 && st->clock.nr_vcpus != st->nr_vcpus)
		return err_set(e, -EPROTO, "clock: is that of %u vCPUs, not %u", st->clock.nr_vcpus,
			       st->nr_vcpus);
	return rc;
}

int vm_state_load_irqchip(struct vm_state *st, struct vstate_reader *r, struct err *e)
{
	return load(&vm_irqchip_table, &st->irqchip, &st->has_irqchip, r, e);
}

int vm_state_load_vcpu(struct vm_state *st, unsigned id, struct vstate_reader *r, struct err *e)
{
	int rc;

	if (id >= st->nr_vcpus)
		return err_set(e, -EPROTO, "there is no vCPU %u", id);
	rc = load(&vm_vcpu_table, &st->vcpus[id], &st->has_vcpu[id], r, e);
	return rc < 0 ? err_prefix(e, "vCPU %u", id) : 0;
}

/* --- into KVM --- */

static int check_complete(const struct vm *vm, const struct vm_state *st, struct err *e)
{
	if (st->nr_vcpus != vm->nr_vcpus)
		return err_set(e, -EPROTO, "the state is that of %u vCPUs, not %u", st->nr_vcpus,
			       vm->nr_vcpus);
	if (!st->has_clock || !st->has_irqchip)
		return err_set(e, -EPROTO, "the state of the %s is missing",
			       st->has_clock ? "interrupt controllers" : "clocks");
	for (unsigned i = 0; i < st->nr_vcpus; i++) {
		if (!st->has_vcpu[i])
			return err_set(e, -EPROTO, "the state of vCPU %u is missing", i);
	}
	return 0;
}

static int set_irqchip(struct vm *vm, const struct vm_irqchip_state *st)
{
	const struct kvm_irqchip chips[KVM_NR_IRQCHIPS] = {
		{ .chip_id = KVM_IRQCHIP_PIC_MASTER, .chip.pic = st->pic[0] },
		{ .chip_id = KVM_IRQCHIP_PIC_SLAVE, .chip.pic = st->pic[1] },
		{ .chip_id = KVM_IRQCHIP_IOAPIC, .chip.ioapic = st->ioapic },
	};
	/* The PIT first: it starts to tick, and the controllers are to be as they were. */
	int rc = kvm_set_pit(vm->vm_fd, &st->pit);

	for (unsigned i = 0; i < ARRAY_SIZE(chips) && rc == 0; i++)
		rc = kvm_set_irqchip(vm->vm_fd, &chips[i]);
	return rc;
}

static bool has_msr(const struct vm *vm, uint32_t index)
{
	for (uint32_t i = 0; i < vm->msr_list->nmsrs; i++) {
		if (vm->msr_list->indices[i] == index)
			return true;
	}
	return false;
}

static int set_vcpu(struct vm *vm, unsigned id, const struct vcpu_state *st, struct err *e)
{
	struct vcpu_state_refusal no = { 0 };
	int rc;

	for (uint32_t i = 0; i < st->nr_msrs; i++) {
		if (st->msrs[i].data && !has_msr(vm, st->msrs[i].index))
			return err_set(e, -ENOTSUP,
				       "vCPU %u: this host's KVM does not have MSR 0x%x", id,
				       st->msrs[i].index);
	}
	rc = vcpu_state_set(&vm->vcpus[id]->kvm, st, &no);
	if (rc < 0)
		return err_set(e, rc, "vCPU %u: KVM does not take its %s: %s", id, no.registers,
			       strerror(-rc));
	if (no.msr)
		return err_set(e, -ENOTSUP, "vCPU %u: KVM does not take 0x%llx for MSR 0x%x", id,
			       (unsigned long long)no.msr->data, no.msr->index);
	return 0;
}

int vm_state_set(struct vm *vm, const struct vm_state *st, struct err *e)
{
	int rc;

	if ((rc = check_complete(vm, st, e)) < 0 || (rc = vm_clock_set(vm, &st->clock, e)) < 0)
		return rc;
	/* Before the LAPICs: an IOAPIC that is written raises its interrupts again. */
	rc = set_irqchip(vm, &st->irqchip);
	if (rc < 0)
		return err_set(e, rc, "KVM does not take the interrupt controllers: %s",
			       strerror(-rc));
	for (unsigned i = 0; i < vm->nr_vcpus; i++) {
		rc = set_vcpu(vm, i, &st->vcpus[i], e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int vm_state_start(struct vm *vm, const struct vm_state *st, uint64_t elapsed_ns, struct err *e)
{
	int rc = set_irqchip(vm, &st->irqchip);

	vm->clock_forward_ns = elapsed_ns;
	if (rc == 0)
		rc = vm_clock_start(vm, st, elapsed_ns);
	return rc < 0 ? err_set(e, rc, "KVM does not take the clocks: %s", strerror(-rc)) : 0;
}
