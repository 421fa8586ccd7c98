// SPDX-License-Identifier: MIT
// Which members of KVM's structures are a machine's saved state.
#include <errno.h>

#include "vmm/vm_state.h"
#include "vmm/vm_state_impl.h"

/*
 * Values are not limited here: KVM checks what it is given, and what it gives out
 * itself (a PIT mode of 255 after power-on) must come back.
 */

/* --- vCPU --- */

static const struct vstate_field regs_fields[] = {
	VS_ABI_U64(1, struct kvm_regs, rax),  VS_ABI_U64(2, struct kvm_regs, rbx),
	VS_ABI_U64(3, struct kvm_regs, rcx),  VS_ABI_U64(4, struct kvm_regs, rdx),
	VS_ABI_U64(5, struct kvm_regs, rsi),  VS_ABI_U64(6, struct kvm_regs, rdi),
	VS_ABI_U64(7, struct kvm_regs, rsp),  VS_ABI_U64(8, struct kvm_regs, rbp),
	VS_ABI_U64(9, struct kvm_regs, r8),   VS_ABI_U64(10, struct kvm_regs, r9),
	VS_ABI_U64(11, struct kvm_regs, r10), VS_ABI_U64(12, struct kvm_regs, r11),
	VS_ABI_U64(13, struct kvm_regs, r12), VS_ABI_U64(14, struct kvm_regs, r13),
	VS_ABI_U64(15, struct kvm_regs, r14), VS_ABI_U64(16, struct kvm_regs, r15),
	VS_ABI_U64(17, struct kvm_regs, rip), VS_ABI_U64(18, struct kvm_regs, rflags),
};

static const struct vstate_table regs_table = {
	VSTATE_TABLE("regs", struct kvm_regs, regs_fields),
};

static const struct vstate_field segment_fields[] = {
	VS_ABI_U64(1, struct kvm_segment, base), VS_U32(2, struct kvm_segment, limit),
	VS_U16(3, struct kvm_segment, selector), VS_U8(4, struct kvm_segment, type),
	VS_U8(5, struct kvm_segment, present),   VS_U8(6, struct kvm_segment, dpl),
	VS_U8(7, struct kvm_segment, db),        VS_U8(8, struct kvm_segment, s),
	VS_U8(9, struct kvm_segment, l),         VS_U8(10, struct kvm_segment, g),
	VS_U8(11, struct kvm_segment, avl),      VS_U8(12, struct kvm_segment, unusable),
};

static const struct vstate_table segment_table = {
	VSTATE_TABLE("segment", struct kvm_segment, segment_fields),
};

static const struct vstate_field dtable_fields[] = {
	VS_ABI_U64(1, struct kvm_dtable, base),
	VS_U16(2, struct kvm_dtable, limit),
};

static const struct vstate_table dtable_table = {
	VSTATE_TABLE("dtable", struct kvm_dtable, dtable_fields),
};

static const struct vstate_field sregs_fields[] = {
	VS_STRUCT(1, struct kvm_sregs, cs, &segment_table),
	VS_STRUCT(2, struct kvm_sregs, ds, &segment_table),
	VS_STRUCT(3, struct kvm_sregs, es, &segment_table),
	VS_STRUCT(4, struct kvm_sregs, fs, &segment_table),
	VS_STRUCT(5, struct kvm_sregs, gs, &segment_table),
	VS_STRUCT(6, struct kvm_sregs, ss, &segment_table),
	VS_STRUCT(7, struct kvm_sregs, tr, &segment_table),
	VS_STRUCT(8, struct kvm_sregs, ldt, &segment_table),
	VS_STRUCT(9, struct kvm_sregs, gdt, &dtable_table),
	VS_STRUCT(10, struct kvm_sregs, idt, &dtable_table),
	VS_ABI_U64(11, struct kvm_sregs, cr0),
	VS_ABI_U64(12, struct kvm_sregs, cr2),
	VS_ABI_U64(13, struct kvm_sregs, cr3),
	VS_ABI_U64(14, struct kvm_sregs, cr4),
	VS_ABI_U64(15, struct kvm_sregs, cr8),
	VS_ABI_U64(16, struct kvm_sregs, efer),
	VS_ABI_U64(17, struct kvm_sregs, apic_base),
	VS_ABI_U64_ARRAY(18, struct kvm_sregs, interrupt_bitmap),
};

static const struct vstate_table sregs_table = {
	VSTATE_TABLE("sregs", struct kvm_sregs, sregs_fields),
};

static const struct vstate_field xcr_fields[] = {
	VS_U32(1, struct kvm_xcr, xcr),
	VS_ABI_U64(2, struct kvm_xcr, value),
};

