// SPDX-License-Identifier: MIT
// The machine and its vCPUs: programs of a few instructions, parked, reset and freed.
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/guest_event.h"
#include "tests/unit/machine.h"
#include "util/clock.h"
#include "vmm/vcpu.h"
#include "vmm/vcpu_state.h"

#define PROGRAM_GPA 0x1000U
#define COUNTER_GPA 0x2000U
#define WAIT_NS     (10 * NSEC_PER_SEC)

#define MSR_TSC            0x10
#define MSR_KERNEL_GS_BASE 0xc0000102U

/* Real mode, 16 bits. */
static const uint8_t counting[] = { 0xff, 0x06, 0x00, 0x20, 0xeb, 0xfa }; /* inc [0x2000]; jmp */
static const uint8_t halting[] = { 0xf4, 0xeb, 0xfd };                    /* hlt; jmp */
static const uint8_t exiting[] = { 0xb0, 0x05, 0xe6, 0xf4, 0xf4 };        /* out 0xf4, 5; hlt */
static const uint8_t faulting[] = { 0x0f, 0x0b };                         /* ud2 */

/* A device that counts what is done to it. */
struct probe {
	struct device device;
	unsigned pauses, resumes, resets;
	unsigned *order; /* next number to give out when freed */
	unsigned freed;
};

struct fixture {
	struct machine m;
	struct guest_events events;
	struct probe probe;
};

static void probe_reset(struct device *dev)
{
	container_of(dev, struct probe, device)->resets++;
}

static void probe_pause(struct device *dev)
{
	container_of(dev, struct probe, device)->pauses++;
}

static void probe_resume(struct device *dev)
{
	container_of(dev, struct probe, device)->resumes++;
}

static void probe_free(struct device *dev)
{
	struct probe *p = container_of(dev, struct probe, device);

	if (p->order)
		p->freed = ++*p->order;
}

static const struct device_ops probe_ops = {
	.type = "probe",
	.reset = probe_reset,
	.pause = probe_pause,
	.resume = probe_resume,
	.free = probe_free,
};

static void on_debug_port(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)offset, (void)size;
	vm_raise_event(opaque, VM_EVENT_DEBUG_EXIT, (unsigned)value);
}

static const struct bus_ops debug_port = { .write = on_debug_port };

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	machine_init(&f->m, 1 * MIB);
	if (!f->m.vm)
		return 0;
	f->probe.device = (struct device){ .ops = &probe_ops, .id = "probe" };
	assert_int_equal(vm_add_device(f->m.vm, &f->probe.device), 0);
	assert_int_equal(bus_add(&f->m.vm->pio, 0xf4, 1, &debug_port, f->m.vm), 0);
	guest_events_listen(&f->events, f->m.vm);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_fini(&f->m);
	test_free(f);
	return 0;
}

/* Let vCPU 0 run @code next; it is not running now. */
static void load(struct vm *vm, const uint8_t *code, size_t bytes)
{
	struct kvm_vcpu *vcpu = &vm->vcpus[0]->kvm;
	struct kvm_regs regs = { .rip = PROGRAM_GPA, .rflags = 2, .rsp = 0x8000 };
	struct kvm_sregs sregs;

	assert_int_equal(gmem_write(&vm->gmem, PROGRAM_GPA, code, bytes), 0);
	assert_int_equal(kvm_get_sregs(vcpu, &sregs), 0);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	assert_int_equal(kvm_set_sregs(vcpu, &sregs), 0);
	assert_int_equal(kvm_set_regs(vcpu, &regs), 0);
}

static uint16_t counter(struct vm *vm)
{
	uint16_t value;

	assert_int_equal(gmem_read(&vm->gmem, COUNTER_GPA, &value, sizeof(value)), 0);
	return value;
}

/* The guest says nothing while it counts: look until it has. */
static void wait_for_progress(struct vm *vm)
{
	uint16_t before = counter(vm);
	uint64_t end_ns = clock_now_ns() + WAIT_NS;

	while (counter(vm) == before) {
		assert_true(clock_now_ns() < end_ns);
		(void)sched_yield();
	}
}

