/* SPDX-License-Identifier: MIT */
/* A machine for tests: real KVM, little memory, one vCPU that never runs, a PCI bus. */
#ifndef FERRY_TESTS_UNIT_MACHINE_H
#define FERRY_TESTS_UNIT_MACHINE_H

#include "devices/pci.h"
#include "vmm/loop.h"
#include "vmm/vm.h"

struct machine {
	struct loop *main_loop; /* not running */
	struct loop *io_loop;   /* running on a thread of its own */
	struct vm *vm;
	struct pci_host *pci;
};

/*
 * Make a machine of @memory_bytes, or leave m->vm NULL where there is no
 * /dev/kvm: then the test skips itself (MACHINE_OR_SKIP).
 */
void machine_init(struct machine *m, uint64_t memory_bytes);
void machine_fini(struct machine *m);

#define MACHINE_OR_SKIP(m)                                                                         \
	do {                                                                                       \
		if (!(m)->vm) {                                                                    \
			print_message("skipped: no /dev/kvm\n");                                   \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

struct console;

/*
 * A console on @m's main loop with one reader, whose other end is returned. Where there is a
 * VM, machine_free_console() releases both before machine_fini(), and the VM, whose devices
 * use the console.
 */
int machine_add_console(struct machine *m, struct console **ret);
void machine_free_console(struct machine *m, struct console *con, int peer);

/* Configuration space of device @device, by ECAM; all ones where nothing is. */
uint32_t machine_cfg_read(struct machine *m, unsigned device, unsigned reg, unsigned size);
void machine_cfg_write(struct machine *m, unsigned device, unsigned reg, uint32_t value,
		       unsigned size);

/* A guest's access to memory-mapped registers. */
uint64_t machine_read(struct machine *m, uint64_t addr, unsigned size);
void machine_write(struct machine *m, uint64_t addr, uint64_t value, unsigned size);

/* Ports. */
uint32_t machine_in(struct machine *m, uint16_t port, unsigned size);
void machine_out(struct machine *m, uint16_t port, uint32_t value, unsigned size);

/* Is the IOAPIC's input @gsi asserted? */
bool machine_line(struct machine *m, unsigned gsi);
/* The same, when a device's thread is about to assert it; false: it did not. */
bool machine_wait_line(struct machine *m, unsigned gsi);

/* A request for @vector waits in the vCPU's local APIC; machine_init() enabled it. */
bool machine_wait_vector(struct machine *m, uint8_t vector);

#endif
