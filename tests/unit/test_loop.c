// SPDX-License-Identifier: MIT
// The event loop, on io_uring and on epoll: the same tests for both.
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/clock.h"
#include "util/io.h"
#include "util/thread.h"
#include "vmm/loop.h"

struct fixture {
	struct loop *loop;
	int pair[2];
	struct loop_fd watch;
	unsigned calls, events;
	char order[8];
};

static int setup(struct fixture *f, unsigned flags)
{
	*f = (struct fixture){ .watch.slot = -1 };
	return loop_new(&f->loop, flags) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, f->pair) < 0;
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
	close_fd(&f->pair[0]);
	close_fd(&f->pair[1]);
	test_free(f);
	return 0;
}

static void note(struct fixture *f, char c)
{
	f->order[f->calls++] = c;
}

static void on_readable(void *opaque, unsigned events)
{
	struct fixture *f = opaque;
	char c;

	f->events = events;
	assert_int_equal(read(f->pair[0], &c, 1), 1);
	note(f, c);
	if (f->calls == 3)
		loop_stop(f->loop);
}

/* Three bytes are there at once; each callback takes one. */
static void polls_are_level_triggered(void **state)
{
	struct fixture *f = *state;

	f->watch = (struct loop_fd){ on_readable, f, f->pair[0], LOOP_READ, -1 };
	assert_int_equal(loop_add_fd(f->loop, &f->watch), 0);
	assert_int_equal(write(f->pair[1], "abc", 3), 3);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->order, "abc");
	assert_int_equal(f->events, LOOP_READ);
}

static void on_hangup(void *opaque, unsigned events)
{
	struct fixture *f = opaque;

	f->events |= events;
	loop_del_fd(f->loop, &f->watch);
	loop_stop(f->loop);
}

static void hangups_are_reported(void **state)
{
	struct fixture *f = *state;

	f->watch = (struct loop_fd){ on_hangup, f, f->pair[0], LOOP_READ, -1 };
	assert_int_equal(loop_add_fd(f->loop, &f->watch), 0);
	close_fd(&f->pair[1]);
	assert_int_equal(loop_run(f->loop), 0);
	assert_true(f->events & LOOP_HANGUP);
}

static void on_event(void *opaque, unsigned events)
{
	struct fixture *f = opaque;

	(void)events;
	note(f, 'e');
	if (f->calls < 3)
		eventfd_signal(f->watch.fd);
	else
		loop_stop(f->loop);
}

/* The loop reads the eventfd: without a new signal there is no new call. */
static void eventfds_are_read_by_the_loop(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	f->watch = (struct loop_fd){ .fn = on_event, .opaque = f, .fd = eventfd(0, EFD_CLOEXEC) };
	assert_int_equal(loop_add_eventfd(f->loop, &f->watch), 0);
	eventfd_signal(f->watch.fd);
	eventfd_signal(f->watch.fd);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->order, "eee");
	assert_int_equal(fcntl(f->watch.fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(read(f->watch.fd, &count, sizeof(count)), -1);
	loop_del_fd(f->loop, &f->watch);
	close_fd(&f->watch.fd);
}

struct timer_case {
	struct fixture *f;
	struct loop_timer timer;
	char name;
};

static void on_timer(void *opaque)
{
	struct timer_case *t = opaque;

	assert_true(clock_now_ns() >= t->timer.deadline_ns);
	note(t->f, t->name);
	if (t->name == 'c')
		loop_stop(t->f->loop);
}

static void timers_fire_in_order(void **state)
{
	struct fixture *f = *state;
	struct timer_case t[4] = { { f, { .fn = on_timer }, 'a' },
				   { f, { .fn = on_timer }, 'b' },
				   { f, { .fn = on_timer }, 'c' },
				   { f, { .fn = on_timer }, 'x' } };
	uint64_t now = clock_now_ns();
	static const unsigned delay_ms[] = { 2, 4, 6, 3 };

	for (unsigned i = 0; i < 4; i++) {
		t[i].timer.opaque = &t[i];
		loop_arm(f->loop, &t[i].timer, now + delay_ms[3 - i] * NSEC_PER_MSEC);
	}
	/* Armed again: the earlier deadline no longer counts. */
	for (unsigned i = 0; i < 4; i++)
		loop_arm(f->loop, &t[i].timer, now + delay_ms[i] * NSEC_PER_MSEC);
	loop_disarm(f->loop, &t[3].timer);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->order, "abc");
}

struct work_case {
	struct fixture *f;
	struct loop_work work;
	char name;
};

