// SPDX-License-Identifier: MIT
// A guest under gdb.
#include "vmm/gdb/target.h"

#include <errno.h>
#include <string.h>

#include "util/log.h"
#include "vmm/guest/machine.h"
#include "vmm/vcpu.h"
#include "vmm/vcpu_state.h"

#define INT3           0xcc
#define XSTATE_X87_SSE 3ULL

#define DR6_HITS  0xfULL
#define DR6_STEP  (1ULL << 14)
#define DR7_EXACT 0x600ULL /* GE, and the bit that is always set */

static const char held[] = "gdb has stopped it";

static struct vcpu *vcpu_of(const struct gdb_target *t, unsigned cpu)
{
	return t->vm->vcpus[cpu];
}

/* --- what KVM is told --- */

/* SDM vol. 3, 17.2.4: for each register an enable bit, two for the kind, two for the length. */
static uint64_t dr7_of(const struct gdb_target *t)
{
	static const uint8_t kinds[] = {
		[GDB_HARDWARE] = 0,
		[GDB_WRITE] = 1,
		[GDB_READ] = 3,
		[GDB_ACCESS] = 3,
	};
	static const uint8_t lengths[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
	uint64_t dr7 = DR7_EXACT;

	for (unsigned i = 0; i < t->nr_hardware; i++) {
		uint64_t kind = kinds[t->hardware[i].kind];

		dr7 |= 2ULL << (2 * i) | kind << (16 + 4 * i);
		if (kind)
			dr7 |= (uint64_t)lengths[t->hardware[i].len] << (18 + 4 * i);
	}
	return dr7;
}

/* @inject: also an exception that was the guest's own. */
static int arm(struct gdb_target *t, unsigned cpu, uint32_t inject)
{
	struct kvm_guest_debug debug = { .control = inject };

	if (t->nr_software)
		debug.control |= KVM_GUESTDBG_USE_SW_BP;
	if (t->nr_hardware) {
		debug.control |= KVM_GUESTDBG_USE_HW_BP;
		for (unsigned i = 0; i < t->nr_hardware; i++)
			debug.arch.debugreg[i] = t->hardware[i].addr;
		debug.arch.debugreg[7] = dr7_of(t);
	}
	if (t->stepping[cpu])
		debug.control |= KVM_GUESTDBG_SINGLESTEP | kvm_debug_block_irq(t->vm->vm_fd);
	if (debug.control || t->attached)
		debug.control |= KVM_GUESTDBG_ENABLE;
	return kvm_set_guest_debug(&vcpu_of(t, cpu)->kvm, &debug);
}

/* --- on a vCPU's thread --- */

static int find_software(const struct gdb_target *t, uint64_t addr)
{
	for (unsigned i = 0; i < t->nr_software; i++) {
		if (t->software[i].addr == addr)
			return (int)i;
	}
	return -1;
}

/* What debug exception a vCPU had. False: it is the guest's own. */
static bool judge_debug(const struct gdb_target *t, const struct vcpu *v, struct gdb_stop *stop)
{
	uint64_t dr6 = v->kvm.run->debug.arch.dr6;

	for (unsigned i = 0; i < t->nr_hardware; i++) {
		if (!(dr6 & DR6_HITS & 1ULL << i))
			continue;
		stop->why = t->hardware[i].kind == GDB_HARDWARE ? GDB_HIT_HARDWARE
			    : t->hardware[i].kind == GDB_WRITE  ? GDB_HIT_WRITE
								: GDB_HIT_ACCESS;
		stop->addr = t->hardware[i].addr;
		return true;
	}
	return (dr6 & DR6_STEP) && t->stepping[v->id];
}

/* KVM gave up where an int3 of ours is. */
static bool is_unknown_int3(const struct gdb_target *t, struct vcpu *v)
{
	struct kvm_regs regs;

	return v->kvm.run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
	       kvm_get_regs(&v->kvm, &regs) == 0 && find_software(t, regs.rip) >= 0;
}

static bool trap(struct vm_debugger *debugger, struct vcpu *v)
{
	struct gdb_target *t = container_of(debugger, struct gdb_target, debugger);
	const struct kvm_run *run = v->kvm.run;
	struct gdb_stop stop = { .why = GDB_STOPPED, .cpu = v->id };

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
		if (!is_unknown_int3(t, v))
			return false;
		stop.why = GDB_HIT_SOFTWARE;
	} else if (run->exit_reason != KVM_EXIT_DEBUG) {
		return false;
	} else if (run->debug.arch.exception == BP_VECTOR) {
		if (find_software(t, run->debug.arch.pc) < 0)
			return arm(t, v->id, KVM_GUESTDBG_INJECT_BP) == 0;
		stop.why = GDB_HIT_SOFTWARE;
	} else if (!judge_debug(t, v, &stop)) {
		return arm(t, v->id, KVM_GUESTDBG_INJECT_DB) == 0;
	}
	t->stops[v->id] = stop;
	vm_raise_event(t->vm, VM_EVENT_DEBUG, v->id);
	return true;
}

