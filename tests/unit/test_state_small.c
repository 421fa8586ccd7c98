// SPDX-License-Identifier: MIT
// Saved state of rng, balloon and console.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/driver.h"
#include "tests/unit/saved.h"
#include "util/clock.h"
#include "virtio/balloon.h"
#include "virtio/console.h"
#include "virtio/rng.h"
#include "vmm/console.h"

#define MEM        (4 * MIB)
#define QUEUE_SIZE 16
#define STATS_VQ   (1ULL << VIRTIO_BALLOON_F_STATS_VQ)

enum { RNG = 1, BALLOON, CONSOLE }; /* slots */
enum { INFLATE, DEFLATE, STATS };   /* queues of the balloon */
enum { RX, TX };                    /* of the console */

struct side {
	struct machine m;
	struct driver d;
	struct virtio_dev *balloon;
	struct console *con;
	int term;
};

struct fixture {
	struct side src, dst;
};

static bool open_side(struct side *s)
{
	machine_init(&s->m, MEM);
	if (!s->m.vm)
		return false;
	s->term = machine_add_console(&s->m, &s->con);
	assert_int_equal(rng_new(s->m.vm, s->m.pci, "rng", s->m.io_loop), 0);
	assert_int_equal(balloon_new(s->m.vm, s->m.pci, "balloon", s->m.io_loop, &s->balloon), 0);
	assert_int_equal(vcon_new(s->m.vm, s->m.pci, "console", s->m.io_loop, s->con), 0);
	return true;
}

static void close_side(struct side *s)
{
	machine_free_console(&s->m, s->con, s->term);
	machine_fini(&s->m);
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	if (open_side(&f->src))
		(void)open_side(&f->dst);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_side(&f->src);
	close_side(&f->dst);
	test_free(f);
	return 0;
}

static void bring_up(struct fixture *f, unsigned slot, uint64_t features, uint16_t nr_queues)
{
	driver_init(&f->src.d, &f->src.m, slot);
	assert_true(driver_bring_up(&f->src.d, features, nr_queues, QUEUE_SIZE));
}

/* The driver moves with its memory; @id runs at the destination afterwards. */
static void go_on(struct fixture *f, const char *id)
{
	saved_copy_memory(f->dst.m.vm, f->src.m.vm);
	f->dst.d = f->src.d;
	f->dst.d.m = &f->dst.m;
	for (unsigned i = 0; i < DRIVER_MAX_QUEUES; i++)
		f->dst.d.rings[i].gm = &f->dst.m.vm->gmem;
	saved_resume(f->dst.m.vm, id);
}

/* --- rng ------------------------------------------------------------------------------- */

static void test_rng(void **state)
{
	static const struct saved_lie lies[] = {
		{ "virtio-rng", 0, 1, RNG_WINDOW_BYTES + 1, "left_bytes" },
	};
	struct fixture *f = *state;
	struct saved s;
	size_t bytes = 0;

	MACHINE_OR_SKIP(&f->src.m);
	bring_up(f, RNG, 0, 1);
	s = saved_take(f->src.m.vm, "rng");
	saved_refuses(f->dst.m.vm, "rng", &s, lies, ARRAY_SIZE(lies));
	saved_survives_damage(f->dst.m.vm, "rng", &s);
	/* Nothing left: it comes with the next window. The kick is lost on the way. */
	memset(saved_field(&s, "virtio-rng", 0, 1, &bytes), 0, sizeof(uint32_t));
	driver_offer(&f->src.d, 0, DRIVER_DATA, 64, RING_WRITE);
	assert_int_equal(saved_load(f->dst.m.vm, "rng", &s, NULL), 0);
	go_on(f, "rng");
	assert_int_equal(driver_await_used(&f->dst.d, 0).len, 64);
	saved_free(&s);
}

/* --- balloon --------------------------------------------------------------------------- */

static void offer_stats(struct driver *d, uint64_t free_bytes)
{
	const struct virtio_balloon_stat stat = { VIRTIO_BALLOON_S_MEMFREE, free_bytes };

	assert_int_equal(gmem_write(&d->m->vm->gmem, DRIVER_DATA, &stat, sizeof(stat)), 0);
	driver_offer(d, STATS, DRIVER_DATA, sizeof(stat), 0);
	driver_kick(d, STATS);
}

static uint64_t memfree(struct side *s, uint64_t wanted)
{
	uint64_t end_ns = clock_now_ns() + 10 * NSEC_PER_SEC;
	struct balloon_stats stats;

	do
		balloon_get_stats(s->balloon, &stats);
	while (stats.guest[VIRTIO_BALLOON_S_MEMFREE] != wanted && clock_now_ns() < end_ns);
	return stats.guest[VIRTIO_BALLOON_S_MEMFREE];
}

