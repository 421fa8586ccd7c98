// SPDX-License-Identifier: MIT
// Accepting connections on a loop.
#include "vmm/acceptor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"

static void try_again(void *opaque)
{
	struct acceptor *a = opaque;

	loop_mod_fd(a->loop, &a->watch, LOOP_READ);
}

/* Mostly EMFILE and the like; whatever it is, it is not a reason to spin. */
static void pause_accepting(struct acceptor *a, int error)
{
	log_limited(&a->log, LOG_WARN, "%s: cannot accept a connection: %s", a->name,
		    strerror(error));
	loop_mod_fd(a->loop, &a->watch, 0);
	loop_arm(a->loop, &a->retry, clock_now_ns() + ACCEPTOR_RETRY_MS * NSEC_PER_MSEC);
}

static void give_to_owner(struct acceptor *a, int fd)
{
	if (a->max_clients && a->nr_clients == a->max_clients) {
		(void)close(fd);
		return;
	}
	/* Before the call, in which the client may already leave. */
	a->nr_clients++;
	if (a->accepted(a->opaque, fd) < 0) {
		a->nr_clients--;
		(void)close(fd);
	}
}

static void on_connection(void *opaque, unsigned events)
{
	struct acceptor *a = opaque;
	int fd = accept4(a->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		give_to_owner(a, fd);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		pause_accepting(a, errno);
}

int acceptor_start(struct acceptor *a, int listen_fd)
{
	a->retry = (struct loop_timer){ .fn = try_again, .opaque = a };
	a->watch = (struct loop_fd){
		.fn = on_connection,
		.opaque = a,
		.fd = listen_fd,
		.events = LOOP_READ,
		.slot = -1,
	};
	return loop_add_fd(a->loop, &a->watch);
}

void acceptor_stop(struct acceptor *a)
{
	if (!a->loop)
		return;
	loop_del_fd(a->loop, &a->watch);
	loop_disarm(a->loop, &a->retry);
}

void acceptor_client_left(struct acceptor *a)
{
	a->nr_clients--;
}
