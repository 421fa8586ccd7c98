/* SPDX-License-Identifier: MIT */
/* Rate limits: so much per second, with a bounded burst. */
#ifndef FERRY_UTIL_TOKEN_BUCKET_H
#define FERRY_UTIL_TOKEN_BUCKET_H

#include <stdatomic.h>
#include <stdint.h>

#include "util/compiler.h"

/*
 * A bucket of tokens is stored as the one moment when it would be full again:
 * taking tokens moves that moment into the future. Whoever finds a token left
 * may take as many as the work needs, and so leave a debt: the others then wait
 * until it is paid. Work larger than the burst thus passes like any other, and
 * the long-term rate holds.
 *
 * Threads may share a bucket. Between asking and charging another may come in;
 * that, too, ends as debt.
 */
struct token_bucket {
	_Atomic uint64_t rate; /* tokens per second; 0: no limit */
	uint64_t
		burst_ns; /* a full bucket holds this time's tokens; see token_bucket_set_burst() */
	_Atomic uint64_t full_at_ns;
};

/* A full bucket of @rate tokens per second, @burst_ns of them at most. */
void token_bucket_init(struct token_bucket *tb, uint64_t rate, uint64_t burst_ns);

/* 0 if there is a token at @now_ns, else the nanoseconds until there is one. */
__must_check uint64_t token_bucket_delay_ns(const struct token_bucket *tb, uint64_t now_ns);

/* Take @tokens, into debt if need be. */
void token_bucket_charge(struct token_bucket *tb, uint64_t tokens, uint64_t now_ns);

/*
 * For saved state, which knows no moments: how many tokens are missing at
 * @now_ns; and a bucket where @missing are. A debt of more than an hour is cut.
 */
uint64_t token_bucket_missing(const struct token_bucket *tb, uint64_t now_ns);
void token_bucket_set_missing(struct token_bucket *tb, uint64_t missing, uint64_t now_ns);

/*
 * Another rate from now on. A debt stays as many tokens as it was. Who charges at the
 * same moment may be counted by either rate. Whoever waits for a token asks again.
 */
void token_bucket_set_rate(struct token_bucket *tb, uint64_t rate, uint64_t now_ns);

/* Another burst. Nobody else uses the bucket meanwhile. */
void token_bucket_set_burst(struct token_bucket *tb, uint64_t burst_ns);

#endif
