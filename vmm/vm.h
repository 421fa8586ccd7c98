/* SPDX-License-Identifier: MIT */
/* One guest: memory, buses, interrupts, vCPUs, devices, and their life cycle. */
#ifndef FERRY_VMM_VM_H
#define FERRY_VMM_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "util/err.h"
#include "util/log.h"
#include "util/thread.h"
#include "vmm/bus.h"
#include "vmm/device.h"
#include "vmm/gmem.h"
#include "vmm/irq.h"
#include "vmm/kvm.h"
#include "vmm/loop.h"

#define VM_MAX_VCPUS 64U

struct vcpu;
struct vm_power_on;

/* Code of VM_EVENT_CRASH. */
enum vm_crash {
	VM_CRASH_PANIC,        /* the guest said so (pvpanic) */
	VM_CRASH_TRIPLE_FAULT, /* no handler left to fault in */
	VM_CRASH_KVM,          /* KVM could not go on */
};

struct vm_params {
	uint64_t memory_bytes;
	unsigned nr_vcpus;
	unsigned nr_hot_slots; /* PCI devices from 1 on that can come and go while it runs */
	bool hugepages;
	/* Of a guest that comes from elsewhere; both NULL otherwise. */
	const struct gmem_file *ram;    /* where its RAM is; NULL: it starts empty */
	const struct kvm_cpuid2 *cpuid; /* what it has seen so far */
	uint32_t tsc_khz;               /* the same; 0: this host's */
};

/*
 * What a guest can do to itself. The first one is kept until the main loop
 * has acted on it; the vCPUs stop at once.
 */
enum vm_event {
	VM_EVENT_NONE,
	VM_EVENT_POWEROFF,
	VM_EVENT_RESET,
	VM_EVENT_CRASH,      /* panic, triple fault, instruction KVM cannot do */
	VM_EVENT_DEBUG_EXIT, /* code: the value written */
	VM_EVENT_DEBUG,      /* code: the vCPU that the debugger has stopped */
};

/* Somebody who debugs the guest; embedded in his own structure. */
struct vm_debugger {
	/*
	 * KVM has stopped @v for a debug exception, or cannot go on. True: it was the
	 * debugger's, who has raised VM_EVENT_DEBUG or given it to the guest. The vCPU's thread.
	 */
	bool (*trap)(struct vm_debugger *d, struct vcpu *v);
	/* VM_EVENT_DEBUG, with all vCPUs parked. Main thread. */
	void (*stopped)(struct vm_debugger *d, unsigned cpu);
};

/*
 * Theory of operation
 *
 * vCPU threads run until someone wants them to park: a pause, a reset, an
 * event of the guest, or the end. Whoever wants that raises pause_depth, sets
 * every vCPU's immediate_exit and signals its thread; a vCPU parks only after
 * KVM_RUN came back with -EINTR, because only then is the I/O it had under way
 * complete and its state consistent. See vcpu.c.
 */
struct vm {
	/* const after vm_new() */
	int kvm_fd, vm_fd;
	struct gmem gmem;
	struct irq irq;
	struct loop *main_loop;
	unsigned nr_vcpus;
	unsigned nr_hot_slots;
	struct vcpu *vcpus[VM_MAX_VCPUS];
	struct vm_debugger *debugger; /* NULL: nobody debugs it; const after the start */
	uint32_t tsc_khz;             /* 0: unknown */
	bool has_tsc_deadline;
	bool tsc_scaled;          /* KVM runs the TSC at tsc_khz, not at the host's frequency */
	struct kvm_cpuid2 *cpuid; /* what KVM supports; the guest's own if it came from elsewhere */
	struct kvm_msr_list *msr_list;
	struct vm_power_on *power_on;

	struct bus pio, mmio; /* lock themselves */

