// SPDX-License-Identifier: MIT
// Saved state of the virtio transport, its queues and a disk; hand-over of the disk's lock.
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "devices/msix.h"
#include "migration/vstate.h"
#include "tests/unit/driver.h"
#include "tests/unit/saved.h"
#include "tests/unit/tmpdisk.h"
#include "util/clock.h"
#include "virtio/blk.h"

#define SLOT      1
#define SECTOR    512U
#define SECTORS   256U
#define QSIZE     16
#define HEADER    0x90000ULL
#define STATUS    0x91000ULL
#define DATA      0x92000ULL
#define PENDING   0xee
#define FEATURES  (1ULL << VIRTIO_BLK_F_FLUSH | 1ULL << VIRTIO_BLK_F_CONFIG_WCE)
#define ZEROES    (1ULL << VIRTIO_BLK_F_WRITE_ZEROES)
#define TO_DEVICE false
#define TO_DRIVER true
#define WAIT_NS   (10 * NSEC_PER_SEC)

struct side {
	struct machine m;
	struct driver d;
	struct virtio_dev *dev;
};

struct fixture {
	struct tmpdisk disk;
	struct side src, dst;
};

static void open_side(struct fixture *f, struct side *s, struct blk_config cfg)
{
	struct err e = { 0 };

	cfg.id = "disk0";
	cfg.path = f->disk.path;
	cfg.queue_size = QSIZE;
	if (blk_new(s->m.vm, s->m.pci, &cfg, &s->dev, &e) < 0)
		fail_msg("%s", e.text);
	driver_init(&s->d, &s->m, SLOT);
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	tmpdisk_new(&f->disk, SECTORS * SECTOR);
	machine_init(&f->src.m, 2 * MIB);
	machine_init(&f->dst.m, 2 * MIB);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_fini(&f->src.m);
	machine_fini(&f->dst.m);
	tmpdisk_free(&f->disk);
	test_free(f);
	return 0;
}

/* --- a driver of disks -------------------------------------------------------------- */

/* Put header, data and status into the ring, without a kick. */
static void offer(struct side *s, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	const struct virtio_blk_outhdr h = { .type = type, .sector = sector };
	const uint8_t pending = PENDING;
	struct ring *r = &s->d.rings[0];

	assert_int_equal(gmem_write(r->gm, HEADER, &h, sizeof(h)), 0);
	assert_int_equal(gmem_write(r->gm, STATUS, &pending, 1), 0);
	ring_put_desc(r, r->desc, 0, (struct ring_desc){ HEADER, sizeof(h), RING_NEXT, 1 });
	if (len)
		ring_put_desc(
			r, r->desc, 1,
			(struct ring_desc){ DATA, len, RING_NEXT | (in ? RING_WRITE : 0), 2 });
	ring_put_desc(r, r->desc, len ? 2 : 1, (struct ring_desc){ STATUS, 1, RING_WRITE, 0 });
	ring_offer(r, 0);
}

static uint8_t status_of(struct side *s)
{
	uint8_t status = 0;

	assert_int_equal(gmem_read(&s->m.vm->gmem, STATUS, &status, 1), 0);
	return status;
}

static uint8_t request(struct side *s, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	offer(s, type, sector, len, in);
	driver_kick(&s->d, 0);
	(void)driver_await_used(&s->d, 0);
	return status_of(s);
}

static void fill_data(struct side *s, uint8_t byte, uint32_t len)
{
	uint8_t buf[8 * SECTOR];

	memset(buf, byte, sizeof(buf));
	assert_int_equal(gmem_write(&s->m.vm->gmem, DATA, buf, len), 0);
}

static void write_sectors(struct side *s, uint64_t sector, unsigned count, uint8_t byte)
{
	fill_data(s, byte, count * SECTOR);
	assert_int_equal(request(s, VIRTIO_BLK_T_OUT, sector, count * SECTOR, TO_DEVICE),
			 VIRTIO_BLK_S_OK);
}

