// SPDX-License-Identifier: MIT
// Clocks and timers of a guest that stands in one place and goes on in another.
//
// Theory of operation: what a guest knows of time is kvmclock, a time stamp counter
// for each vCPU, and three timers: IA32_TSC_DEADLINE, the LAPIC's count-down and
// the PIT. The counters are read as their distance from the host's, at the moment
// of one kvmclock reading, and written the same way, so that no difference
// between vCPUs comes from the time that ioctls take. They go on while a guest is
// paused, so what is saved is set back to the pause. KVM turns a timer into one
// of the host's when it is written; therefore counters come before deadlines.
//
// A KVM in software may run guests on the host's own counter, and take a new
// distance without an effect. So what was written is read again, and a deadline is
// moved by what became of its counter: it stays as far away as it was.
#include "vmm/vm_clock.h"

#include <errno.h>
#include <string.h>

#include "util/clock.h"
#include "util/log.h"
#include "vmm/vcpu.h"
#include "vmm/vm_state_impl.h"

#define MSR_IA32_TSC          0x10
#define MSR_IA32_TSC_DEADLINE 0x6e0

/* SDM vol. 3, 11.5.4; KVM's APIC bus ticks once a nanosecond. */
#define LAPIC_LVT_TIMER     0x320
#define LAPIC_TIMER_MODE    (3U << 17)
#define LAPIC_TIMER_ONESHOT (0U << 17)
#define LAPIC_TIMER_PERIOD  (1U << 17)
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE  0x3e0

/* As far as KVM regards two frequencies as the same (its tsc_tolerance_ppm). */
#define TSC_TOLERANCE_PPM 250U

#define READ_TRIES  5U
#define READ_MAX_NS (20 * NSEC_PER_USEC)

static uint64_t host_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

static int rw_msr(struct kvm_vcpu *vcpu, bool write, uint32_t index, uint64_t *value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} args = { .head = { .nmsrs = 1 }, .entry = { .index = index, .data = *value } };
	int rc = write ? kvm_set_msrs(vcpu, &args.head) : kvm_get_msrs(vcpu, &args.head);

	*value = args.entry.data;
	return rc == 1 ? 0 : MIN(rc, -EIO);
}

/*
 * How far the vCPU's counter is ahead of the host's. A KVM without the attribute
 * (before 5.16), or one that scales, leaves only the counter to be read: what
 * is then within a millisecond of @near is taken to be that.
 */
static int get_tsc_offset(struct vm *vm, unsigned id, uint64_t near, uint64_t *ret)
{
	struct kvm_vcpu *vcpu = &vm->vcpus[id]->kvm;
	uint64_t value = 0, apart;
	int rc;

	if (!vm->tsc_scaled) {
		rc = kvm_get_tsc_offset(vcpu, ret);
		if (rc != -ENXIO)
			return rc;
	}
	rc = rw_msr(vcpu, false, MSR_IA32_TSC, &value);
	if (rc < 0)
		return rc;
	*ret = value - host_tsc();
	apart = *ret - near + vm->tsc_khz;
	if (apart < 2ULL * vm->tsc_khz)
		*ret = near;
	return 0;
}

/*
 * Let the counter be @tsc when the host's was @at_host_tsc; what it is instead is
 * *@ret_moved ahead of that. Where there is no attribute, KVM has the same rule
 * for what is written: counters that are set within a second of each other, to
 * what fits, are in step.
 */
static int set_tsc(struct vm *vm, unsigned id, uint64_t tsc, uint64_t at_host_tsc,
		   int64_t *ret_moved)
{
	struct kvm_vcpu *vcpu = &vm->vcpus[id]->kvm;
	uint64_t offset = tsc - at_host_tsc, is = 0;
	int rc = -ENXIO;

	if (!vm->tsc_scaled)
		rc = kvm_set_tsc_offset(vcpu, offset);
	if (rc == -ENXIO)
		rc = rw_msr(vcpu, true, MSR_IA32_TSC, &tsc);
	if (rc == 0)
		rc = get_tsc_offset(vm, id, offset, &is);
	if (rc == 0)
		*ret_moved = (int64_t)(is - offset);
	return rc;
}

