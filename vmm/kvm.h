/* SPDX-License-Identifier: MIT */
/* The kernel's KVM interface: the one place in ferry that makes KVM ioctls. */
#ifndef FERRY_VMM_KVM_H
#define FERRY_VMM_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * All functions return 0 (or the value named) or -errno, and may be called
 * from any thread; vCPU state only while that vCPU is not in kvm_vcpu_run().
 * Source: Documentation/virt/kvm/api.rst; the section is named by the ioctl.
 */

/* One capability that ferry looks at: for the start-up check and for doctor. */
struct kvm_cap_info {
	int cap;          /* KVM_CAP_* */
	const char *name; /* as in the kernel's documentation, without KVM_CAP_ */
	bool required;    /* ferry cannot run without it */
	const char *use;  /* what ferry does with it */
};

extern const struct kvm_cap_info kvm_caps[];
extern const unsigned kvm_nr_caps;

/* /dev/kvm, open. Returns the descriptor, or -errno with the remedy in @e. */
__must_check int kvm_open(struct err *e);

/* KVM_CHECK_EXTENSION on the system or VM descriptor: 0 where absent. */
int kvm_check_cap(int fd, int cap);

/*
 * Version and required capabilities. @e names the first that is missing.
 */
__must_check int kvm_check_host(int kvm_fd, struct err *e);

/* KVM_CREATE_VM with TSS and identity map set. Returns the VM descriptor. */
__must_check int kvm_create_vm(int kvm_fd);

/* In-kernel PIC, IOAPIC and LAPICs, and the PIT (KVM_CREATE_IRQCHIP, _PIT2). */
__must_check int kvm_create_irqchip(int vm_fd);

/*
 * Map @size bytes at @hva to @gpa as memory slot @slot; @size 0 removes it.
 * @flags: KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY.
 */
__must_check int kvm_set_memory(int vm_fd, uint32_t slot, uint32_t flags, uint64_t gpa,
				uint64_t size, void *hva);

/* KVM_ENABLE_CAP on the VM. */
__must_check int kvm_enable_cap(int vm_fd, uint32_t cap, uint64_t arg);

/*
 * The pages of @slot that were written, one bit each, in whole 64-bit words
 * (KVM_GET_DIRTY_LOG). Takes the bits back, unless the manual protocol is
 * enabled: then kvm_clear_dirty_log() does, for the bits that are set in
 * @bitmap. @first_page is a multiple of 64, so is @nr_pages or it ends the slot.
 */
__must_check int kvm_get_dirty_log(int vm_fd, uint32_t slot, uint64_t *ret_bitmap);
__must_check int kvm_clear_dirty_log(int vm_fd, uint32_t slot, uint64_t first_page,
				     uint32_t nr_pages, const uint64_t *bitmap);

/*
 * Make writes of any size (@len 0) or of @len bytes to @addr signal @fd
 * instead of leaving the kernel; @pio chooses the address space. @add false
 * takes the same assignment back.
 */
__must_check int kvm_ioeventfd(int vm_fd, bool add, bool pio, uint64_t addr, uint32_t len, int fd);

/* Let @fd inject @gsi (KVM_IRQFD), or stop doing so. */
__must_check int kvm_irqfd(int vm_fd, bool add, int fd, uint32_t gsi);

/* Replace the GSI routing table (KVM_SET_GSI_ROUTING). */
__must_check int kvm_set_routes(int vm_fd, const struct kvm_irq_routing *routes);

/* Set the level of an interrupt controller input (KVM_IRQ_LINE). */
__must_check int kvm_irq_line(int vm_fd, uint32_t gsi, bool level);

/* Deliver a message as a device would send it (KVM_SIGNAL_MSI). Any thread. */
__must_check int kvm_signal_msi(int vm_fd, uint64_t addr, uint32_t data);

/* A vCPU and its shared run page. */
struct kvm_vcpu {
	int fd;
	struct kvm_run *run;
	uint32_t run_bytes;
};

/* Create vCPU @id and map its run page; kvm_vcpu_close() undoes it. */
__must_check int kvm_vcpu_open(int kvm_fd, int vm_fd, unsigned id, struct kvm_vcpu *ret_vcpu);
void kvm_vcpu_close(struct kvm_vcpu *vcpu);

/* KVM_RUN: 0 with vcpu->run filled in, -EINTR after a kick, or another -errno. */
__must_check int kvm_vcpu_run(struct kvm_vcpu *vcpu);

/* KVM_GET_SUPPORTED_CPUID; the caller frees *@ret. */
__must_check int kvm_supported_cpuid(int kvm_fd, struct kvm_cpuid2 **ret);

/* Largest vCPU count KVM accepts, and the one it recommends. */
int kvm_max_vcpus(int kvm_fd);
int kvm_recommended_vcpus(int kvm_fd);