/* It cannot have run: its registers can be read twice and are the same. */
static void check_stopped(struct vm *vm)
{
	uint16_t before = counter(vm);
	struct kvm_regs first, second;

	assert_int_equal(kvm_get_regs(&vm->vcpus[0]->kvm, &first), 0);
	for (int i = 0; i < 100; i++)
		(void)sched_yield();
	assert_int_equal(kvm_get_regs(&vm->vcpus[0]->kvm, &second), 0);
	assert_memory_equal(&first, &second, sizeof(first));
	assert_int_equal(counter(vm), before);
}

/* --- events --- */

static void body_debug_exit(void *opaque)
{
	struct fixture *f = opaque;
	struct vm *vm = f->m.vm;

	load(vm, exiting, sizeof(exiting));
	assert_int_equal(vm_start(vm), 0);
	guest_events_wait(&f->events);
	assert_int_equal(f->events.event, VM_EVENT_DEBUG_EXIT);
	assert_int_equal(f->events.code, 5);
	assert_int_equal(atomic_load(&vm->vcpus[0]->exits[KVM_EXIT_IO]), 1);
	/* Parked right behind the write, which is complete. */
	check_stopped(vm);
}

static void test_debug_exit(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_debug_exit, f);
}

static void body_triple_fault(void *opaque)
{
	struct fixture *f = opaque;
	struct kvm_vcpu *vcpu = &f->m.vm->vcpus[0]->kvm;
	struct kvm_sregs sregs;

	load(f->m.vm, faulting, sizeof(faulting));
	assert_int_equal(kvm_get_sregs(vcpu, &sregs), 0);
	/* In real mode an emulated exception goes to the vector at address 0. */
	sregs.cr0 |= 1;
	sregs.cs.db = sregs.cs.g = 1;
	sregs.cs.limit = UINT32_MAX;
	sregs.cs.selector = 0x10;
	sregs.idt.limit = 0;
	assert_int_equal(kvm_set_sregs(vcpu, &sregs), 0);
	assert_int_equal(vm_start(f->m.vm), 0);
	guest_events_wait(&f->events);
	assert_int_equal(f->events.event, VM_EVENT_CRASH);
	assert_int_equal(f->events.code, VM_CRASH_TRIPLE_FAULT);
}

static void test_triple_fault(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_triple_fault, f);
}

static void body_first_wins(void *opaque)
{
	struct fixture *f = opaque;
	struct vm *vm = f->m.vm;

	load(vm, halting, sizeof(halting));
	assert_int_equal(vm_start(vm), 0);
	vm_raise_event(vm, VM_EVENT_POWEROFF, 0);
	vm_raise_event(vm, VM_EVENT_RESET, 0);
	vm_raise_event(vm, VM_EVENT_DEBUG_EXIT, 9);
	guest_events_wait(&f->events);
	assert_int_equal(f->events.event, VM_EVENT_POWEROFF);
	/* It stands until it has been dealt with. */
	vm_raise_event(vm, VM_EVENT_RESET, 0);
	assert_int_equal(f->events.nr, 1);
	vm_event_done(vm);
	vm_raise_event(vm, VM_EVENT_RESET, 0);
	guest_events_wait(&f->events);
	assert_int_equal(f->events.event, VM_EVENT_RESET);
	assert_int_equal(f->events.nr, 2);
}

static void test_first_wins(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_first_wins, f);
}

/* --- pause --- */

static void body_pause(void *opaque)
{
	struct fixture *f = opaque;
	struct vm *vm = f->m.vm;

	load(vm, counting, sizeof(counting));
	assert_int_equal(vm_start(vm), 0);
	wait_for_progress(vm);
	assert_false(vm_is_paused(vm));
	vm_pause(vm);
	vm_pause(vm);
	assert_true(vm_is_paused(vm));
	check_stopped(vm);
	vm_resume(vm);
	assert_true(vm_is_paused(vm));
	check_stopped(vm);
	assert_int_equal(f->probe.pauses, 1);
	assert_int_equal(f->probe.resumes, 0);
	vm_resume(vm);
	assert_false(vm_is_paused(vm));
	assert_int_equal(f->probe.resumes, 1);
	wait_for_progress(vm);
	/* An event holds the vCPUs, whatever the user does meanwhile. */
	vm_raise_event(vm, VM_EVENT_CRASH, 0);
	guest_events_wait(&f->events);
	vm_pause(vm);
	vm_resume(vm);
	check_stopped(vm);
	vm_event_done(vm);
	wait_for_progress(vm);
}

