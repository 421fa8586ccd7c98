/* SPDX-License-Identifier: MIT */
/* How fast a nic may be, in one direction. */
#ifndef FERRY_VIRTIO_NET_LIMIT_H
#define FERRY_VIRTIO_NET_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "util/token_bucket.h"

/* Shared by all queue pairs of a nic. */
struct net_limit {
	struct token_bucket bits, packets;
};

/* @bps bits and @pps packets a second; 0: no limit. */
void net_limit_init(struct net_limit *l, uint64_t bps, uint64_t pps);

/* The same while it is in use; any thread. Whoever waits for it is to ask again. */
void net_limit_set(struct net_limit *l, uint64_t bps, uint64_t pps);

static inline bool net_limit_is_set(const struct net_limit *l)
{
	return atomic_load_explicit(&l->bits.rate, memory_order_relaxed) ||
	       atomic_load_explicit(&l->packets.rate, memory_order_relaxed);
}

/* 0 if a frame may pass now, else when to ask again (CLOCK_MONOTONIC). */
__must_check uint64_t net_limit_wait_until_ns(const struct net_limit *l);

/* A frame of @bytes has passed. */
void net_limit_charge(struct net_limit *l, size_t bytes);

#endif
