/* SPDX-License-Identifier: MIT */
/* A machine's state outside devices and memory: clocks, interrupt controllers, vCPUs. */
#ifndef FERRY_VMM_VM_STATE_H
#define FERRY_VMM_VM_STATE_H

#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

struct vm;
struct vstate_reader;
struct vstate_table;
struct vstate_writer;

/*
 * Theory of operation
 *
 * Between KVM and the bytes of a section stands a struct vm_state:
 *
 *	KVM --vm_state_get()--> vm_state --vm_state_put_*()--> bytes
 *	bytes --vm_state_load_*()--> vm_state --vm_state_set(), _start()--> KVM
 *
 * vm_state_set() writes everything, so that KVM has the last word on what a peer
 * or a file says. Timers run from the moment when they are written, so
 * vm_state_start() writes them again, with the clocks, when the guest is about
 * to run: then the guest's time goes on from the pause (@elapsed_ns 0), or by as
 * much later as really passed.
 *
 * Clocks travel as they were at the pause, and time stamp counters as one reading
 * for all vCPUs, of the same moment as kvmclock, so their differences are exactly
 * those that the guest had.
 */
struct vm_state;

/* For a machine of @nr_vcpus. 0 or -ENOMEM. */
__must_check int vm_state_new(struct vm_state **ret, unsigned nr_vcpus);
void vm_state_free(struct vm_state *st);

/*
 * Read the state of the paused machine, whose vCPUs are as many. 0 or -errno with
 * the reason. Main thread, or any while nothing resumes the machine.
 */
__must_check int vm_state_get(struct vm *vm, struct vm_state *st, struct err *e);

/*
 * How long ago the machine was paused: by the hosts' CLOCK_REALTIME, 0 if that went
 * back; or by how long it stood at the source and how long ago CLOCK was loaded here,
 * which needs no clocks that agree, but a state that came as it was taken.
 */
uint64_t vm_state_age_by_realtime_ns(const struct vm_state *st);
uint64_t vm_state_age_by_arrival_ns(const struct vm_state *st);

/* The payloads of sections CLOCK, IRQCHIP and VCPU @id. */
void vm_state_put_clock(const struct vm_state *st, struct vstate_writer *w);
void vm_state_put_irqchip(const struct vm_state *st, struct vstate_writer *w);
void vm_state_put_vcpu(const struct vm_state *st, unsigned id, struct vstate_writer *w);

/*
 * Decode one of them. 0, or -EPROTO, -EINVAL, -ENOENT with the reason. An @id
 * that the machine does not have is refused, and so is a part that is unknown.
 */
__must_check int vm_state_load_clock(struct vm_state *st, struct vstate_reader *r, struct err *e);
__must_check int vm_state_load_irqchip(struct vm_state *st, struct vstate_reader *r, struct err *e);
__must_check int vm_state_load_vcpu(struct vm_state *st, unsigned id, struct vstate_reader *r,
				    struct err *e);

/*
 * Write all of it to a machine that never ran, before its devices are loaded.
 * Its memory must be complete. -EPROTO if a section was not loaded, -ENOTSUP if
 * this host cannot run the guest (time stamp counter's frequency, an MSR that
 * KVM does not have), or what KVM says; @e has the reason. The machine is then to
 * be thrown away. Main thread.
 */
__must_check int vm_state_set(struct vm *vm, const struct vm_state *st, struct err *e);

/*
 * Start the machine's clocks and timers, @elapsed_ns after the pause; 0 lets the
 * guest's time go on as if it had never stopped. Then run the
 * machine at once (vm_start(), vm_resume()). 0 or -errno. Main thread.
 */
__must_check int vm_state_start(struct vm *vm, const struct vm_state *st, uint64_t elapsed_ns,
				struct err *e);

/* What these sections hold: one part each. */
extern const struct vstate_table vm_clock_table, vm_irqchip_table, vm_vcpu_table;

#endif
