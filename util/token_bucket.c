// SPDX-License-Identifier: MIT
// Rate limits.
#include "util/token_bucket.h"

#include "util/clock.h"

#define DEBT_MAX_NS (3600 * NSEC_PER_SEC)

static uint64_t rate_of(const struct token_bucket *tb)
{
	return atomic_load_explicit(&tb->rate, memory_order_relaxed);
}

void token_bucket_set_burst(struct token_bucket *tb, uint64_t burst_ns)
{
	tb->burst_ns = MAX(burst_ns, 1ULL);
}

void token_bucket_init(struct token_bucket *tb, uint64_t rate, uint64_t burst_ns)
{
	atomic_init(&tb->rate, rate);
	token_bucket_set_burst(tb, burst_ns);
	atomic_init(&tb->full_at_ns, 0);
}

uint64_t token_bucket_delay_ns(const struct token_bucket *tb, uint64_t now_ns)
{
	uint64_t full_at;

	if (rate_of(tb) == 0)
		return 0;
	full_at = atomic_load_explicit(&tb->full_at_ns, memory_order_relaxed);
	if (full_at < now_ns + tb->burst_ns)
		return 0;
	return full_at - (now_ns + tb->burst_ns) + 1;
}

void token_bucket_charge(struct token_bucket *tb, uint64_t tokens, uint64_t now_ns)
{
	uint64_t old, full_at, cost_ns, rate = rate_of(tb);

	if (rate == 0)
		return;
	/* 128 bits: 16 GiB times 10^9 do not fit into 64. */
	cost_ns = (uint64_t)((unsigned __int128)tokens * NSEC_PER_SEC / rate);
	old = atomic_load_explicit(&tb->full_at_ns, memory_order_relaxed);
	do {
		full_at = MAX(old, now_ns) + cost_ns;
	} while (!atomic_compare_exchange_weak_explicit(
		&tb->full_at_ns, &old, full_at, memory_order_relaxed, memory_order_relaxed));
}

uint64_t token_bucket_missing(const struct token_bucket *tb, uint64_t now_ns)
{
	uint64_t full_at = atomic_load_explicit(&tb->full_at_ns, memory_order_relaxed);
	uint64_t rate = rate_of(tb);

	if (rate == 0 || full_at <= now_ns)
		return 0;
	return (uint64_t)((unsigned __int128)(full_at - now_ns) * rate / NSEC_PER_SEC);
}

void token_bucket_set_missing(struct token_bucket *tb, uint64_t missing, uint64_t now_ns)
{
	uint64_t rate = rate_of(tb);
	unsigned __int128 debt_ns;

	if (rate == 0)
		return;
	debt_ns = (unsigned __int128)missing * NSEC_PER_SEC / rate;
	atomic_store_explicit(&tb->full_at_ns, now_ns + (uint64_t)MIN(debt_ns, DEBT_MAX_NS),
			      memory_order_relaxed);
}

void token_bucket_set_rate(struct token_bucket *tb, uint64_t rate, uint64_t now_ns)
{
	uint64_t missing = token_bucket_missing(tb, now_ns);

	/* First, so that a limit that begins does not find what an older one has left. */
	atomic_store_explicit(&tb->full_at_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&tb->rate, rate, memory_order_relaxed);
	token_bucket_set_missing(tb, missing, now_ns);
}
