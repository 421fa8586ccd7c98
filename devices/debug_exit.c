// SPDX-License-Identifier: MIT
// QEMU's isa-debug-exit: how a test guest gives its verdict.
#include <errno.h>
#include <stdlib.h>

#include "devices/isa.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

#define PORTS 4U

static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
	(void)opaque, (void)offset, (void)size;
	return 0;
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)offset, (void)size;
	vm_raise_event(opaque, VM_EVENT_DEBUG_EXIT, (unsigned)value);
}

static const struct bus_ops debug_exit_ports = {
	.read = debug_exit_read,
	.write = debug_exit_write,
};

int debug_exit_new(struct vm *vm)
{
	/* Nothing to keep: the range alone is the device. */
	return bus_add(&vm->pio, PORT_DEBUG_EXIT, PORTS, &debug_exit_ports, vm);
}
