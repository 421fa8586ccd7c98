// SPDX-License-Identifier: MIT
// Accepting connections: counted, refused, and not at all while descriptors are short.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/acceptor.h"

#define CLIENTS     3
#define DEADLINE_NS (5 * NSEC_PER_SEC)

struct fixture {
	struct loop *loop;
	struct acceptor acceptor;
	struct sockaddr_un sun; /* abstract, chosen by the kernel */
	socklen_t sun_len;
	int listen_fd, clients[CLIENTS], accepted[CLIENTS];
	unsigned nr_clients, nr_accepted, refusals_left;
	struct loop_timer deadline;
	bool too_late;
	unsigned turns;
};

static int on_accepted(void *opaque, int fd)
{
	struct fixture *f = opaque;

	if (f->refusals_left) {
		f->refusals_left--;
		return -EPERM;
	}
	f->accepted[f->nr_accepted++] = fd;
	return 0;
}

static void too_late(void *opaque)
{
	((struct fixture *)opaque)->too_late = true;
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	/* On epoll, a loop can be driven by loop_drain() alone. */
	assert_int_equal(loop_new(&f->loop, LOOP_NO_URING), 0);
	f->deadline = (struct loop_timer){ .fn = too_late, .opaque = f };
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	f->sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	f->sun_len = sizeof(f->sun);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&f->sun, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(f->listen_fd, (struct sockaddr *)&f->sun, &f->sun_len), 0);
	assert_int_equal(listen(f->listen_fd, CLIENTS), 0);
	f->acceptor = (struct acceptor){
		.loop = f->loop,
		.name = "test",
		.accepted = on_accepted,
		.opaque = f,
		.max_clients = 2,
	};
	assert_int_equal(acceptor_start(&f->acceptor, f->listen_fd), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	acceptor_stop(&f->acceptor);
	loop_free(f->loop);
	for (unsigned i = 0; i < f->nr_clients; i++)
		close_fd(&f->clients[i]);
	for (unsigned i = 0; i < f->nr_accepted; i++)
		close_fd(&f->accepted[i]);
	close_fd(&f->listen_fd);
	test_free(f);
	return 0;
}

static void drain(struct fixture *f, bool (*done)(void *opaque))
{
	loop_arm(f->loop, &f->deadline, clock_now_ns() + DEADLINE_NS);
	loop_drain(f->loop, done, f);
	loop_disarm(f->loop, &f->deadline);
	assert_false(f->too_late);
}

static void dial(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	f->clients[f->nr_clients++] = fd;
	assert_int_equal(connect(fd, (struct sockaddr *)&f->sun, f->sun_len), 0);
}

/* Has the last client been hung up on? */
static bool last_is_refused(void *opaque)
{
	const struct fixture *f = opaque;
	char c;

	return f->too_late || recv(f->clients[f->nr_clients - 1], &c, 1, MSG_DONTWAIT) == 0;
}

static bool all_accepted(void *opaque)
{
	const struct fixture *f = opaque;

	return f->too_late || f->nr_accepted == f->nr_clients;
}

static void test_clients_are_counted(void **state)
{
	struct fixture *f = *state;

	dial(f);
	dial(f);
	drain(f, all_accepted);
	dial(f);
	drain(f, last_is_refused);
	assert_int_equal(f->acceptor.nr_clients, 2);

	close_fd(&f->clients[--f->nr_clients]);
	close_fd(&f->accepted[--f->nr_accepted]);
	close_fd(&f->clients[--f->nr_clients]);
	acceptor_client_left(&f->acceptor);
	dial(f);
	drain(f, all_accepted);
	assert_int_equal(f->acceptor.nr_clients, 2);
}

static void test_the_owner_may_refuse(void **state)
{
	struct fixture *f = *state;

	f->refusals_left = 1;
	dial(f);
	drain(f, last_is_refused);
	assert_int_equal(f->acceptor.nr_clients, 0);
}

static bool has_paused(void *opaque)
{
	struct fixture *f = opaque;

	return f->too_late || f->acceptor.retry.armed || ++f->turns > 10;
}

static void test_waits_for_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit all, none;

	dial(f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = all.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	drain(f, has_paused);
	assert_true(f->acceptor.retry.armed);
	assert_int_equal(f->acceptor.watch.events, 0);

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	drain(f, all_accepted);
	assert_false(f->acceptor.retry.armed);
	dial(f);
	drain(f, all_accepted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clients_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_owner_may_refuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits_for_descriptors, setup, teardown),
	};

	return cmocka_run_group_tests_name("acceptor", tests, NULL, NULL);
}
