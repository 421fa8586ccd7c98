// SPDX-License-Identifier: MIT
// The virtio-pci transport, with a device class that records what it is told.
#include <errno.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/driver.h"
#include "util/io.h"
#include "virtio/virtio.h"

#define SLOT       5
#define NR_QUEUES  3
#define QUEUE_SIZE 16
#define OWN        (1ULL << 3 | 1ULL << 45) /* feature bits of the class */
#define RESET      (1ULL << VIRTIO_F_RING_RESET)
#define NO_VECTOR  VIRTIO_MSI_NO_VECTOR

/* --- the class: completes every chain, counts every call ------------------------- */

struct fake {
	struct virtio_dev dev;
	uint8_t config[12];
	unsigned starts, resets, frees; /* vCPU or main thread: the test's own */
	_Atomic unsigned runs[NR_QUEUES], finishes[NR_QUEUES], cancels[NR_QUEUES];
};

static struct fake *to_fake(struct virtio_dev *dev)
{
	return (struct fake *)(void *)dev;
}

static void fake_config_read(struct virtio_dev *dev, unsigned offset, void *data, unsigned len)
{
	assert_true(offset + len <= sizeof(to_fake(dev)->config));
	memcpy(data, to_fake(dev)->config + offset, len);
}

static void fake_config_write(struct virtio_dev *dev, unsigned offset, const void *data,
			      unsigned len)
{
	assert_true(offset + len <= sizeof(to_fake(dev)->config));
	memcpy(to_fake(dev)->config + offset, data, len);
}

static void fake_start(struct virtio_dev *dev)
{
	to_fake(dev)->starts++;
}

static void fake_reset(struct virtio_dev *dev)
{
	to_fake(dev)->resets++;
}

static void fake_run(struct virtio_queue *q)
{
	struct fake *fake = to_fake(q->dev);
	struct iovec iov[4];
	struct vq_chain chain = { .iov = iov, .max_iov = 4 };
	int rc;

	atomic_fetch_add(&fake->runs[q->index], 1);
	while ((rc = vq_pop(&q->ring, &chain)) == 1)
		vq_push(&q->ring, &chain, 0);
	if (rc < 0)
		virtio_broken(q->dev, "bad chain");
	virtio_notify(q);
}

static void fake_quiesce(struct virtio_queue *q, bool cancel)
{
	struct fake *fake = to_fake(q->dev);

	atomic_fetch_add(cancel ? &fake->cancels[q->index] : &fake->finishes[q->index], 1);
}

static void fake_free(struct virtio_dev *dev)
{
	to_fake(dev)->frees++;
	virtio_dev_fini(dev);
}

static const struct virtio_class fake_class = {
	.type = "virtio-fake",
	.device_id = 60,
	.pci_class = 0xff,
	.config_bytes = sizeof(((struct fake *)0)->config),
	.config_read = fake_config_read,
	.config_write = fake_config_write,
	.start = fake_start,
	.reset = fake_reset,
	.run = fake_run,
	.quiesce = fake_quiesce,
	.free = fake_free,
};

struct fixture {
	struct machine m;
	struct fake fake;
	struct driver d;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));
	struct virtio_dev *dev = &f->fake.dev;

	*state = f;
	machine_init(&f->m, 1 * MIB);
	if (!f->m.vm)
		return 0;
	assert_int_equal(virtio_dev_init(dev, f->m.vm, &fake_class, "fake0",
					 &(struct virtio_layout){ .nr_queues = NR_QUEUES,
								  .queue_size = QUEUE_SIZE,
								  .loop = f->m.io_loop }),
			 0);
	dev->offered = OWN;
	assert_int_equal(virtio_pci_attach(dev, f->m.pci, SLOT), 0);
	driver_init(&f->d, &f->m, SLOT);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	bool made = f->m.vm;

	machine_fini(&f->m);
	if (made)
		assert_int_equal(f->fake.frees, 1);
	test_free(f);
	return 0;
}

static uint32_t rd(struct fixture *f, unsigned reg, unsigned size)
{
	return driver_read(&f->d, reg, size);
}

static void wr(struct fixture *f, unsigned reg, uint32_t value, unsigned size)
{
	driver_write(&f->d, reg, value, size);
}

