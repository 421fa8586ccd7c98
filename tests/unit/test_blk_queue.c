// SPDX-License-Identifier: MIT
// virtio-blk queues: many requests at once, limits, reset and pause in flight,
// failures of the storage.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/blkdev.h"
#include "util/bitmap.h"
#include "util/clock.h"

/* --- much at once --------------------------------------------------------------- */

#define LARGE_DISK (64 * MIB)
#define PIECE      (3 * MIB)
#define PIECES     10U /* below BLK_MAX_DATA_BYTES */

/* A read into the same buffer again and again. */
static uint16_t offer_large_read(struct blkdev *f, unsigned nr_pieces)
{
	struct piece p[PIECES + 3];
	unsigned d = f->next_desc % QSIZE;

	blkdev_put_header(f, HEADERS, VIRTIO_BLK_T_IN, 0);
	p[0] = (struct piece){ HEADERS, 16, false };
	for (unsigned i = 1; i <= nr_pieces; i++)
		p[i] = (struct piece){ DATA, PIECE, true };
	p[nr_pieces + 1] = (struct piece){ STATUSES + d, 1, true };
	ring_offer(&f->rings[0], blkdev_chain(f, 0, p, nr_pieces + 2));
	return (uint16_t)d;
}

static void test_largest_request(void **state)
{
	struct blkdev *f = *state;
	unsigned head;

	assert_int_equal(truncate(f->disk.path, LARGE_DISK), 0);
	blkdev_new(f, (struct blk_config){ 0 });
	for (unsigned more = 0; more < 2; more++) {
		head = offer_large_read(f, PIECES + more);
		blkdev_kick(f, 0);
		(void)blkdev_take_used(f, 0);
		assert_int_equal(blkdev_status(f, 0, head),
				 more ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
	}
}

static void run_and_pause(void *opaque)
{
	struct virtio_queue *q = opaque;

	q->dev->cls->run(q);
	q->dev->cls->quiesce(q, false);
}

/* What a pause waits for has a bound, whatever the driver has offered. */
static void test_pause_leaves_the_rest(void **state)
{
	struct blkdev *f = *state;
	struct virtio_queue *q;
	unsigned done;

	assert_int_equal(truncate(f->disk.path, LARGE_DISK), 0);
	blkdev_new(f, (struct blk_config){ 0 });
	q = &f->blk->vdev.queues[0];
	for (unsigned i = 0; i < 5; i++)
		(void)offer_large_read(f, PIECES);
	loop_call_sync(q->loop, run_and_pause, q);
	done = q->ring.state.used_idx;
	assert_int_equal(done, (BLK_BUSY_BYTES + PIECES * PIECE - 1) / (PIECES * PIECE));
	assert_int_equal(q->ring.state.last_avail, done);
}

/* --- many at once --------------------------------------------------------------- */

#define DEPTH (QSIZE / 3)

static void offer_reads(struct blkdev *f, unsigned queue, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)blkdev_offer(
			f, queue, VIRTIO_BLK_T_IN, i,
			(struct piece){ PER_QUEUE(DATA, queue) + i * 4096ULL, SECTOR, true });
}

static void check_reads(struct blkdev *f, unsigned queue, unsigned n)
{
	uint8_t buf[SECTOR];

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(blkdev_status(f, queue, blkdev_take_used(f, queue).id),
				 VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < n; i++) {
		blkdev_get(f, PER_QUEUE(DATA, queue) + i * 4096ULL, buf, SECTOR);
		assert_true(tmpdisk_is_fresh(buf, i));
	}
}

static void test_batch(void **state)
{
	struct blkdev *f = *state;
	struct blk_stats stats;

	blkdev_new(f, (struct blk_config){ 0 });
	for (unsigned round = 0; round < 10; round++) {
		offer_reads(f, 0, DEPTH);
		blkdev_kick(f, 0);
		check_reads(f, 0, DEPTH);
	}
	blk_get_stats(&f->blk->vdev, &stats);
	assert_int_equal(stats.ops[BLOCK_READ], 10 * DEPTH);
	assert_int_equal(stats.bytes[BLOCK_READ], 10 * DEPTH * SECTOR);
	assert_int_equal(stats.errors[BLOCK_READ], 0);
	assert_true(stats.latency_ns[BLOCK_READ] > 0);
	assert_int_equal(stats.in_flight, 0);
	/* Page cache or not, they do not all come one by one. */
	assert_true(f->nr_irqs < 10 * DEPTH);
}

