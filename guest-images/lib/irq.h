/* SPDX-License-Identifier: MIT */
/*
 * Interrupts. They are counted in CPL 0 and looked at in CPL 3:
 *
 *	seq = irq_seq();
 *	if (irq_count(vector) == handled)
 *		irq_wait(seq);			// does not miss one that came in between
 *
 * Counters belong to the CPU that took the interrupt, and so does every call
 * here to the calling CPU. Everything is routed to the boot CPU.
 */
#ifndef GUEST_IRQ_H
#define GUEST_IRQ_H

#include "cpu.h"
#include <stdbool.h>
#include <stdint.h>

/* Enables the LAPIC and interrupts on this CPU. On the boot CPU, first of all: masks the 8259s. */
void irq_init(void);

/* A free edge-triggered vector, for MSI-X, the timer or an IPI: at most 79. */
unsigned int irq_alloc(void);

/* The address and data of an MSI that arrives at a CPU. */
#define MSI_ADDRESS(apic_id) (LAPIC_GPA | (uint64_t)(apic_id) << 12)
#define MSI_DATA(vector)     ((uint32_t)(vector))

/*
 * Routes an I/O APIC input to the boot CPU: returns its vector. A level-
 * triggered one stays in service until irq_ack(), which a guest calls when the
 * device is quiet; other level-triggered ones wait meanwhile.
 */
unsigned int irq_route_gsi(uint32_t gsi, bool level, bool active_low);
unsigned int irq_route_isa(unsigned int isa_irq);
void irq_ack(unsigned int vector);
bool irq_is_level(unsigned int vector);

static inline uint32_t irq_count(unsigned int vector)
{
	return cpu_self()->irq_count[vector];
}

static inline uint64_t irq_seq(void)
{
	return cpu_self()->irq_seq;
}

/* Halts until there was an interrupt after `seen` was read. */
static inline void irq_wait(uint64_t seen)
{
	kernel_call(KERNEL_WAIT, seen, 0);
}

/* The same with a limit in clock_ns() time, boot CPU only; may return early. */
void irq_wait_until(uint64_t seen, uint64_t deadline_ns);

/* One interrupt to another CPU, or to all others. */
void irq_send(uint32_t apic_id, unsigned int vector);
void irq_send_others(unsigned int vector);

/* INIT, then SIPI: the CPU starts in real mode at entry_gpa, a page below 1 MiB. */
void lapic_start_cpu(uint32_t apic_id, uint32_t entry_gpa);

/* A register of this CPU's LAPIC (SDM vol. 3, table 11-1). */
uint32_t lapic_read(uint32_t offset);

/* The same, for writing. */
void lapic_write(uint32_t offset, uint32_t value);

#endif