static uint8_t status(struct fixture *f)
{
	return driver_status(&f->d);
}

static void set_status(struct fixture *f, uint8_t value)
{
	driver_set_status(&f->d, value);
}

/* With queues 0 and 1 enabled. */
static void bring_up(struct fixture *f, uint64_t features)
{
	assert_true(driver_bring_up(&f->d, features, 2, QUEUE_SIZE));
}

/* One request through queue @i. */
static void exchange(struct fixture *f, unsigned i)
{
	driver_offer(&f->d, i, DRIVER_DATA, 8, RING_WRITE);
	driver_kick(&f->d, i);
	(void)driver_await_used(&f->d, i);
}

/* --- what a driver finds ------------------------------------------------------------ */

static void test_identity(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, PCI_VENDOR_ID, 4), 0x107c1af4);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x107c1af4);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, PCI_CLASS_REVISION, 4), 0xff000001);
	assert_true(f->d.common && f->d.isr && f->d.device && f->d.notify && f->d.cfg_cap);
	assert_int_equal(f->d.notify_multiplier, 4);
	assert_ptr_equal(vm_find_device(f->m.vm, "fake0"), &f->fake.dev.device);
}

/* Without negotiation: power-on value, and after all ones were written. */
struct reg_case {
	const char *name;
	unsigned reg, size;
	uint32_t power_on, ones;
};

static const struct reg_case reg_cases[] = {
	{ "device_feature_select", 0x00, 4, 0, UINT32_MAX },
	{ "driver_feature_select", 0x08, 4, 0, UINT32_MAX },
	{ "config_msix_vector", 0x10, 2, NO_VECTOR, NO_VECTOR },
	{ "num_queues", 0x12, 2, NR_QUEUES, NR_QUEUES },
	{ "config_generation", 0x15, 1, 0, 0 },
	{ "queue_size", 0x18, 2, QUEUE_SIZE, QUEUE_SIZE },
	{ "queue_msix_vector", 0x1a, 2, NO_VECTOR, NO_VECTOR },
	{ "queue_notify_off", 0x1e, 2, 2, 2 },
	{ "queue_desc", 0x20, 4, 0, UINT32_MAX },
	{ "queue_desc high", 0x24, 4, 0, UINT32_MAX },
	{ "queue_driver", 0x28, 4, 0, UINT32_MAX },
	{ "queue_driver high", 0x2c, 4, 0, UINT32_MAX },
	{ "queue_device", 0x30, 4, 0, UINT32_MAX },
	{ "queue_device high", 0x34, 4, 0, UINT32_MAX },
	{ "queue_notify_data", 0x38, 2, 0, 0 },
	{ "queue_reset", 0x3a, 2, 0, 0 },
	{ "queue_enable", 0x1c, 2, 0, 0 },
	{ "beyond", 0x3c, 4, 0, 0 },
};

static void test_registers(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	/* Twice: status 0 brings every power-on value back. */
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(status(f), 0);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_SELECT, 2), 0);
		driver_select(&f->d, 2);
		for (size_t i = 0; i < ARRAY_SIZE(reg_cases); i++) {
			const struct reg_case *c = &reg_cases[i];
			uint32_t power_on = rd(f, c->reg, c->size), ones;

			wr(f, c->reg, UINT32_MAX, c->size);
			ones = rd(f, c->reg, c->size);
			if (power_on != c->power_on || ones != c->ones)
				fail_msg("%s: %#x, %#x", c->name, power_on, ones);
		}
		set_status(f, 0);
	}
}

static void test_access_sizes(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	/* 64-bit fields may be one access for a bus, though drivers make two. */
	machine_write(&f->m, f->d.common + 0x20, 0x1122334455667788ULL, 8);
	assert_int_equal(rd(f, 0x20, 4), 0x55667788);
	assert_int_equal(rd(f, 0x24, 4), 0x11223344);
	assert_true(machine_read(&f->m, f->d.common + 0x20, 8) == 0x1122334455667788ULL);
	/* Anything but the natural width: 0, ignored. */
	wr(f, 0x20, 0xff, 1);
	wr(f, 0x22, 0xffff, 2);
	wr(f, 0x14, S_ACK, 4);
	assert_int_equal(rd(f, 0x20, 4), 0x55667788);
	assert_int_equal(rd(f, 0x20, 2), 0);
	assert_int_equal(rd(f, 0x12, 1), 0);
	assert_int_equal(status(f), 0);
	assert_int_equal(machine_read(&f->m, f->d.notify, 4), 0);
}

