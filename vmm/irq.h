/* SPDX-License-Identifier: MIT */
/* Interrupts: lines of the in-kernel controllers, and messages (MSI) by irqfd. */
#ifndef FERRY_VMM_IRQ_H
#define FERRY_VMM_IRQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/io.h"
#include "util/thread.h"

struct kvm_irq_routing;

/* Most interrupt messages of one guest; KVM's table holds 4096 routes. */
#define IRQ_MAX_MSIS 2048

/*
 * The routing table of one guest: the fixed routes of PIC and IOAPIC, and one
 * GSI per message. Devices never touch it while they work: they signal an
 * eventfd, and KVM injects.
 */
struct irq {
	int vm_fd;         /* const */
	struct mutex lock; /* protects: all below, and wired/gsi of every irq_msi;
			    * order: after any device's lock, innermost */
	struct kvm_irq_routing *routes;
	uint32_t nr_fixed;
	uint64_t used[IRQ_MAX_MSIS / 64]; /* GSIs that are taken, from GSI_MSI_FIRST */
};

/*
 * One source of messages, for example one MSI-X vector.
 *
 * A raise is a write to @fd, from any thread, without a lock. While the source
 * is masked its irqfd is detached, so raises gather in the eventfd: that is the
 * pending bit, and attaching the irqfd again delivers it (KVM polls the eventfd
 * on assignment).
 */
struct irq_msi {
	int fd;       /* const after init */
	uint32_t gsi; /* const after init */
	bool wired;   /* irq.lock: the irqfd is attached */
};

/* Set up the fixed routes of a VM that has its irqchip. 0 or -errno. */
__must_check int irq_init(struct irq *irq, int vm_fd);
void irq_fini(struct irq *irq);

/* Set the level of IOAPIC/PIC input @gsi; the caller ORs shared lines. */
void irq_set_line(struct irq *irq, uint32_t gsi, bool level);

/* Make a source, masked. 0, -ENOSPC when all GSIs are taken, or -errno. */
__must_check int irq_msi_init(struct irq *irq, struct irq_msi *msi);
/* Detach and close; no thread raises it any more. Zeroed or fini'd: no-op. */
void irq_msi_fini(struct irq *irq, struct irq_msi *msi);

/*
 * Give the source its message (PCI 3.0, 6.8.1) and unmask it; a pending raise
 * is delivered at once. Also changes the message of an unmasked source.
 */
__must_check int irq_msi_unmask(struct irq *irq, struct irq_msi *msi, uint64_t addr, uint32_t data);

/* Stop delivery. Raises from now on stay pending. */
void irq_msi_mask(struct irq *irq, struct irq_msi *msi);

/* A raise waits for the source to be unmasked (the MSI-X pending bit). */
bool irq_msi_pending(const struct irq_msi *msi);

/* Forget a pending raise (reset). */
void irq_msi_clear(struct irq_msi *msi);

static inline void irq_msi_raise(const struct irq_msi *msi)
{
	eventfd_signal(msi->fd);
}

#endif
