/* SPDX-License-Identifier: MIT */
/*
 * The runtime of the freestanding test guests: all that a guest's source needs.
 *
 * A guest defines guest_main(), which runs on the boot CPU in CPL 3 with
 * interrupts off. When it returns 0 the machine powers off, else the value goes
 * to the debug-exit port. guest-images/README.md describes the whole.
 */
#ifndef GUEST_H
#define GUEST_H

#include "acpi.h"
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "io.h"
#include "irq.h"
#include "memory.h"
#include "param.h"
#include "power.h"
#include "random.h"
#include "smp.h"
#include "text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Provided by each guest; the result is an enum guest_exit. */
int guest_main(void);

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE_BYTES    4096ul
#define MIB           (1ul << 20)
#define GIB           (1ul << 30)

static inline uint64_t align_up(uint64_t value, uint64_t power_of_two)
{
	return (value + power_of_two - 1) & ~(power_of_two - 1);
}

#endif
