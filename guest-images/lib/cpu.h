/* SPDX-License-Identifier: MIT */
/* What each CPU has, and the calls into CPL 0 (trap.S). */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include "layout.h"
#include <stddef.h>
#include <stdint.h>

struct trap_info {
	uint64_t vector;
	uint64_t error;
	uint64_t rip;
	uint64_t rsp;
	uint64_t cr2;
};

/* Of the task state segment only RSP0 is used (SDM vol. 3, 8.7). */
struct tss {
	uint32_t reserved;
	uint64_t rsp0;
	uint8_t unused[CPU_TSS_BYTES - 14];
	uint16_t io_map;
} __attribute__((packed));

/* %gs:0. The assembly knows the offsets by the names of layout.h. */
struct cpu {
	struct cpu *self;
	volatile uint64_t irq_seq; /* interrupts that CPL 3 may want to see */
	struct trap_info trap;
	uint64_t user_rsp;
	void (*entry)(void *argument);
	uint8_t pad[CPU_TSS - CPU_ENTRY - 8];
	struct tss tss;
	uint16_t tss_selector;
	uint8_t pad2[CPU_IRQ_COUNT - CPU_TSS - CPU_TSS_BYTES - 2];
	volatile uint32_t irq_count[VECTOR_MAX];
	uint32_t index;   /* 0 is the boot CPU */
	uint32_t apic_id; /* set by irq_init() and smp_start() */
	void (*work)(void *argument);
	void *work_argument;
	volatile uint32_t state; /* enum cpu_state of smp.c */
	uint8_t pad3[CPU_IO_MAP - CPU_IRQ_COUNT - VECTOR_MAX * 4 - 28];
	uint8_t io_map[CPU_IO_MAP_BYTES + 8]; /* 0: allowed; ends with a byte of ones */
};

extern struct cpu boot_cpu;

static inline struct cpu *cpu_self(void)
{
	struct cpu *cpu;

	__asm__("mov %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

/* The one system call; the numbers are KERNEL_* of layout.h. */
uint64_t kernel_call(uint64_t number, uint64_t a, uint64_t b);

struct cpuid {
	uint32_t eax, ebx, ecx, edx; /* ecx is also the subleaf asked for */
};

/* CPUID as the monitor sets it: executed in CPL 3 it may show the host's. */
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid id = { .ecx = subleaf };

	kernel_call(KERNEL_CPUID, leaf, (uintptr_t)&id);
	return id;
}

static inline uint64_t rdmsr(uint32_t index)
{
	return kernel_call(KERNEL_RDMSR, index, 0);
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
	kernel_call(KERNEL_WRMSR, index, value);
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

#endif
