// SPDX-License-Identifier: MIT
// How fast a nic may be, in one direction.
#include "virtio/net_limit.h"

#include "util/clock.h"

/* What may be saved up while nothing is sent: a few frames even at a low rate. */
#define BURST_NS (50 * NSEC_PER_MSEC)

void net_limit_init(struct net_limit *l, uint64_t bps, uint64_t pps)
{
	token_bucket_init(&l->bits, bps, BURST_NS);
	token_bucket_init(&l->packets, pps, BURST_NS);
}

void net_limit_set(struct net_limit *l, uint64_t bps, uint64_t pps)
{
	uint64_t now_ns = clock_now_ns();

	token_bucket_set_rate(&l->bits, bps, now_ns);
	token_bucket_set_rate(&l->packets, pps, now_ns);
}

uint64_t net_limit_wait_until_ns(const struct net_limit *l)
{
	uint64_t now_ns, bits_ns, packets_ns;

	if (!net_limit_is_set(l))
		return 0;
	now_ns = clock_now_ns();
	bits_ns = token_bucket_delay_ns(&l->bits, now_ns);
	packets_ns = token_bucket_delay_ns(&l->packets, now_ns);
	return bits_ns || packets_ns ? now_ns + MAX(bits_ns, packets_ns) : 0;
}

void net_limit_charge(struct net_limit *l, size_t bytes)
{
	uint64_t now_ns;

	if (!net_limit_is_set(l))
		return;
	now_ns = clock_now_ns();
	token_bucket_charge(&l->bits, 8 * (uint64_t)bytes, now_ns);
	token_bucket_charge(&l->packets, 1, now_ns);
}
