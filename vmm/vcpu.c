// SPDX-License-Identifier: MIT
// vCPU threads: run, handle exits, park.
#include "vmm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/counter.h"
#include "util/io.h"
#include "vmm/cpuid.h"
#include "vmm/vcpu_state.h"
#include "vmm/vm.h"

/*
 * Interrupts KVM_RUN. That the system call returns is all that matters to who
 * kicks. Only vCPU threads leave it unblocked.
 */
#define SIG_KICK SIGRTMIN

static void on_kick(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	/* The throttle's timer: if it comes outside KVM_RUN, the flag stays. */
	if (info->si_code == SI_TIMER) {
		struct vcpu *v = info->si_value.sival_ptr;

		__atomic_store_n(&v->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	}
}

static int set_cpuid(struct vcpu *v)
{
	const struct cpuid_params params = {
		.apic_id = v->id,
		.nr_vcpus = v->vm->nr_vcpus,
		.tsc_khz = v->vm->tsc_khz,
		.tsc_deadline = v->vm->has_tsc_deadline,
	};
	const struct kvm_cpuid2 *host = v->vm->cpuid;
	size_t bytes = sizeof(*host) + host->nent * sizeof(host->entries[0]);
	struct kvm_cpuid2 *mine;
	int rc;

	mine = calloc(1, bytes + CPUID_EXTRA_ENTRIES * sizeof(host->entries[0]));
	if (!mine)
		return -ENOMEM;
	memcpy(mine, host, bytes);
	cpuid_fill(mine, &params);
	rc = kvm_set_cpuid(&v->kvm, mine);
	free(mine);
	return rc;
}

static int init(struct vcpu *v)
{
	int rc = kvm_vcpu_open(v->vm->kvm_fd, v->vm->vm_fd, v->id, &v->kvm);

	if (rc < 0)
		return rc;
	/* Now, since a vCPU that runs answers no such call. */
	v->stats_fd = kvm_stats_open(v->kvm.fd);
	if (v->id == 0 && !v->vm->tsc_khz) {
		int khz = kvm_get_tsc_khz(&v->kvm);

		v->vm->tsc_khz = khz > 0 ? (uint32_t)khz : 0;
	}
	rc = set_cpuid(v);
	if (rc < 0)
		return rc;
	v->power_on = calloc(1, sizeof(*v->power_on));
	if (!v->power_on)
		return -ENOMEM;
	rc = vcpu_state_get(&v->kvm, v->vm->msr_list, kvm_xsave_bytes(v->vm->vm_fd), v->power_on);
	vcpu_state_forget_tsc(v->power_on);
	return rc;
}

int vcpu_new(struct vm *vm, unsigned id, struct vcpu **ret)
{
	struct vcpu *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return -ENOMEM;
	v->vm = vm;
	v->id = id;
	v->kvm.fd = v->stats_fd = -1;
	rc = init(v);
	if (rc < 0) {
		vcpu_free(v);
		return rc;
	}
	*ret = v;
	return 0;
}

void vcpu_free(struct vcpu *vcpu)
{
	if (!vcpu)
		return;
	close_fd(&vcpu->stats_fd);
	kvm_vcpu_close(&vcpu->kvm);
	free(vcpu->power_on);
	free(vcpu);
}

int vcpu_reset(struct vcpu *vcpu)
{
	return vcpu_state_set(&vcpu->kvm, vcpu->power_on, NULL);
}

void vcpu_kick(struct vcpu *vcpu)
{
	/* Before the signal: if that comes outside KVM_RUN, the flag stays. */
	__atomic_store_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (vcpu->started)
		(void)pthread_kill(vcpu->thread, SIG_KICK);
}

static void exit_io(struct vcpu *v)
{
	struct kvm_run *run = v->kvm.run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			bus_read(&v->vm->pio, run->io.port, data, run->io.size);
		else
			bus_write(&v->vm->pio, run->io.port, data, run->io.size);
	}
}