static void on_work(void *opaque)
{
	struct work_case *w = opaque;

	note(w->f, w->name);
	if (w->name == 'c')
		loop_stop(w->f->loop);
}

static void posted_work_keeps_its_order_and_runs_once(void **state)
{
	struct fixture *f = *state;
	struct work_case w[4];

	for (unsigned i = 0; i < 4; i++) {
		w[i] = (struct work_case){ f, { .fn = on_work, .opaque = &w[i] }, "abxc"[i] };
		loop_post(f->loop, &w[i].work);
		loop_post(f->loop, &w[i].work);
	}
	loop_unpost(f->loop, &w[2].work);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->order, "abc");
}

static void mark_thread(void *opaque)
{
	*(pthread_t *)opaque = pthread_self();
}

static void sync_calls_run_on_the_loops_thread(void **state)
{
	struct fixture *f = *state;
	pthread_t where = 0;

	loop_call_sync(f->loop, mark_thread, &where);
	assert_true(pthread_equal(where, pthread_self())); /* it does not run yet */
	assert_int_equal(loop_start(f->loop, THREAD_IO, "test"), 0);
	for (int i = 0; i < 1000; i++)
		loop_call_sync(f->loop, mark_thread, &where);
	assert_false(pthread_equal(where, pthread_self()));
	assert_false(loop_is_current(f->loop));
}

/* A watcher that is removed while its event is under way is not called. */
static void on_first(void *opaque, unsigned events)
{
	struct fixture *f = opaque;

	(void)events;
	note(f, '1');
	loop_del_fd(f->loop, &f->watch);
	loop_del_fd(f->loop, &f->watch);
	loop_stop(f->loop);
}

static void removed_watchers_are_silent(void **state)
{
	struct fixture *f = *state;
	struct loop_fd other = { on_first, f, f->pair[1], LOOP_WRITE, -1 };

	f->watch = (struct loop_fd){ on_readable, f, f->pair[0], LOOP_READ, -1 };
	assert_int_equal(loop_add_fd(f->loop, &other), 0);
	assert_int_equal(loop_add_fd(f->loop, &f->watch), 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->order, "1");
	loop_del_fd(f->loop, &other);
}

static void stop_loop(void *opaque)
{
	loop_stop(opaque);
}

static void paused_watchers_are_silent(void **state)
{
	struct fixture *f = *state;
	struct loop_timer stop = { .fn = stop_loop, .opaque = f->loop };

	f->watch = (struct loop_fd){ on_readable, f, f->pair[0], LOOP_READ, -1 };
	assert_int_equal(loop_add_fd(f->loop, &f->watch), 0);
	assert_int_equal(write(f->pair[1], "abc", 3), 3);
	loop_mod_fd(f->loop, &f->watch, 0);
	loop_arm(f->loop, &stop, clock_now_ns() + NSEC_PER_MSEC);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->calls, 0);
}

struct read_op {
	struct loop_op op;
	int res;
	bool done;
};

static void on_done(struct loop_op *op, int res)
{
	struct read_op *r = container_of(op, struct read_op, op);

	r->res = res;
	r->done = true;
}

static bool is_done(void *opaque)
{
	return ((struct read_op *)opaque)->done;
}

struct drain_case {
	struct fixture *f;
	struct read_op *r;
};

static void read_and_cancel(void *opaque)
{
	struct drain_case *c = opaque;
	struct io_uring_sqe *sqe = loop_get_sqe(c->f->loop, &c->r->op);

	assert_non_null(sqe);
	io_uring_prep_poll_add(sqe, c->f->pair[0], POLLIN);
	loop_cancel(c->f->loop, &c->r->op);
	loop_drain(c->f->loop, is_done, c->r);
}

static void drain_waits_for_a_cancelled_request(void **state)
{
	struct fixture *f = *state;
	struct read_op r = { .op.done = on_done };
	struct drain_case c = { f, &r };

	if (!loop_ring(f->loop))
		skip();
	assert_int_equal(loop_start(f->loop, THREAD_IO, "test"), 0);
	loop_call_sync(f->loop, read_and_cancel, &c);
	assert_true(r.done);
	assert_int_equal(r.res, -ECANCELED);
}

static void epoll_has_no_ring(void **state)
{
	struct fixture *f = *state;

	assert_null(loop_ring(f->loop));
	assert_null(loop_get_sqe(f->loop, NULL));
}

/* --- drains inside callbacks ---------------------------------------------------- */

/* Two eventfds; the callback that comes first waits for the other one's. */
struct nested {
	struct loop *loop;
	struct loop_fd watches[2];
	unsigned calls;
};

