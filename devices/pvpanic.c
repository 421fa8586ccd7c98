// SPDX-License-Identifier: MIT
// pvpanic (QEMU docs/specs/pvpanic.rst): the guest's kernel reports its panic.
#include "devices/isa.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

#define PANICKED     1U
#define CRASH_LOADED 2U

/* The guest reads which events it may send. */
static uint64_t pvpanic_read(void *opaque, uint64_t offset, unsigned size)
{
	(void)opaque, (void)offset, (void)size;
	return PANICKED | CRASH_LOADED;
}

static void pvpanic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct vm *vm = opaque;

	(void)offset, (void)size;
	/* With a crash kernel loaded the guest looks after itself. */
	if (value & CRASH_LOADED)
		log_limited(&vm->guest_log, LOG_WARN,
			    "guest panicked, its crash kernel takes over");
	else if (value & PANICKED)
		vm_raise_event(vm, VM_EVENT_CRASH, VM_CRASH_PANIC);
}

static const struct bus_ops pvpanic_ports = {
	.read = pvpanic_read,
	.write = pvpanic_write,
};

int pvpanic_new(struct vm *vm)
{
	return bus_add(&vm->pio, PORT_PVPANIC, 1, &pvpanic_ports, vm);
}