/* --- on the main loop --- */

static void on_stop(struct vm_debugger *debugger, unsigned cpu)
{
	struct gdb_target *t = container_of(debugger, struct gdb_target, debugger);

	/* It has gone meanwhile, and its breakpoints with it. */
	if (!t->attached) {
		vm_event_done(t->vm);
		return;
	}
	machine_hold_stopped(t->m, held);
	t->standing = true;
	t->stopped(t->opaque, &t->stops[cpu]);
}

static unsigned nr_cpus(void *target)
{
	const struct gdb_target *t = target;

	return t->vm->nr_vcpus;
}

/* All of the extended state: KVM_GET_FPU lacks MXCSR. */
struct xsave {
	struct gdb_fpu fpu;
	uint64_t xstate_bv; /* what is not in its initial state */
	uint8_t rest[VCPU_XSAVE_BYTES - sizeof(struct gdb_fpu) - sizeof(uint64_t)];
};

static int get_xsave(const struct gdb_target *t, unsigned cpu, struct xsave *ret)
{
	uint32_t bytes = kvm_xsave_bytes(t->vm->vm_fd);

	_Static_assert(sizeof(struct gdb_fpu) == 512, "as long as FXSAVE's area");
	if (bytes > sizeof(*ret))
		return -E2BIG;
	return kvm_get_xsave(&vcpu_of(t, cpu)->kvm, bytes, ret);
}

static int set_fpu(const struct gdb_target *t, unsigned cpu, const struct gdb_fpu *fpu)
{
	struct xsave xsave;
	int rc = get_xsave(t, cpu, &xsave);

	if (rc < 0)
		return rc;
	xsave.fpu = *fpu;
	xsave.xstate_bv |= XSTATE_X87_SSE;
	return kvm_set_xsave(&vcpu_of(t, cpu)->kvm, &xsave);
}

static int get_regs(void *target, unsigned cpu, struct gdb_regs *ret)
{
	struct kvm_vcpu *vcpu = &vcpu_of(target, cpu)->kvm;
	struct xsave xsave;
	int rc;

	memset(ret, 0, sizeof(*ret));
	if ((rc = kvm_get_regs(vcpu, &ret->regs)) == 0 &&
	    (rc = kvm_get_sregs(vcpu, &ret->sregs)) == 0)
		rc = get_xsave(target, cpu, &xsave);
	if (rc < 0)
		return rc;
	ret->fpu = xsave.fpu;
	return 0;
}

/* Only what has changed: not all that KVM tells does it take back. */
static int set_regs(void *target, unsigned cpu, const struct gdb_regs *regs)
{
	struct kvm_vcpu *vcpu = &vcpu_of(target, cpu)->kvm;
	struct gdb_regs now;
	int rc = get_regs(target, cpu, &now);

	if (rc == 0 && memcmp(&now.regs, &regs->regs, sizeof(now.regs)) != 0)
		rc = kvm_set_regs(vcpu, &regs->regs);
	if (rc == 0 && memcmp(&now.sregs, &regs->sregs, sizeof(now.sregs)) != 0)
		rc = kvm_set_sregs(vcpu, &regs->sregs);
	if (rc == 0 && memcmp(&now.fpu, &regs->fpu, sizeof(now.fpu)) != 0)
		rc = set_fpu(target, cpu, &regs->fpu);
	return rc;
}

/* --- memory --- */

/* The part of [addr, addr + len) that is in the first page of it; 0: not mapped. */
static size_t translate(const struct gdb_target *t, unsigned cpu, uint64_t addr, size_t len,
			gpa_t *ret)
{
	size_t here = (size_t)(GMEM_PAGE_BYTES - addr % GMEM_PAGE_BYTES);

	if (kvm_translate(&vcpu_of(t, cpu)->kvm, addr, ret) < 0)
		return 0;
	return MIN(len, here);
}