static void check_sector(struct side *s, uint64_t sector, uint8_t byte)
{
	uint8_t buf[SECTOR];

	assert_int_equal(request(s, VIRTIO_BLK_T_IN, sector, SECTOR, TO_DRIVER), VIRTIO_BLK_S_OK);
	assert_int_equal(gmem_read(&s->m.vm->gmem, DATA, buf, sizeof(buf)), 0);
	for (unsigned i = 0; i < SECTOR; i++)
		assert_int_equal(buf[i], byte);
}

static void check_fresh(struct side *s, uint64_t sector)
{
	uint8_t buf[SECTOR];

	assert_int_equal(request(s, VIRTIO_BLK_T_IN, sector, SECTOR, TO_DRIVER), VIRTIO_BLK_S_OK);
	assert_int_equal(gmem_read(&s->m.vm->gmem, DATA, buf, sizeof(buf)), 0);
	assert_true(tmpdisk_is_fresh(buf, sector));
}

/* --- moving -------------------------------------------------------------------------- */

/* The driver is in guest memory, and knows of nothing. */
static void move_driver(struct fixture *f)
{
	saved_copy_memory(f->dst.m.vm, f->src.m.vm);
	f->dst.d = f->src.d;
	f->dst.d.m = &f->dst.m;
	for (unsigned i = 0; i < DRIVER_MAX_QUEUES; i++)
		f->dst.d.rings[i].gm = &f->dst.m.vm->gmem;
}

static void take_lock(struct side *s)
{
	struct err e = { 0 };

	if (blk_take_lock(s->dev, &e) < 0)
		fail_msg("%s", e.text);
}

static void release_lock(struct side *s)
{
	struct err e = { 0 };

	if (blk_release_lock(s->dev, &e) < 0)
		fail_msg("%s", e.text);
}

/* Load what was saved, with the memory as it is now, and run it there. */
static void go_on(struct fixture *f, const struct saved *s)
{
	saved_give(f->dst.m.vm, "disk0", s);
	move_driver(f);
	release_lock(&f->src);
	take_lock(&f->dst);
	saved_resume(f->dst.m.vm, "disk0");
}

/* The whole hand-over; the destination runs afterwards. The caller frees. */
static struct saved move(struct fixture *f)
{
	struct saved s = saved_take(f->src.m.vm, "disk0");

	go_on(f, &s);
	return s;
}

static void open_both(struct fixture *f, struct blk_config cfg)
{
	open_side(f, &f->src, cfg);
	cfg.incoming = true;
	open_side(f, &f->dst, cfg);
}

static void check_registers(struct fixture *f)
{
	for (unsigned reg = 0; reg < 0x38; reg += 4) {
		/* ACPI has no say here: every word must be the same. */
		assert_int_equal(driver_read(&f->src.d, reg, 4), driver_read(&f->dst.d, reg, 4));
		assert_int_equal(driver_read(&f->src.d, reg, 2), driver_read(&f->dst.d, reg, 2));
		assert_int_equal(driver_read(&f->src.d, reg, 1), driver_read(&f->dst.d, reg, 1));
		assert_int_equal(driver_read(&f->src.d, reg + 1, 1),
				 driver_read(&f->dst.d, reg + 1, 1));
	}
	for (unsigned reg = 0; reg < 256; reg += 4)
		assert_int_equal(machine_cfg_read(&f->src.m, SLOT, reg, 4),
				 machine_cfg_read(&f->dst.m, SLOT, reg, 4));
	for (unsigned at = 0; at < 64; at += 4)
		assert_int_equal(machine_read(&f->src.m, f->src.d.msix + at, 4),
				 machine_read(&f->dst.m, f->dst.d.msix + at, 4));
}

