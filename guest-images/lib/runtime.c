// SPDX-License-Identifier: MIT
/* The first C in CPL 3, and what becomes of exceptions. */
#include "guest.h"

_Static_assert(offsetof(struct cpu, irq_seq) == CPU_IRQ_SEQ, "layout.h");
_Static_assert(offsetof(struct cpu, trap) == CPU_TRAP, "layout.h");
_Static_assert(offsetof(struct cpu, user_rsp) == CPU_USER_RSP, "layout.h");
_Static_assert(offsetof(struct cpu, entry) == CPU_ENTRY, "layout.h");
_Static_assert(offsetof(struct cpu, tss) == CPU_TSS, "layout.h");
_Static_assert(offsetof(struct cpu, tss_selector) == CPU_TSS + CPU_TSS_BYTES, "layout.h");
_Static_assert(offsetof(struct cpu, irq_count) == CPU_IRQ_COUNT, "layout.h");
_Static_assert(sizeof(struct cpu) == CPU_BYTES, "layout.h");

_Noreturn void runtime_start(const struct pvh_start_info *info);
_Noreturn void trap_report(void);

void runtime_start(const struct pvh_start_info *info)
{
	int result;

	param_init((const char *)info->cmdline_gpa);
	memory_init(info);
	acpi_init(info->rsdp_gpa);

	result = guest_main();
	if (result == EXIT_OK)
		power_off();
	power_exit((uint8_t)result);
}

/* Where trap.S sends a CPU after an exception that is not a kernel_call(). */
void trap_report(void)
{
	const struct cpu *cpu = cpu_self();
	const struct trap_info *trap = &cpu->trap;

	panic("cpu %u: exception %lu error %#lx rip %#lx rsp %#lx cr2 %#lx", cpu->index,
	      trap->vector, trap->error, trap->rip, trap->rsp, trap->cr2);
}
