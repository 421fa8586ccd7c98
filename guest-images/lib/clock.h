/* SPDX-License-Identifier: MIT */
/*
 * Time since the start of the guest, by the TSC. Its frequency is KVM's own
 * (kvmclock), or measured against the PIT on another hypervisor. The first call
 * finds it out.
 */
#ifndef GUEST_CLOCK_H
#define GUEST_CLOCK_H

#include <stdint.h>

#define NS_PER_US 1000ul
#define NS_PER_MS 1000000ul
#define NS_PER_S  1000000000ul

/* Nanoseconds since the first call; ticks per second of the TSC behind it. */
uint64_t clock_ns(void);
uint64_t clock_tsc_hz(void);

/* Sleeps in `hlt`; boot CPU only; needs irq_init(). */
void clock_sleep_until(uint64_t deadline_ns);
void clock_sleep(uint64_t ns);

/* Spins: for short device delays, and without interrupts. */
void clock_spin(uint64_t ns);

#endif