static void test_goes_on(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ 0 });
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	driver_use_msix(&f->src.d);
	driver_write(&f->src.d, VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	driver_write(&f->src.d, VIRTIO_PCI_COMMON_MSIX, 0, 2);
	write_sectors(&f->src, 7, 2, 0x11);
	machine_write(&f->src.m, f->src.d.device + 32, 0, 1); /* writeback off */
	s = saved_take(f->src.m.vm, "disk0");
	/* A request that came too late for the source, and whose kick is lost. */
	fill_data(&f->src, 0x22, SECTOR);
	offer(&f->src, VIRTIO_BLK_T_OUT, 9, SECTOR, TO_DEVICE);
	go_on(f, &s);
	(void)driver_await_used(&f->dst.d, 0);
	assert_int_equal(status_of(&f->dst), VIRTIO_BLK_S_OK);
	assert_true(machine_wait_vector(&f->dst.m, DRIVER_VECTOR + 1));
	assert_int_equal(machine_read(&f->dst.m, f->dst.d.device + 32, 1), 0);
	check_registers(f);
	check_sector(&f->dst, 7, 0x11);
	check_sector(&f->dst, 8, 0x11);
	check_sector(&f->dst, 9, 0x22);
	check_fresh(&f->dst, 10);
	saved_free(&s);
}

/* The driver has moved the BARs, and has done half of its set-up. */
static void test_half_set_up(void **state)
{
	struct fixture *f = *state;
	struct saved s;
	uint64_t there;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ 0 });
	assert_true(driver_negotiate(&f->src.d, FEATURES));
	driver_select(&f->src.d, 0);
	driver_write(&f->src.d, VIRTIO_PCI_COMMON_Q_SIZE, 8, 2);
	driver_set_address(&f->src.d, VIRTIO_PCI_COMMON_Q_DESCLO, 0x123456789abcULL);
	there = machine_cfg_read(&f->src.m, SLOT, PCI_BASE_ADDRESS_0, 4) & ~0xfU;
	there += 0x100000;
	machine_cfg_write(&f->src.m, SLOT, PCI_BASE_ADDRESS_0, (uint32_t)there, 4);
	driver_init(&f->src.d, &f->src.m, SLOT);
	s = move(f);
	check_registers(f);
	assert_int_equal(driver_status(&f->dst.d), S_ACK | S_DRIVER | S_FEATURES);
	assert_int_equal(driver_read(&f->dst.d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 8);
	/* It goes on to the end. */
	driver_enable_queue(&f->dst.d, 0, QSIZE);
	driver_set_status(&f->dst.d, S_RUNNING);
	check_fresh(&f->dst, 3);
	saved_free(&s);
}

static uint64_t pending_vectors(struct side *s)
{
	return machine_read(&s->m, s->d.msix + MSIX_PBA_OFFSET, 8);
}

/* The interrupt follows the used ring, on the device's thread. */
static void await_pending_vectors(struct side *s, uint64_t bits)
{
	uint64_t end_ns = clock_now_ns() + WAIT_NS;

	while (pending_vectors(s) != bits) {
		if (clock_now_ns() > end_ns)
			fail_msg("pending vectors: %#llx", (unsigned long long)pending_vectors(s));
		(void)sched_yield();
	}
}

/* Raised while masked: delivered when the driver unmasks it, there. */
static void test_pending_vector(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ 0 });
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	driver_use_msix(&f->src.d);
	driver_write(&f->src.d, VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	machine_write(&f->src.m, f->src.d.msix + 16 + 12, 1, 4);
	write_sectors(&f->src, 1, 1, 0x33);
	await_pending_vectors(&f->src, 1U << 1);
	s = move(f);
	assert_int_equal(pending_vectors(&f->dst), 1U << 1);
	machine_write(&f->dst.m, f->dst.d.msix + 16 + 12, 0, 4);
	assert_true(machine_wait_vector(&f->dst.m, DRIVER_VECTOR + 1));
	assert_int_equal(pending_vectors(&f->dst), 0);
	saved_free(&s);
}

/* INTA was asserted and not yet acknowledged. */
static void test_intx(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ 0 });
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	write_sectors(&f->src, 1, 1, 0x44);
	assert_true(machine_wait_line(&f->src.m, pci_intx_gsi(SLOT)));
	s = move(f);
	saved_resume(f->dst.m.vm, "pci");
	assert_true(machine_line(&f->dst.m, pci_intx_gsi(SLOT)));
	assert_int_equal(machine_read(&f->dst.m, f->dst.d.isr, 1), 1);
	assert_false(machine_line(&f->dst.m, pci_intx_gsi(SLOT)));
	saved_free(&s);
}