static void test_no_such_queue(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (uint32_t i = NR_QUEUES; i <= 0xffff; i += 0xffff - NR_QUEUES) {
		driver_select(&f->d, (uint16_t)i);
		for (unsigned reg = 0x18; reg < 0x20; reg += 2) {
			uint32_t none = reg == VIRTIO_PCI_COMMON_Q_MSIX ? NO_VECTOR : 0;

			wr(f, reg, 1, 2);
			assert_int_equal(rd(f, reg, 2), none);
		}
		for (unsigned reg = 0x20; reg < 0x38; reg += 4) {
			wr(f, reg, 1, 4);
			assert_int_equal(rd(f, reg, 4), 0);
		}
		wr(f, VIRTIO_PCI_COMMON_Q_RESET, 1, 2);
	}
}

static void test_queue_size(void **state)
{
	struct fixture *f = *state;
	const struct {
		uint16_t write, read;
	} cases[] = {
		{ 8, 8 }, { 0, 8 }, { 3, 8 }, { 32, 8 }, { 0x8000, 8 }, { 1, 1 }, { 16, 16 }
	};

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		wr(f, VIRTIO_PCI_COMMON_Q_SIZE, cases[i].write, 2);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_SIZE, 2), cases[i].read);
	}
}

static void test_vectors(void **state)
{
	struct fixture *f = *state;
	const unsigned regs[] = { VIRTIO_PCI_COMMON_MSIX, VIRTIO_PCI_COMMON_Q_MSIX };

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
		wr(f, regs[i], NR_QUEUES, 2);
		assert_int_equal(rd(f, regs[i], 2), NR_QUEUES);
		wr(f, regs[i], NR_QUEUES + 1, 2);
		assert_int_equal(rd(f, regs[i], 2), NO_VECTOR);
	}
}

static void test_device_config(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	memcpy(f->fake.config, "abcdefghijkl", 12);
	assert_int_equal(machine_read(&f->m, f->d.device, 1), 'a');
	assert_int_equal(machine_read(&f->m, f->d.device + 1, 2), 'b' | 'c' << 8);
	assert_int_equal(machine_read(&f->m, f->d.device + 8, 8), 0x6c6b6a69);
	assert_int_equal(machine_read(&f->m, f->d.device + 12, 4), 0);
	assert_int_equal(machine_read(&f->m, f->d.device + 0xffc, 4), 0);
	machine_write(&f->m, f->d.device + 2, 0x5958, 2);
	machine_write(&f->m, f->d.device + 10, 0x5a5a5a5a, 4);
	machine_write(&f->m, f->d.device + 0x800, 0, 8);
	assert_memory_equal(f->fake.config, "abXYefghijkl", 12);
}

/* --- negotiation --------------------------------------------------------------------- */

static void test_offered_features(void **state)
{
	struct fixture *f = *state;
	uint64_t offered;

	MACHINE_OR_SKIP(&f->m);
	wr(f, VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	offered = rd(f, VIRTIO_PCI_COMMON_DF, 4);
	wr(f, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	offered |= (uint64_t)rd(f, VIRTIO_PCI_COMMON_DF, 4) << 32;
	assert_true(offered == (OWN | F_VERSION_1 | RESET | 1ULL << VIRTIO_RING_F_EVENT_IDX |
				1ULL << VIRTIO_RING_F_INDIRECT_DESC));
	wr(f, VIRTIO_PCI_COMMON_DFSELECT, 2, 4);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_DF, 4), 0);
	wr(f, VIRTIO_PCI_COMMON_GFSELECT, 2, 4);
	wr(f, VIRTIO_PCI_COMMON_GF, UINT32_MAX, 4);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_GF, 4), 0);
}