/* What a client reads has no breakpoints in it. */
static void hide_breaks(const struct gdb_target *t, gpa_t gpa, uint8_t *buf, size_t len)
{
	for (unsigned i = 0; i < t->nr_software; i++) {
		if (t->software[i].gpa - gpa < len)
			buf[t->software[i].gpa - gpa] = t->software[i].original;
	}
}

static ssize_t read_memory(void *target, unsigned cpu, uint64_t addr, void *buf, size_t len)
{
	const struct gdb_target *t = target;
	size_t done = 0;

	while (done < len) {
		uint8_t *to = (uint8_t *)buf + done;
		gpa_t gpa;
		size_t n = translate(t, cpu, addr + done, len - done, &gpa);

		if (!n || gmem_read(&t->vm->gmem, gpa, to, n) < 0)
			break;
		hide_breaks(t, gpa, to, n);
		done += n;
	}
	return done || !len ? (ssize_t)done : -EFAULT;
}

/* A breakpoint stays where it is, with the new byte behind it. */
static int write_piece(struct gdb_target *t, gpa_t gpa, const uint8_t *bytes, size_t n)
{
	const uint8_t int3 = INT3;
	int rc = gmem_write(&t->vm->gmem, gpa, bytes, n);

	for (unsigned i = 0; rc == 0 && i < t->nr_software; i++) {
		uint64_t at = t->software[i].gpa - gpa;

		if (at >= n)
			continue;
		t->software[i].original = bytes[at];
		rc = gmem_write(&t->vm->gmem, t->software[i].gpa, &int3, 1);
	}
	return rc;
}

static int write_memory(void *target, unsigned cpu, uint64_t addr, const void *buf, size_t len)
{
	struct gdb_target *t = target;

	for (size_t done = 0, n; done < len; done += n) {
		gpa_t gpa;

		n = translate(t, cpu, addr + done, len - done, &gpa);
		if (!n || write_piece(t, gpa, (const uint8_t *)buf + done, n) < 0)
			return -EFAULT;
	}
	return 0;
}

/* --- breakpoints --- */

static int insert_software(struct gdb_target *t, unsigned cpu, uint64_t addr)
{
	const uint8_t int3 = INT3;
	uint8_t original;
	gpa_t gpa;

	if (find_software(t, addr) >= 0)
		return 0;
	if (t->nr_software == GDB_MAX_SOFTWARE)
		return -ENOSPC;
	if (!translate(t, cpu, addr, 1, &gpa) || gmem_read(&t->vm->gmem, gpa, &original, 1) < 0 ||
	    gmem_write(&t->vm->gmem, gpa, &int3, 1) < 0)
		return -EFAULT;
	t->software[t->nr_software].addr = addr;
	t->software[t->nr_software].gpa = gpa;
	t->software[t->nr_software++].original = original;
	return 0;
}

/* Where the guest has put something else meanwhile (a reset), that stays. */
static void remove_software(struct gdb_target *t, unsigned i)
{
	uint8_t now;

	if (gmem_read(&t->vm->gmem, t->software[i].gpa, &now, 1) == 0 && now == INT3)
		(void)!gmem_write(&t->vm->gmem, t->software[i].gpa, &t->software[i].original, 1);
	t->software[i] = t->software[--t->nr_software];
}

static int find_hardware(const struct gdb_target *t, enum gdb_break kind, uint64_t addr,
			 uint64_t len)
{
	for (unsigned i = 0; i < t->nr_hardware; i++) {
		if (t->hardware[i].kind == kind && t->hardware[i].addr == addr &&
		    t->hardware[i].len == len)
			return (int)i;
	}
	return -1;
}

static bool length_fits(enum gdb_break kind, uint64_t addr, uint64_t len)
{
	if (kind == GDB_HARDWARE)
		return len <= 8;
	return (len == 1 || len == 2 || len == 4 || len == 8) && addr % len == 0;
}