static void test_needs_reset(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ 0 });
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	ring_set_avail_idx(&f->src.d.rings[0], 1000);
	driver_kick(&f->src.d, 0);
	driver_await_status(&f->src.d, S_BROKEN);
	s = move(f);
	assert_int_equal(driver_status(&f->dst.d), S_RUNNING | S_BROKEN);
	assert_true(driver_bring_up(&f->dst.d, FEATURES, 1, QSIZE));
	check_fresh(&f->dst, 1);
	saved_free(&s);
}

/* Where the rings are is the guest's affair: it is found out when they are used. */
static void test_ring_outside_of_memory(void **state)
{
	struct fixture *f = *state;
	uint64_t beyond = 1ULL << 40;
	struct saved s;
	size_t bytes = 0;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ 0 });
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	s = saved_take(f->src.m.vm, "disk0");
	memcpy(saved_field(&s, "virtqueue", 0, 2, &bytes), &beyond, sizeof(beyond));
	saved_give(f->dst.m.vm, "disk0", &s);
	saved_resume(f->dst.m.vm, "disk0");
	f->dst.d = f->src.d;
	f->dst.d.m = &f->dst.m;
	driver_await_status(&f->dst.d, S_BROKEN);
	saved_free(&s);
}

static void test_refuses(void **state)
{
	static const struct saved_lie lies[] = {
		{ "virtio-pci", 0, 1, 1ULL << 32 | 1ULL << 52, "52" },
		{ "virtio-pci", 0, 1, 1ULL << VIRTIO_BLK_F_FLUSH, "VERSION_1" },
		{ "virtio-pci", 0, 5, 7, "vector" },
		{ "virtio-pci", 0, 6, 0x4f, "status" },
		{ "virtio-pci", 0, 6, 0x07, "DRIVER_OK" },
		{ "virtio-pci", 0, 7, 4, "isr" },
		{ "virtio-pci", 0, 9, 2, "needs_reset" },
		{ "virtqueue", 0, 4, 0, "size" },
		{ "virtqueue", 0, 4, 24, "size" },
		{ "virtqueue", 0, 4, 32, "at most 16" },
		{ "virtqueue", 0, 4, 4096, "size" },
		{ "virtqueue", 0, 5, 2, "vector" },
		{ "virtqueue", 0, 6, 40000, "last_avail" },
		{ "virtqueue", 0, 8, 2, "enabled" },
		{ "virtio-blk", 0, 1, 1024, "bytes" },
		{ "virtio-blk", 0, 4, 2, "writeback" },
		{ "virtio-blk", 0, 5, 1, "overlay" },
		{ "pci", 0, 1, 0x10431af4, "other settings" },
	};
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ 0 });
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	s = saved_take(f->src.m.vm, "disk0");
	saved_refuses(f->dst.m.vm, "disk0", &s, lies, ARRAY_SIZE(lies));
	saved_survives_damage(f->dst.m.vm, "disk0", &s);
	saved_free(&s);
}

/* Another number of queues, or a disk that must not be written. */
static void test_other_device(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_side(f, &f->src, (struct blk_config){ .queues = 1 });
	open_side(f, &f->dst, (struct blk_config){ .queues = 2, .incoming = true });
	s = saved_take(f->src.m.vm, "disk0");
	assert_int_equal(saved_load(f->dst.m.vm, "disk0", &s, &e), -EINVAL);
	assert_non_null(strstr(e.text, "other settings"));
	saved_free(&s);
}

/* Debt to a limiter is paid at the destination. */
static void test_limits(void **state)
{
	const struct blk_config cfg = { .iops = 100, .bps = MIB, .burst_ms = 10 };
	struct fixture *f = *state;
	uint64_t missing = 0;
	struct err e = { 0 };
	struct saved s;
	size_t bytes = 0;
	uint64_t start_ns;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, cfg);
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	check_fresh(&f->src, 1);
	s = saved_take(f->src.m.vm, "disk0");
	memcpy(&missing, saved_field(&s, "virtio-blk", 0, 2, &bytes), sizeof(missing));
	assert_in_range(missing, 0, 1);
	missing = 21;
	memcpy(saved_field(&s, "virtio-blk", 0, 2, &bytes), &missing, sizeof(missing));
	start_ns = clock_now_ns(); /* the debt is paid from the load on */
	assert_int_equal(saved_load(f->dst.m.vm, "disk0", &s, &e), 0);
	move_driver(f);
	release_lock(&f->src);
	take_lock(&f->dst);
	saved_resume(f->dst.m.vm, "disk0");
	check_fresh(&f->dst, 1);
	/* 21 tokens at 100 a second, but for the one that a bucket of 10 ms holds. */
	assert_in_range(clock_now_ns() - start_ns, 150 * NSEC_PER_MSEC, 10 * NSEC_PER_SEC);
	saved_free(&s);
}