static void exit_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->kvm.run;

	if (run->mmio.is_write)
		bus_write(&v->vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(&v->vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

static void exit_shutdown(struct vcpu *v)
{
	log_limited(&v->vm->guest_log, LOG_WARN, "vCPU %u: triple fault", v->id);
	vm_raise_event(v->vm, VM_EVENT_CRASH, VM_CRASH_TRIPLE_FAULT);
}

static void exit_system_event(struct vcpu *v)
{
	switch (v->kvm.run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_raise_event(v->vm, VM_EVENT_POWEROFF, 0);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_raise_event(v->vm, VM_EVENT_RESET, 0);
		break;
	default:
		vm_raise_event(v->vm, VM_EVENT_CRASH, VM_CRASH_PANIC);
	}
}

/* KVM gave up on the guest: say where, because nothing else will. */
static void exit_error(struct vcpu *v)
{
	const struct kvm_run *run = v->kvm.run;
	struct kvm_regs regs = { 0 };
	char detail[80] = "";

	/* It may be a breakpoint that KVM cannot emulate. */
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR && v->vm->debugger &&
	    v->vm->debugger->trap(v->vm->debugger, v))
		return;
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		(void)snprintf(detail, sizeof(detail), ", suberror %u", run->internal.suberror);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		(void)snprintf(detail, sizeof(detail), ", hardware reason 0x%llx",
			       (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	if (kvm_get_regs(&v->kvm, &regs) < 0)
		regs.rip = 0;
	log_limited(&v->vm->guest_log, LOG_WARN,
		    "vCPU %u: KVM cannot go on (exit %u, %s%s) at rip 0x%llx", v->id,
		    run->exit_reason, kvm_exit_name(run->exit_reason), detail,
		    (unsigned long long)regs.rip);
	vm_raise_event(v->vm, VM_EVENT_CRASH, VM_CRASH_KVM);
}

static void exit_debug(struct vcpu *v)
{
	if (!v->vm->debugger || !v->vm->debugger->trap(v->vm->debugger, v))
		log_limited(&v->vm->guest_log, LOG_WARN, "vCPU %u: a debug exception got lost",
			    v->id);
}

static void exit_nothing(struct vcpu *v)
{
	(void)v;
}

/* Exits that are not here are ones that ferry's configuration never causes. */
static void (*const exit_handlers[VCPU_EXIT_REASONS])(struct vcpu *v) = {
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
	[KVM_EXIT_DEBUG] = exit_debug,
	[KVM_EXIT_INTR] = exit_nothing,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = exit_nothing,
};

static void handle_exit(struct vcpu *v)
{
	uint32_t reason = v->kvm.run->exit_reason;
	void (*handler)(struct vcpu * v) = NULL;

	if (reason < VCPU_EXIT_REASONS) {
		counter_add(&v->exits[reason], 1);
		handler = exit_handlers[reason];
	}
	(handler ? handler : exit_error)(v);
}

/* A rest that the throttle wants, until @rest_ns, ends early where it is switched off. */
static void wait_locked(const struct vcpu *v, uint64_t rest_ns)
{
	struct vm *vm = v->vm;

	while (!vm->quit) {
		if (vm->pause_depth > 0 || v->frozen)
			(void)pthread_cond_wait(&vm->unpark, &vm->lock.m);
		else if (!vm->throttle || clock_now_ns() >= rest_ns)
			return;
		else
			(void)cond_wait_until(&vm->unpark, &vm->lock, rest_ns);
	}
}

/*
 * Wait while the VM wants its vCPUs parked, or this one to rest. The kick flag is
 * cleared under the lock that vm.c holds while it kicks, so no kick is lost.
 * False: the end.
 */
static bool park(struct vcpu *v)
{
	struct vm *vm = v->vm;
	unsigned throttle;
	bool go_on;

	mutex_lock(&vm->lock);
	vm->nr_parked++;
	(void)pthread_cond_broadcast(&vm->parked);
	wait_locked(v, vcpu_throttle_rest(&v->throttle, vm->throttle));
	vm->nr_parked--;
	__atomic_store_n(&v->kvm.run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	go_on = !vm->quit;
	throttle = vm->throttle;
	mutex_unlock(&vm->lock);
	/* The flag is cleared before the timer can set it. */
	if (vcpu_throttle_run(&v->throttle, throttle, SIG_KICK, v) < 0)
		log_limited(&vm->guest_log, LOG_WARN, "vCPU %u: no timer to throttle it", v->id);
	return go_on;
}

/*
 * What KVM does once, when a VM is first run (a thread that it starts, say), takes up
 * to a millisecond: who waits for a guest that arrives need not wait for that, too.
 */
static void warm_up(struct vcpu *v)
{
	__atomic_store_n(&v->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	(void)!kvm_vcpu_run(&v->kvm); /* -EINTR; park() clears the flag */
}

static void *vcpu_main(void *opaque)
{
	struct vcpu *v = opaque;
	sigset_t kick;

	atomic_store_explicit(&v->tid, gettid(), memory_order_relaxed);
	(void)sigemptyset(&kick);
	(void)sigaddset(&kick, SIG_KICK);
	(void)pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	warm_up(v);
	while (park(v)) {
		int rc;

		/* EAGAIN: an AP got its SIPI and can run now. */
		while ((rc = kvm_vcpu_run(&v->kvm)) == 0 || rc == -EAGAIN) {
			if (rc == 0)
				handle_exit(v);
		}
		if (rc != -EINTR)
			exit_error(v);
	}
	vcpu_throttle_fini(&v->throttle);
	return NULL;
}

int vcpu_start(struct vcpu *vcpu)
{
	const struct sigaction act = { .sa_sigaction = on_kick, .sa_flags = SA_SIGINFO };
	char name[16];
	int rc;

	if (sigaction(SIG_KICK, &act, NULL) < 0)
		return -errno;
	(void)snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
	rc = thread_start(&vcpu->thread, THREAD_VCPU, name, vcpu_main, vcpu);
	vcpu->started = rc == 0;
	return rc;
}
