// SPDX-License-Identifier: MIT
// KVM ioctls, one function each.
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Intel's VT-x needs three pages for a TSS and one for an identity map in
 * guest-physical space (api.rst, KVM_SET_TSS_ADDR): just below 4 GiB, in the
 * hole above the LAPIC, reserved in the guest's memory map.
 */
#define IDENTITY_MAP_GPA 0xfffbc000ULL
#define TSS_GPA          0xfffbd000UL

#define CAP(c, required, use)                                                                      \
	{                                                                                          \
		KVM_CAP_##c, #c, required, use                                                     \
	}

const struct kvm_cap_info kvm_caps[] = {
	CAP(USER_MEMORY, true, "guest RAM"),
	CAP(IRQCHIP, true, "interrupt controllers in the kernel"),
	CAP(PIT2, true, "8254 timer"),
	CAP(IRQFD, true, "interrupts from device threads"),
	CAP(IOEVENTFD, true, "queue notifications without leaving the kernel"),
	CAP(IRQ_ROUTING, true, "MSI-X"),
	CAP(SIGNAL_MSI, true, "MSI-X"),
	CAP(EXT_CPUID, true, "guest CPU features"),
	CAP(MP_STATE, true, "several vCPUs"),
	CAP(IMMEDIATE_EXIT, true, "pausing a vCPU"),
	CAP(SET_TSS_ADDR, true, "Intel hosts"),
	CAP(READONLY_MEM, true, "read-only guest memory"),
	CAP(IOEVENTFD_ANY_LENGTH, true, "notifications without decoding the instruction"),
	CAP(TSC_DEADLINE_TIMER, false, "precise guest timers"),
	CAP(GET_TSC_KHZ, false, "telling the guest its TSC frequency"),
	CAP(ADJUST_CLOCK, false, "a guest clock that survives save and teleport"),
	CAP(KVMCLOCK_CTRL, false, "guests whose watchdogs forgive a pause"),
	CAP(TSC_CONTROL, false, "guests from hosts with another TSC frequency"),
	CAP(XSAVE, false, "saving the extended FPU state"),
	CAP(MANUAL_DIRTY_LOG_PROTECT2, false, "cheap dirty logging for teleport"),
	CAP(X2APIC_API, false, "more than 255 vCPUs, fast APIC access"),
};

const unsigned kvm_nr_caps = ARRAY_SIZE(kvm_caps);

/* ioctl(2) with -errno; goes on after EINTR, which only KVM_RUN gives meaning. */
static int xioctl(int fd, unsigned long request, const void *arg)
{
	int rc;

	do {
		rc = ioctl(fd, request, arg);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc;
}

static int xioctl_val(int fd, unsigned long request, unsigned long val)
{
	int rc = ioctl(fd, request, val);

	return rc < 0 ? -errno : rc;
}

int kvm_open(struct err *e)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENODEV)
		return err_set(e, -errno,
			       "no /dev/kvm: load the kvm_intel or kvm_amd module, and enable "
			       "virtualisation in the firmware");
	if (errno == EACCES || errno == EPERM)
		return err_set(e, -errno,
			       "/dev/kvm: permission denied: join its group, kvm as a rule "
			       "(usermod -aG kvm USER), and log in again; 'ferry doctor' looks "
			       "whether that is enough");
	return err_set(e, -errno, "/dev/kvm: %s", strerror(errno));
}

int kvm_check_cap(int fd, int cap)
{
	int rc = xioctl_val(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

	return MAX(rc, 0);
}

int kvm_check_host(int kvm_fd, struct err *e)
{
	int version = xioctl_val(kvm_fd, KVM_GET_API_VERSION, 0);

	if (version != KVM_API_VERSION)
		return err_set(e, -ENOTSUP,
			       "KVM has API version %d, ferry needs %d: use a newer kernel",
			       version, KVM_API_VERSION);
	for (unsigned i = 0; i < kvm_nr_caps; i++) {
		const struct kvm_cap_info *c = &kvm_caps[i];

		if (c->required && !kvm_check_cap(kvm_fd, c->cap))
			return err_set(
				e, -ENOTSUP,
				"KVM lacks %s (%s): use a newer kernel; 'ferry doctor' lists all",
				c->name, c->use);
	}
	return 0;
}

int kvm_create_vm(int kvm_fd)
{
	uint64_t identity = IDENTITY_MAP_GPA;
	int fd, rc;

	/* Interrupted by anything that waits for this thread, an io_uring's work included. */
	do
		fd = xioctl_val(kvm_fd, KVM_CREATE_VM, 0);
	while (fd == -EINTR);
	if (fd < 0)
		return fd;
	rc = xioctl(fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (rc == 0)
		rc = xioctl_val(fd, KVM_SET_TSS_ADDR, TSS_GPA);
	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	return fd;
}

int kvm_create_irqchip(int vm_fd)
{
	const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	int rc = xioctl_val(vm_fd, KVM_CREATE_IRQCHIP, 0);

	return rc < 0 ? rc : xioctl(vm_fd, KVM_CREATE_PIT2, &pit);
}

int kvm_set_memory(int vm_fd, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *hva)
{
	const struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return xioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int kvm_enable_cap(int vm_fd, uint32_t cap, uint64_t arg)
{
	const struct kvm_enable_cap args = { .cap = cap, .args = { arg } };

	return xioctl(vm_fd, KVM_ENABLE_CAP, &args);
}

int kvm_get_dirty_log(int vm_fd, uint32_t slot, uint64_t *ret_bitmap)
{
	const struct kvm_dirty_log args = { .slot = slot, .dirty_bitmap = ret_bitmap };

	return xioctl(vm_fd, KVM_GET_DIRTY_LOG, &args);
}

int kvm_clear_dirty_log(int vm_fd, uint32_t slot, uint64_t first_page, uint32_t nr_pages,
			const uint64_t *bitmap)
{
	/* The kernel reads the bitmap only; its structure does not say so. */
	const struct kvm_clear_dirty_log args = {
		.slot = slot,
		.num_pages = nr_pages,
		.first_page = first_page,
		.dirty_bitmap = (void *)(uintptr_t)bitmap,
	};

	return xioctl(vm_fd, KVM_CLEAR_DIRTY_LOG, &args);
}

int kvm_ioeventfd(int vm_fd, bool add, bool pio, uint64_t addr, uint32_t len, int fd)
{
	const struct kvm_ioeventfd args = {
		.addr = addr,
		.len = len,
		.fd = fd,
		.flags = (add ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN) |
			 (pio ? KVM_IOEVENTFD_FLAG_PIO : 0),
	};

	return xioctl(vm_fd, KVM_IOEVENTFD, &args);
}

int kvm_irqfd(int vm_fd, bool add, int fd, uint32_t gsi)
{
	const struct kvm_irqfd args = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = add ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return xioctl(vm_fd, KVM_IRQFD, &args);
}

int kvm_set_routes(int vm_fd, const struct kvm_irq_routing *routes)
{
	return xioctl(vm_fd, KVM_SET_GSI_ROUTING, routes);
}

int kvm_signal_msi(int vm_fd, uint64_t addr, uint32_t data)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)addr,
		.address_hi = (uint32_t)(addr >> 32),
		.data = data,
	};

	return ioctl(vm_fd, KVM_SIGNAL_MSI, &msi) < 0 ? -errno : 0;
}

int kvm_irq_line(int vm_fd, uint32_t gsi, bool level)
{
	const struct kvm_irq_level args = { .irq = gsi, .level = level };

	return xioctl(vm_fd, KVM_IRQ_LINE, &args);
}

int kvm_vcpu_open(int kvm_fd, int vm_fd, unsigned id, struct kvm_vcpu *ret_vcpu)
{
	int bytes = xioctl_val(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;
	int fd;

	if (bytes < 0)
		return bytes;
	fd = xioctl_val(vm_fd, KVM_CREATE_VCPU, id);
	if (fd < 0)
		return fd;
	run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED) {
		int rc = -errno;

		(void)close(fd);
		return rc;
	}
	*ret_vcpu = (struct kvm_vcpu){ .fd = fd, .run = run, .run_bytes = (uint32_t)bytes };
	return 0;
}

void kvm_vcpu_close(struct kvm_vcpu *vcpu)
{
	if (vcpu->run)
		(void)munmap(vcpu->run, vcpu->run_bytes);
	if (vcpu->fd >= 0)
		(void)close(vcpu->fd);
	*vcpu = (struct kvm_vcpu){ .fd = -1 };
}

int kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : 0;
}

int kvm_supported_cpuid(int kvm_fd, struct kvm_cpuid2 **ret)
{
	/*
	 * E2BIG asks for more room; the kernel itself stops at 256 entries. Few
	 * processors have 100, and each attempt executes CPUID once an entry, which
	 * is slow where the host itself is a guest.
	 */
	for (unsigned n = 128; n <= 512; n *= 2) {
		struct kvm_cpuid2 *cpuid =
			calloc(1, sizeof(*cpuid) + n * sizeof(cpuid->entries[0]));
		int rc;

		if (!cpuid)
			return -ENOMEM;
		cpuid->nent = n;
		rc = xioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
		if (rc == 0) {
			*ret = cpuid;
			return 0;
		}
		free(cpuid);
		if (rc != -E2BIG)
			return rc;
	}
	return -E2BIG;
}