static void test_pause(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_pause, f);
}

static void test_paused_before_start(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = f->m.vm;

	MACHINE_OR_SKIP(&f->m);
	load(vm, counting, sizeof(counting));
	vm_pause(vm);
	assert_int_equal(vm_start(vm), 0);
	assert_int_equal(counter(vm), 0);
	vm_resume(vm);
	wait_for_progress(vm);
}

/* --- reset --- */

static void check_power_on(struct vm *vm)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	assert_int_equal(kvm_get_regs(&vm->vcpus[0]->kvm, &regs), 0);
	assert_int_equal(kvm_get_sregs(&vm->vcpus[0]->kvm, &sregs), 0);
	/* SDM vol. 3, table 9-1. */
	assert_int_equal(regs.rip, 0xfff0);
	assert_int_equal(regs.rflags, 2);
	assert_int_equal(sregs.cs.base, 0xffff0000);
	assert_int_equal(sregs.cs.selector, 0xf000);
	assert_int_equal(sregs.cr0 & 1, 0);
	assert_int_equal(kvm_get_irqchip(vm->vm_fd, &chip), 0);
	for (unsigned pin = 0; pin < 24; pin++)
		assert_true(chip.chip.ioapic.redirtbl[pin].fields.mask);
}

static void route_pin(struct vm *vm, unsigned pin)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	assert_int_equal(kvm_get_irqchip(vm->vm_fd, &chip), 0);
	chip.chip.ioapic.redirtbl[pin].fields.mask = 0;
	chip.chip.ioapic.redirtbl[pin].fields.vector = 0x60;
	assert_int_equal(kvm_set_irqchip(vm->vm_fd, &chip), 0);
}

static void body_reset(void *opaque)
{
	struct fixture *f = opaque;
	struct vm *vm = f->m.vm;
	const uint32_t mark = 0x12345678;
	uint32_t kept = 0;

	load(vm, exiting, sizeof(exiting));
	assert_int_equal(gmem_write(&vm->gmem, COUNTER_GPA, &mark, sizeof(mark)), 0);
	route_pin(vm, 5);
	assert_int_equal(vm_start(vm), 0);
	for (unsigned i = 1; i <= 3; i++) {
		guest_events_wait(&f->events);
		assert_int_equal(f->events.event, VM_EVENT_DEBUG_EXIT);
		assert_int_equal(vm_reset(vm), 0);
		assert_int_equal(f->probe.resets, i);
		check_power_on(vm);
		assert_int_equal(gmem_read(&vm->gmem, COUNTER_GPA, &kept, sizeof(kept)), 0);
		assert_int_equal(kept, mark);
		load(vm, exiting, sizeof(exiting));
		vm_event_done(vm);
	}
	guest_events_wait(&f->events);
	assert_int_equal(f->events.nr, 4);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_reset, f);
}

/* --- state of a vCPU --- */

static __u64 *find_msr(struct vcpu_state *st, uint32_t index)
{
	for (uint32_t i = 0; i < st->nr_msrs; i++) {
		if (st->msrs[i].index == index)
			return &st->msrs[i].data;
	}
	return NULL;
}

