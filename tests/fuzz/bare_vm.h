/* SPDX-License-Identifier: MIT */
/* A machine without KVM for fuzz targets: memory, buses, PCI, and interrupts that go nowhere. */
#ifndef FERRY_TESTS_FUZZ_BARE_VM_H
#define FERRY_TESTS_FUZZ_BARE_VM_H

#include <stdlib.h>

#include "devices/pci.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

static inline void fuzz_require(bool ok)
{
	if (!ok)
		abort();
}

/* KVM's part of an interrupt fails, which masks it: all else is real. */
static inline void bare_irq_init(struct irq *irq)
{
	*irq = (struct irq){ .vm_fd = -1 };
	irq->routes =
		calloc(1, sizeof(*irq->routes) + IRQ_MAX_MSIS * sizeof(irq->routes->entries[0]));
	fuzz_require(irq->routes);
	mutex_init(&irq->lock);
}

/* Once in a process: inputs share it, and reset what they used. */
static inline struct pci_host *bare_vm_init(struct vm *vm, uint64_t memory_bytes)
{
	struct pci_host *pci = NULL;

	*vm = (struct vm){ .kvm_fd = -1, .vm_fd = -1, .nr_hot_slots = PCI_STD_HOT_SLOTS };
	TAILQ_INIT(&vm->devices);
	bus_init(&vm->pio);
	bus_init(&vm->mmio);
	mutex_init(&vm->lock);
	bare_irq_init(&vm->irq);
	fuzz_require(gmem_init(&vm->gmem, memory_bytes, 0, NULL) == 0);
	/* What a guest asks of the machine as a whole is not looked at. */
	vm->event = VM_EVENT_POWEROFF;
	fuzz_require(loop_new(&vm->main_loop, LOOP_NO_URING) == 0);
	fuzz_require(pci_host_new(vm, &pci) == 0);
	return pci;
}

#endif
