// SPDX-License-Identifier: MIT
// The source's memory: passes until the rest is small enough, and what is known of them.
#include <errno.h>
#include <string.h>

#include "migration/channel.h"
#include "migration/source_impl.h"
#include "migration/source_policy.h"
#include "util/clock.h"

/*
 * Of the downtime, what does not depend on memory: pausing, the state of so many
 * devices, loading it, and four messages.
 */
#define FIXED_NS       (8 * NSEC_PER_MSEC)
#define FIXED_MESSAGES 4U
/* A pass over next to nothing is not repeated faster than this, but for extra ones. */
#define MIN_PASS_NS (20 * NSEC_PER_MSEC)

static void remember_locked(struct source *s, const struct source_pass *pass)
{
	unsigned i = s->st.nr_passes;

	/* The last ones are kept as they are; the first so many, too. */
	if (i >= SOURCE_MAX_PASSES) {
		i = SOURCE_MAX_PASSES - 1;
		memmove(&s->passes[SOURCE_MAX_PASSES / 2], &s->passes[SOURCE_MAX_PASSES / 2 + 1],
			(SOURCE_MAX_PASSES / 2 - 1) * sizeof(s->passes[0]));
	}
	s->passes[i] = *pass;
	s->st.nr_passes++;
}

static void account(struct source *s, const struct source_pass *pass)
{
	mutex_lock(&s->lock);
	remember_locked(s, pass);
	s->st.remaining_bytes = pass->dirty_pages * RAM_PAGE_BYTES;
	if (pass->duration_ns) {
		s->st.dirty_pages_per_s = pass->dirty_pages * NSEC_PER_SEC / pass->duration_ns;
		s->st.bytes_per_s = (uint64_t)((double)pass->bytes_wire * NSEC_PER_SEC /
					       (double)pass->duration_ns);
	}
	mutex_unlock(&s->lock);
}

int source_pass(struct source *s, bool last, struct source_pass *ret, struct err *e)
{
	struct source_pass pass = { .start_ns = source_elapsed_ns(s), .throttle = s->st.throttle };
	struct ram_pass ram;
	int rc;

	mutex_lock(&s->lock);
	s->p.guest->ram_stats(s->p.opaque, &s->pass_start);
	s->pass_start_ns = clock_now_ns();
	mutex_unlock(&s->lock);
	rc = s->p.guest->ram_pass(s->p.opaque, last, &ram, e);
	mutex_lock(&s->lock);
	s->pass_start_ns = 0;
	mutex_unlock(&s->lock);
	if (rc < 0)
		return rc;
	pass.duration_ns = source_elapsed_ns(s) - pass.start_ns;
	pass.pages = ram.pages;
	pass.bytes_wire = ram.bytes_wire;
	if (!last)
		pass.dirty_pages = s->p.guest->ram_remaining(s->p.opaque);
	account(s, &pass);
	if (!last)
		s->p.listener->pass(s->p.opaque, s->st.nr_passes, &pass);
	*ret = pass;
	return 0;
}

static void set_throttle(struct source *s, unsigned percent)
{
	if (s->st.throttle == percent)
		return;
	s->p.guest->throttle(s->p.opaque, percent);
	mutex_lock(&s->lock);
	s->st.throttle = percent;
	mutex_unlock(&s->lock);
}

/* @pass for the policy. @payload: of the passes before it. */
static struct policy_pass look_at(struct source *s, const struct source_pass *pass,
				  uint64_t began_ns, uint64_t *payload)
{
	/* The last mark's way and back is no part of the speed; fixed_part_ns() counts it. */
	uint64_t rtt_ns = channel_rtt_ns(s->control);
	struct ram_stats stats = { 0 };
	struct policy_pass ret;

	s->p.guest->ram_stats(s->p.opaque, &stats);
	ret = (struct policy_pass){
		.elapsed_ns = source_elapsed_ns(s) - began_ns,
		.duration_ns = pass->duration_ns - MIN(rtt_ns, pass->duration_ns / 2),
		.pages_sent = pass->pages,
		.payload_bytes = stats.bytes_payload - *payload,
		.pages_left = pass->dirty_pages,
	};
	*payload = stats.bytes_payload;
	return ret;
}

/* Not by how long answers took: that is also the time of a process that was just made. */
static uint64_t fixed_part_ns(const struct source *s)
{
	return FIXED_NS + FIXED_MESSAGES * channel_rtt_ns(s->control);
}

