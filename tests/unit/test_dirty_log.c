// SPDX-License-Identifier: MIT
// The dirty log on the real KVM: every write is reported, and nothing else.
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/blkdev.h"
#include "tests/unit/guest64.h"
#include "tests/unit/machine.h"
#include "util/bitmap.h"
#include "util/clock.h"
#include "vmm/dirty_log.h"

#define RAM_BYTES   (16 * MIB)
#define NR_PAGES    (RAM_BYTES / GMEM_PAGE_BYTES)
#define NR_WORDS    BITMAP_WORDS(NR_PAGES)
#define LIST_GPA    GUEST64_FREE
#define COUNTER_GPA 0x8000U
#define CHURN_GPA   (1 * MIB)
#define WAIT_NS     (10 * NSEC_PER_SEC)
#define CHURN_BYTES (3 * MIB)
#define PASSES      10

struct fixture {
	struct machine m;
	struct guest_events events;
	struct dirty_log *log;
	uint8_t *copy;
};

static const enum dirty_log_mode modes[] = { DIRTY_LOG_INITIALLY_SET, DIRTY_LOG_MANUAL,
					     DIRTY_LOG_READ_CLEARS };

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	machine_init(&f->m, RAM_BYTES);
	if (f->m.vm)
		guest64_init(f->m.vm, &f->events);
	f->copy = test_calloc(1, RAM_BYTES);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dirty_log_stop(f->log);
	machine_fini(&f->m);
	test_free(f->copy);
	test_free(f);
	return 0;
}

/* A kernel may lack the better modes. False: this one. */
static bool start_log(struct fixture *f, enum dirty_log_mode mode)
{
	if (mode > dirty_log_best_mode(f->m.vm->vm_fd))
		return false;
	assert_int_equal(dirty_log_start_as(&f->log, f->m.vm, mode), 0);
	assert_int_equal(dirty_log_nr_pages(f->log), NR_PAGES);
	return true;
}

static void stop_log(struct fixture *f)
{
	dirty_log_stop(f->log);
	f->log = NULL;
}

static bool is_dirty(struct fixture *f, uint64_t page)
{
	return dirty_log_bitmap(f->log)[page / 64] >> (page % 64) & 1;
}

static void clear_all(struct fixture *f)
{
	assert_int_equal(dirty_log_sync(f->log), 0);
	assert_int_equal(dirty_log_clear(f->log, 0, dirty_log_bitmap(f->log), NR_WORDS), 0);
}

/*
 * Exactly these pages are dirty; 0 ends them. Not so the first 64: KVM maps a page
 * that is read for writing at once, where it may, and the program and its list are
 * read there.
 */
static void check_dirty(struct fixture *f, const uint64_t *pages)
{
	uint64_t expected[NR_WORDS] = { 0 };

	for (; *pages; pages++)
		expected[*pages / 64] |= 1ULL << (*pages % 64);
	assert_int_equal(dirty_log_sync(f->log), 0);
	assert_memory_equal(dirty_log_bitmap(f->log) + 1, expected + 1,
			    sizeof(expected) - sizeof(expected[0]));
}

/* The guest writes to @pages, and stops. */
static void touch(struct fixture *f, const uint64_t *pages)
{
	uint64_t *list = gmem_ptr(&f->m.vm->gmem, LIST_GPA, GMEM_PAGE_BYTES);
	const struct guest64_regs regs = { .rdi = LIST_GPA };

	for (; *pages; pages++)
		*list++ = *pages * GMEM_PAGE_BYTES;
	*list = 0;
	guest64_load(f->m.vm, guest64_touch, guest64_touch_bytes, &regs);
	if (f->m.vm->started)
		vm_event_done(f->m.vm);
	else
		assert_int_equal(vm_start(f->m.vm), 0);
	guest_events_wait(&f->events);
	assert_int_equal(f->events.event, VM_EVENT_DEBUG_EXIT);
	assert_int_equal(f->events.code, 5);
}

