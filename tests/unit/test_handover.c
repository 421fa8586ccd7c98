// SPDX-License-Identifier: MIT
// Whatever fails during a teleport, and wherever: one copy of the guest runs, no more, no less.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "handover_rig.h"
#include "util/clock.h"
#include "util/compiler.h"

#define WORKERS 8U

static const struct source_options options = {
	.nr_streams = 1,
	.max_downtime_ns = 300 * NSEC_PER_MSEC,
};

static const char *const fault_names[RIG_NR_FAULTS] = {
	"none",    "cut",   "kill source", "kill dest", "cancel", "fail",
	"swallow", "twice", "other",       "garble",    "half",
};

/*
 * What may be at the end of @plan? NULL, or what is wrong. The one who holds the
 * guest may take it with him when he is killed; nothing else loses it.
 */
static const char *judge(const struct rig_plan *plan, const struct rig_result *r)
{
	unsigned running = r->source_runs + r->dest_runs;

	if (r->wrong)
		return r->wrong;
	if (!r->hit)
		return running == 1 && r->dest_runs && r->state == SOURCE_COMPLETED
			       ? NULL
			       : "nothing happened, and the guest did not arrive";
	if (r->source_dead)
		return r->dest_runs || !r->commit_arrived ? NULL : "the guest is lost";
	if (r->dest_dead)
		return r->source_runs || r->committed || r->state == SOURCE_UNKNOWN
			       ? NULL
			       : "the guest is lost";
	if (plan->listener == RIG_SILENT && r->state == SOURCE_UNKNOWN)
		return r->source_runs ? "the source runs what may run elsewhere" : NULL;
	if (running != 1)
		return "the guest is lost";
	if (r->dest_runs != (r->state == SOURCE_COMPLETED))
		return "the source tells something else than what happened";
	return NULL;
}

/* --- many plays at once: they mostly wait --- */

struct job {
	struct rig_plan plan;
	struct rig_result result;
};

struct crowd {
	struct mutex lock; /* protects: next */
	struct job *jobs;
	unsigned nr, next;
};

static void *work(void *opaque)
{
	struct crowd *c = opaque;

	for (;;) {
		unsigned i;

		mutex_lock(&c->lock);
		i = c->next++;
		mutex_unlock(&c->lock);
		if (i >= c->nr)
			return NULL;
		(void)rig_play(&c->jobs[i].plan, &c->jobs[i].result, NULL);
	}
}