static void test_two_queues(void **state)
{
	struct blkdev *f = *state;

	blkdev_new(f, (struct blk_config){ .queues = 2 });
	for (unsigned round = 0; round < 10; round++) {
		f->next_desc = 0;
		offer_reads(f, 0, DEPTH);
		f->next_desc = 0;
		offer_reads(f, 1, DEPTH);
		blkdev_kick(f, 0);
		blkdev_kick(f, 1);
		check_reads(f, 0, DEPTH);
		check_reads(f, 1, DEPTH);
	}
}

/* A chain that is offered again and again finds all slots taken, and waits. */
static void test_more_than_there_are_slots(void **state)
{
	struct blkdev *f = *state;
	uint16_t head;

	blkdev_new(f, (struct blk_config){ 0 });
	head = blkdev_offer(f, 0, VIRTIO_BLK_T_IN, 0, (struct piece){ DATA, SECTOR, true });
	for (unsigned i = 1; i < QSIZE; i++)
		ring_offer(&f->rings[0], head);
	blkdev_kick(f, 0);
	for (unsigned i = 0; i < QSIZE; i++)
		assert_int_equal(blkdev_take_used(f, 0).id, head);
}

static void test_reset_in_flight(void **state)
{
	struct blkdev *f = *state;
	uint16_t used;

	blkdev_new(f, (struct blk_config){ 0 });
	for (unsigned round = 0; round < 20; round++) {
		offer_reads(f, 0, DEPTH);
		blkdev_kick(f, 0);
		blkdev_quiesce(f, true);
		used = ring_used_idx(&f->rings[0]);
		assert_int_equal(f->blk->queues[0].nr_free, QSIZE);
		assert_true(used <= DEPTH);
		f->next_desc = 0;
		blkdev_start(f);
		assert_int_equal(ring_used_idx(&f->rings[0]), 0);
	}
	blkdev_check_read(f, 3, 1);
}

/* Data that came, or may have, before the driver took its requests back. */
static void test_reset_marks_dirty(void **state)
{
	struct blkdev *f = *state;

	blkdev_new(f, (struct blk_config){ 0 });
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(gmem_log_start(&f->vm.gmem), 0);
		offer_reads(f, 0, DEPTH);
		blkdev_kick(f, 0);
		blkdev_quiesce(f, true);
		for (unsigned i = 0; i < DEPTH; i++)
			assert_true(bitmap_test(atomic_load(&f->vm.gmem.dirty),
						DATA / GMEM_PAGE_BYTES + i));
		gmem_log_stop(&f->vm.gmem);
		f->next_desc = 0;
		blkdev_start(f);
	}
}

static void test_pause_in_flight(void **state)
{
	struct blkdev *f = *state;

	blkdev_new(f, (struct blk_config){ 0 });
	for (unsigned round = 0; round < 20; round++) {
		offer_reads(f, 0, DEPTH);
		blkdev_kick(f, 0);
		blkdev_quiesce(f, false);
		/* Everything that was taken has been given back. */
		assert_int_equal(ring_used_idx(&f->rings[0]), (round + 1) * DEPTH);
		blkdev_kick(f, 0);
		check_reads(f, 0, DEPTH);
	}
}

static void test_limits(void **state)
{
	static const struct blk_config limits[] = {
		{ .iops = 500, .burst_ms = 2 },
		{ .bps = 500 * SECTOR, .burst_ms = 2 },
	};
	struct blkdev *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		uint64_t start = clock_now_ns();
		struct blk_stats stats;

		f->next_desc = 0;
		blkdev_new(f, limits[i]);
		offer_reads(f, 0, DEPTH);
		blkdev_kick(f, 0);
		check_reads(f, 0, DEPTH);
		/* One at once, the others each 2 ms later. */
		assert_true(clock_now_ns() - start >= (DEPTH - 2) * 2 * NSEC_PER_MSEC);
		blk_get_stats(&f->blk->vdev, &stats);
		assert_true(stats.throttled > 0);
		/* A reset does not wait for the limit. */
		offer_reads(f, 0, DEPTH);
		blkdev_kick(f, 0);
		blkdev_quiesce(f, true);
		blkdev_free(f);
	}
}