static void check_exact(struct fixture *f)
{
	static const uint64_t first[] = { 100, 127, 128, 511, 512, 1000, NR_PAGES - 1, 0 };
	static const uint64_t all[] = { 100, 127, 128, 200, 201, 511, 512, 1000, NR_PAGES - 1, 0 };
	static const uint64_t rest[] = { 200, 201, 511, 512, 1000, NR_PAGES - 1, 0 };
	static const uint64_t again[] = { 128, 200, 201, 511, 512, 1000, NR_PAGES - 1, 0 };
	static const uint64_t one[] = { 128, 0 };
	static const uint64_t none[] = { 0 };
	struct gmem *gm = &f->m.vm->gmem;
	uint64_t words[2];

	assert_int_equal(dirty_log_sync(f->log), 0);
	for (unsigned i = 0; i < NR_WORDS; i++)
		assert_int_equal(dirty_log_bitmap(f->log)[i], UINT64_MAX);
	clear_all(f);
	check_dirty(f, none);
	touch(f, first);
	check_dirty(f, first);
	assert_int_equal(gmem_write(gm, 201 * GMEM_PAGE_BYTES - 1, "xy", 2), 0);
	check_dirty(f, all);
	/* Only what is asked for is cleared, and only that is reported when written again. */
	words[0] = dirty_log_bitmap(f->log)[1];
	words[1] = 1;
	assert_int_equal(dirty_log_clear(f->log, 64, words, 2), 0);
	check_dirty(f, rest);
	touch(f, one);
	check_dirty(f, again);
	clear_all(f);
	touch(f, one);
	assert_int_equal(gmem_zero(gm, 3000 * GMEM_PAGE_BYTES, GMEM_PAGE_BYTES), 0);
	assert_int_equal(dirty_log_sync(f->log), 0);
	assert_true(is_dirty(f, 128) && is_dirty(f, 3000));
}

static void body_exact(void *opaque)
{
	struct fixture *f = opaque;

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!start_log(f, modes[i]))
			continue;
		check_exact(f);
		stop_log(f);
	}
}

static void test_exact(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_exact, f);
}

/* --- a guest that writes flat out ------------------------------------------ */

static uint64_t rounds(struct fixture *f)
{
	return *(volatile uint64_t *)gmem_ptr(&f->m.vm->gmem, COUNTER_GPA, 8);
}

static void wait_for_round(struct fixture *f)
{
	uint64_t before = rounds(f), end_ns = clock_now_ns() + WAIT_NS;

	while (rounds(f) == before) {
		assert_true(clock_now_ns() < end_ns);
		(void)sched_yield();
	}
}

/* Clear 512 pages at a time, right before they are copied, as a migration does. */
static uint64_t copy_pass(struct fixture *f)
{
	const uint64_t *map = dirty_log_bitmap(f->log);
	const uint8_t *ram = f->m.vm->gmem.base;
	uint64_t copied = 0;

	assert_int_equal(dirty_log_sync(f->log), 0);
	for (unsigned w = 0; w < NR_WORDS; w += 8) {
		assert_int_equal(dirty_log_clear(f->log, w * 64, &map[w], 8), 0);
		for (uint64_t page = w * 64; page < (w + 8) * 64; page++) {
			if (!is_dirty(f, page))
				continue;
			memcpy(f->copy + page * GMEM_PAGE_BYTES, ram + page * GMEM_PAGE_BYTES,
			       GMEM_PAGE_BYTES);
			copied++;
		}
	}
	return copied;
}

static void check_nothing_lost(struct fixture *f)
{
	uint64_t copied;

	wait_for_round(f);
	copied = copy_pass(f);
	assert_int_equal(copied, NR_PAGES);
	for (unsigned i = 0; i < PASSES; i++) {
		wait_for_round(f);
		copied += copy_pass(f);
	}
	vm_pause(f->m.vm);
	(void)copy_pass(f);
	assert_memory_equal(f->copy, f->m.vm->gmem.base, RAM_BYTES);
	/* What is not written is not copied. */
	assert_true(copied <= PASSES * (CHURN_BYTES / GMEM_PAGE_BYTES + 64) + NR_PAGES);
	assert_int_equal(copy_pass(f), 0);
	vm_resume(f->m.vm);
}

static void body_nothing_lost(void *opaque)
{
	const struct guest64_regs regs = { CHURN_GPA, CHURN_GPA + CHURN_BYTES, COUNTER_GPA };
	struct fixture *f = opaque;

	guest64_load(f->m.vm, guest64_churn, guest64_churn_bytes, &regs);
	assert_int_equal(vm_start(f->m.vm), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		memset(f->copy, 0xee, RAM_BYTES);
		if (!start_log(f, modes[i]))
			continue;
		check_nothing_lost(f);
		stop_log(f);
	}
}

