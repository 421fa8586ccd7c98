/* SPDX-License-Identifier: MIT */
/* Time, by the TSC. */
#ifndef GUEST_CLOCK_H
#define GUEST_CLOCK_H

#include <stdint.h>

#define NS_PER_US 1000ul
#define NS_PER_MS 1000000ul
#define NS_PER_S  1000000000ul

/*
 * Time since the first call, which finds out the frequency of the TSC: KVM's own
 * number (kvmclock), or measured against the PIT on another hypervisor. A guest
 * with several CPUs makes the first call before it starts them.
 */
uint64_t clock_ns(void);

/* Ticks of rdtsc() per second. */
uint64_t clock_tsc_hz(void);

/* Sleeps in `hlt`; boot CPU only; needs irq_init(). */
void clock_sleep_until(uint64_t deadline_ns);

/* The same from now on. */
void clock_sleep(uint64_t ns);

/* Spins: for short device delays, and without interrupts. */
void clock_spin(uint64_t ns);

#endif
