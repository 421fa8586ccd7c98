// SPDX-License-Identifier: MIT
// 64-bit programs for vCPU 0: page tables, segments, code.
#include "tests/unit/guest64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/vcpu.h"

#define PTE_PRESENT  (1ULL << 0)
#define PTE_WRITE    (1ULL << 1)
#define PTE_USER     (1ULL << 2)
#define PTE_ACCESSED (1ULL << 5)
#define PTE_DIRTY    (1ULL << 6)
#define PTE_LARGE    (1ULL << 7)
/* Accessed and dirty from the start, so that the processor never writes them. */
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)
#define PTE_PAGE  (PTE_TABLE | PTE_DIRTY | PTE_LARGE)

#define CR0_VALUE    0x80000011ULL /* PG, ET, PE */
#define CR4_VALUE    0x20ULL       /* PAE */
#define EFER_VALUE   0x500ULL      /* LMA, LME */
#define RFLAGS_VALUE 0x3002ULL     /* IOPL 3 */

const uint8_t guest64_touch[] = {
	0x48, 0x8b, 0x07,       /* 1: mov rax, [rdi] */
	0x48, 0x85, 0xc0,       /*    test rax, rax */
	0x74, 0x09,             /*    jz 2f */
	0x48, 0xff, 0x00,       /*    inc qword [rax] */
	0x48, 0x83, 0xc7, 0x08, /*    add rdi, 8 */
	0xeb, 0xef,             /*    jmp 1b */
	0xb0, 0x05,             /* 2: mov al, 5 */
	0xe6, 0xf4,             /*    out 0xf4, al */
	0xeb, 0xfe,             /* 3: jmp 3b */
};
const size_t guest64_touch_bytes = sizeof(guest64_touch);

const uint8_t guest64_churn[] = {
	0x48, 0x89, 0xf8,                   /* 1: mov rax, rdi */
	0x48, 0xff, 0x00,                   /* 2: inc qword [rax] */
	0x48, 0x05, 0x00, 0x10, 0x00, 0x00, /*    add rax, 4096 */
	0x48, 0x39, 0xf0,                   /*    cmp rax, rsi */
	0x72, 0xf2,                         /*    jb 2b */
	0x48, 0xff, 0x02,                   /*    inc qword [rdx] */
	0xeb, 0xea,                         /*    jmp 1b */
};
const size_t guest64_churn_bytes = sizeof(guest64_churn);

static void on_debug_port(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)offset, (void)size;
	vm_raise_event(opaque, VM_EVENT_DEBUG_EXIT, (unsigned)value);
}

static const struct bus_ops debug_port = { .write = on_debug_port };

void guest64_init(struct vm *vm, struct guest_events *events)
{
	assert_int_equal(bus_add(&vm->pio, 0xf4, 1, &debug_port, vm), 0);
	guest_events_listen(events, vm);
}

static void write_tables(struct vm *vm)
{
	uint64_t *pml4 = gmem_ptr(&vm->gmem, GUEST64_TABLES, 3 * GMEM_PAGE_BYTES);
	uint64_t *pdpt = pml4 + 512, *pd = pdpt + 512;

	assert_non_null(pml4);
	pml4[0] = (GUEST64_TABLES + GMEM_PAGE_BYTES) | PTE_TABLE;
	pdpt[0] = (GUEST64_TABLES + 2 * GMEM_PAGE_BYTES) | PTE_TABLE;
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = i * 2 * MIB | PTE_PAGE;
}

static void set_sregs(struct kvm_vcpu *vcpu)
{
	const struct kvm_segment data = {
		.limit = UINT32_MAX,
		.selector = 0x2b,
		.type = 3,
		.present = 1,
		.dpl = 3,
		.db = 1,
		.s = 1,
		.g = 1,
	};
	struct kvm_segment code = data;
	struct kvm_sregs sregs;

	code.selector = 0x33;
	code.type = 11;
	code.db = 0;
	code.l = 1;
	assert_int_equal(kvm_get_sregs(vcpu, &sregs), 0);
	sregs.cs = code;
	sregs.ss = sregs.ds = sregs.es = sregs.fs = sregs.gs = data;
	sregs.cr3 = GUEST64_TABLES;
	sregs.cr4 = CR4_VALUE;
	sregs.cr0 = CR0_VALUE;
	sregs.efer = EFER_VALUE;
	assert_int_equal(kvm_set_sregs(vcpu, &sregs), 0);
}

void guest64_load(struct vm *vm, const void *code, size_t bytes, const struct guest64_regs *regs)
{
	struct kvm_regs state = {
		.rip = GUEST64_PROGRAM,
		.rsp = GUEST64_FREE,
		.rflags = RFLAGS_VALUE,
		.rdi = regs->rdi,
		.rsi = regs->rsi,
		.rdx = regs->rdx,
	};
	void *program = gmem_ptr(&vm->gmem, GUEST64_PROGRAM, bytes);

	assert_non_null(program);
	memcpy(program, code, bytes);
	write_tables(vm);
	set_sregs(&vm->vcpus[0]->kvm);
	assert_int_equal(kvm_set_regs(&vm->vcpus[0]->kvm, &state), 0);
}