static void test_features_refused(void **state)
{
	struct fixture *f = *state;
	const uint64_t bad[] = { 0, OWN, F_VERSION_1 | 1, F_VERSION_1 | 1ULL << 63, UINT64_MAX };

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		set_status(f, 0);
		set_status(f, S_ACK | S_DRIVER);
		driver_set_features(&f->d, bad[i]);
		set_status(f, S_ACK | S_DRIVER | S_FEATURES);
		assert_int_equal(status(f), S_ACK | S_DRIVER);
		set_status(f, S_RUNNING);
		assert_int_equal(status(f), S_ACK | S_DRIVER);
		assert_int_equal(f->fake.starts, 0);
	}
	/* The driver may try again with less. */
	driver_set_features(&f->d, F_VERSION_1);
	set_status(f, S_ACK | S_DRIVER | S_FEATURES);
	assert_int_equal(status(f), S_ACK | S_DRIVER | S_FEATURES);
}

static void test_features_settle(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_negotiate(&f->d, 1U << 3));
	driver_set_features(&f->d, UINT64_MAX);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_GF, 4), 1);
	assert_true(f->fake.dev.features == (F_VERSION_1 | 1U << 3));
}

/* Status bits in every order: no start without FEATURES_OK, none taken back. */
static void test_status_order(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	driver_enable_queue(&f->d, 0, QUEUE_SIZE);
	for (unsigned first = 0; first < 256; first++) {
		for (unsigned shift = 0; shift < 8; shift++) {
			uint8_t second = (uint8_t)(1U << shift);

			set_status(f, 0);
			set_status(f, (uint8_t)first);
			set_status(f, second);
			assert_false(status(f) & (S_DRIVER_OK | S_FEATURES | S_BROKEN));
			if (first & S_ACK)
				assert_true(status(f) & S_ACK);
		}
	}
	assert_int_equal(f->fake.starts, 0);
	set_status(f, 0);
	driver_set_features(&f->d, F_VERSION_1);
	set_status(f, S_DRIVER_OK);
	assert_int_equal(status(f), 0);
	set_status(f, S_FEATURES);
	set_status(f, S_DRIVER_OK);
	assert_int_equal(status(f), S_FEATURES | S_DRIVER_OK);
	assert_int_equal(f->fake.starts, 1);
	set_status(f, S_DRIVER_OK);
	set_status(f, S_ACK);
	assert_int_equal(f->fake.starts, 1);
}

/* --- queues at work ------------------------------------------------------------------- */

static void test_queue_runs(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	bring_up(f, 0);
	assert_int_equal(f->fake.starts, 1);
	assert_int_equal(atomic_load(&f->fake.runs[0]), 1);
	assert_int_equal(atomic_load(&f->fake.runs[2]), 0); /* not enabled */
	exchange(f, 1);
	assert_int_equal(atomic_load(&f->fake.runs[1]), 2);
	driver_kick(&f->d, NR_QUEUES);
	driver_kick(&f->d, 900);
}

/* What is enabled does not change under the device. */
static void test_enabled_queue_is_fixed(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	bring_up(f, 0);
	driver_select(&f->d, 1);
	wr(f, VIRTIO_PCI_COMMON_Q_SIZE, 8, 2);
	wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 0, 2);
	for (unsigned reg = 0x20; reg < 0x38; reg += 4)
		wr(f, reg, 0xdead0000, 4);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_SIZE, 2), QUEUE_SIZE);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_DESCLO, 4), DRIVER_RING(1));
	wr(f, VIRTIO_PCI_COMMON_Q_RESET, 1, 2); /* not negotiated */
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	exchange(f, 1);
}

static void test_late_enable(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	bring_up(f, 0);
	driver_enable_queue(&f->d, 2, QUEUE_SIZE);
	exchange(f, 2);
}

static void test_queue_reset(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	bring_up(f, RESET);
	exchange(f, 1);
	driver_select(&f->d, 1);
	wr(f, VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	wr(f, VIRTIO_PCI_COMMON_Q_RESET, 0, 2);
	assert_int_equal(atomic_load(&f->fake.cancels[1]), 0);
	wr(f, VIRTIO_PCI_COMMON_Q_RESET, 1, 2);
	assert_int_equal(atomic_load(&f->fake.cancels[1]), 1);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_SIZE, 2), QUEUE_SIZE);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
	/* The other queue goes on; this one starts anew, from index 0. */
	exchange(f, 0);
	driver_enable_queue(&f->d, 1, QUEUE_SIZE);
	exchange(f, 1);
	assert_int_equal(ring_used_idx(&f->d.rings[1]), 1);
}