static uint64_t ticks(const struct vm_clock_state *clock, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * clock->tsc_khz / 1000000U);
}

/*
 * kvmclock, the host's counter and CLOCK_MONOTONIC of one moment: whoever was
 * interrupted between them tries again.
 */
static int read_clocks(struct vm *vm, struct kvm_clock_data *ret, uint64_t *ret_now_ns)
{
	uint64_t before_ns = 0;

	for (unsigned i = 0; i < READ_TRIES; i++) {
		int rc;

		before_ns = clock_now_ns();
		*ret = (struct kvm_clock_data){ 0 };
		rc = kvm_get_clock(vm->vm_fd, ret);
		if (rc < 0)
			return rc;
		if (!(ret->flags & KVM_CLOCK_HOST_TSC))
			ret->host_tsc = host_tsc();
		if (clock_now_ns() - before_ns < READ_MAX_NS)
			break;
	}
	*ret_now_ns = before_ns;
	return 0;
}

int vm_clock_get(struct vm *vm, struct vm_clock_state *ret)
{
	struct kvm_clock_data data;
	uint64_t now_ns, first = 0;
	int rc = read_clocks(vm, &data, &now_ns);

	if (rc < 0)
		return rc;
	ret->stood_ns = vm->paused_at_ns ? now_ns - vm->paused_at_ns : 0;
	ret->kvmclock_ns = data.clock - MIN(ret->stood_ns, data.clock);
	ret->realtime_ns = data.flags & KVM_CLOCK_REALTIME ? data.realtime : clock_wall_ns();
	ret->realtime_ns -= ret->stood_ns;
	ret->tsc_khz = vm->tsc_khz;
	ret->nr_vcpus = vm->nr_vcpus;
	for (unsigned i = 0; i < vm->nr_vcpus; i++) {
		uint64_t offset = 0;

		rc = get_tsc_offset(vm, i, first, &offset);
		if (rc < 0)
			return rc;
		if (i == 0)
			first = offset;
		ret->tsc[i] = data.host_tsc + offset - ticks(ret, ret->stood_ns);
	}
	return 0;
}

static int set_frequency(struct vm *vm, const struct vm_clock_state *clock, struct err *e)
{
	int host_khz = kvm_get_tsc_khz(&vm->vcpus[0]->kvm);
	uint64_t apart;
	int rc = 0;

	if (host_khz <= 0 || clock->tsc_khz == 0)
		return 0;
	apart = clock->tsc_khz > (uint32_t)host_khz ? clock->tsc_khz - (uint32_t)host_khz
						    : (uint32_t)host_khz - clock->tsc_khz;
	if (apart * 1000000U <= (uint64_t)host_khz * TSC_TOLERANCE_PPM)
		return 0;
	if (!kvm_check_cap(vm->kvm_fd, KVM_CAP_TSC_CONTROL))
		return err_set(e, -ENOTSUP,
			       "the guest's time stamp counter runs at %u kHz, this host's at "
			       "%d, and its processor cannot scale it: choose another host",
			       clock->tsc_khz, host_khz);
	for (unsigned i = 0; i < vm->nr_vcpus && rc == 0; i++)
		rc = kvm_set_tsc_khz(&vm->vcpus[i]->kvm, clock->tsc_khz);
	if (rc < 0)
		return err_set(e, -ENOTSUP, "KVM cannot run a time stamp counter at %u kHz: %s",
			       clock->tsc_khz, strerror(-rc));
	vm->tsc_scaled = true;
	return 0;
}

int vm_clock_set(struct vm *vm, const struct vm_clock_state *clock, struct err *e)
{
	int64_t moved = 0;
	int rc = set_frequency(vm, clock, e);

	if (rc < 0)
		return rc;
	rc = set_tsc(vm, 0, clock->tsc[0], host_tsc(), &moved);
	if (rc < 0)
		return err_set(e, rc, "KVM does not take the time stamp counter: %s",
			       strerror(-rc));
	if (moved < 0)
		log_warn("this KVM cannot set the guest's time stamp counter, which jumps back by "
			 "%llu s: a guest that does not use kvmclock may hang",
			 (unsigned long long)-moved / 1000 / MAX(clock->tsc_khz, 1U));
	return 0;
}

/* --- the LAPIC's timer --- */

