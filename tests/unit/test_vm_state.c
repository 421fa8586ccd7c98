// SPDX-License-Identifier: MIT
// Machines that are stopped in one VM and go on in another, on the real KVM.
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/guest_event.h"
#include "tests/unit/machine.h"
#include "util/clock.h"
#include "vmm/vcpu.h"
#include "vmm/vm_clock.h"
#include "vmm/vm_state.h"
#include "vmm/vm_state_impl.h"

#define PROGRAM_GPA 0x1000U
#define COUNTER_GPA 0x2000U
#define STACK_GPA   0x8000U
#define WAIT_NS     (20 * NSEC_PER_SEC)

#define MSR_IA32_TSC       0x10
#define MSR_KERNEL_GS_BASE 0xc0000102U

/*
 * Real mode, at PROGRAM_GPA with all segments 0. Interrupts count at 0x2000; the
 * LAPIC is used as x2APIC, whose registers are MSRs.
 */
__asm__(".pushsection .rodata\n"
	".macro wrx reg, value\n"
	"	mov $\\reg, %ecx\n"
	"	mov $\\value, %eax\n"
	"	xor %edx, %edx\n"
	"	wrmsr\n"
	".endm\n"
	".macro x2apic\n"
	"	mov $0x1b, %ecx\n"
	"	rdmsr\n"
	"	or $0xc00, %eax\n"
	"	wrmsr\n"
	"	wrx 0x80f, 0x1ff\n"
	".endm\n"
	".code16\n"

	/* Each vCPU counts at its own place, in bx. */
	"counting: incw (%bx)\n"
	"	jmp counting\n"
	"counting_end:\n"

	/* PIT channel 0, mode 2, 200 Hz, through the PIC: vector 8. */
	"pit: movw $(pit_irq - pit + 0x1000), 4*8\n"
	"	movw $0, 4*8+2\n"
	"	mov $0x11, %al\n"
	"	out %al, $0x20\n"
	"	mov $8, %al\n"
	"	out %al, $0x21\n"
	"	mov $4, %al\n"
	"	out %al, $0x21\n"
	"	mov $1, %al\n"
	"	out %al, $0x21\n"
	"	mov $0xfe, %al\n"
	"	out %al, $0x21\n"
	"	mov $0x34, %al\n"
	"	out %al, $0x43\n"
	"	mov $0x4e, %al\n"
	"	out %al, $0x40\n"
	"	mov $0x17, %al\n"
	"	out %al, $0x40\n"
	"	sti\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	"pit_irq: incw 0x2000\n"
	"	mov $0x20, %al\n"
	"	out %al, $0x20\n"
	"	iretw\n"
	"pit_end:\n"

	/* The LAPIC's timer, every 5 ms: vector 0x30. */
	"periodic: movw $(periodic_irq - periodic + 0x1000), 4*0x30\n"
	"	movw $0, 4*0x30+2\n"
	"	x2apic\n"
	"	wrx 0x83e, 0xb\n"
	"	wrx 0x832, 0x20030\n"
	"	wrx 0x838, 5000000\n"
	"	sti\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	"periodic_irq: incw 0x2000\n"
	"	wrx 0x80b, 0\n"
	"	iretw\n"
	"periodic_end:\n"

	/* A deadline half a million ticks ahead, and another whenever one has passed. */
	"deadline: movw $(deadline_irq - deadline + 0x1000), 4*0x30\n"
	"	movw $0, 4*0x30+2\n"
	"	x2apic\n"
	"	wrx 0x832, 0x40030\n"
	"	rdtsc\n"
	"	add $5000000, %eax\n"
	"	adc $0, %edx\n"
	"	mov $0x6e0, %ecx\n"
	"	wrmsr\n"
	"	sti\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	"deadline_irq: incw 0x2000\n"
	"	wrx 0x80b, 0\n"
	"	rdtsc\n"
	"	add $5000000, %eax\n"
	"	adc $0, %edx\n"
	"	mov $0x6e0, %ecx\n"
	"	wrmsr\n"
	"	iretw\n"
	"deadline_end:\n"

	/* One deadline, an hour or so ahead. */
	"distant: movw $(distant_irq - distant + 0x1000), 4*0x30\n"
	"	movw $0, 4*0x30+2\n"
	"	x2apic\n"
	"	wrx 0x832, 0x40030\n"
	"	rdtsc\n"
	"	add $0x1000, %edx\n"
	"	mov $0x6e0, %ecx\n"
	"	wrmsr\n"
	"	movw $1, 0x2002\n"
	"	sti\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	"distant_irq: incw 0x2000\n"
	"	iretw\n"
	"distant_end:\n"
	".code64\n"
	".popsection\n");

