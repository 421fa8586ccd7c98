/* SPDX-License-Identifier: MIT */
/* The other CPUs. */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "cpu.h"
#include <stdint.h>

/*
 * Starts the n-th CPU of the MADT (1 to acpi_cpu_count() - 1; 0 is the boot
 * CPU) by INIT and SIPI. It calls work(argument) in CPL 3 with interrupts off
 * and halts when that returns. Returns its struct once it runs, NULL if it has
 * not come after a second.
 */
struct cpu *smp_start(unsigned int n, void (*work)(void *argument), void *argument);

/* Waits until the work of smp_start() has returned. */
void smp_join(const struct cpu *cpu);

#endif
