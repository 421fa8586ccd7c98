/* SPDX-License-Identifier: MIT */
/*
 * From the PVH entry point to C in CPL 3, and the tables that this needs.
 *
 * Theory of operation: every table is assembled, not computed, because a KVM
 * without hardware virtualisation emulates CPL 0 code instruction by
 * instruction. The 32-bit entry therefore only loads registers: page tables,
 * long mode, segments, TSS; some 35 instructions later `iretq` is in CPL 3.
 * All pages are user pages, so that code can edit the page tables and reach the
 * LAPIC and every BAR. It has IOPL 3 for the ports, and an I/O permission map
 * that allows all of them for a KVM that runs CPL 3 with IOPL 0 all the same.
 *
 * PVH start: docs/misc/pvh.pandoc and include/public/arch-x86/hvm/start_info.h
 * of Xen. EBX holds the address of the start info.
 */
#include "layout.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define CR0_BITS 0x80010033 /* PG WP NE ET MP PE */
#define CR4_BITS 0x00000620 /* OSXMMEXCPT OSFXSR PAE */
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define MSR_GS_BASE 0xc0000101
#define RFLAGS_IOPL3 0x3002

#define SERIAL_FCR 0x3fa
#define FCR_ENABLE 0x01

#define PTE_TABLE 0x27		  /* present, writable, user, accessed */
#define PTE_RAM	  0xe7		  /* ... dirty, large */
#define PTE_MMIO  0xff		  /* ... uncached: PCD and PWT */

	.section .note.pvh, "a", @note
	.long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.quad pvh_entry

	.section .text.entry, "ax"
	.code32
	.globl pvh_entry
pvh_entry:
	mov $SERIAL_FCR, %edx		/* here it costs a sixth of what it does in CPL 3 */
	mov $FCR_ENABLE, %al
	out %al, %dx
	mov $boot_cpu, %ebp
	mov %ebx, %edi
enter_long_mode:		/* EBP: struct cpu, EDI: argument, EFER.LME clear */
	mov $CR4_BITS, %eax
	mov %eax, %cr4
	mov $page_map, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	mov $EFER_LME, %eax
	xor %edx, %edx
	wrmsr
	mov $CR0_BITS, %eax
	mov %eax, %cr0
	lgdt gdt_pointer
	ljmp $GDT_KERNEL_CODE, $enter_user

/*
 * The common end of the boot CPU's and the others' way: EBP is the CPU's
 * struct, EDI the argument for its entry function.
 */
	.code64
enter_user:
	mov $GDT_KERNEL_DATA, %eax
	mov %eax, %ss
	mov $GDT_USER_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov $MSR_GS_BASE, %ecx
	mov %ebp, %eax
	xor %edx, %edx
	wrmsr
	lidt idt_pointer
	movzwl CPU_TSS + CPU_TSS_BYTES(%rbp), %eax
	ltr %ax
	mov CPU_TSS + 4(%rbp), %rsp
	pushq $GDT_USER_DATA
	pushq CPU_USER_RSP(%rbp)
	pushq $RFLAGS_IOPL3
	pushq $GDT_USER_CODE
	pushq CPU_ENTRY(%rbp)
	iretq

/*
 * An application processor arrives in real mode at TRAMPOLINE_GPA, where
 * smp_start() has copied this. Its struct cpu is in trampoline_cpu.
 */
	.section .rodata
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl TRAMPOLINE_GPA + (trampoline_gdt - trampoline)
	mov $0x11, %eax			/* CR0.PE, ET */
	mov %eax, %cr0
	ljmpl $0x08, $protected_mode
	.balign 8
trampoline_gdt:
	.word gdt32_end - gdt32 - 1
	.long gdt32
trampoline_end:

	.section .data
	.balign 8
gdt32:	.quad 0
	.quad 0x00cf9b000000ffff	/* 32-bit code */
	.quad 0x00cf93000000ffff	/* data */
gdt32_end:
	.globl trampoline_cpu
trampoline_cpu:
	.long 0				/* set by smp_start() */

	.section .text.entry, "ax"
	.code32
protected_mode:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %ss
	mov trampoline_cpu, %ebp
	mov %ebp, %edi
	jmp enter_long_mode

/* --- tables ---------------------------------------------------------------- */

/* The first 4 GiB in 2 MiB pages; memory_map() adds what is above. */
	.section .tables, "aw"
	.balign 4096
	.globl page_map
page_map:
	.quad page_pointers + PTE_TABLE
	.fill 511, 8, 0
	.globl page_pointers
page_pointers:
	.quad page_directories + PTE_TABLE + 0x0000
	.quad page_directories + PTE_TABLE + 0x1000
	.quad page_directories + PTE_TABLE + 0x2000
	.quad page_directories + PTE_TABLE + 0x3000
	.fill 508, 8, 0
	.globl page_directories
page_directories:
	.set address, 0
	.rept 3 * 512
	.quad address + PTE_RAM
	.set address, address + 0x200000
	.endr
	.rept 512
	.quad address + PTE_MMIO
	.set address, address + 0x200000
	.endr

	.balign 16
	.globl gdt
gdt:	.quad 0
	.quad 0x00af9b000000ffff	/* GDT_KERNEL_CODE */
	.quad 0x00cf93000000ffff	/* GDT_KERNEL_DATA */
	.quad 0x00cff3000000ffff	/* GDT_USER_DATA */
	.quad 0x00affb000000ffff	/* GDT_USER_CODE */
	.word CPU_TSS_LIMIT		/* GDT_TSS of the boot CPU, not busy */
	.word boot_cpu + CPU_TSS - IMAGE_BASE
	.byte IMAGE_BASE >> 16, 0x89, 0, 0
	.quad 0
	.fill (MAX_CPUS - 1) * 2, 8, 0
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt

	.balign 64
	.globl boot_cpu
boot_cpu:
	.quad boot_cpu			/* CPU_SELF */
	.fill CPU_USER_RSP - 8, 1, 0
	.quad boot_stack_top - 8	/* CPU_USER_RSP, as after a call */
	.quad runtime_start		/* CPU_ENTRY */
	.fill CPU_TSS - CPU_ENTRY - 8, 1, 0
	.long 0				/* CPU_TSS */
	.quad boot_kernel_stack_top	/* RSP0 */
	.fill CPU_TSS_BYTES - 12 - 2, 1, 0
	.word CPU_IO_MAP - CPU_TSS
	.word GDT_TSS
	.fill CPU_IO_MAP - CPU_TSS - CPU_TSS_BYTES - 2, 1, 0
	.fill CPU_IO_MAP_BYTES, 1, 0	/* all ports allowed */
	.byte 0xff
	.fill 7, 1, 0

	.section .bss
	.balign 16
	.fill 512
boot_kernel_stack_top:
	.fill 32768
boot_stack_top:
