// SPDX-License-Identifier: MIT
// A machine for tests, on the real KVM.
#include "tests/unit/machine.h"

#include <assert.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "vmm/console.h"
#include "vmm/memmap.h"
#include "vmm/vcpu.h"

#define LAPIC_SVR         0xf0
#define LAPIC_SVR_ENABLED 0x1ff
#define LAPIC_IRR         0x200
#define WAIT_NS           (10 * NSEC_PER_SEC)

static void enable_lapic(struct machine *m)
{
	struct kvm_lapic_state lapic;
	const uint32_t svr = LAPIC_SVR_ENABLED;
	int rc = kvm_get_lapic(&m->vm->vcpus[0]->kvm, &lapic);

	assert(rc == 0);
	memcpy(lapic.regs + LAPIC_SVR, &svr, sizeof(svr));
	rc = kvm_set_lapic(&m->vm->vcpus[0]->kvm, &lapic);
	assert(rc == 0);
	(void)rc;
}

void machine_init(struct machine *m, uint64_t memory_bytes)
{
	const struct vm_params params = {
		.memory_bytes = memory_bytes,
		.nr_vcpus = 1,
		.nr_hot_slots = PCI_STD_HOT_SLOTS,
	};
	struct err e = { 0 };
	int rc;

	*m = (struct machine){ 0 };
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return;
	rc = loop_new(&m->main_loop, 0);
	assert(rc == 0);
	rc = loop_new(&m->io_loop, 0);
	assert(rc == 0);
	rc = loop_start(m->io_loop, THREAD_IO, "test-io");
	assert(rc == 0);
	rc = vm_new(&m->vm, &params, m->main_loop, &e);
	assert(rc == 0);
	rc = pci_host_new(m->vm, &m->pci);
	assert(rc == 0);
	(void)rc;
	enable_lapic(m);
}

void machine_fini(struct machine *m)
{
	vm_free(m->vm);
	loop_free(m->io_loop);
	loop_free(m->main_loop);
}

int machine_add_console(struct machine *m, struct console **ret)
{
	struct console_reader_params p = { 0 };
	int pair[2], rc;

	rc = console_new(ret, m->main_loop);
	assert(rc == 0);
	rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	assert(rc == 0);
	p.out_fd = pair[0];
	p.in_fd = dup(pair[0]);
	rc = console_add_reader(*ret, &p);
	assert(rc == 0);
	(void)rc;
	return pair[1];
}

void machine_free_console(struct machine *m, struct console *con, int peer)
{
	if (!m->vm)
		return;
	vm_free(m->vm);
	m->vm = NULL;
	console_free(con);
	(void)close(peer);
}

static uint64_t ecam(unsigned device, unsigned reg)
{
	return MAP_ECAM + device * 0x8000ULL + reg;
}

uint32_t machine_cfg_read(struct machine *m, unsigned device, unsigned reg, unsigned size)
{
	return (uint32_t)machine_read(m, ecam(device, reg), size);
}

void machine_cfg_write(struct machine *m, unsigned device, unsigned reg, uint32_t value,
		       unsigned size)
{
	machine_write(m, ecam(device, reg), value, size);
}

uint64_t machine_read(struct machine *m, uint64_t addr, unsigned size)
{
	uint64_t value = 0;

	(void)bus_read(&m->vm->mmio, addr, &value, size);
	return value;
}

void machine_write(struct machine *m, uint64_t addr, uint64_t value, unsigned size)
{
	(void)bus_write(&m->vm->mmio, addr, &value, size);
}

uint32_t machine_in(struct machine *m, uint16_t port, unsigned size)
{
	uint32_t value = 0;

	(void)bus_read(&m->vm->pio, port, &value, size);
	return value;
}

void machine_out(struct machine *m, uint16_t port, uint32_t value, unsigned size)
{
	(void)bus_write(&m->vm->pio, port, &value, size);
}

bool machine_line(struct machine *m, unsigned gsi)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	int rc = kvm_get_irqchip(m->vm->vm_fd, &chip);

	assert(rc == 0);
	(void)rc;
	return chip.chip.ioapic.irr >> gsi & 1;
}

bool machine_wait_line(struct machine *m, unsigned gsi)
{
	uint64_t end_ns = clock_now_ns() + WAIT_NS;

	while (!machine_line(m, gsi)) {
		if (clock_now_ns() > end_ns)
			return false;
		(void)sched_yield();
	}
	return true;
}

static bool is_requested(struct machine *m, uint8_t vector)
{
	struct kvm_lapic_state lapic;
	uint32_t irr;
	int rc = kvm_get_lapic(&m->vm->vcpus[0]->kvm, &lapic);

	assert(rc == 0);
	(void)rc;
	memcpy(&irr, lapic.regs + LAPIC_IRR + vector / 32 * 0x10, sizeof(irr));
	return irr >> (vector % 32) & 1;
}

/* KVM may inject from a kernel thread of its own, and nothing tells us when: look again. */
bool machine_wait_vector(struct machine *m, uint8_t vector)
{
	uint64_t end_ns = clock_now_ns() + WAIT_NS;

	while (!is_requested(m, vector)) {
		if (clock_now_ns() > end_ns)
			return false;
		(void)sched_yield();
	}
	return true;
}
