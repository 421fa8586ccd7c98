/* SPDX-License-Identifier: MIT */
/* Accepting connections on a loop: bounded, and patient when descriptors run out. */
#ifndef FERRY_VMM_ACCEPTOR_H
#define FERRY_VMM_ACCEPTOR_H

#include "util/compiler.h"
#include "util/log.h"
#include "vmm/loop.h"

/* How long nothing is accepted after the host had no descriptor or memory for it. */
#define ACCEPTOR_RETRY_MS 100

/*
 * A listening socket that is worked by a loop. A connection that cannot be
 * accepted stays in the socket's backlog, where it would wake the loop for
 * ever: so the socket is not watched then, until a timer tries again.
 *
 * Zero-initialise, set the first group, start. Loop's thread, as all of it.
 */
struct acceptor {
	struct loop *loop;
	const char *name; /* what it is, for messages: "control socket" */
	/*
	 * A connection, which does not block and is closed on exec. 0: it is
	 * the callee's, until he closes it. -errno: he does not want it, and it
	 * is closed. May call acceptor_stop().
	 */
	int (*accepted)(void *opaque, int fd);
	void *opaque;
	unsigned max_clients; /* one more is closed at once; 0: ->accepted bounds them */

	/* the acceptor's */
	unsigned nr_clients;
	struct loop_fd watch;
	struct loop_timer retry;
	struct log_limit log;
};

/* Accept on @listen_fd, non-blocking and the caller's. 0 or -errno. */
__must_check int acceptor_start(struct acceptor *a, int listen_fd);

/* Accept no more; connections stay. Not started: no-op. */
void acceptor_stop(struct acceptor *a);

/* One of the connections counted in nr_clients was closed. */
void acceptor_client_left(struct acceptor *a);

#endif
