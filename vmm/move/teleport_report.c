// SPDX-License-Identifier: MIT
// What a teleport's report is made of, collected while it goes.
#include <stdlib.h>
#include <string.h>

#include "migration/report.h"
#include "util/clock.h"
#include "util/log.h"
#include "vmm/move/run_mover.h"
#include "vmm/move/teleport_impl.h"

/* On the sampler's thread, which ends before the source does. */
static void read_sample(void *opaque, struct stats_sample *ret)
{
	struct teleport *t = opaque;
	struct source_status st;

	source_get_status(t->source, &st);
	*ret = (struct stats_sample){
		.at_ns = st.elapsed_ns,
		.bytes = st.ram.bytes_wire,
		.throttle = st.throttle,
	};
}

void teleport_report_start(struct teleport *t)
{
	struct err e;

	if (stats_start(&t->stats, read_sample, t, &e) < 0)
		log_warn("teleport: there will be no report: %s", e.text);
}

static void take_passes(struct teleport *t)
{
	free(t->passes);
	t->nr_passes = 0;
	t->passes = calloc(REPORT_MAX_PASSES, sizeof(*t->passes));
	if (t->passes)
		t->nr_passes = source_get_passes(t->source, t->passes, REPORT_MAX_PASSES);
}

void teleport_report_stop(struct teleport *t)
{
	if (!t->stats)
		return;
	stats_stop(t->stats);
	take_passes(t);
}

void teleport_report_free(struct teleport *t)
{
	stats_free(t->stats);
	free(t->passes);
}

static uint64_t us(uint64_t ns)
{
	return ns / NSEC_PER_USEC;
}

/* Without words. */
static struct report describe(struct teleport *t, const struct source_status *st,
			      struct stats_sample *samples)
{
	return (struct report){
		.total_us = us(st->elapsed_ns),
		.setup_us = us(st->setup_ns),
		.stopped_us = us(st->stopped_at_ns),
		.running_us = us(st->running_at_ns),
		.downtime_us = us(st->downtime_ns),
		.memory_bytes = st->total_bytes,
		.wire_bytes = st->ram.bytes_wire,
		.payload_bytes = st->ram.bytes_payload,
		.pages_sent = st->ram.pages_sent,
		.pages_zero = st->ram.pages_zero,
		.samples = samples,
		.nr_samples = stats_get(t->stats, samples),
		.passes = t->passes,
		.nr_passes = t->nr_passes,
		.first_pass = 1 + st->nr_passes - MIN(st->nr_passes, t->nr_passes),
	};
}

json_t *teleport_report_json(struct teleport *t)
{
	struct stats_sample *samples = NULL;
	struct source_status st;
	struct report r = { 0 };
	json_t *doc = NULL;

	if (!t->stats)
		return NULL;
	teleport_get_status(t, &st);
	if (t->source)
		take_passes(t);
	samples = calloc(STATS_MAX, sizeof(*samples));
	if (!samples)
		return NULL;
	r = describe(t, &st, samples);
	r.guest = strdup(run_name(t->run));
	r.destination = strdup(t->dest);
	r.status = strdup(source_state_name(st.state));
	r.error = st.error.code ? strdup(st.error.text) : NULL;
	doc = report_to_json(&r);
	r.passes = NULL; /* the teleport's */
	report_fini(&r);
	return doc;
}