static uint32_t get_reg(const struct kvm_lapic_state *lapic, unsigned reg)
{
	uint32_t value;

	memcpy(&value, lapic->regs + reg, sizeof(value));
	return value;
}

/* Counts that pass in @ns: bits 0, 1 and 3 are the logarithm of the divider, less one. */
static uint64_t lapic_counts(const struct kvm_lapic_state *lapic, uint64_t ns)
{
	uint32_t divide = get_reg(lapic, LAPIC_TIMER_DIVIDE);

	return ns >> ((((divide & 3) | (divide >> 1 & 4)) + 1) & 7);
}

/*
 * KVM starts the timer with what is left of it in the current count; a one-shot
 * timer of which nothing is left goes off at once. It was read @stood_ns after
 * the pause, so it may have to go back, too; but what has gone off stays so.
 */
static void move_lapic_timer(struct kvm_lapic_state *lapic, uint64_t stood_ns, uint64_t elapsed_ns)
{
	uint32_t mode = get_reg(lapic, LAPIC_LVT_TIMER) & LAPIC_TIMER_MODE;
	uint32_t initial = get_reg(lapic, LAPIC_TIMER_INITIAL);
	uint64_t stood = lapic_counts(lapic, stood_ns), passed = lapic_counts(lapic, elapsed_ns);
	uint32_t left = get_reg(lapic, LAPIC_TIMER_CURRENT);

	if (initial == 0 || (mode != LAPIC_TIMER_ONESHOT && mode != LAPIC_TIMER_PERIOD))
		return;
	if (passed < stood)
		left += left ? (uint32_t)MIN(stood - passed, (uint64_t)initial - MIN(left, initial))
			     : 0;
	else if (passed - stood < left)
		left -= (uint32_t)(passed - stood);
	else if (mode == LAPIC_TIMER_PERIOD)
		left = initial - (uint32_t)((passed - stood - left) % initial);
	else
		left = 0;
	memcpy(lapic->regs + LAPIC_TIMER_CURRENT, &left, sizeof(left));
}

/*
 * A deadline that has passed is written all the same: KVM then raises the
 * interrupt. 0 would disarm it.
 */
static int set_deadline(struct kvm_vcpu *vcpu, uint64_t deadline, int64_t moved)
{
	if (moved < 0 && deadline <= (uint64_t)-moved)
		deadline = 1;
	else
		deadline += (uint64_t)moved;
	return rw_msr(vcpu, true, MSR_IA32_TSC_DEADLINE, &deadline);
}

static int start_vcpu(struct vm *vm, unsigned id, const struct vm_state *st, uint64_t elapsed_ns,
		      uint64_t at_host_tsc)
{
	struct kvm_vcpu *vcpu = &vm->vcpus[id]->kvm;
	struct kvm_lapic_state lapic = st->vcpus[id].lapic;
	uint64_t tsc = st->clock.tsc[id] + ticks(&st->clock, elapsed_ns);
	int64_t moved = 0;
	int rc = set_tsc(vm, id, tsc, at_host_tsc, &moved);

	if (rc < 0)
		return rc;
	move_lapic_timer(&lapic, st->clock.stood_ns, elapsed_ns);
	rc = kvm_set_lapic(vcpu, &lapic);
	if (rc == 0 && st->clock.tsc_deadline[id])
		rc = set_deadline(vcpu, st->clock.tsc_deadline[id], moved);
	return rc;
}

int vm_clock_start(struct vm *vm, const struct vm_state *st, uint64_t elapsed_ns)
{
	const struct kvm_clock_data data = { .clock = st->clock.kvmclock_ns + elapsed_ns };
	uint64_t at_host_tsc = host_tsc();
	int rc = 0;

	for (unsigned i = 0; i < vm->nr_vcpus && rc == 0; i++)
		rc = start_vcpu(vm, i, st, elapsed_ns, at_host_tsc);
	/* After the counters: what they are decides from which clock KVM makes kvmclock. */
	if (rc == 0)
		rc = kvm_set_clock(vm->vm_fd, &data);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < vm->nr_vcpus; i++)
		(void)kvm_clock_was_stopped(&vm->vcpus[i]->kvm);
	return 0;
}