static int insert(void *target, unsigned cpu, enum gdb_break kind, uint64_t addr, uint64_t len)
{
	struct gdb_target *t = target;

	if (kind == GDB_SOFTWARE)
		return insert_software(t, cpu, addr);
	/* There is no register that watches reads alone. */
	if (kind == GDB_READ)
		return -EOPNOTSUPP;
	if (!length_fits(kind, addr, len))
		return -EINVAL;
	if (find_hardware(t, kind, addr, len) >= 0)
		return 0;
	if (t->nr_hardware == GDB_MAX_HARDWARE)
		return -ENOSPC;
	t->hardware[t->nr_hardware].kind = kind;
	t->hardware[t->nr_hardware].addr = addr;
	t->hardware[t->nr_hardware++].len = (unsigned)len;
	return 0;
}

static int remove_break(void *target, unsigned cpu, enum gdb_break kind, uint64_t addr,
			uint64_t len)
{
	struct gdb_target *t = target;
	int i;

	(void)cpu;
	if (kind == GDB_READ)
		return -EOPNOTSUPP;
	i = kind == GDB_SOFTWARE ? find_software(t, addr) : find_hardware(t, kind, addr, len);
	if (i < 0)
		return -ENOENT;
	if (kind == GDB_SOFTWARE)
		remove_software(t, (unsigned)i);
	else
		t->hardware[i] = t->hardware[--t->nr_hardware];
	return 0;
}

/* --- going and stopping --- */

static int resume(void *target, const enum gdb_action *actions)
{
	struct gdb_target *t = target;
	int rc = 0;

	for (unsigned i = 0; i < t->vm->nr_vcpus && rc == 0; i++) {
		t->stepping[i] = actions[i] == GDB_STEP;
		vm_freeze_vcpu(t->vm, i, actions[i] == GDB_STAY);
		rc = arm(t, i, 0);
	}
	if (rc < 0)
		return rc;
	t->standing = false;
	machine_release(t->m);
	return 0;
}

/* An event that is on its way stops it too, or ends it. */
static int hold(struct gdb_target *t, struct err *e)
{
	int rc;

	if (t->standing)
		return 0;
	rc = machine_hold_to_look(t->m, held, e);
	t->standing = rc == 0;
	return rc;
}

static void stop_guest(void *target)
{
	struct gdb_target *t = target;
	const struct gdb_stop why = { .why = GDB_STOPPED };
	struct err e;

	if (hold(t, &e) == 0)
		t->stopped(t->opaque, &why);
}

static void kill_guest(void *target)
{
	struct gdb_target *t = target;

	t->kill(t->opaque);
}

const struct gdb_ops gdb_target_ops = {
	.nr_cpus = nr_cpus,
	.get_regs = get_regs,
	.set_regs = set_regs,
	.read = read_memory,
	.write = write_memory,
	.insert = insert,
	.remove = remove_break,
	.resume = resume,
	.stop = stop_guest,
	.kill = kill_guest,
};

void gdb_target_init(struct gdb_target *t, struct machine *m)
{
	t->m = m;
	t->vm = machine_vm(m);
	t->debugger = (struct vm_debugger){ .trap = trap, .stopped = on_stop };
	t->vm->debugger = &t->debugger;
}

void gdb_target_wait(struct gdb_target *t)
{
	vm_pause(t->vm);
}

void gdb_target_waits(struct gdb_target *t)
{
	machine_set_held(t->m, "it waits for gdb");
	t->standing = true;
}

int gdb_target_attach(struct gdb_target *t, struct err *e)
{
	int rc = hold(t, e);

	if (rc < 0)
		return rc;
	t->attached = true;
	machine_set_debugged(t->m, true);
	return 0;
}

void gdb_target_detach(struct gdb_target *t)
{
	struct err e;
	int rc = 0;

	if (!t->attached)
		return;
	/* It stands already where its end is on its way. */
	if (hold(t, &e) < 0)
		vm_pause(t->vm);
	while (t->nr_software)
		remove_software(t, 0);
	t->nr_hardware = 0;
	t->attached = false;
	machine_set_debugged(t->m, false);
	for (unsigned i = 0; i < t->vm->nr_vcpus && rc == 0; i++) {
		t->stepping[i] = false;
		vm_freeze_vcpu(t->vm, i, false);
		rc = arm(t, i, 0);
	}
	if (rc < 0)
		log_warn("gdb: the guest's debug registers cannot be given back");
	if (t->standing)
		machine_release(t->m);
	else
		vm_resume(t->vm);
	t->standing = false;
}
