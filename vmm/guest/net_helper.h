/* SPDX-License-Identifier: MIT */
/* ferry-net, started beside a guest: it has the privileges, and opens a nic's back end. */
#ifndef FERRY_VMM_GUEST_NET_HELPER_H
#define FERRY_VMM_GUEST_NET_HELPER_H

#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/network/attach_msg.h"

/*
 * A process for each nic that needs it, since nics come and go one by one. What it did is
 * taken back when the last copy of @sock is closed, so also when those who have it are
 * killed; whoever has @sock and @lock has the nic. Main thread.
 */
struct net_helper {
	int sock;  /* -1: not running */
	pid_t pid; /* 0: it is somebody else's child: the keeper's */
	int lock;  /* of the nic's journal: who holds it lives; -1: there is none */
};

static inline void net_helper_init(struct net_helper *h)
{
	*h = (struct net_helper){ .sock = -1, .lock = -1 };
}

/*
 * Start it, and ask for a back end, once. 0, and @answer with the queues' descriptors,
 * which are the caller's; or -errno with the reason, and it has ended.
 */
__must_check int net_helper_attach(struct net_helper *h, const struct attach_request *req,
				   struct attach_answer *answer, struct err *e);

/*
 * Start ferry-net for a guest, with @its_end, the caller's, as its standard input. 0 with its
 * process in *@ret, or -errno with @e.
 */
__must_check int net_helper_spawn(int its_end, pid_t *ret, struct err *e);

/*
 * Let it take everything back; the nic's descriptors are closed. When @sock is readable
 * or hung up, it has, and net_helper_end() does not wait. Not running: no-op.
 */
void net_helper_begin_end(const struct net_helper *h);

/* The same, and wait for that: some seconds at most. Not running: no-op. */
void net_helper_end(struct net_helper *h);

/* Somebody else has got @sock and @lock: it is his. */
void net_helper_forget(struct net_helper *h);

#endif