static void test_balloon(void **state)
{
	struct fixture *f = *state;
	const uint32_t pfn = 700, one = 1;
	struct balloon_stats src, dst;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	bring_up(f, BALLOON, STATS_VQ, 3);
	assert_int_equal(balloon_set_target(f->src.balloon, MEM - MIB), 0);
	assert_int_equal(gmem_write(&f->src.m.vm->gmem, DRIVER_DATA, &pfn, sizeof(pfn)), 0);
	driver_offer(&f->src.d, INFLATE, DRIVER_DATA, sizeof(pfn), 0);
	driver_kick(&f->src.d, INFLATE);
	(void)driver_await_used(&f->src.d, INFLATE);
	machine_write(&f->src.m, f->src.d.device + 4, one, 4);
	offer_stats(&f->src.d, 12345);
	assert_int_equal(memfree(&f->src, 12345), 12345);
	balloon_get_stats(f->src.balloon, &src);
	s = saved_take(f->src.m.vm, "balloon");
	assert_int_equal(saved_load(f->dst.m.vm, "balloon", &s, NULL), 0);
	balloon_get_stats(f->dst.balloon, &dst);
	assert_int_equal(dst.target_bytes, MEM - MIB);
	assert_int_equal(dst.actual_bytes, MEM - 4096);
	assert_int_equal(dst.discarded_bytes, src.discarded_bytes);
	assert_int_equal(dst.guest[VIRTIO_BALLOON_S_MEMFREE], 12345);
	assert_in_range(dst.guest_time_ns, src.guest_time_ns - NSEC_PER_MSEC,
			src.guest_time_ns + NSEC_PER_SEC);
	go_on(f, "balloon");
	/* The buffer that the device held is held again, or was given back by a question. */
	assert_int_equal(machine_read(&f->dst.m, f->dst.d.device, 4), MIB / 4096);
	assert_int_equal(machine_read(&f->dst.m, f->dst.d.device + 4, 4), 1);
	balloon_get_stats(f->dst.balloon, &dst);
	(void)driver_await_used(&f->dst.d, STATS);
	offer_stats(&f->dst.d, 777);
	assert_int_equal(memfree(&f->dst, 777), 777);
	saved_free(&s);
}

static void test_balloon_refuses(void **state)
{
	static const struct saved_lie lies[] = {
		{ "virtio-balloon", 0, SAVED_IN(1, 1), MEM / 4096 + 1, "num_pages" },
		{ "virtio-balloon", 0, 3, 2, "has_stats" },
	};
	struct fixture *f = *state;
	struct balloon_stats stats;
	struct saved s;
	size_t bytes = 0;

	MACHINE_OR_SKIP(&f->src.m);
	bring_up(f, BALLOON, STATS_VQ, 3);
	s = saved_take(f->src.m.vm, "balloon");
	saved_give(f->dst.m.vm, "balloon", &s);
	saved_refuses(f->dst.m.vm, "balloon", &s, lies, ARRAY_SIZE(lies));
	saved_survives_damage(f->dst.m.vm, "balloon", &s);
	/* What a driver may say of itself may be any number. */
	memset(saved_field(&s, "virtio-balloon", 0, SAVED_IN(1, 2), &bytes), 0xff, 4);
	memset(saved_field(&s, "virtio-balloon", 0, 4, &bytes), 0xff, 8);
	*saved_field(&s, "virtio-balloon", 0, 3, &bytes) = 1;
	assert_int_equal(saved_load(f->dst.m.vm, "balloon", &s, NULL), 0);
	balloon_get_stats(f->dst.balloon, &stats);
	assert_int_equal(stats.actual_bytes, 0);
	assert_int_not_equal(stats.guest_time_ns, 0);
	saved_free(&s);
}

/* --- console ----------------------------------------------------------------------------- */

static void test_console(void **state)
{
	static const char text[] = "from afar";
	struct fixture *f = *state;
	struct saved s;

	MACHINE_OR_SKIP(&f->src.m);
	bring_up(f, CONSOLE, 0, 2);
	s = saved_take(f->src.m.vm, "console");
	saved_survives_damage(f->dst.m.vm, "console", &s);
	saved_give(f->dst.m.vm, "console", &s);
	/* Output whose kick is lost on the way. */
	assert_int_equal(gmem_write(&f->src.m.vm->gmem, DRIVER_DATA, text, sizeof(text)), 0);
	driver_offer(&f->src.d, TX, DRIVER_DATA, sizeof(text), 0);
	go_on(f, "console");
	(void)driver_await_used(&f->dst.d, TX);
	driver_offer(&f->dst.d, TX, DRIVER_DATA, sizeof(text), 0);
	driver_kick(&f->dst.d, TX);
	(void)driver_await_used(&f->dst.d, TX);
	saved_free(&s);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rng),
		TEST(test_balloon),
		TEST(test_balloon_refuses),
		TEST(test_console),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