static void test_device_reset(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	for (unsigned round = 1; round <= 3; round++) {
		bring_up(f, 0);
		exchange(f, 0);
		set_status(f, 0);
		assert_int_equal(status(f), 0);
		assert_int_equal(atomic_load(&f->fake.cancels[0]), round);
		assert_int_equal(atomic_load(&f->fake.cancels[1]), round);
		assert_int_equal(atomic_load(&f->fake.cancels[2]), 0); /* it never ran */
		assert_true(f->fake.dev.features == 0);
		driver_select(&f->d, 0);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	}
	assert_int_equal(atomic_load(&f->fake.finishes[0]), 0);
}

static void test_machine_reset(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	bring_up(f, 0);
	driver_use_msix(&f->d);
	assert_int_equal(vm_reset(f->m.vm), 0);
	assert_int_equal(status(f), 0);
	assert_int_equal(atomic_load(&f->fake.cancels[0]), 1);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, f->d.msix_cap + PCI_MSIX_FLAGS, 2),
			 NR_QUEUES);
	bring_up(f, 0);
}

static void test_pause(void **state)
{
	struct fixture *f = *state;
	struct device *device = &f->fake.dev.device;

	MACHINE_OR_SKIP(&f->m);
	device->ops->pause(device); /* nothing runs yet */
	device->ops->resume(device);
	bring_up(f, 0);
	device->ops->pause(device);
	assert_int_equal(atomic_load(&f->fake.finishes[0]), 1);
	assert_int_equal(atomic_load(&f->fake.cancels[0]), 0);
	driver_offer(&f->d, 0, DRIVER_DATA, 8, RING_WRITE);
	driver_kick(&f->d, 0);
	device->ops->resume(device);
	(void)driver_await_used(&f->d, 0);
	assert_int_equal(f->fake.starts, 1);
	exchange(f, 0);
}

/* --- interrupts ------------------------------------------------------------------------- */

static void test_msix(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	driver_use_msix(&f->d);
	bring_up(f, 0);
	driver_select(&f->d, 1);
	wr(f, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	wr(f, VIRTIO_PCI_COMMON_MSIX, 3, 2);
	exchange(f, 1);
	assert_true(machine_wait_vector(&f->m, 0x42));
	virtio_config_changed(&f->fake.dev);
	assert_true(machine_wait_vector(&f->m, 0x43));
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_CFGGENERATION, 1), 1);
	/* With MSI-X the ISR stays out of it. */
	assert_int_equal(machine_read(&f->m, f->d.isr, 1), 0);
	assert_false(machine_line(&f->m, pci_intx_gsi(SLOT)));
}

static void test_intx(void **state)
{
	struct fixture *f = *state;
	unsigned gsi = pci_intx_gsi(SLOT);

	MACHINE_OR_SKIP(&f->m);
	bring_up(f, 0);
	exchange(f, 1);
	assert_true(machine_wait_line(&f->m, gsi));
	virtio_config_changed(&f->fake.dev);
	assert_int_equal(machine_read(&f->m, f->d.isr + 1, 1), 0);
	assert_true(machine_line(&f->m, gsi));
	assert_int_equal(machine_read(&f->m, f->d.isr, 1), 3);
	assert_false(machine_line(&f->m, gsi));
	assert_int_equal(machine_read(&f->m, f->d.isr, 1), 0);
	/* Reset releases it. */
	virtio_config_changed(&f->fake.dev);
	assert_true(machine_line(&f->m, gsi));
	set_status(f, 0);
	assert_false(machine_line(&f->m, gsi));
	assert_int_equal(machine_read(&f->m, f->d.isr, 1), 0);
}

/* 3.1.1: no interrupt before DRIVER_OK. */
static void test_no_early_interrupt(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	virtio_config_changed(&f->fake.dev);
	assert_false(machine_line(&f->m, pci_intx_gsi(SLOT)));
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_CFGGENERATION, 1), 1);
}

