/* SPDX-License-Identifier: MIT */
/* MSI-X (PCI 3.0, 6.8.2): table, pending bits, vectors as irqfds. */
#ifndef FERRY_DEVICES_MSIX_H
#define FERRY_DEVICES_MSIX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/log.h"
#include "util/thread.h"
#include "vmm/bus.h"
#include "vmm/irq.h"

#define MSIX_MAX_VECTORS  128
#define MSIX_TABLE_OFFSET 0U
#define MSIX_PBA_OFFSET   2048U
#define MSIX_BAR_BYTES    4096U

/* A table entry as the guest sees it; saved. */
struct msix_entry {
	uint64_t addr;
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};

struct msix_state {
	struct msix_entry table[MSIX_MAX_VECTORS];
	uint32_t nr_entries; /* of the table: msix.nr_vectors */
	uint8_t enabled;     /* message control, bit 15 */
	uint8_t all_masked;  /* message control, bit 14 */
	/* As of the last save; what is pending now is in the vectors. */
	uint64_t pending[MSIX_MAX_VECTORS / 64];
};

struct msix {
	struct irq *irq;     /* const */
	unsigned nr_vectors; /* const */
	struct mutex lock;   /* protects: state; order: after pci_host.lock, before irq.lock */
	struct msix_state state;
	bool paused;             /* lock: nothing is delivered, raises stay pending */
	bool muted;              /* lock: the same, while bus mastering is off */
	struct irq_msi *vectors; /* const array; see irq.h for their locking */
	/* state.enabled for those who raise: release in msix.c, acquire in msix_is_enabled(). */
	_Atomic bool enabled;
	struct log_limit log;
};

/*
 * Prepare @nr_vectors (1 to MSIX_MAX_VECTORS) vectors in power-on state. 0,
 * -EINVAL, or -errno of irq_msi_init(). msix_fini() undoes it; on a zeroed or
 * fini'd structure it does nothing.
 */
__must_check int msix_init(struct msix *m, struct irq *irq, unsigned nr_vectors);
void msix_fini(struct msix *m);

/* The BAR that holds table and PBA; opaque is the struct msix. */
extern const struct bus_ops msix_bar_ops;

/* Message control was written: apply enable and function mask. */
void msix_set_control(struct msix *m, bool enabled, bool all_masked);

/* The driver chose MSI-X; otherwise interrupts go by INTx. Lock-free, any thread. */
static inline bool msix_is_enabled(const struct msix *m)
{
	return atomic_load_explicit(&m->enabled, memory_order_acquire);
}

/*
 * Raise @vector: delivered now, or pending until it is unmasked. Lock-free,
 * any thread. A vector out of range (VIRTIO_MSI_NO_VECTOR) is ignored.
 */
static inline void msix_raise(const struct msix *m, unsigned vector)
{
	if (vector < m->nr_vectors)
		irq_msi_raise(&m->vectors[vector]);
}

/* Power-on state: all vectors masked, nothing pending, disabled. */
void msix_reset(struct msix *m);

/*
 * A message is a write to memory, which a function may only do as a bus master
 * (PCI 3.0, 6.2.2): muted, what is raised stays pending. Any thread.
 */
void msix_set_muted(struct msix *m, bool muted);

/*
 * Pause: what was raised so far has reached the vCPU when it returns (KVM may
 * inject by a worker of its own), and what is raised from now on stays pending,
 * until the resume. Main thread.
 */
void msix_pause(struct msix *m);
void msix_resume(struct msix *m);

struct err;
struct vstate_reader;
struct vstate_writer;

/*
 * Table and pending bits of a paused function. Load leaves it paused; message
 * control follows by msix_set_control(). 0, or -errno with the reason in @e.
 */
void msix_save(struct msix *m, struct vstate_writer *w);
__must_check int msix_load(struct msix *m, struct vstate_reader *r, struct err *e);

#endif