/* --- overlays ---------------------------------------------------------------------- */

static void write_zeroes(struct side *s, uint64_t sector, uint32_t count)
{
	const struct virtio_blk_discard_write_zeroes seg = { .sector = sector,
							     .num_sectors = count };

	assert_int_equal(gmem_write(&s->m.vm->gmem, DATA, &seg, sizeof(seg)), 0);
	assert_int_equal(request(s, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(seg), TO_DEVICE),
			 VIRTIO_BLK_S_OK);
}

static void test_overlay_goes_along(void **state)
{
	struct fixture *f = *state;
	struct saved s;
	uint8_t base[SECTOR];

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ .overlay = true });
	assert_true(driver_bring_up(&f->src.d, FEATURES | ZEROES, 1, QSIZE));
	write_sectors(&f->src, 0, 1, 0x51);
	write_sectors(&f->src, 100, 8, 0x52);
	write_sectors(&f->src, 103, 1, 0);
	write_sectors(&f->src, SECTORS - 1, 1, 0x53);
	write_zeroes(&f->src, 200, 20);
	s = move(f);
	check_sector(&f->dst, 0, 0x51);
	check_fresh(&f->dst, 1);
	check_fresh(&f->dst, 99);
	for (unsigned i = 100; i < 108; i++)
		check_sector(&f->dst, i, i == 103 ? 0 : 0x52);
	check_fresh(&f->dst, 108);
	for (unsigned i = 200; i < 220; i++)
		check_sector(&f->dst, i, 0);
	check_fresh(&f->dst, 220);
	check_sector(&f->dst, SECTORS - 1, 0x53);
	/* Two copies of one saved guest do not see each other's writes. */
	write_sectors(&f->dst, 1, 1, 0x54);
	saved_resume(f->src.m.vm, "disk0");
	tmpdisk_read(&f->disk, 0, base, sizeof(base));
	assert_true(tmpdisk_is_fresh(base, 0));
	saved_free(&s);
}

/* One that was enlarged goes into one that is made as large. */
static void test_larger_overlay_goes_along(void **state)
{
	const uint64_t larger = 2ULL * SECTORS * SECTOR;
	struct fixture *f = *state;
	struct err e = { 0 };
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_side(f, &f->src, (struct blk_config){ .overlay = true });
	open_side(
		f, &f->dst,
		(struct blk_config){ .overlay = true, .overlay_bytes = larger, .incoming = true });
	assert_true(driver_bring_up(&f->src.d, FEATURES | ZEROES, 1, QSIZE));
	write_sectors(&f->src, SECTORS - 1, 1, 0x57);
	vm_pause(f->src.m.vm);
	assert_int_equal(blk_resize(f->src.dev, larger, &e), 0);
	vm_resume(f->src.m.vm);
	assert_int_equal(blk_capacity_bytes(f->src.dev), larger);
	write_sectors(&f->src, 2 * SECTORS - 1, 1, 0x58);
	s = move(f);
	check_fresh(&f->dst, SECTORS - 2);
	check_sector(&f->dst, SECTORS - 1, 0x57);
	check_sector(&f->dst, SECTORS, 0);
	check_sector(&f->dst, 2 * SECTORS - 1, 0x58);
	saved_free(&s);
}