static const struct vstate_table xcr_table = {
	VSTATE_TABLE("xcr", struct kvm_xcr, xcr_fields),
};

static const struct vstate_field debugregs_fields[] = {
	VS_ABI_U64_ARRAY(1, struct kvm_debugregs, db),
	VS_ABI_U64(2, struct kvm_debugregs, dr6),
	VS_ABI_U64(3, struct kvm_debugregs, dr7),
	VS_ABI_U64(4, struct kvm_debugregs, flags),
};

static const struct vstate_table debugregs_table = {
	VSTATE_TABLE("debugregs", struct kvm_debugregs, debugregs_fields),
};

static const struct vstate_field events_fields[] = {
	VS_U8(1, struct kvm_vcpu_events, exception.injected),
	VS_U8(2, struct kvm_vcpu_events, exception.nr),
	VS_U8(3, struct kvm_vcpu_events, exception.has_error_code),
	VS_U8(4, struct kvm_vcpu_events, exception.pending),
	VS_U32(5, struct kvm_vcpu_events, exception.error_code),
	VS_U8(6, struct kvm_vcpu_events, interrupt.injected),
	VS_U8(7, struct kvm_vcpu_events, interrupt.nr),
	VS_U8(8, struct kvm_vcpu_events, interrupt.soft),
	VS_U8(9, struct kvm_vcpu_events, interrupt.shadow),
	VS_U8(10, struct kvm_vcpu_events, nmi.injected),
	VS_U8(11, struct kvm_vcpu_events, nmi.pending),
	VS_U8(12, struct kvm_vcpu_events, nmi.masked),
	VS_U32(13, struct kvm_vcpu_events, sipi_vector),
	VS_U32(14, struct kvm_vcpu_events, flags),
	VS_U8(15, struct kvm_vcpu_events, smi.smm),
	VS_U8(16, struct kvm_vcpu_events, smi.pending),
	VS_U8(17, struct kvm_vcpu_events, smi.smm_inside_nmi),
	VS_U8(18, struct kvm_vcpu_events, smi.latched_init),
	VS_U8(19, struct kvm_vcpu_events, triple_fault.pending),
	VS_U8(20, struct kvm_vcpu_events, exception_has_payload),
	VS_ABI_U64(21, struct kvm_vcpu_events, exception_payload),
};

static const struct vstate_table events_table = {
	VSTATE_TABLE("events", struct kvm_vcpu_events, events_fields),
};

static const struct vstate_field msr_fields[] = {
	VS_U32(1, struct kvm_msr_entry, index),
	VS_ABI_U64(2, struct kvm_msr_entry, data),
};

static const struct vstate_table msr_table = {
	VSTATE_TABLE("msr", struct kvm_msr_entry, msr_fields),
};

static const struct vstate_field vcpu_fields[] = {
	VS_STRUCT(1, struct vcpu_state, regs, &regs_table),
	VS_STRUCT(2, struct vcpu_state, sregs, &sregs_table),
	VS_BYTES_USED(3, struct vcpu_state, xsave, xsave_bytes),
	VS_STRUCT_ARRAY(4, struct vcpu_state, xcrs.xcrs, xcrs.nr_xcrs, &xcr_table),
	VS_STRUCT(5, struct vcpu_state, debugregs, &debugregs_table),
	VS_BYTES(6, struct vcpu_state, lapic),
	VS_STRUCT(7, struct vcpu_state, events, &events_table),
	VS_U32(8, struct vcpu_state, mp_state),
	VS_STRUCT_ARRAY(9, struct vcpu_state, msrs, nr_msrs, &msr_table),
};

/* Less than what every KVM has is no FPU: the legacy area and the header. */
static int check_vcpu(const void *state, struct err *e)
{
	const struct vcpu_state *st = state;

	if (st->xsave_bytes < 576)
		return err_set(e, -EINVAL, "xsave: %u bytes are too few", st->xsave_bytes);
	return 0;
}

const struct vstate_table vm_vcpu_table = {
	VSTATE_TABLE("vcpu", struct vcpu_state, vcpu_fields),
	.check = check_vcpu,
};

/* --- interrupt controllers and PIT --- */

