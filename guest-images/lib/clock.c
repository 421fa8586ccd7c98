// SPDX-License-Identifier: MIT
/*
 * Time by the TSC, and the LAPIC's timer for sleeping until then.
 *
 * Only the frequency is taken from kvmclock, not the time: on a KVM without
 * hardware virtualisation rdtsc in CPL 3 has another offset than in CPL 0.
 */
#include "clock.h"
#include "cpu.h"
#include "io.h"
#include "irq.h"
#include "memory.h"
#include "power.h"
#include <stdbool.h>

#define CPUID_HYPERVISOR     0x40000000
#define CPUID_KVM_FEATURES   0x40000001
#define KVM_CLOCKSOURCE2     (1u << 3)
#define MSR_KVM_SYSTEM_TIME2 0x4b564d01

/* Linux, Documentation/virt/kvm/x86/msr.rst. */
struct pvclock {
	uint32_t version;
	uint32_t pad;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad2[2];
};

#define PIT_CHANNEL2    0x42
#define PIT_COMMAND     0x43
#define PIT_GATE        0x61
#define PIT_HZ          1193182ul
#define PIT_ONE_SHOT    0xb0 /* channel 2, both bytes, mode 0 */
#define PIT_GATE_ON     0x01
#define PIT_GATE_OUT    0x20
#define CALIBRATE_TICKS 11932 /* 10 ms */

#define LAPIC_LVT_TIMER     0x320
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE  0x3e0
#define TIMER_DIVIDE_BY_1   0x0b
#define LVT_MASKED          0x10000
#define TIMER_CALIBRATE_NS  (200 * NS_PER_US)

static uint64_t tsc_hz;
static uint64_t tsc_start;
static uint64_t ns_per_tick; /* of the TSC, times 2^32 */
static uint64_t timer_hz;    /* of the LAPIC of the boot CPU */
static unsigned int timer_vector;

static bool kvmclock_offered(void)
{
	struct cpuid id = cpuid(CPUID_HYPERVISOR, 0);

	return id.ebx == 0x4b4d564b && id.ecx == 0x564b4d56 && id.edx == 0x4d &&
	       (cpuid(CPUID_KVM_FEATURES, 0).eax & KVM_CLOCKSOURCE2);
}

/* ns = ((tsc << shift) * mul) >> 32 */
static uint64_t kvmclock_hz(void)
{
	static volatile struct pvclock clock __attribute__((aligned(64)));
	uint64_t hz;

	wrmsr(MSR_KVM_SYSTEM_TIME2, gpa_of(&clock) | 1);
	hz = (NS_PER_S << 32) / clock.tsc_to_system_mul;
	hz = clock.tsc_shift < 0 ? hz << -clock.tsc_shift : hz >> clock.tsc_shift;
	wrmsr(MSR_KVM_SYSTEM_TIME2, 0);
	return hz;
}

static uint64_t pit_hz(void)
{
	uint64_t start;

	out8(PIT_GATE, PIT_GATE_ON);
	out8(PIT_COMMAND, PIT_ONE_SHOT);
	out8(PIT_CHANNEL2, CALIBRATE_TICKS & 0xff);
	out8(PIT_CHANNEL2, CALIBRATE_TICKS >> 8);
	if (in8(PIT_GATE) & PIT_GATE_OUT)
		panic("no clock: neither kvmclock nor a PIT");
	start = rdtsc();
	while (!(in8(PIT_GATE) & PIT_GATE_OUT))
		;
	return (rdtsc() - start) * PIT_HZ / CALIBRATE_TICKS;
}

uint64_t clock_tsc_hz(void)
{
	if (!tsc_hz) {
		tsc_start = rdtsc();
		tsc_hz = kvmclock_offered() ? kvmclock_hz() : pit_hz();
		ns_per_tick = (NS_PER_S << 32) / tsc_hz;
	}
	return tsc_hz;
}

uint64_t clock_ns(void)
{
	clock_tsc_hz();
	return (uint64_t)((unsigned __int128)(rdtsc() - tsc_start) * ns_per_tick >> 32);
}

void clock_spin(uint64_t ns)
{
	uint64_t deadline_ns = clock_ns() + ns;

	while (clock_ns() < deadline_ns)
		cpu_relax();
}

static void timer_init(void)
{
	uint64_t start_ns;
	uint32_t ticks;

	timer_vector = irq_alloc();
	lapic_write(LAPIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
	lapic_write(LAPIC_TIMER_INITIAL, UINT32_MAX);
	start_ns = clock_ns();
	clock_spin(TIMER_CALIBRATE_NS);
	ticks = UINT32_MAX - lapic_read(LAPIC_TIMER_CURRENT);
	timer_hz = ticks * NS_PER_S / (clock_ns() - start_ns);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	lapic_write(LAPIC_LVT_TIMER, timer_vector); /* one-shot */
}

/* The timer may come early: its frequency is measured. Whoever waits looks at the clock again. */
void irq_wait_until(uint64_t seen, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_ns();
	uint64_t wait_ns;

	if (now_ns >= deadline_ns)
		return;
	if (!timer_hz)
		timer_init();
	wait_ns = deadline_ns - now_ns;
	if (wait_ns > NS_PER_S)
		wait_ns = NS_PER_S; /* fits 32 bits at any frequency; the caller loops */
	lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)(wait_ns * timer_hz / NS_PER_S) + 1);
	irq_wait(seen);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
}

void clock_sleep_until(uint64_t deadline_ns)
{
	while (clock_ns() < deadline_ns)
		irq_wait_until(irq_seq(), deadline_ns);
}

void clock_sleep(uint64_t ns)
{
	clock_sleep_until(clock_ns() + ns);
}