	/* main thread only */
	TAILQ_HEAD(vm_devices, device) devices;
	bool started;            /* written under lock */
	unsigned devices_paused; /* vm_pause() calls without their resume */
	uint64_t paused_at_ns;   /* CLOCK_MONOTONIC at the first of them; 0: none */

	/* lock */
	struct mutex lock;     /* protects: the group below; order: after device locks */
	pthread_cond_t parked; /* nr_parked changed */
	pthread_cond_t unpark; /* pause_depth became 0, throttle changed, or quit */
	unsigned pause_depth;  /* > 0: vCPUs park */
	unsigned nr_parked;    /* resting ones (throttle) included */
	unsigned throttle;     /* percent of the time in which vCPUs rest */
	bool quit;             /* vCPU threads end */
	enum vm_event event;
	unsigned event_code;

	/* Called on the main loop for each event, with the vCPUs parked. */
	void (*on_event)(void *opaque, enum vm_event event, unsigned code);
	void *on_event_opaque;
	struct loop_work event_work;

	/* A guest that came from elsewhere: by how much its clocks were put forward when
	 * they were started, before its devices' resume. 0: they go on from the pause. */
	uint64_t clock_forward_ns;

	struct log_limit guest_log; /* messages that the guest provokes */
};

/*
 * Create a machine without devices and without a program: memory, irqchip,
 * vCPUs (not running, power-on state). @main_loop runs later on this thread.
 */
__must_check int vm_new(struct vm **ret, const struct vm_params *params, struct loop *main_loop,
			struct err *e);

/* Stop the vCPUs, free all devices, then the machine. NULL: no-op. */
void vm_free(struct vm *vm);

/*
 * Hand @dev over to the machine. Its id must be unique: -EEXIST. While the machine is
 * paused the device is, too. Main thread.
 */
__must_check int vm_add_device(struct vm *vm, struct device *dev);
struct device *vm_find_device(struct vm *vm, const char *id);

/* Remove from the list without freeing; the caller owns it again. vCPUs parked. */
void vm_remove_device(struct vm *vm, struct device *dev);

/* Start the vCPU threads, unless that was done; parked while the VM is paused. Main thread. */
__must_check int vm_start(struct vm *vm);

/*
 * Park all vCPUs, then quiesce the devices; back when nothing of the guest
 * runs any more. Counts: each pause needs its resume. Main thread.
 */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);

/*
 * The vCPUs alone: no device callback of theirs is under way, while devices work on. Counts
 * with the pauses. Main thread.
 */
void vm_park(struct vm *vm);
void vm_unpark(struct vm *vm);
bool vm_is_paused(struct vm *vm);

/*
 * Let each vCPU rest for @percent of every 10 ms, at most VCPU_THROTTLE_MAX, so
 * that it writes less; 0: run all the time. Pausing is as quick as ever. Any
 * thread but a vCPU's.
 */
void vm_set_throttle(struct vm *vm, unsigned percent);

/* Keep one vCPU parked, whatever the others do; or no longer. Any thread but a vCPU's. */
void vm_freeze_vcpu(struct vm *vm, unsigned cpu, bool frozen);

/*
 * Bring the started machine to its power-on state: devices, interrupt
 * controllers, vCPUs. RAM keeps its contents. The vCPUs must be parked; the
 * caller then loads the boot image again and lets go. Main thread.
 */
__must_check int vm_reset(struct vm *vm);

/*
 * The guest asked for, or suffered, @event. Any thread, vCPU threads included;
 * that vCPU executes no further instruction. The first event stands until
 * on_event() has been called.
 */
void vm_raise_event(struct vm *vm, enum vm_event event, unsigned code);

/*
 * Has the guest asked for something that the main loop has not dealt with yet?
 * Sure only while the vCPUs are parked.
 */
bool vm_has_event(struct vm *vm);

/*
 * on_event() has handled an event by a reset or wants the guest to go on:
 * release the vCPUs that the event parked. Main thread.
 */
void vm_event_done(struct vm *vm);

#endif
