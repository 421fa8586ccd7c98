/* SPDX-License-Identifier: MIT */
/* ferry-net, started beside a guest: it has the privileges, and opens the nics' back ends. */
#ifndef FERRY_VMM_GUEST_NET_HELPER_H
#define FERRY_VMM_GUEST_NET_HELPER_H

#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config.h"
#include "vmm/network/attach_msg.h"

/*
 * One process for all nics of a guest, started by the first that needs it. What it did is
 * taken back when @sock is closed, so also when this process is killed. Main thread.
 */
struct net_helper {
	int sock;
	pid_t pid;                  /* 0: not running */
	int locks[CONFIG_MAX_NICS]; /* of the nics' journals: who holds them lives */
	unsigned nr_locks;
};

static inline void net_helper_init(struct net_helper *h)
{
	*h = (struct net_helper){ .sock = -1 };
}

/*
 * Ask for a back end; the helper is started if it is not running. 0, and
 * @answer with the queues' descriptors, which are the caller's; or -errno with the reason.
 */
__must_check int net_helper_attach(struct net_helper *h, const struct attach_request *req,
				   struct attach_answer *answer, struct err *e);

/* Let it take everything back, and wait for that: some seconds at most. Not running: no-op. */
void net_helper_end(struct net_helper *h);

#endif