/* --- failures of the storage ------------------------------------------------------ */

static void test_truncated_image(void **state)
{
	struct blkdev *f = *state;
	struct blk_stats stats;

	blkdev_new(f, (struct blk_config){ 0 });
	assert_int_equal(truncate(f->disk.path, DISK / 2), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(blkdev_request(f, VIRTIO_BLK_T_IN, SECTORS - 1,
						(struct piece){ DATA, SECTOR, true }),
				 VIRTIO_BLK_S_IOERR);
	blk_get_stats(&f->blk->vdev, &stats);
	assert_int_equal(stats.errors[BLOCK_READ], 20);
	assert_false(f->blk->vdev.broken);
	blkdev_check_read(f, 0, SECTORS / 2);
}

/* One failure is no reason for others of the batch to fail. */
static void test_batch_with_failures(void **state)
{
	struct blkdev *f = *state;
	unsigned good = 0;

	blkdev_new(f, (struct blk_config){ 0 });
	assert_int_equal(truncate(f->disk.path, 5 * SECTOR), 0);
	offer_reads(f, 0, DEPTH);
	blkdev_kick(f, 0);
	for (unsigned i = 0; i < DEPTH; i++) {
		uint32_t head = blkdev_take_used(f, 0).id;
		uint8_t status = blkdev_status(f, 0, head);

		assert_int_equal(status, head / 3 < 5 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
		good += status == VIRTIO_BLK_S_OK;
	}
	assert_int_equal(good, 5);
}

static void test_batch_of_writes(void **state)
{
	struct blkdev *f = *state;
	uint8_t buf[SECTOR];

	blkdev_new(f, (struct blk_config){ 0 });
	for (unsigned i = 0; i < DEPTH; i++) {
		memset(buf, (int)i, SECTOR);
		blkdev_put(f, DATA + i * 4096ULL, buf, SECTOR);
		(void)blkdev_offer(f, 0, VIRTIO_BLK_T_OUT, 100 + i,
				   (struct piece){ DATA + i * 4096ULL, SECTOR, false });
	}
	blkdev_kick(f, 0);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(blkdev_status(f, 0, blkdev_take_used(f, 0).id), VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < DEPTH; i++) {
		tmpdisk_read(&f->disk, (100 + i) * SECTOR, buf, SECTOR);
		assert_int_equal(buf[0], i);
		assert_int_equal(buf[SECTOR - 1], i);
	}
}

/* Neighbours become one request of the host's; each has its own answer. */
static void test_neighbours(void **state)
{
	/* Up, a gap, the other way round, across an operation of another kind. */
	static const uint64_t sectors[] = { 10, 11, 12, 14, 15, 9, 8, 13, 20, 21 };
	struct blkdev *f = *state;
	uint8_t buf[SECTOR];

	blkdev_new(f, (struct blk_config){ 0 });
	for (unsigned i = 0; i < ARRAY_SIZE(sectors); i++) {
		bool write = i == 2 || i >= 8;

		memset(buf, write ? (int)sectors[i] : 0, SECTOR);
		blkdev_put(f, DATA + i * 4096ULL, buf, SECTOR);
		(void)blkdev_offer(f, 0, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, sectors[i],
				   (struct piece){ DATA + i * 4096ULL, SECTOR, !write });
	}
	blkdev_kick(f, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(sectors); i++)
		assert_int_equal(blkdev_status(f, 0, blkdev_take_used(f, 0).id), VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < ARRAY_SIZE(sectors); i++) {
		if (i == 2 || i >= 8) {
			tmpdisk_read(&f->disk, (off_t)sectors[i] * SECTOR, buf, SECTOR);
			assert_int_equal(buf[0], sectors[i]);
			assert_int_equal(buf[SECTOR - 1], sectors[i]);
		} else {
			blkdev_get(f, DATA + i * 4096ULL, buf, SECTOR);
			assert_true(tmpdisk_is_fresh(buf, sectors[i]));
		}
	}
}

static void test_full_disk(void **state)
{
	struct blkdev *f = *state;
	struct tmpdisk small;
	uint8_t status = VIRTIO_BLK_S_OK;
	unsigned n = 0;

	if (!tmpdisk_new_small(&small, DISK, 32 * KIB))
		skip();
	tmpdisk_free(&f->disk);
	f->disk = small;
	blkdev_new(f, (struct blk_config){ 0 });
	for (; status == VIRTIO_BLK_S_OK && n < SECTORS; n += 8)
		status = blkdev_write_byte(f, n, 1);
	assert_int_equal(status, VIRTIO_BLK_S_IOERR);
	assert_in_range(n, 8, 80);
	assert_int_equal(blkdev_write_byte(f, 0, 2), VIRTIO_BLK_S_OK); /* has its place */
}

#define BLK_TEST(fn) cmocka_unit_test_setup_teardown(fn, blkdev_setup, blkdev_teardown)

/* --- a loop that others use, too ------------------------------------------------- */

/* Disks come and go on a loop that goes on, and nothing of them stays there. */
static void test_shared_loop(void **state)
{
	struct blkdev *f = *state;
	struct loop *loop;

	assert_int_equal(loop_new(&loop, LOOP_SHARED), 0);
	assert_int_equal(loop_start(loop, THREAD_IO, "disks/0"), 0);
	for (unsigned round = 0; round < 50; round++) {
		blkdev_new(f, (struct blk_config){
				      .queues = 2,
				      .loops = &loop,
				      .nr_loops = 1,
				      .iops = round % 2 ? 1 : 0,
				      .overlay = round % 3 == 0,
			      });
		assert_ptr_equal(f->blk->queues[1].loop, loop);
		f->next_desc = 0;
		offer_reads(f, 0, 3);
		blkdev_kick(f, 0);
		if (round % 2 == 0)
			check_reads(f, 0, 3);
		blkdev_quiesce(f, true);
		blkdev_free(f);
		while (sem_trywait(&f->irq) == 0)
			;
	}
	loop_free(loop);
}

/* A disk with threads of its own does not share; where that is a must, neither. */
static void test_shared_loop_is_a_ring(void **state)
{
	struct blkdev *f = *state;
	struct blk *blk = NULL;
	struct err e = { 0 };
	struct loop *loop;
	struct blk_config cfg = {
		.id = "disk0",
		.path = f->disk.path,
		.engine = BLK_ENGINE_URING,
		.loops = &loop,
		.nr_loops = 1,
	};

	assert_int_equal(loop_new(&loop, LOOP_SHARED | LOOP_NO_URING), 0);
	assert_int_equal(blk_dev_new(&f->vm, &cfg, &blk, &e), -EOPNOTSUPP);
	cfg.engine = BLK_ENGINE_AUTO;
	assert_int_equal(blk_dev_new(&f->vm, &cfg, &blk, &e), 0);
	assert_ptr_equal(blk->queues[0].loop, loop);
	blk->vdev.cls->free(&blk->vdev);
	cfg.engine = BLK_ENGINE_THREADS;
	assert_int_equal(blk_dev_new(&f->vm, &cfg, &blk, &e), 0);
	assert_ptr_not_equal(blk->queues[0].loop, loop);
	blk->vdev.cls->free(&blk->vdev);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLK_TEST(test_largest_request),
		BLK_TEST(test_pause_leaves_the_rest),
		BLK_TEST(test_batch),
		BLK_TEST(test_two_queues),
		BLK_TEST(test_more_than_there_are_slots),
		BLK_TEST(test_reset_in_flight),
		BLK_TEST(test_reset_marks_dirty),
		BLK_TEST(test_pause_in_flight),
		BLK_TEST(test_limits),
		BLK_TEST(test_truncated_image),
		BLK_TEST(test_batch_with_failures),
		BLK_TEST(test_batch_of_writes),
		BLK_TEST(test_neighbours),
		BLK_TEST(test_full_disk),
		BLK_TEST(test_shared_loop),
		BLK_TEST(test_shared_loop_is_a_ring),
	};

	return cmocka_run_group_tests_name("blk_queue", tests, NULL, NULL);
}
