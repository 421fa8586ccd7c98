// SPDX-License-Identifier: MIT
// Throttled vCPUs: they do less, in proportion, and can be paused as quickly as ever.
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/guest64.h"
#include "tests/unit/machine.h"
#include "util/clock.h"
#include "vmm/vcpu.h"

#define RAM_BYTES   (4 * MIB)
#define COUNTER_GPA 0x8000U
#define CHURN_GPA   (1 * MIB)
#define WINDOW_NS   (300 * NSEC_PER_MSEC)
#define WAIT_NS     (10 * NSEC_PER_SEC)
#define NR_PAUSES   21U

struct fixture {
	struct machine m;
	struct guest_events events;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	machine_init(&f->m, RAM_BYTES);
	if (f->m.vm)
		guest64_init(f->m.vm, &f->events);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_fini(&f->m);
	test_free(f);
	return 0;
}

static uint64_t rounds(struct fixture *f)
{
	return *(volatile uint64_t *)gmem_ptr(&f->m.vm->gmem, COUNTER_GPA, 8);
}

static void wait_for_progress(struct fixture *f)
{
	uint64_t before = rounds(f), end_ns = clock_now_ns() + WAIT_NS;

	while (rounds(f) == before) {
		assert_true(clock_now_ns() < end_ns);
		(void)sched_yield();
	}
}

static uint64_t cpu_ns(struct fixture *f)
{
	struct timespec ts;
	clockid_t clock;

	assert_int_equal(pthread_getcpuclockid(f->m.vm->vcpus[0]->thread, &clock), 0);
	assert_int_equal(clock_gettime(clock, &ts), 0);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* What the guest got done in a time, of the CPU (percent) and of its work. */
struct share {
	double cpu, rounds;
};

static struct share watch(struct fixture *f)
{
	uint64_t start_ns = clock_now_ns(), cpu = cpu_ns(f), before = rounds(f), now_ns;

	while ((now_ns = clock_now_ns()) < start_ns + WINDOW_NS)
		(void)sched_yield();
	return (struct share){
		.cpu = 100.0 * (double)(cpu_ns(f) - cpu) / (double)(now_ns - start_ns),
		.rounds = (double)(rounds(f) - before) / (double)(now_ns - start_ns),
	};
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* A vCPU that rests is parked as it is: nearly every pause finds it so. */
static void check_pauses(struct fixture *f)
{
	uint64_t took_ns[NR_PAUSES];

	for (unsigned i = 0; i < NR_PAUSES; i++) {
		uint64_t start_ns = clock_now_ns(), before;

		vm_pause(f->m.vm);
		took_ns[i] = clock_now_ns() - start_ns;
		before = rounds(f);
		for (unsigned j = 0; j < 10; j++)
			(void)sched_yield();
		assert_int_equal(rounds(f), before);
		vm_resume(f->m.vm);
	}
	qsort(took_ns, NR_PAUSES, sizeof(took_ns[0]), compare);
	assert_true(took_ns[NR_PAUSES / 2] < 2 * NSEC_PER_MSEC);
}

static void body_throttle(void *opaque)
{
	const struct guest64_regs regs = { CHURN_GPA, RAM_BYTES, COUNTER_GPA };
	struct fixture *f = opaque;
	struct share share;

	guest64_load(f->m.vm, guest64_churn, guest64_churn_bytes, &regs);
	assert_int_equal(vm_start(f->m.vm), 0);
	wait_for_progress(f);
	/* Other load on this machine only makes the shares smaller. */
	vm_set_throttle(f->m.vm, 50);
	share = watch(f);
	assert_true(share.cpu < 65);
	assert_true(share.rounds > 0);
	vm_set_throttle(f->m.vm, 90);
	share = watch(f);
	assert_true(share.cpu < 25);
	assert_true(share.rounds > 0);
	/* More than there is: the most. */
	vm_set_throttle(f->m.vm, 150);
	assert_int_equal(f->m.vm->throttle, VCPU_THROTTLE_MAX);
	share = watch(f);
	assert_true(share.cpu < 10);
	wait_for_progress(f);
	check_pauses(f);
	/* Switched off while it rests: it runs at once, without a timer. */
	vm_set_throttle(f->m.vm, 0);
	wait_for_progress(f);
	vm_pause(f->m.vm);
	assert_false(f->m.vm->vcpus[0]->throttle.armed);
	vm_set_throttle(f->m.vm, 99);
	vm_resume(f->m.vm);
	wait_for_progress(f);
	/* And ends throttled. */
}

static void test_throttle(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_throttle, f);
}

/* Before there is a thread. */
static void test_not_started(void **state)
{
	const struct guest64_regs regs = { CHURN_GPA, RAM_BYTES, COUNTER_GPA };
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	vm_set_throttle(f->m.vm, 90);
	guest64_load(f->m.vm, guest64_churn, guest64_churn_bytes, &regs);
	assert_int_equal(vm_start(f->m.vm), 0);
	wait_for_progress(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_throttle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_started, setup, teardown),
	};

	return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