int kvm_max_vcpus(int kvm_fd)
{
	return kvm_check_cap(kvm_fd, KVM_CAP_MAX_VCPUS);
}

int kvm_recommended_vcpus(int kvm_fd)
{
	return kvm_check_cap(kvm_fd, KVM_CAP_NR_VCPUS);
}

int kvm_set_cpuid(struct kvm_vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	return xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
}

int kvm_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs)
{
	return xioctl(vcpu->fd, KVM_GET_REGS, regs);
}

int kvm_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	return xioctl(vcpu->fd, KVM_SET_REGS, regs);
}

int kvm_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
	return xioctl(vcpu->fd, KVM_GET_SREGS, sregs);
}

int kvm_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	return xioctl(vcpu->fd, KVM_SET_SREGS, sregs);
}

uint32_t kvm_xsave_bytes(int vm_fd)
{
	int bytes = kvm_check_cap(vm_fd, KVM_CAP_XSAVE2);

	return MAX((uint32_t)bytes, (uint32_t)sizeof(struct kvm_xsave));
}

int kvm_get_xsave(struct kvm_vcpu *vcpu, uint32_t bytes, void *area)
{
	/* The older call is what every KVM has; it writes 4096 bytes. */
	return xioctl(vcpu->fd, bytes > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE,
		      area);
}

int kvm_set_xsave(struct kvm_vcpu *vcpu, const void *area)
{
	return xioctl(vcpu->fd, KVM_SET_XSAVE, area);
}

int kvm_get_xcrs(struct kvm_vcpu *vcpu, struct kvm_xcrs *xcrs)
{
	return xioctl(vcpu->fd, KVM_GET_XCRS, xcrs);
}

int kvm_set_xcrs(struct kvm_vcpu *vcpu, const struct kvm_xcrs *xcrs)
{
	return xioctl(vcpu->fd, KVM_SET_XCRS, xcrs);
}

int kvm_get_debugregs(struct kvm_vcpu *vcpu, struct kvm_debugregs *regs)
{
	return xioctl(vcpu->fd, KVM_GET_DEBUGREGS, regs);
}

int kvm_set_debugregs(struct kvm_vcpu *vcpu, const struct kvm_debugregs *regs)
{
	return xioctl(vcpu->fd, KVM_SET_DEBUGREGS, regs);
}

int kvm_get_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *lapic)
{
	return xioctl(vcpu->fd, KVM_GET_LAPIC, lapic);
}

int kvm_set_lapic(struct kvm_vcpu *vcpu, const struct kvm_lapic_state *lapic)
{
	return xioctl(vcpu->fd, KVM_SET_LAPIC, lapic);
}

int kvm_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events)
{
	return xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, events);
}

int kvm_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	return xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, events);
}

int kvm_get_mp_state(struct kvm_vcpu *vcpu, uint32_t *ret_mp_state)
{
	struct kvm_mp_state args = { 0 };
	int rc = xioctl(vcpu->fd, KVM_GET_MP_STATE, &args);

	if (rc == 0)
		*ret_mp_state = args.mp_state;
	return rc;
}

int kvm_set_mp_state(struct kvm_vcpu *vcpu, uint32_t mp_state)
{
	const struct kvm_mp_state args = { .mp_state = mp_state };

	return xioctl(vcpu->fd, KVM_SET_MP_STATE, &args);
}

int kvm_get_tsc_khz(struct kvm_vcpu *vcpu)
{
	int khz = xioctl_val(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	return khz == 0 ? -ENOTSUP : khz;
}

int kvm_set_tsc_khz(struct kvm_vcpu *vcpu, uint32_t khz)
{
	return xioctl_val(vcpu->fd, KVM_SET_TSC_KHZ, khz);
}

static int tsc_offset_attr(struct kvm_vcpu *vcpu, unsigned long request, uint64_t *offset)
{
	const struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};
	int rc = xioctl(vcpu->fd, request, &attr);

	/* Before 5.16 vCPUs had no attributes at all. */
	return rc == -EINVAL || rc == -ENOTTY ? -ENXIO : rc;
}

int kvm_get_tsc_offset(struct kvm_vcpu *vcpu, uint64_t *ret)
{
	uint64_t offset = 0;
	int rc = tsc_offset_attr(vcpu, KVM_GET_DEVICE_ATTR, &offset);

	if (rc == 0)
		*ret = offset;
	return rc;
}

