/* SPDX-License-Identifier: MIT */
/* The descriptors of libslirp, watched as one. */
#ifndef FERRY_NET_USER_POLL_H
#define FERRY_NET_USER_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include "net/netdev.h"
#include "util/compiler.h"

struct Slirp;

/*
 * Theory of operation
 *
 * libslirp wants to be asked before each sleep which descriptors it waits for
 * (slirp_pollfds_fill) and to be told afterwards what they are ready for
 * (slirp_pollfds_poll). We keep them in an epoll of our own, whose descriptor
 * the loop watches as one, and change only what differs from the last time.
 *
 * libslirp closes descriptors whenever it likes, and may get the same number
 * for the next one; it announces that by user_poll_forget(). The kernel has
 * then dropped the old one from the epoll by itself.
 *
 * They are counted, so that a guest cannot take all that the process may have.
 * libslirp announces each TCP connection (user_poll_opened()), but shows its
 * other sockets only when it is asked what to watch. What may have been opened
 * since then counts as if it had been.
 */
struct user_poll {
	int epoll_fd;
	struct user_pollfd *fds; /* by descriptor number */
	unsigned nr_fds;
	uint32_t round; /* of filling: who was not named in it is dropped */
	int highest;    /* descriptor that may be watched; -1: none */

	unsigned max_sockets; /* const */
	unsigned nr_open;     /* known to be open */
	unsigned nr_asked;    /* times that user_poll_may_open() said yes since the last prepare */
	struct netdev_sockets *shared; /* counts both too; NULL: there are no others */
};

/*
 * From @max_sockets on, or from those on that all together may have (@shared, may be NULL),
 * nothing more is opened for the guest, nor accepted by its port forwards (of which each may
 * go one beyond). 0 or -errno.
 */
__must_check int user_poll_init(struct user_poll *up, unsigned max_sockets,
				struct netdev_sockets *shared);
void user_poll_fini(struct user_poll *up);

/* Collect what is ready and let libslirp handle it. */
void user_poll_dispatch(struct user_poll *up, struct Slirp *slirp);

/*
 * Ask libslirp what to watch, and watch that. Returns the milliseconds after
 * which dispatch must be called though nothing is ready; UINT32_MAX: never.
 */
uint32_t user_poll_prepare(struct user_poll *up, struct Slirp *slirp);

/* Watch nothing until the next prepare. */
void user_poll_suspend(struct user_poll *up);

/* May libslirp open one more? If so, it is assumed to until the next prepare. */
bool user_poll_may_open(struct user_poll *up);

/* libslirp has opened @fd. */
void user_poll_opened(struct user_poll *up, int fd);

/* libslirp is about to close @fd. */
void user_poll_forget(struct user_poll *up, int fd);

#endif
