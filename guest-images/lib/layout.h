/* SPDX-License-Identifier: MIT */
/* Numbers that the assembly and the C of the runtime share. */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

/* The image is linked here. The static IDT and GDT hold 16-bit offsets from it. */
#define IMAGE_BASE 0x100000

/* Real-mode code of the application processors; the SIPI vector is its page. */
#define TRAMPOLINE_GPA 0x8000

/* GDT. The user selectors carry RPL 3. */
#define GDT_KERNEL_CODE 0x08
#define GDT_KERNEL_DATA 0x10
#define GDT_USER_DATA   0x1b
#define GDT_USER_CODE   0x23
#define GDT_TSS         0x28 /* 16 bytes per CPU from here on */

#define MAX_CPUS 64

/*
 * Interrupt vectors. A level-triggered one is not acknowledged by its stub:
 * irq_ack() does it when the device is quiet. They are the lowest class, so
 * while one is in service everything edge-triggered still arrives.
 */
#define VECTOR_LEVEL    0x20
#define VECTOR_EDGE     0x30
#define VECTOR_SPURIOUS 0x7f
#define VECTOR_MAX      0x80

#define LAPIC_GPA 0xfee00000
#define LAPIC_TPR 0x080
#define LAPIC_EOI 0x0b0

/* struct cpu, found through %gs. */
#define CPU_SELF         0x00
#define CPU_IRQ_SEQ      0x08
#define CPU_TRAP         0x10 /* vector, error, rip, rsp, cr2: five quadwords */
#define CPU_USER_RSP     0x38
#define CPU_ENTRY        0x40
#define CPU_TSS          0x80
#define CPU_TSS_BYTES    0x68
#define CPU_IRQ_COUNT    0x100 /* VECTOR_MAX 32-bit counters */
#define CPU_IO_MAP       0x340 /* the I/O permission map, and a byte of ones behind it */
#define CPU_IO_MAP_BYTES 0x2000
#define CPU_TSS_LIMIT    (CPU_IO_MAP + CPU_IO_MAP_BYTES - CPU_TSS)
#define CPU_BYTES        (CPU_IO_MAP + CPU_IO_MAP_BYTES + 8)

/* kernel_call() numbers. */
#define KERNEL_WAIT         0
#define KERNEL_IRQ_ON       1
#define KERNEL_IRQ_OFF      2
#define KERNEL_RDMSR        3
#define KERNEL_WRMSR        4
#define KERNEL_CPUID        5
#define KERNEL_FLUSH_TLB    6
#define KERNEL_SERIAL_WRITE 7
#define KERNEL_HALT         8
#define KERNEL_TRIPLE_FAULT 9
#define KERNEL_CALLS        10

#endif
