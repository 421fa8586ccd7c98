/* SPDX-License-Identifier: MIT */
/* virtio-net: copies of its frames for those who watch. */
#ifndef FERRY_VIRTIO_NET_CAPTURE_H
#define FERRY_VIRTIO_NET_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "net/capture.h"
#include "util/thread.h"
#include "virtio/net.h"
#include "vmm/loop.h"

struct net_captures;
struct message;

/* One of those who watch. Under the captures' lock, but for the watch: the loop. */
struct net_capture {
	struct net_captures *all; /* const */
	struct loop_fd watch;     /* fd -1: free */
	bool active;              /* frames go to it */
	unsigned snaplen;
	uint64_t seen, dropped;
};

struct net_captures {
	_Atomic unsigned nr_active; /* relaxed: a frame more or less does not matter */
	struct mutex lock;          /* protects: slots, what is in message; order: innermost */
	struct message *message;    /* NULL until somebody watches */
	struct loop *loop;          /* const: adds, removes and looks after the slots */
	struct net_capture slots[NET_MAX_CAPTURES];
};

/* What is seen: @bytes of a frame in @iov, which begins with @skip bytes of something else. */
struct net_sight {
	enum capture_kind kind;
	const struct iovec *iov;
	unsigned nr_iov;
	size_t skip, bytes;
};

/* Set up; @loop looks after those who watch. */
void net_captures_init(struct net_captures *c, struct loop *loop);

/* Tell all that the nic goes, and close their sockets. On the loop; init'ed or zero. */
void net_captures_end(struct net_captures *c);

/* For net_captures_seen(). Any pair's loop. */
void net_captures_send(struct net_captures *c, const struct net_sight *sight);

/* A frame goes by: show it to those who watch. Any pair's loop. Costs a load if nobody does. */
static inline void net_captures_seen(struct net_captures *c, const struct net_sight *sight)
{
	if (__builtin_expect(atomic_load_explicit(&c->nr_active, memory_order_relaxed) != 0, 0))
		net_captures_send(c, sight);
}

/*
 * Send frames to the socket @fd, up to @snaplen bytes of each; it is taken over if
 * 0 is returned. -EBUSY: NET_MAX_CAPTURES watch already; another -errno. On the loop.
 */
__must_check int net_captures_add(struct net_captures *c, int fd, unsigned snaplen);

#endif