extern const uint8_t counting[], counting_end[], pit[], pit_end[], periodic[], periodic_end[],
	deadline[], deadline_end[], distant[], distant_end[];

struct program {
	const uint8_t *start, *end;
};

struct fixture {
	bool no_kvm;
	struct loop *loop;
	struct vm *vm;
	struct program program;
	unsigned nr_vcpus;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	f->no_kvm = access("/dev/kvm", R_OK | W_OK) < 0;
	return loop_new(&f->loop, 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vm_free(f->vm);
	loop_free(f->loop);
	test_free(f);
	return 0;
}

#define KVM_OR_SKIP(f)                                                                             \
	do {                                                                                       \
		if ((f)->no_kvm) {                                                                 \
			print_message("skipped: no /dev/kvm\n");                                   \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static struct vm *new_vm(struct fixture *f, unsigned nr_vcpus)
{
	const struct vm_params params = { .memory_bytes = 1 * MIB, .nr_vcpus = nr_vcpus };
	struct vm *vm = NULL;
	struct err e = { 0 };

	if (vm_new(&vm, &params, f->loop, &e) < 0)
		fail_msg("%s", e.text);
	return vm;
}

/* All vCPUs are to run @p, without having been woken by a SIPI. */
static void load(struct vm *vm, const struct program *p)
{
	assert_int_equal(gmem_write(&vm->gmem, PROGRAM_GPA, p->start, (size_t)(p->end - p->start)),
			 0);
	for (unsigned i = 0; i < vm->nr_vcpus; i++) {
		struct kvm_vcpu *vcpu = &vm->vcpus[i]->kvm;
		struct kvm_regs regs = {
			.rip = PROGRAM_GPA,
			.rflags = 2,
			.rsp = STACK_GPA,
			.rbx = COUNTER_GPA + 2 * i,
		};
		struct kvm_sregs sregs;

		assert_int_equal(kvm_get_sregs(vcpu, &sregs), 0);
		sregs.cs.base = 0;
		sregs.cs.selector = 0;
		assert_int_equal(kvm_set_sregs(vcpu, &sregs), 0);
		assert_int_equal(kvm_set_regs(vcpu, &regs), 0);
		assert_int_equal(kvm_set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE), 0);
	}
}

static uint16_t counter(struct vm *vm, unsigned i)
{
	uint16_t value;

	assert_int_equal(gmem_read(&vm->gmem, COUNTER_GPA + 2UL * i, &value, sizeof(value)), 0);
	return value;
}

/* Guests say nothing while they count: look until they have. */
static void wait_until(struct vm *vm, unsigned i, uint16_t value)
{
	uint64_t end_ns = clock_now_ns() + WAIT_NS;

	while (counter(vm, i) < value) {
		assert_true(clock_now_ns() < end_ns);
		(void)sched_yield();
	}
}

static void wait_for_progress(struct vm *vm, unsigned i, uint16_t steps)
{
	uint16_t zero = 0;

	assert_int_equal(gmem_write(&vm->gmem, COUNTER_GPA + 2UL * i, &zero, sizeof(zero)), 0);
	wait_until(vm, i, steps);
}

/* --- the way of a state --- */

typedef void (*put_fn)(const struct vm_state *st, unsigned id, struct vstate_writer *w);
typedef int (*load_fn)(struct vm_state *st, unsigned id, struct vstate_reader *r, struct err *e);

static void put_clock(const struct vm_state *st, unsigned id, struct vstate_writer *w)
{
	(void)id;
	vm_state_put_clock(st, w);
}

static void put_irqchip(const struct vm_state *st, unsigned id, struct vstate_writer *w)
{
	(void)id;
	vm_state_put_irqchip(st, w);
}

static int load_clock(struct vm_state *st, unsigned id, struct vstate_reader *r, struct err *e)
{
	(void)id;
	return vm_state_load_clock(st, r, e);
}

static int load_irqchip(struct vm_state *st, unsigned id, struct vstate_reader *r, struct err *e)
{
	(void)id;
	return vm_state_load_irqchip(st, r, e);
}

/* One section out of @from and into @to, through its bytes. */
static void carry(const struct vm_state *from, struct vm_state *to, unsigned id, put_fn put,
		  load_fn load_section)
{
	struct vstate_writer *w = NULL;
	struct vstate_reader *r = NULL;
	const void *data = NULL;
	size_t len = 0;
	struct err e = { 0 };

	assert_int_equal(vstate_writer_new(&w), 0);
	put(from, id, w);
	assert_int_equal(vstate_writer_finish(w, &data, &len), 0);
	assert_int_equal(vstate_reader_new(&r, data, len, &e), 0);
	if (load_section(to, id, r, &e) < 0)
		fail_msg("%s", e.text);
	/* Once each. */
	assert_int_equal(load_section(to, id, r, &e), -EPROTO);
	vstate_reader_free(r);
	vstate_writer_free(w);
}

static struct vm_state *carry_all(const struct vm_state *from, unsigned nr_vcpus)
{
	struct vm_state *to = NULL;

	assert_int_equal(vm_state_new(&to, nr_vcpus), 0);
	carry(from, to, 0, put_clock, load_clock);
	carry(from, to, 0, put_irqchip, load_irqchip);
	for (unsigned i = 0; i < nr_vcpus; i++)
		carry(from, to, i, vm_state_put_vcpu, vm_state_load_vcpu);
	return to;
}

static struct vm_state *get_state(struct vm *vm)
{
	struct vm_state *st = NULL;
	struct err e = { 0 };

	assert_int_equal(vm_state_new(&st, vm->nr_vcpus), 0);
	if (vm_state_get(vm, st, &e) < 0)
		fail_msg("%s", e.text);
	return st;
}

/*
 * Replace the paused f->vm by a new one that has its memory and, through bytes,
 * its state. The old one is gone before the new one runs.
 */
static struct vm_state *move(struct fixture *f)
{
	struct vm_state *taken = get_state(f->vm);
	struct vm_state *st = carry_all(taken, f->vm->nr_vcpus);
	struct vm *vm = new_vm(f, f->vm->nr_vcpus);
	struct err e = { 0 };

	memcpy(vm->gmem.regions[0].hva, f->vm->gmem.regions[0].hva, f->vm->gmem.regions[0].bytes);
	if (vm_state_set(vm, st, &e) < 0)
		fail_msg("%s", e.text);
	vm_free(f->vm);
	f->vm = vm;
	vm_state_free(taken);
	return st;
}

static void start(struct fixture *f, const struct vm_state *st, uint64_t elapsed_ns)
{
	struct err e = { 0 };

	if (vm_state_start(f->vm, st, elapsed_ns, &e) < 0)
		fail_msg("%s", e.text);
}

/* --- it goes on --- */

static void body_moves(void *opaque)
{
	struct fixture *f = opaque;

	f->vm = new_vm(f, f->nr_vcpus);
	load(f->vm, &f->program);
	assert_int_equal(vm_start(f->vm), 0);
	for (unsigned round = 0; round < 3; round++) {
		struct vm_state *st;

		for (unsigned i = 0; i < f->nr_vcpus; i++)
			wait_for_progress(f->vm, i, 3);
		vm_pause(f->vm);
		st = move(f);
		start(f, st, round * 100 * NSEC_PER_MSEC);
		assert_int_equal(vm_start(f->vm), 0);
		vm_state_free(st);
	}
	for (unsigned i = 0; i < f->nr_vcpus; i++)
		wait_for_progress(f->vm, i, 3);
}

static void moves(void **state, const uint8_t *begin, const uint8_t *end, unsigned nr_vcpus)
{
	struct fixture *f = *state;

	KVM_OR_SKIP(f);
	f->program = (struct program){ begin, end };
	f->nr_vcpus = nr_vcpus;
	run_on_loop(f->loop, body_moves, f);
}

static void test_counting_1(void **state)
{
	moves(state, counting, counting_end, 1);
}

static void test_counting_2(void **state)
{
	moves(state, counting, counting_end, 2);
}

static void test_counting_4(void **state)
{
	moves(state, counting, counting_end, 4);
}

static void test_pit(void **state)
{
	moves(state, pit, pit_end, 1);
}

static void test_lapic_timer(void **state)
{
	moves(state, periodic, periodic_end, 1);
}

static void test_tsc_deadline(void **state)
{
	moves(state, deadline, deadline_end, 1);
}

/* --- nothing is lost --- */

static struct kvm_msr_entry *find_msr(struct vcpu_state *st, uint32_t index)
{
	for (uint32_t i = 0; i < st->nr_msrs; i++) {
		if (st->msrs[i].index == index)
			return &st->msrs[i];
	}
	return NULL;
}

/* Give registers of each group values that no fresh vCPU has. */
static void mark(struct vm *vm, unsigned id)
{
	struct kvm_vcpu *vcpu = &vm->vcpus[id]->kvm;
	struct vcpu_state *st = test_calloc(1, sizeof(*st));
	const uint32_t xmm = 0x11223344;

	assert_int_equal(vcpu_state_get(vcpu, vm->msr_list, kvm_xsave_bytes(vm->vm_fd), st), 0);
	st->regs.r15 = 0x1000 + id;
	st->sregs.cr2 = 0x2000 + id;
	st->debugregs.db[3] = 0x3000 + id;
	st->events.nmi.masked = 1;
	memcpy(st->xsave + 160, &xmm, sizeof(xmm)); /* XMM0 (SDM vol. 1, 13.4.1) */
	st->xsave[512] |= 2;                        /* XSTATE_BV: SSE is in use */
	assert_non_null(find_msr(st, MSR_KERNEL_GS_BASE));
	find_msr(st, MSR_KERNEL_GS_BASE)->data = 0x4000 + id;
	assert_int_equal(vcpu_state_set(vcpu, st, NULL), 0);
	test_free(st);
}

static void check_mark(const struct vm_state *state, unsigned id)
{
	struct vcpu_state *st = test_calloc(1, sizeof(*st));

	*st = state->vcpus[id];
	assert_int_equal(st->regs.r15, 0x1000 + id);
	assert_int_equal(st->sregs.cr2, 0x2000 + id);
	assert_int_equal(st->debugregs.db[3], 0x3000 + id);
	assert_int_equal(st->events.nmi.masked, 1);
	assert_memory_equal(st->xsave + 160, &(uint32_t){ 0x11223344 }, 4);
	assert_int_equal(find_msr(st, MSR_KERNEL_GS_BASE)->data, 0x4000 + id);
	test_free(st);
}

static size_t put_all(const struct vm_state *st, struct vstate_writer **w, const void **data)
{
	size_t len = 0;

	assert_int_equal(vstate_writer_new(w), 0);
	vm_state_put_irqchip(st, *w);
	for (unsigned i = 0; i < st->nr_vcpus; i++)
		vm_state_put_vcpu(st, i, *w);
	assert_int_equal(vstate_writer_finish(*w, data, &len), 0);
	return len;
}

/* What was loaded is what one gets when one saves again, byte for byte. */
static void test_same_again(void **state)
{
	struct fixture *f = *state;
	struct vstate_writer *writers[2];
	const void *data[2] = { NULL };
	struct vm_state *loaded, *again;
	size_t len[2];

	KVM_OR_SKIP(f);
	f->vm = new_vm(f, 2);
	mark(f->vm, 0);
	mark(f->vm, 1);
	irq_set_line(&f->vm->irq, 5, true);
	loaded = move(f);
	again = get_state(f->vm);
	check_mark(again, 0);
	check_mark(again, 1);
	assert_int_equal(again->irqchip.ioapic.irr, loaded->irqchip.ioapic.irr);
	assert_int_equal(again->irqchip.ioapic.irr >> 5 & 1, 1);
	again->irqchip.pit = loaded->irqchip.pit; /* has times of the host's clock */
	len[0] = put_all(loaded, &writers[0], &data[0]);
	len[1] = put_all(again, &writers[1], &data[1]);
	assert_int_equal(len[0], len[1]);
	assert_memory_equal(data[0], data[1], len[0]);
	vstate_writer_free(writers[0]);
	vstate_writer_free(writers[1]);
	vm_state_free(loaded);
	vm_state_free(again);
}

/* --- clocks --- */

#define AHEAD 123456789ULL /* ticks by which vCPU 1 is ahead of vCPU 0 */

static void let_time_pass(uint64_t ns)
{
	uint64_t end_ns = clock_now_ns() + ns;

	while (clock_now_ns() < end_ns)
		(void)sched_yield();
}

/* A KVM in software may run its guests on the host's counter. */
static bool can_set_tsc(struct vm *vm)
{
	struct kvm_vcpu *vcpu = &vm->vcpus[1]->kvm;
	uint64_t offset = 0, is = 0;

	if (kvm_get_tsc_offset(vcpu, &offset) < 0 || kvm_set_tsc_offset(vcpu, offset + AHEAD) < 0 ||
	    kvm_get_tsc_offset(vcpu, &is) < 0)
		return false;
	return is == offset + AHEAD;
}

static void check_tsc(const struct vm_clock_state *before, const struct vm_clock_state *after,
		      uint64_t elapsed_ns, uint64_t slack_ns)
{
	uint64_t tsc_ns = (after->tsc[0] - before->tsc[0]) * 1000000 / before->tsc_khz;

	assert_in_range(tsc_ns, elapsed_ns - MIN(elapsed_ns, 1000U), elapsed_ns + slack_ns);
	assert_true(after->tsc[1] - after->tsc[0] == AHEAD);
}

/* Neither back nor too far: the time that passed in between does not count by itself. */
static void test_clock_modes(void **state)
{
	static const uint64_t elapsed[] = { 0, 3 * NSEC_PER_SEC, 86400 * NSEC_PER_SEC };
	struct fixture *f = *state;

	KVM_OR_SKIP(f);
	for (size_t i = 0; i < ARRAY_SIZE(elapsed); i++) {
		struct vm_clock_state after = { 0 };
		uint64_t started_ns, slack_ns;
		struct vm_state *st;
		bool has_tsc;

		f->vm = new_vm(f, 2);
		has_tsc = can_set_tsc(f->vm);
		st = move(f);
		let_time_pass(20 * NSEC_PER_MSEC); /* which must not be seen */
		started_ns = clock_now_ns();
		start(f, st, elapsed[i]);
		assert_int_equal(vm_clock_get(f->vm, &after), 0);
		slack_ns = clock_now_ns() - started_ns + 1000;
		assert_in_range(after.kvmclock_ns - st->clock.kvmclock_ns, elapsed[i],
				elapsed[i] + slack_ns);
		if (has_tsc)
			check_tsc(&st->clock, &after, elapsed[i], slack_ns);
		vm_state_free(st);
		vm_free(f->vm);
		f->vm = NULL;
	}
}

static void body_pause_does_not_count(void *opaque)
{
	struct fixture *f = opaque;
	struct kvm_clock_data at_pause = { 0 };
	struct vm_clock_state after = { 0 };
	uint64_t slack_ns, started_ns;
	struct vm_state *st;

	f->vm = new_vm(f, 1);
	load(f->vm, &f->program);
	assert_int_equal(vm_start(f->vm), 0);
	wait_for_progress(f->vm, 0, 3);
	vm_pause(f->vm);
	assert_int_equal(kvm_get_clock(f->vm->vm_fd, &at_pause), 0);
	slack_ns = clock_now_ns() - f->vm->paused_at_ns + NSEC_PER_MSEC;
	let_time_pass(30 * NSEC_PER_MSEC);
	st = move(f);
	assert_in_range(st->clock.stood_ns, 30 * NSEC_PER_MSEC, 20 * NSEC_PER_SEC);
	/* As it was when the vCPUs had stopped. */
	assert_in_range(at_pause.clock + slack_ns - st->clock.kvmclock_ns, 0, 2 * slack_ns);
	assert_in_range(vm_state_age_by_arrival_ns(st), st->clock.stood_ns, 40 * NSEC_PER_SEC);
	assert_in_range(vm_state_age_by_realtime_ns(st), st->clock.stood_ns, 40 * NSEC_PER_SEC);
	started_ns = clock_now_ns();
	start(f, st, 0);
	assert_int_equal(vm_clock_get(f->vm, &after), 0);
	assert_in_range(after.kvmclock_ns - st->clock.kvmclock_ns, 0,
			clock_now_ns() - started_ns + 1000);
	vm_state_free(st);
}

static void test_pause_does_not_count(void **state)
{
	struct fixture *f = *state;

	KVM_OR_SKIP(f);
	f->program = (struct program){ counting, counting_end };
	run_on_loop(f->loop, body_pause_does_not_count, f);
}

/* vCPUs that were in step still are, to the tick: KVM's master clock depends on it. */
static void test_in_step(void **state)
{
	struct fixture *f = *state;
	struct vm_clock_state after = { 0 };
	struct vm_state *st;

	KVM_OR_SKIP(f);
	f->vm = new_vm(f, 4);
	st = move(f);
	start(f, st, NSEC_PER_SEC);
	assert_int_equal(vm_clock_get(f->vm, &after), 0);
	for (unsigned i = 1; i < 4; i++)
		assert_true(after.tsc[i] == after.tsc[0]);
	vm_state_free(st);
}

static void body_distant(void *opaque)
{
	struct fixture *f = opaque;
	struct vm_state *st;

	f->vm = new_vm(f, 1);
	load(f->vm, &f->program);
	assert_int_equal(vm_start(f->vm), 0);
	wait_until(f->vm, 1, 1); /* it says that the deadline is set */
	vm_pause(f->vm);
	/* No time passed: the deadline is as far away as before. */
	st = move(f);
	assert_true(st->clock.tsc_deadline[0] > st->clock.tsc[0]);
	start(f, st, 0);
	vm_state_free(st);
	assert_int_equal(vm_start(f->vm), 0);
	let_time_pass(30 * NSEC_PER_MSEC);
	assert_int_equal(counter(f->vm, 0), 0);
	vm_pause(f->vm);
	/* A day passed: it goes off at once. */
	st = move(f);
	start(f, st, 86400 * NSEC_PER_SEC);
	vm_state_free(st);
	assert_int_equal(vm_start(f->vm), 0);
	wait_until(f->vm, 0, 1);
}

static void test_distant_deadline(void **state)
{
	struct fixture *f = *state;

	KVM_OR_SKIP(f);
	f->program = (struct program){ distant, distant_end };
	run_on_loop(f->loop, body_distant, f);
}

/* --- what is refused --- */

static void test_other_frequency(void **state)
{
	struct fixture *f = *state;
	struct vm_state *st;
	struct err e = { 0 };
	uint32_t khz;
	int rc;

	KVM_OR_SKIP(f);
	f->vm = new_vm(f, 1);
	st = get_state(f->vm);
	khz = st->clock.tsc_khz;
	st->clock.tsc_khz = khz + khz / 5000; /* 200 ppm */
	assert_int_equal(vm_state_set(f->vm, st, &e), 0);
	assert_false(f->vm->tsc_scaled);
	st->clock.tsc_khz = 0; /* a source that could not tell */
	assert_int_equal(vm_state_set(f->vm, st, &e), 0);
	st->clock.tsc_khz = khz + khz / 2000;
	rc = vm_state_set(f->vm, st, &e);
	if (kvm_check_cap(f->vm->kvm_fd, KVM_CAP_TSC_CONTROL)) {
		assert_int_equal(rc, 0);
		assert_int_equal(kvm_get_tsc_khz(&f->vm->vcpus[0]->kvm), st->clock.tsc_khz);
	} else {
		assert_int_equal(rc, -ENOTSUP);
		assert_non_null(strstr(e.text, "time stamp counter runs at"));
	}
	vm_state_free(st);
}

static void test_missing(void **state)
{
	struct fixture *f = *state;
	struct vm_state *st, *none = NULL;
	struct err e = { 0 };

	KVM_OR_SKIP(f);
	f->vm = new_vm(f, 2);
	st = get_state(f->vm);
	assert_int_equal(vm_state_new(&none, 2), 0);
	assert_int_equal(vm_state_set(f->vm, none, &e), -EPROTO);
	assert_non_null(strstr(e.text, "clocks is missing"));
	carry(st, none, 0, put_clock, load_clock);
	assert_int_equal(vm_state_set(f->vm, none, &e), -EPROTO);
	assert_non_null(strstr(e.text, "interrupt controllers is missing"));
	carry(st, none, 0, put_irqchip, load_irqchip);
	carry(st, none, 0, vm_state_put_vcpu, vm_state_load_vcpu);
	assert_int_equal(vm_state_set(f->vm, none, &e), -EPROTO);
	assert_non_null(strstr(e.text, "vCPU 1 is missing"));
	assert_int_equal(vm_state_load_vcpu(none, 2, NULL, &e), -EPROTO);
	vm_state_free(none);
	vm_state_free(st);
}

/* What a peer could write into a state that is decoded well. KVM or ferry says no. */
static void spoil_sregs(struct vm_state *st)
{
	st->vcpus[0].sregs.cr4 = UINT64_MAX;
}

static void spoil_msr(struct vm_state *st)
{
	st->vcpus[0].msrs[st->vcpus[0].nr_msrs++] =
		(struct kvm_msr_entry){ .index = 0x12345678, .data = 1 };
}

static void spoil_msr_value(struct vm_state *st)
{
	find_msr(&st->vcpus[0], MSR_KERNEL_GS_BASE)->data = 0x8000000000000000;
}

static void spoil_fpu(struct vm_state *st)
{
	memset(st->vcpus[0].xsave + 512, 0xff, 8);
}

static void spoil_mp_state(struct vm_state *st)
{
	st->vcpus[0].mp_state = 99;
}

static void spoil_events(struct vm_state *st)
{
	st->vcpus[0].events.flags = UINT32_MAX;
}

static void spoil_debug(struct vm_state *st)
{
	st->vcpus[0].debugregs.dr7 = UINT64_MAX;
}

static void spoil_xcr(struct vm_state *st)
{
	st->vcpus[0].xcrs.xcrs[0].value = 0;
}

static void test_spoilt(void **state)
{
	static const struct {
		void (*spoil)(struct vm_state *st);
		const char *text;
	} cases[] = {
		{ spoil_sregs, "special registers" },  { spoil_msr, "MSR 0x12345678" },
		{ spoil_msr_value, "MSR 0xc0000102" }, { spoil_fpu, "FPU" },
		{ spoil_mp_state, "MP state" },        { spoil_events, "events" },
		{ spoil_debug, "debug registers" },    { spoil_xcr, "XCRs" },
	};
	struct fixture *f = *state;

	KVM_OR_SKIP(f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_state *st;
		struct err e = { 0 };

		f->vm = new_vm(f, 1);
		st = get_state(f->vm);
		cases[i].spoil(st);
		if (vm_state_set(f->vm, st, &e) >= 0 || !strstr(e.text, cases[i].text))
			fail_msg("case %zu: %s", i, e.text);
		vm_state_free(st);
		vm_free(f->vm);
		f->vm = NULL;
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_counting_1), TEST(test_counting_2),       TEST(test_counting_4),
		TEST(test_pit),        TEST(test_lapic_timer),      TEST(test_tsc_deadline),
		TEST(test_same_again), TEST(test_clock_modes),      TEST(test_pause_does_not_count),
		TEST(test_in_step),    TEST(test_distant_deadline), TEST(test_other_frequency),
		TEST(test_missing),    TEST(test_spoilt),
	};

	return cmocka_run_group_tests_name("vm_state", tests, NULL, NULL);
}