static const struct vstate_field pic_fields[] = {
	VS_U8(1, struct kvm_pic_state, last_irr),
	VS_U8(2, struct kvm_pic_state, irr),
	VS_U8(3, struct kvm_pic_state, imr),
	VS_U8(4, struct kvm_pic_state, isr),
	VS_U8(5, struct kvm_pic_state, priority_add),
	VS_U8(6, struct kvm_pic_state, irq_base),
	VS_U8(7, struct kvm_pic_state, read_reg_select),
	VS_U8(8, struct kvm_pic_state, poll),
	VS_U8(9, struct kvm_pic_state, special_mask),
	VS_U8(10, struct kvm_pic_state, init_state),
	VS_U8(11, struct kvm_pic_state, auto_eoi),
	VS_U8(12, struct kvm_pic_state, rotate_on_auto_eoi),
	VS_U8(13, struct kvm_pic_state, special_fully_nested_mode),
	VS_U8(14, struct kvm_pic_state, init4),
	VS_U8(15, struct kvm_pic_state, elcr),
	VS_U8(16, struct kvm_pic_state, elcr_mask),
};

static const struct vstate_table pic_table = {
	VSTATE_TABLE("pic", struct kvm_pic_state, pic_fields),
};

_Static_assert(sizeof(((struct kvm_ioapic_state *)0)->redirtbl[0]) == sizeof(uint64_t),
	       "an entry is a number");

static const struct vstate_field ioapic_fields[] = {
	VS_ABI_U64(1, struct kvm_ioapic_state, base_address),
	VS_U32(2, struct kvm_ioapic_state, ioregsel),
	VS_U32(3, struct kvm_ioapic_state, id),
	VS_U32(4, struct kvm_ioapic_state, irr),
	{
		/* A union of 64 bits, which VS_ABI_U64_ARRAY() does not take. */
		.name = "redirtbl",
		.tag = 5,
		.kind = VSTATE_U64,
		.offset = offsetof(struct kvm_ioapic_state, redirtbl),
		.bytes = sizeof(uint64_t),
		.count = KVM_IOAPIC_NUM_PINS,
	},
};

static const struct vstate_table ioapic_table = {
	VSTATE_TABLE("ioapic", struct kvm_ioapic_state, ioapic_fields),
};

/* Without count_load_time: a time of the source's clock, which KVM sets anew. */
static const struct vstate_field channel_fields[] = {
	VS_U32_MAX(1, struct kvm_pit_channel_state, count, 65536),
	VS_U16(2, struct kvm_pit_channel_state, latched_count),
	VS_U8(3, struct kvm_pit_channel_state, count_latched),
	VS_U8(4, struct kvm_pit_channel_state, status_latched),
	VS_U8(5, struct kvm_pit_channel_state, status),
	VS_U8(6, struct kvm_pit_channel_state, read_state),
	VS_U8(7, struct kvm_pit_channel_state, write_state),
	VS_U8(8, struct kvm_pit_channel_state, write_latch),
	VS_U8(9, struct kvm_pit_channel_state, rw_mode),
	VS_U8(10, struct kvm_pit_channel_state, mode),
	VS_U8(11, struct kvm_pit_channel_state, bcd),
	VS_U8(12, struct kvm_pit_channel_state, gate),
};

static const struct vstate_table channel_table = {
	VSTATE_TABLE("pit-channel", struct kvm_pit_channel_state, channel_fields),
};

static const struct vstate_field pit_fields[] = {
	VS_STRUCT_ALL(1, struct kvm_pit_state2, channels, &channel_table),
	VS_U32(2, struct kvm_pit_state2, flags),
};

static const struct vstate_table pit_table = {
	VSTATE_TABLE("pit", struct kvm_pit_state2, pit_fields),
};

static const struct vstate_field irqchip_fields[] = {
	VS_STRUCT_ALL(1, struct vm_irqchip_state, pic, &pic_table),
	VS_STRUCT(2, struct vm_irqchip_state, ioapic, &ioapic_table),
	VS_STRUCT(3, struct vm_irqchip_state, pit, &pit_table),
};

const struct vstate_table vm_irqchip_table = {
	VSTATE_TABLE("irqchip", struct vm_irqchip_state, irqchip_fields),
};

/* --- clocks --- */

static const struct vstate_field clock_fields[] = {
	VS_U64(1, struct vm_clock_state, kvmclock_ns),
	VS_U64(2, struct vm_clock_state, realtime_ns),
	VS_U32(3, struct vm_clock_state, tsc_khz),
	VS_U64_ARRAY_USED(4, struct vm_clock_state, tsc, nr_vcpus),
	VS_U64_ARRAY_USED(5, struct vm_clock_state, tsc_deadline, nr_vcpus),
	VS_U64(6, struct vm_clock_state, stood_ns),
};

const struct vstate_table vm_clock_table = {
	VSTATE_TABLE("clock", struct vm_clock_state, clock_fields),
};