static int make_passes(struct source *s, struct policy *policy, struct err *e)
{
	uint64_t began_ns = source_elapsed_ns(s);
	uint64_t payload = 0;

	for (;;) {
		uint64_t start_ns = clock_now_ns(), expected_ns = 0;
		struct source_pass sent;
		struct policy_pass pass;
		int rc = source_pass(s, false, &sent, e);
		enum policy_verdict verdict;

		if (rc < 0)
			return rc;
		pass = look_at(s, &sent, began_ns, &payload);
		policy_set_fixed(policy, fixed_part_ns(s));
		verdict = policy_decide(policy, &pass, &expected_ns);
		mutex_lock(&s->lock);
		s->st.expected_downtime_ns = expected_ns;
		mutex_unlock(&s->lock);
		if (verdict == POLICY_SWITCH)
			return 0;
		set_throttle(s, policy->throttle);
		if (verdict == POLICY_PASS)
			rc = phase_gate_sleep(&s->gate, start_ns + MIN_PASS_NS, e);
		if (rc < 0)
			return rc;
	}
}

static int start_ram(struct source *s, struct err *e)
{
	int rc = s->p.guest->ram_start(s->p.opaque, s->streams, s->p.options.nr_streams,
				       &s->p.options.ram, e);

	if (rc < 0)
		return rc;
	mutex_lock(&s->lock);
	s->ram_on = true;
	s->st.setup_ns = source_elapsed_ns(s);
	mutex_unlock(&s->lock);
	if (!s->paused)
		source_set_state(s, SOURCE_ACTIVE);
	return s->p.guest->save_boot(s->p.opaque, talk_sink(s->talk), e);
}

int source_precopy(struct source *s, struct err *e)
{
	const struct policy_params params = {
		.max_downtime_ns = s->p.options.max_downtime_ns,
		.switch_after_ns = s->p.options.switch_after_ns,
		.auto_converge = s->p.options.auto_converge,
	};
	struct policy policy;
	int rc = start_ram(s, e);

	if (rc < 0 || s->paused)
		return rc;
	policy_init(&policy, &params);
	return make_passes(s, &policy, e);
}

/* --- what others may know --- */

/* How far the pass that is under way has come, as if it ended now. */
static void add_pass_so_far_locked(const struct source *s, struct source_status *st)
{
	const struct ram_stats *then = &s->pass_start, *now = &st->ram;
	uint64_t ns = clock_now_ns() - s->pass_start_ns;
	uint64_t pages = now->pages_sent - then->pages_sent + now->pages_zero - then->pages_zero +
			 now->pages_skipped - then->pages_skipped;

	st->remaining_bytes -= MIN(st->remaining_bytes, pages * RAM_PAGE_BYTES);
	if (ns >= MIN_PASS_NS)
		st->bytes_per_s = (uint64_t)((double)(now->bytes_wire - then->bytes_wire) *
					     NSEC_PER_SEC / (double)ns);
}

void source_get_status(struct source *s, struct source_status *ret)
{
	bool held = false;
	enum phase at = phase_gate_at(&s->gate, &held);

	MUTEX_SCOPE(&s->lock);
	if (s->ram_on)
		s->p.guest->ram_stats(s->p.opaque, &s->st.ram);
	*ret = s->st;
	if (s->ram_on && s->pass_start_ns)
		add_pass_so_far_locked(s, ret);
	ret->phase = at;
	ret->held = held;
	ret->elapsed_ns = s->end_ns ? s->end_ns : source_elapsed_ns(s);
	if (ret->stopped_at_ns && !ret->downtime_ns && !s->end_ns)
		ret->downtime_ns = ret->elapsed_ns - ret->stopped_at_ns;
}

unsigned source_get_passes(struct source *s, struct source_pass *ret, unsigned max)
{
	unsigned have, nr;

	MUTEX_SCOPE(&s->lock);
	have = MIN(s->st.nr_passes, SOURCE_MAX_PASSES);
	nr = MIN(have, max);
	memcpy(ret, &s->passes[have - nr], nr * sizeof(*ret));
	return nr;
}

const char *source_state_name(enum source_state state)
{
	static const char *const names[] = {
		[SOURCE_SETUP] = "setup",
		[SOURCE_ACTIVE] = "active",
		[SOURCE_DEVICE] = "device",
		[SOURCE_CANCELLING] = "cancelling",
		[SOURCE_CANCELLED] = "cancelled",
		[SOURCE_FAILED] = "failed",
		[SOURCE_UNKNOWN] = "handover-unknown",
		[SOURCE_COMPLETED] = "completed",
	};

	return names[state];
}