static void play_all(struct job *jobs, unsigned nr)
{
	struct crowd c = { .jobs = jobs, .nr = nr };
	pthread_t threads[WORKERS];
	unsigned bad = 0, hits = 0;

	mutex_init(&c.lock);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(thread_start(&threads[i], THREAD_MOVE, "player", work, &c), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		(void)pthread_join(threads[i], NULL);
	mutex_fini(&c.lock);
	for (unsigned i = 0; i < nr; i++) {
		const char *wrong = judge(&jobs[i].plan, &jobs[i].result);

		hits += jobs[i].result.hit;
		if (!wrong)
			continue;
		bad++;
		print_error("%s at '%s', listener %d: %s (source %s%s, error '%s')\n",
			    fault_names[jobs[i].plan.fault], jobs[i].plan.point,
			    jobs[i].plan.listener, wrong, source_state_name(jobs[i].result.state),
			    jobs[i].result.dest_runs ? ", destination runs" : "",
			    jobs[i].result.error);
	}
	print_message("%u faults in %u plays\n", hits, nr);
	assert_int_equal(bad, 0);
	assert_true(hits > nr / 2);
}

/* All names of moments, each once. */
static unsigned all_points(bool early, char points[RIG_MAX_POINTS][RIG_NAME_BYTES])
{
	const struct rig_plan plan = { .options = options, .early = early };
	struct rig_result result;
	unsigned nr = rig_play(&plan, &result, points);
	unsigned unique = 0;

	assert_null(judge(&plan, &result));
	for (unsigned i = 0; i < nr; i++) {
		unsigned j = 0;

		while (j < unique && strcmp(points[i], points[j]) != 0)
			j++;
		if (j == unique)
			memmove(points[unique++], points[i], RIG_NAME_BYTES);
	}
	assert_true(unique > 40);
	return unique;
}

static bool is_section(const char *point)
{
	return point[1] == '>';
}

static bool is_before(const char *point)
{
	return strstr(point, "before") != NULL;
}

static bool makes_sense(enum rig_fault fault, const char *point)
{
	if (fault <= RIG_CANCEL)
		return true;
	return is_before(point) && is_section(point) == (fault > RIG_FAIL);
}

static void play_ways(bool early, enum rig_fault first, enum rig_fault last,
		      enum rig_listener listener)
{
	static char points[RIG_MAX_POINTS][RIG_NAME_BYTES];
	static struct job jobs[RIG_MAX_POINTS * RIG_NR_FAULTS];
	unsigned nr_points = all_points(early, points);
	unsigned nr = 0;

	for (int fault = (int)first; fault <= (int)last; fault++) {
		for (unsigned i = 0; i < nr_points; i++) {
			struct rig_plan *plan = &jobs[nr].plan;

			if (!makes_sense((enum rig_fault)fault, points[i]))
				continue;
			*plan = (struct rig_plan){ .fault = (enum rig_fault)fault,
						   .listener = listener,
						   .early = early,
						   .options = options };
			memcpy(plan->point, points[i], RIG_NAME_BYTES);
			nr++;
		}
	}
	play_all(jobs, nr);
}

static void play_faults(enum rig_fault first, enum rig_fault last, enum rig_listener listener)
{
	play_ways(false, first, last, listener);
	play_ways(true, first, last, listener);
}

/* --- tests --- */

static void test_nothing_fails(void **state)
{
	const struct rig_plan plan = { .options = options };
	struct rig_result result;

	(void)state;
	(void)rig_play(&plan, &result, NULL);
	assert_null(judge(&plan, &result));
	assert_int_equal(result.state, SOURCE_COMPLETED);
	assert_true(result.dest_runs);
}

/* Paused first, with the checksum of all memory, handed over whatever the downtime. */
static void test_other_ways(void **state)
{
	static const struct source_options ways[] = {
		{ .nr_streams = 1, .max_downtime_ns = NSEC_PER_SEC, .stopped = true },
		{ .nr_streams = 1, .max_downtime_ns = NSEC_PER_SEC, .verify = true },
		{ .nr_streams = 1, .max_downtime_ns = 1, .switch_after_ns = 1 },
		{ .nr_streams = 1, .max_downtime_ns = NSEC_PER_SEC, .clock_real = true },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct rig_plan plan = { .options = ways[i] };
		struct rig_result result;

		(void)rig_play(&plan, &result, NULL);
		assert_null(judge(&plan, &result));
	}
}

static void test_cuts_and_deaths(void **state)
{
	(void)state;
	play_faults(RIG_CUT, RIG_KILL_DEST, RIG_ANSWERS);
}

static void test_cuts_and_deaths_with_late_answers(void **state)
{
	(void)state;
	play_faults(RIG_CUT, RIG_KILL_DEST, RIG_HESITATES);
}

static void test_cuts_and_deaths_without_answers(void **state)
{
	(void)state;
	play_faults(RIG_CUT, RIG_KILL_DEST, RIG_SILENT);
}

static void test_cancel_anywhere(void **state)
{
	(void)state;
	play_faults(RIG_CANCEL, RIG_CANCEL, RIG_ANSWERS);
}

static void test_operations_fail(void **state)
{
	(void)state;
	play_faults(RIG_FAIL, RIG_FAIL, RIG_ANSWERS);
}

static void test_bad_sections(void **state)
{
	(void)state;
	play_faults(RIG_SWALLOW, RIG_HALF, RIG_ANSWERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_fails),
		cmocka_unit_test(test_other_ways),
		cmocka_unit_test(test_cuts_and_deaths),
		cmocka_unit_test(test_cuts_and_deaths_with_late_answers),
		cmocka_unit_test(test_cuts_and_deaths_without_answers),
		cmocka_unit_test(test_cancel_anywhere),
		cmocka_unit_test(test_operations_fail),
		cmocka_unit_test(test_bad_sections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
