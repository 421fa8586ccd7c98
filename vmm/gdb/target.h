/* SPDX-License-Identifier: MIT */
/* A guest under gdb: registers, memory, breakpoints, going and stopping. */
#ifndef FERRY_VMM_GDB_TARGET_H
#define FERRY_VMM_GDB_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "vmm/gdb/session.h"
#include "vmm/gmem.h"
#include "vmm/vm.h"

struct machine;

#define GDB_MAX_SOFTWARE 256U
#define GDB_MAX_HARDWARE 4U /* debug registers DR0 to DR3 */

/*
 * Theory of operation
 *
 * The guest either stands, held for gdb, and then all of this belongs to the main
 * loop; or it runs, and then breakpoints are const, and a vCPU's thread looks at them
 * when KVM has stopped it (->trap). It records why and raises VM_EVENT_DEBUG, which
 * parks all vCPUs; the main loop hears of it with them parked, and holds the guest.
 *
 * A software breakpoint is int3 in guest memory, by its physical address. KVM tells of
 * it instead of the guest, but where it emulates the instruction it may not know int3:
 * then it gives up in front of it, which is told from other failures by the address.
 * Exceptions that are not ours are given back to the guest.
 */
struct gdb_target {
	struct vm_debugger debugger;
	struct vm *vm;
	struct machine *m;
	/* The guest has stopped by itself. Main loop. */
	void (*stopped)(void *opaque, const struct gdb_stop *stop);
	void (*kill)(void *opaque);
	void *opaque;

	bool attached, standing;

	/* see above */
	struct {
		uint64_t addr;
		gpa_t gpa;
		uint8_t original;
	} software[GDB_MAX_SOFTWARE];
	unsigned nr_software;
	struct {
		enum gdb_break kind;
		uint64_t addr;
		unsigned len;
	} hardware[GDB_MAX_HARDWARE];
	unsigned nr_hardware;
	bool stepping[VM_MAX_VCPUS];

	struct gdb_stop stops[VM_MAX_VCPUS]; /* each: its vCPU's thread, before the event */
};

extern const struct gdb_ops gdb_target_ops;

/* Make @t the debugger of @m; before the guest is started. ->stopped, ->kill are set. */
void gdb_target_init(struct gdb_target *t, struct machine *m);

/* Let it stand before its first instruction until somebody attaches. Before the start. */
void gdb_target_wait(struct gdb_target *t);
/* Afterwards. */
void gdb_target_waits(struct gdb_target *t);

/* Hold the guest for a client. 0, or -errno with @e. */
__must_check int gdb_target_attach(struct gdb_target *t, struct err *e);

/* Take all breakpoints out and let the guest go on. Not attached: no-op. */
void gdb_target_detach(struct gdb_target *t);

#endif
