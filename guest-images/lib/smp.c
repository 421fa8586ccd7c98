// SPDX-License-Identifier: MIT
/*
 * Starting the other CPUs (SDM vol. 3, 9.4.4).
 *
 * Theory of operation: one at a time. The CPU's struct and stacks come from the
 * allocator, its TSS goes into the GDT, and the trampoline finds the struct in
 * trampoline_cpu; INIT and SIPI start it at TRAMPOLINE_GPA. `state` hands the
 * CPU over: the started CPU writes it with release order, smp_start() and
 * smp_join() read it with acquire.
 */
#include "smp.h"
#include "acpi.h"
#include "clock.h"
#include "irq.h"
#include "memory.h"
#include "power.h"
#include "text.h"

#define KERNEL_STACK_BYTES 512
#define USER_STACK_BYTES   16384
#define START_TIMEOUT_NS   NS_PER_S

#define DESCRIPTOR_TSS 0x89ul /* present, 64-bit TSS, not busy */

enum cpu_state { CPU_STARTING, CPU_RUNNING, CPU_DONE };

extern uint64_t gdt[];
extern const char trampoline[], trampoline_end[];
extern uint32_t trampoline_cpu;

static void cpu_main(void *argument)
{
	struct cpu *cpu = argument;

	__atomic_store_n(&cpu->state, CPU_RUNNING, __ATOMIC_RELEASE);
	cpu->work(cpu->work_argument);
	__atomic_store_n(&cpu->state, CPU_DONE, __ATOMIC_RELEASE);
	kernel_call(KERNEL_IRQ_OFF, 0, 0);
	power_halt();
}

/* SDM vol. 3, 8.2.3. */
static void gdt_set_tss(struct cpu *cpu)
{
	uint64_t base = gpa_of(&cpu->tss);
	uint64_t *descriptor = &gdt[cpu->tss_selector / 8];

	descriptor[0] = CPU_TSS_LIMIT | (base & 0xffffff) << 16 | DESCRIPTOR_TSS << 40 |
			(base >> 24 & 0xff) << 56;
	descriptor[1] = base >> 32;
}

static struct cpu *cpu_new(unsigned int n)
{
	struct cpu *cpu = memory_alloc(sizeof(*cpu));
	uint8_t *stacks = memory_alloc(KERNEL_STACK_BYTES + USER_STACK_BYTES);

	cpu->self = cpu;
	cpu->index = n;
	cpu->apic_id = acpi_cpu_apic_id(n);
	cpu->entry = cpu_main;
	/* As after a call: the ABI wants 8 modulo 16 at a function's entry. */
	cpu->user_rsp = gpa_of(stacks + KERNEL_STACK_BYTES + USER_STACK_BYTES - 8);
	cpu->tss.rsp0 = gpa_of(stacks + KERNEL_STACK_BYTES);
	cpu->tss.io_map = CPU_IO_MAP - CPU_TSS;
	cpu->tss_selector = (uint16_t)(GDT_TSS + 16 * n);
	memset(cpu->io_map + CPU_IO_MAP_BYTES, 0xff, 1);
	gdt_set_tss(cpu);
	return cpu;
}

struct cpu *smp_start(unsigned int n, void (*work)(void *argument), void *argument)
{
	struct cpu *cpu;
	uint64_t deadline_ns;

	if (n == 0 || n >= MAX_CPUS)
		panic("no CPU %u", n);
	cpu = cpu_new(n);
	cpu->work = work;
	cpu->work_argument = argument;
	memcpy((void *)TRAMPOLINE_GPA, trampoline, (size_t)(trampoline_end - trampoline));
	__atomic_store_n(&trampoline_cpu, (uint32_t)gpa_of(cpu), __ATOMIC_RELEASE);

	lapic_start_cpu(cpu->apic_id, TRAMPOLINE_GPA);
	deadline_ns = clock_ns() + START_TIMEOUT_NS;
	while (__atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == CPU_STARTING) {
		if (clock_ns() > deadline_ns)
			return NULL;
		cpu_relax();
	}
	return cpu;
}

void smp_join(const struct cpu *cpu)
{
	while (__atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) != CPU_DONE)
		cpu_relax();
}
