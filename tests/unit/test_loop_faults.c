// SPDX-License-Identifier: MIT
// The event loop where the kernel refuses: a poller that fails now and then.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/io.h"
#include "vmm/loop_impl.h"

/* The poller under test fails this often before it does what it should. */
static struct {
	const struct loop_poller *real;
	unsigned arm, wait, enter;
} faults;

static int faulty_arm(struct loop *loop, unsigned slot)
{
	if (faults.arm) {
		faults.arm--;
		return -EBUSY;
	}
	return faults.real->arm(loop, slot);
}

static int faulty_wait(struct loop *loop, uint64_t timeout_ns)
{
	if (faults.wait) {
		faults.wait--;
		return -ENOMEM;
	}
	return faults.real->wait(loop, timeout_ns);
}

static int faulty_enter(struct loop *loop)
{
	if (faults.enter) {
		faults.enter--;
		return -EPERM;
	}
	return faults.real->enter(loop);
}

static struct loop_poller faulty_poller;

struct fixture {
	struct loop *loop;
	struct loop_fd watch;
	unsigned calls;
	bool tried;
};

static int setup(struct fixture *f, unsigned flags)
{
	*f = (struct fixture){ .watch.slot = -1 };
	if (loop_new(&f->loop, flags) < 0)
		return -1;
	faults.real = f->loop->poller;
	faults.arm = faults.wait = faults.enter = 0;
	faulty_poller = *faults.real;
	faulty_poller.arm = faulty_arm;
	faulty_poller.wait = faulty_wait;
	faulty_poller.enter = faulty_enter;
	f->loop->poller = &faulty_poller;
	return 0;
}

static int setup_uring(void **state)
{
	*state = test_malloc(sizeof(struct fixture));
	return setup(*state, 0);
}

static int setup_epoll(void **state)
{
	*state = test_malloc(sizeof(struct fixture));
	return setup(*state, LOOP_NO_URING);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	close_fd(&f->watch.fd);
	test_free(f);
	return 0;
}

/* Raises itself, so each call needs the watcher to have been armed again. */
static void on_event(void *opaque, unsigned events)
{
	struct fixture *f = opaque;

	assert_int_equal(events, LOOP_READ);
	if (++f->calls == 3) {
		loop_stop(f->loop);
		return;
	}
	faults.arm = 2;
	/* A change arms at once, and so fails at once, on both pollers. */
	loop_mod_fd(f->loop, &f->watch, 0);
	loop_mod_fd(f->loop, &f->watch, LOOP_READ);
}

static void test_watchers_are_armed_later(void **state)
{
	struct fixture *f = *state;

	f->watch = (struct loop_fd){ on_event, f, eventfd(1, EFD_CLOEXEC), LOOP_READ, -1 };
	assert_int_equal(loop_add_fd(f->loop, &f->watch), 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->calls, 3);
	assert_int_equal(faults.arm, 0);
}

static void count_eventfd(void *opaque, unsigned events)
{
	struct fixture *f = opaque;

	(void)events;
	if (++f->calls == 3) {
		loop_stop(f->loop);
		return;
	}
	/* The read of the next event has been armed; after that one, not at once. */
	faults.arm = 2;
	eventfd_signal(f->watch.fd);
}

static void test_eventfds_are_armed_later(void **state)
{
	struct fixture *f = *state;

	f->watch = (struct loop_fd){ count_eventfd, f, eventfd(1, EFD_CLOEXEC), 0, -1 };
	assert_int_equal(loop_add_eventfd(f->loop, &f->watch), 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->calls, 3);
}

static void test_late_watchers_can_be_removed(void **state)
{
	struct fixture *f = *state;

	f->watch = (struct loop_fd){ on_event, f, eventfd(1, EFD_CLOEXEC), 0, -1 };
	assert_int_equal(loop_add_fd(f->loop, &f->watch), 0);
	faults.arm = 1;
	loop_mod_fd(f->loop, &f->watch, LOOP_READ);
	assert_int_equal(f->loop->nr_late, 1);
	loop_del_fd(f->loop, &f->watch);
	assert_int_equal(f->loop->nr_late, 0);
	loop_stop(f->loop);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->calls, 0);
}

static bool waited_enough(void *opaque)
{
	struct fixture *f = opaque;

	f->tried = true;
	return faults.wait == 0;
}

static void drain_then_stop(void *opaque)
{
	struct fixture *f = opaque;

	faults.wait = 3;
	loop_drain(f->loop, waited_enough, f);
	assert_int_equal(faults.wait, 0);
	loop_stop(f->loop);
}

/* Whoever drains frees what requests point to: so no failure ends it early. */
static void test_drain_goes_on(void **state)
{
	struct fixture *f = *state;
	struct loop_work work = { .fn = drain_then_stop, .opaque = f };

	faults.wait = 1; /* and a loop that runs goes on as well */
	loop_post(f->loop, &work);
	assert_int_equal(loop_run(f->loop), 0);
	assert_true(f->tried);
}

static void do_nothing(void *opaque)
{
	((struct fixture *)opaque)->calls++;
}

static void test_start_tells_of_failure(void **state)
{
	struct fixture *f = *state;

	faults.enter = 1;
	assert_int_equal(loop_start(f->loop, THREAD_IO, "test"), -EPERM);
	loop_call_sync(f->loop, do_nothing, f); /* nobody runs it: a plain call */
	assert_int_equal(f->calls, 1);
	assert_int_equal(loop_start(f->loop, THREAD_IO, "test"), 0);
	loop_call_sync(f->loop, do_nothing, f);
	assert_int_equal(f->calls, 2);
}

#define ON_BOTH(test)                                                                              \
	cmocka_unit_test_setup_teardown(test, setup_uring, teardown),                              \
		cmocka_unit_test_setup_teardown(test, setup_epoll, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(test_watchers_are_armed_later),     ON_BOTH(test_eventfds_are_armed_later),
		ON_BOTH(test_late_watchers_can_be_removed), ON_BOTH(test_drain_goes_on),
		ON_BOTH(test_start_tells_of_failure),
	};

	return cmocka_run_group_tests_name("loop_faults", tests, NULL, NULL);
}
