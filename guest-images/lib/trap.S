/* SPDX-License-Identifier: MIT */
/*
 * All of the runtime that runs in CPL 0 after the start: interrupts, exceptions
 * and kernel_call().
 *
 * Theory of operation: an interrupt only counts itself in the CPU's struct cpu;
 * code in CPL 3 looks at the counters, or sleeps in KERNEL_WAIT until irq_seq
 * moves. kernel_call() is the one `ud2` at kernel_call_gate: `int n` and
 * `syscall` do not reach CPL 0 on every KVM, an exception does. Any other
 * exception is a bug: its facts go to the CPU's struct and the CPU continues in
 * CPL 3, in trap_report(), on a stack of its own.
 *
 * %gs is the same in both rings and always points at the CPU's struct, so there
 * is no swapgs. Interrupt gates clear RFLAGS.IF.
 */
#include "layout.h"

#define UD_VECTOR 6
#define RFLAGS_IF 0x200
#define RFLAGS_IOPL3 0x3002

#define SERIAL_DATA 0x3f8
#define SERIAL_LSR 0x3fd
#define LSR_THRE 0x20
#define SERIAL_FIFO_BYTES 16

	.section .text.trap, "ax"
	.code64

/* --- interrupts: VECTOR_LEVEL to VECTOR_MAX - 1 ---------------------------- */

	.macro irq_stub vector
irq_\vector:
	incl %gs:CPU_IRQ_COUNT + 4 * \vector
	.if \vector == VECTOR_SPURIOUS
	iretq				/* not in service: no EOI */
	.elseif \vector >= VECTOR_EDGE
	jmp irq_edge
	.else
	jmp irq_level
	.endif
	.endm

	.altmacro
	.set vector, VECTOR_LEVEL
	.rept VECTOR_MAX - VECTOR_LEVEL
	irq_stub %vector
	.set vector, vector + 1
	.endr

irq_edge:
	incq %gs:CPU_IRQ_SEQ
	push %rax
	xor %eax, %eax
	movabs %eax, LAPIC_GPA + LAPIC_EOI
	pop %rax
	iretq

/*
 * The priority holds back this class until irq_ack(): a KVM without hardware
 * virtualisation ends an interrupt by itself, and the line is still up.
 */
irq_level:
	incq %gs:CPU_IRQ_SEQ
	push %rax
	mov $VECTOR_EDGE - 1, %eax
	movabs %eax, LAPIC_GPA + LAPIC_TPR
	pop %rax
	iretq

/* --- exceptions ------------------------------------------------------------ */

	.macro trap_stub vector
trap_\vector:
	.if (\vector != 8) && (\vector != 17) && ((\vector < 10) || (\vector > 14))
	pushq $0			/* the CPU pushed no error code */
	.endif
	pushq $\vector
	jmp trap
	.endm

	.set vector, 0
	.rept VECTOR_LEVEL
	.if vector != UD_VECTOR
	trap_stub %vector
	.endif
	.set vector, vector + 1
	.endr

trap_6:
	cmpq $kernel_call_gate, (%rsp)
	je kernel_enter
	pushq $0
	pushq $UD_VECTOR
trap:					/* vector, error, rip, cs, rflags, rsp, ss */
	popq %gs:CPU_TRAP
	popq %gs:CPU_TRAP + 8
	mov (%rsp), %rax
	mov %rax, %gs:CPU_TRAP + 16
	mov 24(%rsp), %rax
	mov %rax, %gs:CPU_TRAP + 24
	mov %cr2, %rax
	mov %rax, %gs:CPU_TRAP + 32
	movq $trap_report, (%rsp)
	movq $GDT_USER_CODE, 8(%rsp)
	movq $RFLAGS_IOPL3, 16(%rsp)
	movq $trap_stack_top - 8, 24(%rsp)
	movq $GDT_USER_DATA, 32(%rsp)
	iretq

/* --- kernel_call(number, a, b): %edi, %rsi, %rdx; result in %rax ----------- */

	.globl kernel_call
kernel_call:
	xor %eax, %eax
kernel_call_gate:
	ud2
	ret

kernel_enter:
	addq $2, (%rsp)			/* past the ud2 */
	jmp *kernel_calls(, %rdi, 8)

kernel_wait:				/* a: the irq_seq that was seen */
	cmp %rsi, %gs:CPU_IRQ_SEQ
	jne 1f
	sti
	hlt
	cli
1:	iretq

kernel_irq_on:
	orq $RFLAGS_IF, 16(%rsp)
	iretq

kernel_irq_off:
	andq $~RFLAGS_IF, 16(%rsp)
	iretq

kernel_rdmsr:				/* a: index */
	mov %esi, %ecx
	rdmsr
	shl $32, %rdx
	or %rdx, %rax
	iretq

kernel_wrmsr:				/* a: index, b: value */
	mov %esi, %ecx
	mov %edx, %eax
	shr $32, %rdx
	wrmsr
	iretq

kernel_cpuid:				/* a: leaf, b: struct cpuid, ecx in, all out */
	push %rbx
	mov %rdx, %r8
	mov %esi, %eax
	mov 8(%r8), %ecx
	cpuid
	mov %eax, (%r8)
	mov %ebx, 4(%r8)
	mov %ecx, 8(%r8)
	mov %edx, 12(%r8)
	pop %rbx
	iretq

kernel_flush_tlb:
	mov %cr3, %rax
	mov %rax, %cr3
	iretq

kernel_serial_write:			/* a: bytes, b: count; result: left to do */
	mov %rdx, %r8
1:	mov $SERIAL_LSR, %edx
	in %dx, %al
	test $LSR_THRE, %al
	jz 2f				/* let the caller take its interrupts */
	mov $SERIAL_FIFO_BYTES, %ecx
	cmp %rcx, %r8
	cmovb %r8, %rcx
	sub %rcx, %r8
	mov $SERIAL_DATA, %edx
	rep outsb
	test %r8, %r8
	jnz 1b
2:	mov %r8, %rax
	iretq

kernel_halt:
	hlt				/* interrupts are off: for good */
	jmp kernel_halt

kernel_triple_fault:
	lidt empty_idt_pointer
	ud2

	.section .rodata
	.balign 8
kernel_calls:
	.quad kernel_wait		/* KERNEL_WAIT ... in order */
	.quad kernel_irq_on
	.quad kernel_irq_off
	.quad kernel_rdmsr
	.quad kernel_wrmsr
	.quad kernel_cpuid
	.quad kernel_flush_tlb
	.quad kernel_serial_write
	.quad kernel_halt
	.quad kernel_triple_fault
	.if (. - kernel_calls) != KERNEL_CALLS * 8
	.error "kernel_calls does not match layout.h"
	.endif

empty_idt_pointer:
	.word 0
	.quad 0

	.macro gate prefix, vector
	.word \prefix\vector - IMAGE_BASE
	.word GDT_KERNEL_CODE
	.word 0x8e00			/* present, DPL 0, 64-bit interrupt gate */
	.word IMAGE_BASE >> 16
	.quad 0
	.endm

	.balign 16
idt:	.set vector, 0
	.rept VECTOR_LEVEL
	gate trap_, %vector
	.set vector, vector + 1
	.endr
	.rept VECTOR_MAX - VECTOR_LEVEL
	gate irq_, %vector
	.set vector, vector + 1
	.endr
idt_end:

	.globl idt_pointer
idt_pointer:
	.word idt_end - idt - 1
	.quad idt

	.section .bss
	.balign 16
	.fill 4096
trap_stack_top:
