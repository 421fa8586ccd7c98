// SPDX-License-Identifier: MIT
// Keyboard controller without a keyboard: guests reset the machine through it.
#include "devices/isa.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

#define CMD_PULSE_MASK      0xf0U
#define CMD_PULSE_RESET_BIT 0x01U /* low: pulse the reset line */

/*
 * Data: nothing to read. Status: both buffers empty, so that a guest which
 * waits for the controller to take its command does not wait for ever.
 */
static uint64_t i8042_read(void *opaque, uint64_t offset, unsigned size)
{
	(void)opaque, (void)offset, (void)size;
	return 0;
}

static void ignore_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)opaque, (void)offset, (void)value, (void)size;
}

/* Commands 0xf0-0xff pulse output lines whose bit is 0; line 0 is the reset. */
static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)offset, (void)size;
	if ((value & CMD_PULSE_MASK) == CMD_PULSE_MASK && !(value & CMD_PULSE_RESET_BIT))
		vm_raise_event(opaque, VM_EVENT_RESET, 0);
}

static const struct bus_ops data_port = { .read = i8042_read, .write = ignore_write };
static const struct bus_ops command_port = { .read = i8042_read, .write = command_write };

int i8042_new(struct vm *vm)
{
	int rc = bus_add(&vm->pio, PORT_I8042_DATA, 1, &data_port, vm);

	return rc < 0 ? rc : bus_add(&vm->pio, PORT_I8042_STATUS, 1, &command_port, vm);
}