/* --- broken drivers ----------------------------------------------------------------------- */

static void test_bad_chain(void **state)
{
	struct fixture *f = *state;
	struct ring_used u;

	MACHINE_OR_SKIP(&f->m);
	bring_up(f, 0);
	driver_offer(&f->d, 0, 1ULL << 40, 8, 0);
	driver_kick(&f->d, 0);
	driver_await_status(&f->d, S_RUNNING | S_BROKEN);
	assert_true(machine_wait_line(&f->m, pci_intx_gsi(SLOT)));
	assert_int_equal(machine_read(&f->m, f->d.isr, 1), VIRTIO_PCI_ISR_CONFIG);
	/* No queue is worked any more: the loop has passed this kick when it answers. */
	driver_offer(&f->d, 1, DRIVER_DATA, 8, RING_WRITE);
	driver_kick(&f->d, 1);
	f->fake.dev.device.ops->pause(&f->fake.dev.device);
	f->fake.dev.device.ops->resume(&f->fake.dev.device);
	assert_false(ring_take_used(&f->d.rings[1], &u));
	/* Until it is reset. */
	bring_up(f, 0);
	exchange(f, 1);
}

static void test_bad_ring(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_negotiate(&f->d, 0));
	driver_select(&f->d, 0);
	driver_set_address(&f->d, VIRTIO_PCI_COMMON_Q_DESCLO, 1ULL << 40);
	wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	driver_enable_queue(&f->d, 1, QUEUE_SIZE);
	set_status(f, S_RUNNING);
	assert_int_equal(status(f), S_RUNNING | S_BROKEN);
	driver_kick(&f->d, 0);
	driver_kick(&f->d, 1);
	f->fake.dev.device.ops->pause(&f->fake.dev.device);
	f->fake.dev.device.ops->resume(&f->fake.dev.device);
	assert_int_equal(atomic_load(&f->fake.runs[0]), 0);
	assert_int_equal(atomic_load(&f->fake.runs[1]), 0);
	bring_up(f, 0);
}

/* --- other ways in -------------------------------------------------------------------------- */

/* 4.1.4.9: BAR accesses by configuration space alone. */
static void window(struct fixture *f, uint64_t addr, unsigned size)
{
	unsigned bar0 = machine_cfg_read(&f->m, SLOT, PCI_BASE_ADDRESS_0, 4) & ~0xfU;

	machine_cfg_write(&f->m, SLOT, f->d.cfg_cap + VIRTIO_PCI_CAP_BAR, 0, 1);
	machine_cfg_write(&f->m, SLOT, f->d.cfg_cap + VIRTIO_PCI_CAP_OFFSET, (uint32_t)addr - bar0,
			  4);
	machine_cfg_write(&f->m, SLOT, f->d.cfg_cap + VIRTIO_PCI_CAP_LENGTH, size, 4);
}

static void test_cfg_window(void **state)
{
	struct fixture *f = *state;
	unsigned data;

	MACHINE_OR_SKIP(&f->m);
	data = f->d.cfg_cap + sizeof(struct virtio_pci_cap);
	window(f, f->d.common + VIRTIO_PCI_COMMON_NUMQ, 2);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, data, 2), NR_QUEUES);
	window(f, f->d.common + VIRTIO_PCI_COMMON_STATUS, 1);
	machine_cfg_write(&f->m, SLOT, data, S_ACK, 1);
	assert_int_equal(status(f), S_ACK);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, data, 1), S_ACK);
	window(f, f->d.common + VIRTIO_PCI_COMMON_Q_DESCLO, 4);
	machine_cfg_write(&f->m, SLOT, data, 0x12345000, 4);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0x12345000);
	/* Nonsense reads as 0 and does nothing. */
	window(f, f->d.common + VIRTIO_PCI_COMMON_Q_DESCLO, 3);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, data, 4), 0);
	window(f, f->d.common + VIRTIO_PCI_COMMON_Q_DESCLO + 2, 4);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, data, 4), 0);
	window(f, f->d.common + 0x4000, 4);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, data, 4), 0);
	window(f, f->d.common - 4, 4);
	machine_cfg_write(&f->m, SLOT, data, 1, 4);
	window(f, f->d.common + VIRTIO_PCI_COMMON_NUMQ, 2);
	machine_cfg_write(&f->m, SLOT, f->d.cfg_cap + VIRTIO_PCI_CAP_BAR, 2, 1);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, data, 4), 0);
}

