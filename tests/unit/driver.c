// SPDX-License-Identifier: MIT
// A virtio driver for tests, written from the specification (VIRTIO 1.2, 3.1 and 4.1).
#include "tests/unit/driver.h"

#include <linux/pci_regs.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "util/clock.h"

#define WAIT_NS (10 * NSEC_PER_SEC)

static uint64_t structure_addr(struct driver *d, unsigned cap)
{
	unsigned bar = machine_cfg_read(d->m, d->slot, cap + VIRTIO_PCI_CAP_BAR, 1);
	uint64_t addr = machine_cfg_read(d->m, d->slot, PCI_BASE_ADDRESS_0 + 4 * bar, 4);

	return (addr & ~0xfULL) + machine_cfg_read(d->m, d->slot, cap + VIRTIO_PCI_CAP_OFFSET, 4);
}

static void note_structure(struct driver *d, unsigned cap)
{
	uint64_t *const where[] = {
		[VIRTIO_PCI_CAP_COMMON_CFG] = &d->common,
		[VIRTIO_PCI_CAP_NOTIFY_CFG] = &d->notify,
		[VIRTIO_PCI_CAP_ISR_CFG] = &d->isr,
		[VIRTIO_PCI_CAP_DEVICE_CFG] = &d->device,
	};
	unsigned type = machine_cfg_read(d->m, d->slot, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1);

	if (type < ARRAY_SIZE(where) && where[type])
		*where[type] = structure_addr(d, cap);
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		d->notify_multiplier =
			machine_cfg_read(d->m, d->slot, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
	if (type == VIRTIO_PCI_CAP_PCI_CFG)
		d->cfg_cap = cap;
}

static void note_msix(struct driver *d, unsigned cap)
{
	uint32_t table = machine_cfg_read(d->m, d->slot, cap + PCI_MSIX_TABLE, 4);

	d->msix_cap = cap;
	d->msix =
		machine_cfg_read(d->m, d->slot, PCI_BASE_ADDRESS_0 + 4 * (table & 7), 4) & ~0xfULL;
	d->msix += table & ~7U;
}

void driver_init(struct driver *d, struct machine *m, unsigned slot)
{
	unsigned cap = machine_cfg_read(m, slot, PCI_CAPABILITY_LIST, 1);

	*d = (struct driver){ .m = m, .slot = slot };
	machine_cfg_write(m, slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	for (; cap; cap = machine_cfg_read(m, slot, cap + PCI_CAP_LIST_NEXT, 1)) {
		switch (machine_cfg_read(m, slot, cap + PCI_CAP_LIST_ID, 1)) {
		case PCI_CAP_ID_VNDR:
			note_structure(d, cap);
			break;
		case PCI_CAP_ID_MSIX:
			note_msix(d, cap);
			break;
		default:
			break;
		}
	}
}

uint32_t driver_read(struct driver *d, unsigned reg, unsigned size)
{
	return (uint32_t)machine_read(d->m, d->common + reg, size);
}

void driver_write(struct driver *d, unsigned reg, uint32_t value, unsigned size)
{
	machine_write(d->m, d->common + reg, value, size);
}

uint8_t driver_status(struct driver *d)
{
	return (uint8_t)driver_read(d, VIRTIO_PCI_COMMON_STATUS, 1);
}

void driver_set_status(struct driver *d, uint8_t status)
{
	driver_write(d, VIRTIO_PCI_COMMON_STATUS, status, 1);
}

void driver_set_features(struct driver *d, uint64_t features)
{
	for (unsigned i = 0; i < 2; i++) {
		driver_write(d, VIRTIO_PCI_COMMON_GFSELECT, i, 4);
		driver_write(d, VIRTIO_PCI_COMMON_GF, (uint32_t)(features >> (32 * i)), 4);
	}
}

uint64_t driver_offered(struct driver *d)
{
	uint64_t features = 0;

	for (unsigned i = 0; i < 2; i++) {
		driver_write(d, VIRTIO_PCI_COMMON_DFSELECT, i, 4);
		features |= (uint64_t)driver_read(d, VIRTIO_PCI_COMMON_DF, 4) << (32 * i);
	}
	return features;
}

void driver_select(struct driver *d, uint16_t queue)
{
	driver_write(d, VIRTIO_PCI_COMMON_Q_SELECT, queue, 2);
}

void driver_set_address(struct driver *d, unsigned reg, uint64_t addr)
{
	driver_write(d, reg, (uint32_t)addr, 4);
	driver_write(d, reg + 4, (uint32_t)(addr >> 32), 4);
}

bool driver_negotiate(struct driver *d, uint64_t features)
{
	driver_set_status(d, 0);
	driver_set_status(d, S_ACK);
	driver_set_status(d, S_ACK | S_DRIVER);
	driver_set_features(d, F_VERSION_1 | features);
	driver_set_status(d, S_ACK | S_DRIVER | S_FEATURES);
	return driver_status(d) == (S_ACK | S_DRIVER | S_FEATURES);
}

void driver_enable_queue(struct driver *d, uint16_t i, uint16_t size)
{
	struct ring *r = &d->rings[i];

	ring_init(r, &d->m->vm->gmem, DRIVER_RING(i), size);
	driver_select(d, i);
	driver_write(d, VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
	driver_set_address(d, VIRTIO_PCI_COMMON_Q_DESCLO, r->desc);
	driver_set_address(d, VIRTIO_PCI_COMMON_Q_AVAILLO, r->avail);
	driver_set_address(d, VIRTIO_PCI_COMMON_Q_USEDLO, r->used);
	driver_write(d, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

bool driver_bring_up(struct driver *d, uint64_t features, uint16_t nr_queues, uint16_t size)
{
	if (!driver_negotiate(d, features))
		return false;
	for (uint16_t i = 0; i < nr_queues; i++)
		driver_enable_queue(d, i, size);
	driver_set_status(d, S_RUNNING);
	return driver_status(d) == S_RUNNING;
}

void driver_use_msix(struct driver *d)
{
	unsigned flags = machine_cfg_read(d->m, d->slot, d->msix_cap + PCI_MSIX_FLAGS, 2);

	for (unsigned v = 0; v <= (flags & PCI_MSIX_FLAGS_QSIZE); v++) {
		machine_write(d->m, d->msix + v * 16ULL, 0xfee00000, 8);
		machine_write(d->m, d->msix + v * 16ULL + 8, DRIVER_VECTOR + v, 8);
	}
	machine_cfg_write(d->m, d->slot, d->msix_cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
}

void driver_offer(struct driver *d, unsigned q, uint64_t addr, uint32_t len, uint16_t flags)
{
	struct ring *r = &d->rings[q];
	uint16_t i = r->avail_idx % r->size;

	ring_put_desc(r, r->desc, i, (struct ring_desc){ addr, len, flags, 0 });
	ring_offer(r, i);
}

void driver_kick(struct driver *d, unsigned q)
{
	machine_write(d->m, d->notify + q * d->notify_multiplier, q, 2);
}

/* The device works on another thread, and used.idx in memory is all it changes for us. */
struct ring_used driver_await_used(struct driver *d, unsigned q)
{
	uint64_t end_ns = clock_now_ns() + WAIT_NS;
	struct ring_used u = { 0 };

	while (!ring_take_used(&d->rings[q], &u)) {
		if (clock_now_ns() > end_ns)
			fail_msg("queue %u: nothing was used", q);
		(void)sched_yield();
	}
	return u;
}

void driver_await_status(struct driver *d, uint8_t bits)
{
	uint64_t end_ns = clock_now_ns() + WAIT_NS;

	while ((driver_status(d) & bits) != bits) {
		if (clock_now_ns() > end_ns)
			fail_msg("status %#x: no %#x in it", driver_status(d), bits);
		(void)sched_yield();
	}
}