/* State of one vCPU: each function is the ioctl of its name. */
__must_check int kvm_set_cpuid(struct kvm_vcpu *vcpu, struct kvm_cpuid2 *cpuid);
__must_check int kvm_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs);
__must_check int kvm_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs);
__must_check int kvm_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs);
__must_check int kvm_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs);
__must_check int kvm_get_xcrs(struct kvm_vcpu *vcpu, struct kvm_xcrs *xcrs);
__must_check int kvm_set_xcrs(struct kvm_vcpu *vcpu, const struct kvm_xcrs *xcrs);
__must_check int kvm_get_debugregs(struct kvm_vcpu *vcpu, struct kvm_debugregs *regs);
__must_check int kvm_set_debugregs(struct kvm_vcpu *vcpu, const struct kvm_debugregs *regs);
__must_check int kvm_get_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *lapic);
__must_check int kvm_set_lapic(struct kvm_vcpu *vcpu, const struct kvm_lapic_state *lapic);
__must_check int kvm_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
__must_check int kvm_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);
__must_check int kvm_get_mp_state(struct kvm_vcpu *vcpu, uint32_t *ret_mp_state);
__must_check int kvm_set_mp_state(struct kvm_vcpu *vcpu, uint32_t mp_state);

/*
 * The extended FPU state: kvm_xsave_bytes() at @area, at least 4096
 * (KVM_GET_XSAVE2, KVM_SET_XSAVE; KVM_CAP_XSAVE2 on the VM).
 */
uint32_t kvm_xsave_bytes(int vm_fd);
__must_check int kvm_get_xsave(struct kvm_vcpu *vcpu, uint32_t bytes, void *area);
__must_check int kvm_set_xsave(struct kvm_vcpu *vcpu, const void *area);

/* kHz > 0, or -errno (KVM_GET_TSC_KHZ); to change it needs KVM_CAP_TSC_CONTROL. */
__must_check int kvm_get_tsc_khz(struct kvm_vcpu *vcpu);
__must_check int kvm_set_tsc_khz(struct kvm_vcpu *vcpu, uint32_t khz);

/*
 * What the vCPU's time stamp counter is ahead of the host's, in ticks
 * (Documentation/virt/kvm/devices/vcpu.rst, KVM_VCPU_TSC_OFFSET). -ENXIO: this
 * KVM does not have the attribute.
 */
__must_check int kvm_get_tsc_offset(struct kvm_vcpu *vcpu, uint64_t *ret);
__must_check int kvm_set_tsc_offset(struct kvm_vcpu *vcpu, uint64_t offset);

/* kvmclock of the whole guest. */
__must_check int kvm_get_clock(int vm_fd, struct kvm_clock_data *clock);
__must_check int kvm_set_clock(int vm_fd, const struct kvm_clock_data *clock);

/*
 * Tell the guest that it stood still, so that its watchdogs forgive it
 * (KVM_KVMCLOCK_CTRL). -EINVAL where the guest does not use kvmclock.
 */
int kvm_clock_was_stopped(struct kvm_vcpu *vcpu);

/* The MSRs that hold guest state (KVM_GET_MSR_INDEX_LIST); the caller frees *@ret. */
__must_check int kvm_msr_list(int kvm_fd, struct kvm_msr_list **ret);

/*
 * Read or write @msrs->nmsrs MSRs. Returns how many were done, in order: KVM
 * stops at the first that it refuses. Or -errno.
 */
__must_check int kvm_get_msrs(struct kvm_vcpu *vcpu, struct kvm_msrs *msrs);
__must_check int kvm_set_msrs(struct kvm_vcpu *vcpu, const struct kvm_msrs *msrs);

/* Debugging of the guest (KVM_SET_GUEST_DEBUG). */
__must_check int kvm_set_guest_debug(struct kvm_vcpu *vcpu, const struct kvm_guest_debug *debug);

/* KVM_GUESTDBG_BLOCKIRQ where this KVM knows it (KVM_CAP_SET_GUEST_DEBUG2), else 0. */
uint32_t kvm_debug_block_irq(int vm_fd);

/* The physical address of @va, by the vCPU's page tables (KVM_TRANSLATE). 0, or -EFAULT. */
__must_check int kvm_translate(struct kvm_vcpu *vcpu, uint64_t va, uint64_t *ret_gpa);

/*
 * The file of statistics of the VM or vCPU @fd (KVM_GET_STATS_FD), which the caller
 * closes; -ENOTTY: this KVM has none. Waits while the vCPU runs.
 */
__must_check int kvm_stats_open(int fd);

/* Interrupt controllers and PIT as a whole. */
__must_check int kvm_get_irqchip(int vm_fd, struct kvm_irqchip *chip);
__must_check int kvm_set_irqchip(int vm_fd, const struct kvm_irqchip *chip);
__must_check int kvm_get_pit(int vm_fd, struct kvm_pit_state2 *pit);
__must_check int kvm_set_pit(int vm_fd, const struct kvm_pit_state2 *pit);

/* The text for a KVM_EXIT_* number. */
const char *kvm_exit_name(uint32_t reason);

#endif