static bool both_called(void *opaque)
{
	const struct nested *n = opaque;

	return n->calls == 2;
}

static void wait_for_both(void *opaque, unsigned events)
{
	struct nested *n = opaque;

	(void)events;
	if (++n->calls == 2)
		loop_stop(n->loop);
	loop_drain(n->loop, both_called, n);
}

/* What a drain has taken is not taken again by the batch around it: it would block. */
static void a_drain_takes_events_of_its_batch(void **state)
{
	struct fixture *f = *state;
	struct nested n = { .loop = f->loop };

	(void)alarm(10); /* a hang is the failure */
	for (unsigned i = 0; i < 2; i++) {
		n.watches[i] = (struct loop_fd){
			.fn = wait_for_both,
			.opaque = &n,
			.fd = eventfd(1, EFD_CLOEXEC),
		};
		assert_int_equal(loop_add_eventfd(f->loop, &n.watches[i]), 0);
	}
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(n.calls, 2);
	for (unsigned i = 0; i < 2; i++) {
		loop_del_fd(f->loop, &n.watches[i]);
		close_fd(&n.watches[i].fd);
	}
	(void)alarm(0);
}

static void drain_in_work(void *opaque)
{
	struct nested *n = opaque;

	loop_drain(n->loop, both_called, n);
	loop_stop(n->loop);
}

static void call_twice(void *opaque)
{
	struct nested *n = opaque;

	n->calls = 2;
}

/* Both are posted before either runs: there is one wake-up for the two. */
static void a_drain_sees_what_was_posted_behind_it(void **state)
{
	struct fixture *f = *state;
	struct nested n = { .loop = f->loop };
	struct loop_work drains = { .fn = drain_in_work, .opaque = &n };
	struct loop_work ends = { .fn = call_twice, .opaque = &n };

	(void)alarm(10); /* a hang is the failure */
	loop_post(f->loop, &drains);
	loop_post(f->loop, &ends);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(n.calls, 2);
	(void)alarm(0);
}

/* --- an event between two watchers ------------------------------------------------ */

static void stop_on_event(void *opaque, unsigned events)
{
	struct fixture *f = opaque;

	(void)events;
	loop_stop(f->loop);
}

/*
 * The kernel gives the event to the read of the watcher that was just removed, since
 * its cancellation is only on its way. It is the next watcher's all the same.
 */
static void replace_watch(void *opaque)
{
	struct fixture *f = opaque;

	loop_del_fd(f->loop, &f->watch);
	eventfd_signal(f->watch.fd);
	assert_int_equal(io_uring_get_events(loop_ring(f->loop)), 0);
	assert_int_equal(loop_add_eventfd(f->loop, &f->watch), 0);
}

static void an_event_is_the_next_watchers(void **state)
{
	struct fixture *f = *state;
	struct loop_timer timer = { .fn = replace_watch, .opaque = f };

	(void)alarm(10); /* a hang is the failure */
	f->watch =
		(struct loop_fd){ .fn = stop_on_event, .opaque = f, .fd = eventfd(0, EFD_CLOEXEC) };
	assert_int_equal(loop_add_eventfd(f->loop, &f->watch), 0);
	loop_arm(f->loop, &timer, clock_now_ns() + NSEC_PER_MSEC);
	assert_int_equal(loop_run(f->loop), 0);
	loop_del_fd(f->loop, &f->watch);
	close_fd(&f->watch.fd);
	(void)alarm(0);
}

#define BOTH(test)                                                                                 \
	cmocka_unit_test_setup_teardown(test, setup_uring, teardown),                              \
		cmocka_unit_test_setup_teardown(test, setup_epoll, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(polls_are_level_triggered),
		BOTH(hangups_are_reported),
		BOTH(eventfds_are_read_by_the_loop),
		BOTH(timers_fire_in_order),
		BOTH(posted_work_keeps_its_order_and_runs_once),
		BOTH(sync_calls_run_on_the_loops_thread),
		BOTH(removed_watchers_are_silent),
		BOTH(paused_watchers_are_silent),
		cmocka_unit_test_setup_teardown(drain_waits_for_a_cancelled_request, setup_uring,
						teardown),
		BOTH(a_drain_takes_events_of_its_batch),
		BOTH(a_drain_sees_what_was_posted_behind_it),
		cmocka_unit_test_setup_teardown(an_event_is_the_next_watchers, setup_uring,
						teardown),
		cmocka_unit_test_setup_teardown(epoll_has_no_ring, setup_epoll, teardown),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