static void test_overlay_refuses(void **state)
{
	static const struct saved_lie lies[] = {
		{ "overlay", 0, 1, 12345 * SECTOR, "disk" },
		{ "overlay", 0, 2, 1, "size" },
		{ "overlay", 0, 3, 3, "size" },
		{ "overlay", 0, 3, 1U << 30, "nr_runs" },
		{ "overlay", 0, 4 | VSTATE_OPTIONAL, 255 * SECTOR, "image" },
		{ "virtio-blk", 0, 5, 0, "overlay" },
	};
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ .overlay = true });
	assert_true(driver_bring_up(&f->src.d, FEATURES | ZEROES, 1, QSIZE));
	write_sectors(&f->src, 5, 1, 0x61);
	write_zeroes(&f->src, 10, 2);
	s = saved_take(f->src.m.vm, "disk0");
	saved_refuses(f->dst.m.vm, "disk0", &s, lies, ARRAY_SIZE(lies));
	saved_survives_damage(f->dst.m.vm, "disk0", &s);
	saved_free(&s);
}

/* --- locks -------------------------------------------------------------------------- */

static void test_locks(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ 0 });
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	write_sectors(&f->src, 4, 1, 0x71);
	s = saved_take(f->src.m.vm, "disk0");
	/* Not before the source has let go. */
	assert_int_equal(blk_take_lock(f->dst.dev, &e), -EBUSY);
	assert_non_null(strstr(e.text, "disk0"));
	saved_give(f->dst.m.vm, "disk0", &s);
	move_driver(f);
	release_lock(&f->src);
	release_lock(&f->src);
	take_lock(&f->dst);
	take_lock(&f->dst);
	/* Something went wrong: the destination gives it back, the source goes on. */
	assert_int_equal(blk_take_lock(f->src.dev, &e), -EBUSY);
	release_lock(&f->dst);
	take_lock(&f->src);
	saved_resume(f->src.m.vm, "disk0");
	write_sectors(&f->src, 5, 1, 0x72);
	check_sector(&f->src, 4, 0x71);
	/* Who has not the lock does no input or output, whatever it was told. */
	saved_resume(f->dst.m.vm, "disk0");
	fill_data(&f->dst, 0x73, SECTOR);
	assert_int_equal(request(&f->dst, VIRTIO_BLK_T_OUT, 4, SECTOR, TO_DEVICE),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f->dst, VIRTIO_BLK_T_IN, 4, SECTOR, TO_DRIVER),
			 VIRTIO_BLK_S_IOERR);
	check_sector(&f->src, 4, 0x71);
	saved_free(&s);
}

/* Readers share theirs: both sides may have it at once. */
static void test_readers_share(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ .readonly = true });
	take_lock(&f->dst);
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	assert_true(driver_bring_up(&f->dst.d, FEATURES, 1, QSIZE));
	check_fresh(&f->src, 4);
	check_fresh(&f->dst, 4);
}

/* What another host wrote is read from the disk, not from this host's memory. */
static void test_cache_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ .direct = BLOCK_DIRECT_OFF });
	assert_true(driver_bring_up(&f->src.d, FEATURES, 1, QSIZE));
	check_fresh(&f->src, 4);
	write_sectors(&f->src, 4, 1, 0x81);
	s = move(f);
	check_sector(&f->dst, 4, 0x81);
	saved_free(&s);
}

static void test_size_has_changed(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	MACHINE_OR_SKIP(&f->src.m);
	open_both(f, (struct blk_config){ 0 });
	release_lock(&f->src);
	assert_int_equal(truncate(f->disk.path, 2 * SECTORS * SECTOR), 0);
	assert_int_equal(blk_take_lock(f->dst.dev, &e), -ESTALE);
	assert_non_null(strstr(e.text, "size"));
	/* It has not kept it either. */
	assert_int_equal(truncate(f->disk.path, SECTORS * SECTOR), 0);
	take_lock(&f->src);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_goes_on),
		TEST(test_half_set_up),
		TEST(test_pending_vector),
		TEST(test_intx),
		TEST(test_needs_reset),
		TEST(test_ring_outside_of_memory),
		TEST(test_refuses),
		TEST(test_other_device),
		TEST(test_limits),
		TEST(test_overlay_goes_along),
		TEST(test_overlay_refuses),
		TEST(test_larger_overlay_goes_along),
		TEST(test_locks),
		TEST(test_readers_share),
		TEST(test_cache_is_dropped),
		TEST(test_size_has_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
