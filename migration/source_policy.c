// SPDX-License-Identifier: MIT
// When a live teleport stops making passes: a prediction, and what it is compared with.
#include "migration/source_policy.h"

#include "migration/ram.h"
#include "util/clock.h"
#include "util/compiler.h"

/* Until it was measured: 1 GiB/s. */
#define FIRST_NS_PER_MIB 1000000ULL
/* A pass that sends less says little about speed. */
#define MIN_MEASURED_BYTES (1 * MIB)
/* The guest has to go slower after so many passes that did not help. */
#define BAD_PASSES 2U
/*
 * A pass more though the limit is kept: so many at most, and only if it leaves at most
 * three quarters, and the rest takes long beside state and messages on a short way.
 */
#define EXTRA_PASSES  8U
#define EXTRA_MIN_NS  (NSEC_PER_MSEC / 2)
#define EXTRA_LEAVES  3U
#define EXTRA_OF_EACH 4U

void policy_init(struct policy *p, const struct policy_params *params)
{
	*p = (struct policy){ .p = *params, .ns_per_mib = FIRST_NS_PER_MIB };
}

void policy_set_fixed(struct policy *p, uint64_t fixed_ns)
{
	p->p.fixed_ns = fixed_ns;
}

/* Contents per time; a slower pass counts at once, a faster one by half. */
static void measure(struct policy *p, const struct policy_pass *pass)
{
	uint64_t ns_per_mib;

	if (pass->payload_bytes < MIN_MEASURED_BYTES)
		return;
	ns_per_mib = pass->duration_ns / (pass->payload_bytes / MIB);
	p->ns_per_mib =
		ns_per_mib > p->ns_per_mib ? ns_per_mib : (p->ns_per_mib + ns_per_mib + 1) / 2;
}

/* How long the rest of memory takes. */
static uint64_t predict_memory(const struct policy *p, const struct policy_pass *pass)
{
	uint64_t kib = pass->pages_left * (RAM_PAGE_BYTES / KIB);

	return kib * p->ns_per_mib / KIB;
}

/* Did the guest write at least half as fast as we send? Twice so: let it rest. */
static void converge(struct policy *p, const struct policy_pass *pass)
{
	p->bad_passes = pass->pages_left * 2 > pass->pages_sent ? p->bad_passes + 1 : 0;
	if (!p->p.auto_converge || p->bad_passes < BAD_PASSES)
		return;
	p->bad_passes = 0;
	p->throttle = p->throttle ? MIN(p->throttle + POLICY_THROTTLE_STEP, POLICY_THROTTLE_MAX)
				  : POLICY_THROTTLE_FIRST;
}

/* What is left would fit. Would less be left after another pass? */
static bool is_worth_a_pass(struct policy *p, const struct policy_pass *pass, uint64_t memory_ns)
{
	if (memory_ns < EXTRA_MIN_NS || p->extra == EXTRA_PASSES ||
	    pass->pages_left * EXTRA_OF_EACH > pass->pages_sent * EXTRA_LEAVES)
		return false;
	p->extra++;
	return true;
}

/* See policy_params.fixed_ns for what counts of it. */
static bool fits(const struct policy *p, uint64_t memory_ns)
{
	return memory_ns + MIN(p->p.fixed_ns, p->p.max_downtime_ns / 2) <= p->p.max_downtime_ns;
}

enum policy_verdict policy_decide(struct policy *p, const struct policy_pass *pass,
				  uint64_t *ret_downtime_ns)
{
	uint64_t memory_ns;

	measure(p, pass);
	memory_ns = predict_memory(p, pass);
	*ret_downtime_ns = p->p.fixed_ns + memory_ns;
	if (p->p.switch_after_ns && pass->elapsed_ns >= p->p.switch_after_ns)
		return POLICY_SWITCH;
	if (fits(p, memory_ns))
		return is_worth_a_pass(p, pass, memory_ns) ? POLICY_EXTRA_PASS : POLICY_SWITCH;
	converge(p, pass);
	return POLICY_PASS;
}