static void test_vcpu_state(void **state)
{
	struct fixture *f = *state;
	struct vcpu_state *first, *second;
	struct kvm_vcpu *vcpu;
	uint32_t xsave_bytes;

	MACHINE_OR_SKIP(&f->m);
	vcpu = &f->m.vm->vcpus[0]->kvm;
	xsave_bytes = kvm_xsave_bytes(f->m.vm->vm_fd);
	first = test_calloc(2, sizeof(*first));
	second = first + 1;
	assert_int_equal(vcpu_state_get(vcpu, f->m.vm->msr_list, xsave_bytes, first), 0);
	assert_non_null(find_msr(first, MSR_TSC));
	assert_non_null(find_msr(first, MSR_KERNEL_GS_BASE));
	first->regs.rbx = 0x1122334455667788;
	first->sregs.cr2 = 0x77777000;
	first->debugregs.db[1] = 0x1000;
	*find_msr(first, MSR_KERNEL_GS_BASE) = 0x7fff12340000;
	vcpu_state_forget_tsc(first);
	assert_null(find_msr(first, MSR_TSC));
	assert_int_equal(vcpu_state_set(vcpu, first, NULL), 0);
	assert_int_equal(vcpu_state_get(vcpu, f->m.vm->msr_list, xsave_bytes, second), 0);
	assert_memory_equal(&second->regs, &first->regs, sizeof(first->regs));
	assert_memory_equal(&second->sregs, &first->sregs, sizeof(first->sregs));
	assert_int_equal(second->debugregs.db[1], 0x1000);
	assert_int_equal(second->mp_state, first->mp_state);
	assert_int_equal(*find_msr(second, MSR_KERNEL_GS_BASE), 0x7fff12340000);
	test_free(first);
}

/* --- life cycle --- */

static void test_devices(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = f->m.vm;
	unsigned order = 0;
	struct probe a = { .device = { .ops = &probe_ops, .id = "a" }, .order = &order };
	struct probe b = { .device = { .ops = &probe_ops, .id = "b" }, .order = &order };
	struct probe same = { .device = { .ops = &probe_ops, .id = "a" } };

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(vm_add_device(vm, &a.device), 0);
	assert_int_equal(vm_add_device(vm, &same.device), -EEXIST);
	assert_ptr_equal(vm_find_device(vm, "a"), &a.device);
	assert_null(vm_find_device(vm, "c"));
	vm_remove_device(vm, &a.device);
	assert_null(vm_find_device(vm, "a"));
	assert_int_equal(vm_add_device(vm, &a.device), 0);
	assert_int_equal(vm_add_device(vm, &b.device), 0);
	vm_free(vm);
	f->m.vm = NULL;
	assert_int_equal(b.freed, 1);
	assert_int_equal(a.freed, 2);
}

static void free_running(struct vm *vm)
{
	assert_int_equal(vm_start(vm), 0);
	wait_for_progress(vm);
}

static void free_started(struct vm *vm)
{
	assert_int_equal(vm_start(vm), 0);
}

static void free_paused(struct vm *vm)
{
	assert_int_equal(vm_start(vm), 0);
	vm_pause(vm);
}

static void free_with_event(struct vm *vm)
{
	assert_int_equal(vm_start(vm), 0);
	vm_raise_event(vm, VM_EVENT_RESET, 0);
}

static void free_new(struct vm *vm)
{
	(void)vm;
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

static void test_free_at_any_stage(void **state)
{
	static void (*const stages[])(struct vm * vm) = { free_new, free_started, free_running,
							  free_paused, free_with_event };
	const struct vm_params params = { .memory_bytes = 1 * MIB, .nr_vcpus = 2 };
	struct fixture *f = *state;
	unsigned fds = count_fds();

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		struct vm *vm = NULL;
		struct err e;

		assert_int_equal(vm_new(&vm, &params, f->m.main_loop, &e), 0);
		load(vm, counting, sizeof(counting));
		stages[i](vm);
		vm_free(vm);
		assert_int_equal(count_fds(), fds);
	}
	vm_free(NULL);
}

static void test_refused(void **state)
{
	static const struct vm_params cases[] = {
		{ .memory_bytes = 1 * MIB, .nr_vcpus = 0 },
		{ .memory_bytes = 1 * MIB, .nr_vcpus = VM_MAX_VCPUS + 1 },
		{ .memory_bytes = 0, .nr_vcpus = 1 },
		{ .memory_bytes = 1 * MIB + 1, .nr_vcpus = 1 },
	};
	struct fixture *f = *state;
	unsigned fds = count_fds();

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm *vm = NULL;
		struct err e = { 0 };

		assert_int_equal(vm_new(&vm, &cases[i], f->m.main_loop, &e), -EINVAL);
		assert_non_null(strstr(e.text, cases[i].nr_vcpus == 1 ? "memory" : "vcpus"));
		assert_null(vm);
	}
	assert_int_equal(count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_debug_exit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_triple_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paused_before_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vcpu_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_at_any_stage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