/* After a move everything is at the new place, and notifications work there. */
static void test_bar_move(void **state)
{
	struct fixture *f = *state;
	const uint64_t high = 0x4500000000ULL;

	MACHINE_OR_SKIP(&f->m);
	bring_up(f, 0);
	machine_cfg_write(&f->m, SLOT, PCI_BASE_ADDRESS_0, (uint32_t)high, 4);
	machine_cfg_write(&f->m, SLOT, PCI_BASE_ADDRESS_1, (uint32_t)(high >> 32), 4);
	assert_int_equal(machine_read(&f->m, f->d.common, 4), UINT32_MAX);
	f->d.notify += high - (f->d.common);
	f->d.common = high;
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_NUMQ, 2), NR_QUEUES);
	exchange(f, 0);
}

/* Two ioeventfds cannot have one address: so KVM says whether ours is there. */
static bool has_ioeventfd(struct fixture *f, uint64_t addr)
{
	int fd = f->fake.dev.queues[2].kick.fd;
	int rc = kvm_ioeventfd(f->m.vm->vm_fd, true, false, addr, 0, fd);

	if (rc == 0)
		assert_int_equal(kvm_ioeventfd(f->m.vm->vm_fd, false, false, addr, 0, fd), 0);
	return rc == -EEXIST;
}

static void test_ioeventfds_follow(void **state)
{
	struct fixture *f = *state;
	uint64_t moved = 0xd0000000ULL;

	MACHINE_OR_SKIP(&f->m);
	for (unsigned i = 0; i < NR_QUEUES; i++)
		assert_true(has_ioeventfd(f, f->d.notify + 4ULL * i));
	assert_false(has_ioeventfd(f, f->d.notify + 4ULL * NR_QUEUES));
	machine_cfg_write(&f->m, SLOT, PCI_COMMAND, 0, 2);
	assert_false(has_ioeventfd(f, f->d.notify));
	machine_cfg_write(&f->m, SLOT, PCI_BASE_ADDRESS_0, (uint32_t)moved, 4);
	machine_cfg_write(&f->m, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_false(has_ioeventfd(f, f->d.notify));
	assert_true(has_ioeventfd(f, moved + f->d.notify - f->d.common + 8));
}

static void test_attach_fails_clean(void **state)
{
	struct fixture *f = *state;
	struct fake other = { 0 };
	const struct virtio_layout layout = { 1, 8, f->m.io_loop };

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(virtio_dev_init(&other.dev, f->m.vm, &fake_class,
					 "a name that is too long for any device", &layout),
			 -ENAMETOOLONG);
	assert_int_equal(virtio_dev_init(&other.dev, f->m.vm, &fake_class, "fake0", &layout), 0);
	assert_int_equal(virtio_pci_attach(&other.dev, f->m.pci, SLOT), -EEXIST);
	assert_int_equal(virtio_pci_attach(&other.dev, f->m.pci, 0), -EEXIST); /* the name */
	assert_int_equal(machine_cfg_read(&f->m, 1, 0, 4), UINT32_MAX);
	virtio_dev_fini(&other.dev);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_identity),
		T(test_registers),
		T(test_access_sizes),
		T(test_no_such_queue),
		T(test_queue_size),
		T(test_vectors),
		T(test_device_config),
		T(test_offered_features),
		T(test_features_refused),
		T(test_features_settle),
		T(test_status_order),
		T(test_queue_runs),
		T(test_enabled_queue_is_fixed),
		T(test_late_enable),
		T(test_queue_reset),
		T(test_device_reset),
		T(test_machine_reset),
		T(test_pause),
		T(test_msix),
		T(test_intx),
		T(test_no_early_interrupt),
		T(test_bad_chain),
		T(test_bad_ring),
		T(test_cfg_window),
		T(test_bar_move),
		T(test_ioeventfds_follow),
		T(test_attach_fails_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