static void test_nothing_lost(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_nothing_lost, f);
}

/* --- limits ------------------------------------------------------------------ */

static void test_bad_ranges(void **state)
{
	static const uint64_t words[NR_WORDS + 1];
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	assert_true(start_log(f, dirty_log_best_mode(f->m.vm->vm_fd)));
	assert_int_equal(dirty_log_clear(f->log, 1, words, 1), -EINVAL);
	assert_int_equal(dirty_log_clear(f->log, 0, words, NR_WORDS + 1), -EINVAL);
	assert_int_equal(dirty_log_clear(f->log, NR_PAGES, words, 1), -EINVAL);
	assert_int_equal(dirty_log_clear(f->log, UINT64_MAX - 63, words, 1), -EINVAL);
	assert_int_equal(dirty_log_clear(f->log, NR_PAGES - 64, words, 1), 0);
}

/* Two regions, the second of which ends in the middle of a word. */
static void test_both_regions(void **state)
{
	const uint64_t bytes = 3 * GIB + 5 * MIB + 3 * GMEM_PAGE_BYTES;
	const uint64_t nr_words = BITMAP_WORDS(bytes / GMEM_PAGE_BYTES);
	const struct vm_params params = { .memory_bytes = bytes, .nr_vcpus = 1 };
	struct fixture *f = *state;
	struct vm *vm = NULL;
	struct err e;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(vm_new(&vm, &params, f->m.main_loop, &e), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct gmem_region *high = &vm->gmem.regions[1];
		uint64_t last;

		if (modes[i] > dirty_log_best_mode(vm->vm_fd))
			continue;
		assert_int_equal(vm->gmem.nr_regions, 2);
		assert_int_equal(dirty_log_start_as(&f->log, vm, modes[i]), 0);
		assert_int_equal(dirty_log_sync(f->log), 0);
		last = dirty_log_bitmap(f->log)[nr_words - 1];
		assert_int_equal(last & 7, 7);
		assert_int_equal(
			dirty_log_clear(f->log, 0, dirty_log_bitmap(f->log), (unsigned)nr_words),
			0);
		assert_int_equal(gmem_write(&vm->gmem, high->gpa, "x", 1), 0);
		assert_int_equal(gmem_write(&vm->gmem, high->gpa + high->bytes - 1, "x", 1), 0);
		assert_int_equal(dirty_log_sync(f->log), 0);
		for (uint64_t w = 0; w < nr_words; w++) {
			uint64_t expected = w == high->offset / GMEM_PAGE_BYTES / 64 ? 1 : 0;

			expected |= w == nr_words - 1 ? 4 : 0;
			assert_int_equal(dirty_log_bitmap(f->log)[w], expected);
		}
		stop_log(f);
	}
	vm_free(vm);
}

/* --- the devices' writes ------------------------------------------------------ */

static void test_disk_read(void **state)
{
	struct blkdev *f = *state;
	const struct piece data = { DATA + GMEM_PAGE_BYTES - SECTOR, 16 * SECTOR, true };
	const uint64_t first = DATA / GMEM_PAGE_BYTES;
	uint8_t fresh[16 * SECTOR];

	blkdev_new(f, (struct blk_config){ 0 });
	assert_int_equal(gmem_log_start(&f->vm.gmem), 0);
	assert_int_equal(blkdev_request(f, VIRTIO_BLK_T_IN, 8, data), VIRTIO_BLK_S_OK);
	blkdev_get(f, data.gpa, fresh, sizeof(fresh));
	assert_true(tmpdisk_is_fresh(fresh, 8));
	/* 8 KiB from the end of one page on: three pages of data, and nothing beside them. */
	assert_false(bitmap_test(f->vm.gmem.dirty_map, first - 1));
	assert_true(bitmap_test(f->vm.gmem.dirty_map, first));
	assert_true(bitmap_test(f->vm.gmem.dirty_map, first + 1));
	assert_true(bitmap_test(f->vm.gmem.dirty_map, first + 2));
	assert_false(bitmap_test(f->vm.gmem.dirty_map, first + 3));
	assert_true(bitmap_test(f->vm.gmem.dirty_map, STATUSES / GMEM_PAGE_BYTES));
	gmem_log_stop(&f->vm.gmem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exact, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both_regions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_read, blkdev_setup, blkdev_teardown),
	};

	return cmocka_run_group_tests_name("dirty_log", tests, NULL, NULL);
}
