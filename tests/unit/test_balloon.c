// SPDX-License-Identifier: MIT
// virtio-balloon: memory goes back to the host, statistics, reports, and bad requests.
#include <errno.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tests/unit/driver.h"
#include "virtio/balloon.h"

#define SLOT       1
#define MEM        (8 * MIB)
#define QUEUE_SIZE 16
#define PAGE       4096ULL
#define INFLATE    0
#define DEFLATE    1
#define STATS      2
#define PAGES      0x200000ULL /* what is lent back */
#define NUM_PAGES  0           /* configuration space */
#define ACTUAL     4
#define F_STATS    (1ULL << VIRTIO_BALLOON_F_STATS_VQ)
#define F_REPORT   (1ULL << VIRTIO_BALLOON_F_REPORTING)

struct fixture {
	struct machine m;
	struct driver d;
	struct virtio_dev *dev;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	machine_init(&f->m, MEM);
	if (!f->m.vm)
		return 0;
	assert_int_equal(balloon_new(f->m.vm, f->m.pci, "balloon", f->m.io_loop, &f->dev), 0);
	driver_init(&f->d, &f->m, SLOT);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_fini(&f->m);
	test_free(f);
	return 0;
}

/* How much of the guest's memory the host holds. */
static uint64_t resident(struct fixture *f)
{
	static unsigned char pages[MEM / PAGE];
	uint64_t bytes = 0;

	assert_int_equal(mincore(f->m.vm->gmem.base, MEM, pages), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		bytes += pages[i] & 1 ? PAGE : 0;
	return bytes;
}

static bool is_zero(struct fixture *f, gpa_t gpa, uint64_t len)
{
	const uint8_t *p = f->m.vm->gmem.base + gpa;

	for (uint64_t i = 0; i < len; i++) {
		if (p[i])
			return false;
	}
	return true;
}

/* Send @nr PFNs to queue @q. */
static void send_pfns(struct fixture *f, unsigned q, const uint32_t *pfns, unsigned nr)
{
	assert_int_equal(gmem_write(&f->m.vm->gmem, DRIVER_DATA, pfns, nr * sizeof(*pfns)), 0);
	driver_offer(&f->d, q, DRIVER_DATA, nr * (uint32_t)sizeof(*pfns), 0);
	driver_kick(&f->d, q);
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(machine_cfg_read(&f->m, SLOT, PCI_VENDOR_ID, 4), 0x10451af4);
	assert_int_equal(driver_read(&f->d, VIRTIO_PCI_COMMON_NUMQ, 2), 5);
	assert_int_equal(driver_offered(&f->d) & 0xffffff,
			 F_STATS | F_REPORT | 1U << VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
}

static void test_inflate(void **state)
{
	struct fixture *f = *state;
	uint32_t pfns[300];
	uint64_t before;

	MACHINE_OR_SKIP(&f->m);
	memset(f->m.vm->gmem.base + PAGES, 0x5a, 400 * PAGE);
	memset(f->m.vm->gmem.base + DRIVER_DATA, 0x5a, PAGE);
	/* Downwards, with a gap, as drivers may. */
	for (unsigned i = 0; i < 300; i++)
		pfns[i] = (uint32_t)(PAGES / PAGE) + 301 - i - (i >= 150);
	assert_true(driver_bring_up(&f->d, 0, 2, QUEUE_SIZE));
	before = resident(f);
	send_pfns(f, INFLATE, pfns, 300);
	(void)driver_await_used(&f->d, INFLATE);
	assert_int_equal(before - resident(f), 300 * PAGE);
	assert_false(is_zero(f, PAGES, PAGE));                       /* below */
	assert_false(is_zero(f, PAGES + (301 - 149 - 1) * PAGE, 1)); /* the gap */
	assert_true(is_zero(f, PAGES + 1 * PAGE, 150 * PAGE));
	assert_true(is_zero(f, PAGES + 152 * PAGE, 150 * PAGE));
	assert_false(is_zero(f, PAGES + 302 * PAGE, PAGE)); /* above */
	/* Taken back: memory again. */
	send_pfns(f, DEFLATE, pfns, 300);
	(void)driver_await_used(&f->d, DEFLATE);
	memset(f->m.vm->gmem.base + PAGES, 0x5a, 400 * PAGE);
	assert_int_equal(resident(f), before);
}

static void test_inflate_marks_dirty(void **state)
{
	struct fixture *f = *state;
	const uint32_t pfn = PAGES / PAGE;

	MACHINE_OR_SKIP(&f->m);
	assert_true(driver_bring_up(&f->d, 0, 2, QUEUE_SIZE));
	assert_int_equal(gmem_log_start(&f->m.vm->gmem), 0);
	send_pfns(f, INFLATE, &pfn, 1);
	(void)driver_await_used(&f->d, INFLATE);
	assert_true(atomic_load(&f->m.vm->gmem.dirty)[pfn / 64] >> (pfn % 64) & 1);
}

static void test_bad_requests(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *name;
		unsigned queue;
		uint32_t pfn, len;
		uint16_t flags;
	} cases[] = {
		{ "beyond memory", INFLATE, MEM / PAGE, 4, 0 },
		{ "far beyond", INFLATE, UINT32_MAX, 4, 0 },
		{ "odd length", INFLATE, 1, 7, 0 },
		{ "writable", INFLATE, 1, 4, RING_WRITE },
		{ "too many", INFLATE, 1, 4 * 4097, 0 },
		{ "deflate: odd length", DEFLATE, 1, 2, 0 },
		{ "deflate: writable", DEFLATE, 1, 4, RING_WRITE },
		{ "stats: writable", STATS, 1, 40, RING_WRITE },
		{ "report: readable", 3, 1, 4, 0 },
	};

	MACHINE_OR_SKIP(&f->m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(driver_bring_up(&f->d, F_STATS | F_REPORT, 4, QUEUE_SIZE));
		assert_int_equal(gmem_write(&f->m.vm->gmem, DRIVER_DATA, &cases[i].pfn, 4), 0);
		driver_offer(&f->d, cases[i].queue, DRIVER_DATA, cases[i].len, cases[i].flags);
		driver_kick(&f->d, cases[i].queue);
		driver_await_status(&f->d, S_BROKEN);
	}
}

static void test_target(void **state)
{
	struct fixture *f = *state;
	struct balloon_stats stats;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(balloon_set_target(f->dev, MEM + 1), -EINVAL);
	assert_int_equal(balloon_set_target(f->dev, MEM - 16 * PAGE), 0);
	driver_use_msix(&f->d);
	assert_true(driver_bring_up(&f->d, 0, 2, QUEUE_SIZE));
	assert_int_equal(machine_read(&f->m, f->d.device + NUM_PAGES, 4), 16);
	driver_write(&f->d, VIRTIO_PCI_COMMON_MSIX, 0, 2);
	assert_int_equal(balloon_set_target(f->dev, MEM - 33 * PAGE + 1), 0);
	assert_true(machine_wait_vector(&f->m, DRIVER_VECTOR));
	assert_int_equal(machine_read(&f->m, f->d.device + NUM_PAGES, 4), 32);
	/* What the driver may say of it. */
	machine_write(&f->m, f->d.device + ACTUAL, 20, 4);
	machine_write(&f->m, f->d.device + NUM_PAGES, 99, 4);
	machine_write(&f->m, f->d.device, 99, 8);
	machine_write(&f->m, f->d.device + ACTUAL, 99, 2);
	assert_int_equal(machine_read(&f->m, f->d.device, 8), 32 | 20ULL << 32);
	balloon_get_stats(f->dev, &stats);
	assert_int_equal(stats.target_bytes, MEM - 32 * PAGE);
	assert_int_equal(stats.actual_bytes, MEM - 20 * PAGE);
	/* Reset: all memory is the guest's again, the wish stays. */
	driver_set_status(&f->d, 0);
	assert_int_equal(machine_read(&f->m, f->d.device, 8), 32);
	machine_write(&f->m, f->d.device + ACTUAL, UINT32_MAX, 4);
	balloon_get_stats(f->dev, &stats);
	assert_int_equal(stats.actual_bytes, 0);
}

static void offer_stats(struct fixture *f, uint64_t free_bytes)
{
	const struct virtio_balloon_stat stats[] = {
		{ VIRTIO_BALLOON_S_MEMFREE, free_bytes },
		{ VIRTIO_BALLOON_S_MEMTOT, MEM },
		{ 77, 1 },
	};

	assert_int_equal(gmem_write(&f->m.vm->gmem, DRIVER_DATA, stats, sizeof(stats)), 0);
	driver_offer(&f->d, STATS, DRIVER_DATA, sizeof(stats), 0);
	driver_kick(&f->d, STATS);
}

static void test_stats(void **state)
{
	struct fixture *f = *state;
	struct balloon_stats stats;
	struct device *device;

	MACHINE_OR_SKIP(&f->m);
	balloon_get_stats(f->dev, &stats);
	assert_int_equal(stats.guest_time_ns, 0);
	assert_true(stats.guest[VIRTIO_BALLOON_S_MEMFREE] == BALLOON_UNKNOWN);
	device = vm_find_device(f->m.vm, "balloon");
	assert_true(driver_bring_up(&f->d, F_STATS, 3, QUEUE_SIZE));
	/* The first buffer comes unasked, and stays with the device until somebody asks. */
	offer_stats(f, 1000);
	device->ops->pause(device);
	device->ops->resume(device);
	assert_int_equal(ring_used_idx(&f->d.rings[STATS]), 0);
	for (unsigned i = 1; i <= 3; i++) {
		balloon_get_stats(f->dev, &stats);
		assert_int_not_equal(stats.guest_time_ns, 0);
		assert_int_equal(stats.guest[VIRTIO_BALLOON_S_MEMFREE], 1000 * i);
		assert_int_equal(stats.guest[VIRTIO_BALLOON_S_MEMTOT], MEM);
		assert_true(stats.guest[VIRTIO_BALLOON_S_SWAP_IN] == BALLOON_UNKNOWN);
		assert_int_equal(driver_await_used(&f->d, STATS).len, 0);
		offer_stats(f, 1000 * (i + 1));
		/* The queue's loop has seen it once it has stopped and started. */
		device->ops->pause(device);
		device->ops->resume(device);
	}
	driver_set_status(&f->d, 0);
	balloon_get_stats(f->dev, &stats);
	assert_int_equal(stats.guest_time_ns, 0);
}

/* Free pages by any number that drivers give the queue. */
static void test_reporting(void **state)
{
	struct fixture *f = *state;
	const struct {
		uint64_t features;
		unsigned queue;
	} cases[] = { { F_REPORT, 2 }, { F_REPORT | F_STATS, 3 } };
	struct balloon_stats stats;

	MACHINE_OR_SKIP(&f->m);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ring *r = &f->d.rings[cases[i].queue];
		uint64_t before;

		memset(f->m.vm->gmem.base + PAGES, 0x5a, 2 * MIB);
		assert_true(driver_bring_up(&f->d, cases[i].features, 4, QUEUE_SIZE));
		before = resident(f);
		ring_put_desc(r, r->desc, 0,
			      (struct ring_desc){ PAGES, 1 * MIB, RING_WRITE | RING_NEXT, 1 });
		ring_put_desc(r, r->desc, 1,
			      (struct ring_desc){ PAGES + 1536 * KIB, 512 * KIB, RING_WRITE, 0 });
		ring_offer(r, 0);
		driver_kick(&f->d, cases[i].queue);
		assert_int_equal(driver_await_used(&f->d, cases[i].queue).len, 0);
		assert_int_equal(before - resident(f), 1536 * KIB);
	}
	balloon_get_stats(f->dev, &stats);
	assert_int_equal(stats.discarded_bytes, 2 * 1536 * KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inflate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inflate_marks_dirty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_target, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reporting, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