int kvm_set_tsc_offset(struct kvm_vcpu *vcpu, uint64_t offset)
{
	return tsc_offset_attr(vcpu, KVM_SET_DEVICE_ATTR, &offset);
}

int kvm_get_clock(int vm_fd, struct kvm_clock_data *clock)
{
	return xioctl(vm_fd, KVM_GET_CLOCK, clock);
}

int kvm_set_clock(int vm_fd, const struct kvm_clock_data *clock)
{
	return xioctl(vm_fd, KVM_SET_CLOCK, clock);
}

int kvm_clock_was_stopped(struct kvm_vcpu *vcpu)
{
	return xioctl_val(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}

int kvm_msr_list(int kvm_fd, struct kvm_msr_list **ret)
{
	struct kvm_msr_list probe = { 0 };
	struct kvm_msr_list *list;
	int rc = xioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &probe);

	/* E2BIG is the answer to the question how many there are. */
	if (rc < 0 && rc != -E2BIG)
		return rc;
	list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return -ENOMEM;
	list->nmsrs = probe.nmsrs;
	rc = xioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list);
	if (rc < 0) {
		free(list);
		return rc;
	}
	*ret = list;
	return 0;
}

int kvm_get_msrs(struct kvm_vcpu *vcpu, struct kvm_msrs *msrs)
{
	return xioctl(vcpu->fd, KVM_GET_MSRS, msrs);
}

int kvm_set_msrs(struct kvm_vcpu *vcpu, const struct kvm_msrs *msrs)
{
	return xioctl(vcpu->fd, KVM_SET_MSRS, msrs);
}

int kvm_set_guest_debug(struct kvm_vcpu *vcpu, const struct kvm_guest_debug *debug)
{
	return xioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, debug);
}

uint32_t kvm_debug_block_irq(int vm_fd)
{
	int known = kvm_check_cap(vm_fd, KVM_CAP_SET_GUEST_DEBUG2);

	return known > 0 ? (uint32_t)known & KVM_GUESTDBG_BLOCKIRQ : 0;
}

int kvm_translate(struct kvm_vcpu *vcpu, uint64_t va, uint64_t *ret_gpa)
{
	struct kvm_translation tr = { .linear_address = va };
	int rc = xioctl(vcpu->fd, KVM_TRANSLATE, &tr);

	if (rc < 0 || !tr.valid)
		return rc < 0 ? rc : -EFAULT;
	*ret_gpa = tr.physical_address;
	return 0;
}

int kvm_stats_open(int fd)
{
	int rc = xioctl_val(fd, KVM_GET_STATS_FD, 0);

	return rc == -EINVAL ? -ENOTTY : rc;
}

int kvm_get_irqchip(int vm_fd, struct kvm_irqchip *chip)
{
	return xioctl(vm_fd, KVM_GET_IRQCHIP, chip);
}

int kvm_set_irqchip(int vm_fd, const struct kvm_irqchip *chip)
{
	return xioctl(vm_fd, KVM_SET_IRQCHIP, chip);
}

int kvm_get_pit(int vm_fd, struct kvm_pit_state2 *pit)
{
	return xioctl(vm_fd, KVM_GET_PIT2, pit);
}

int kvm_set_pit(int vm_fd, const struct kvm_pit_state2 *pit)
{
	return xioctl(vm_fd, KVM_SET_PIT2, pit);
}

const char *kvm_exit_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "unknown",
		[KVM_EXIT_EXCEPTION] = "exception",
		[KVM_EXIT_IO] = "io",
		[KVM_EXIT_HYPERCALL] = "hypercall",
		[KVM_EXIT_DEBUG] = "debug",
		[KVM_EXIT_HLT] = "hlt",
		[KVM_EXIT_MMIO] = "mmio",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq-window",
		[KVM_EXIT_SHUTDOWN] = "shutdown",
		[KVM_EXIT_FAIL_ENTRY] = "fail-entry",
		[KVM_EXIT_INTR] = "intr",
		[KVM_EXIT_SET_TPR] = "set-tpr",
		[KVM_EXIT_TPR_ACCESS] = "tpr-access",
		[KVM_EXIT_INTERNAL_ERROR] = "internal-error",
		[KVM_EXIT_SYSTEM_EVENT] = "system-event",
		[KVM_EXIT_IOAPIC_EOI] = "ioapic-eoi",
	};

	return reason < ARRAY_SIZE(names) && names[reason] ? names[reason] : "other";
}
