// SPDX-License-Identifier: MIT
// query-migrate: QMP's members where QMP has them, and ferry's own beside them.
#include "util/clock.h"
#include "vmm/move/teleport.h"

static json_int_t ms(uint64_t ns)
{
	return (json_int_t)((ns + NSEC_PER_MSEC / 2) / NSEC_PER_MSEC);
}

static json_int_t us(uint64_t ns)
{
	return (json_int_t)(ns / NSEC_PER_USEC);
}

static json_t *ram_json(const struct source_status *st)
{
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:i, s:i}", "transferred",
		(json_int_t)st->ram.bytes_wire, "remaining", (json_int_t)st->remaining_bytes,
		"total", (json_int_t)st->total_bytes, "duplicate", (json_int_t)st->ram.pages_zero,
		"normal", (json_int_t)st->ram.pages_sent, "skipped",
		(json_int_t)st->ram.pages_skipped, "dirty-pages-rate",
		(json_int_t)st->dirty_pages_per_s, "mbps", (double)st->bytes_per_s * 8 / 1e6,
		"dirty-sync-count", (int)st->nr_passes, "page-size", (int)RAM_PAGE_BYTES);
}

/* How long each phase took, for those who wonder where the downtime went. */
static json_t *phases_json(const struct source_status *st)
{
	json_t *obj = json_object();

	for (unsigned i = 0; i < NR_PHASES; i++) {
		if (st->phase_ns[i])
			(void)json_object_set_new(obj, phase_name((enum phase)i),
						  json_integer(us(st->phase_ns[i])));
	}
	return obj;
}

/* What QMP has no name for; times in microseconds. */
static json_t *own_json(const struct source_status *st)
{
	return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "phase",
			 phase_name(st->phase), "held", st->held, "elapsed-us", us(st->elapsed_ns),
			 "downtime-us", us(st->downtime_ns), "destination-downtime-us",
			 us(st->dest_downtime_ns), "stopped-at-us", us(st->stopped_at_ns),
			 "running-at-us", us(st->running_at_ns), "payload-bytes",
			 (json_int_t)st->ram.bytes_payload, "frames-carried",
			 (json_int_t)st->frames_carried, "phases-us", phases_json(st));
}

json_t *teleport_status_json(const struct source_status *st)
{
	json_t *obj = json_pack("{s:s, s:I, s:I, s:o, s:o}", "status", source_state_name(st->state),
				"total-time", ms(st->elapsed_ns), "setup-time", ms(st->setup_ns),
				"ram", ram_json(st), "ferry", own_json(st));

	if (!obj)
		return NULL;
	if (st->throttle)
		(void)json_object_set_new(obj, "cpu-throttle-percentage",
					  json_integer(st->throttle));
	if (st->downtime_ns)
		(void)json_object_set_new(obj, "downtime", json_integer(ms(st->downtime_ns)));
	if (st->expected_downtime_ns)
		(void)json_object_set_new(obj, "expected-downtime",
					  json_integer(ms(st->expected_downtime_ns)));
	if (st->error.code)
		(void)json_object_set_new(obj, "error-desc", json_string(st->error.text));
	return obj;
}
