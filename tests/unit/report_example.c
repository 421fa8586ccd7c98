// SPDX-License-Identifier: MIT
// A report of a teleport, for tests.
#include "tests/unit/report_example.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/clock.h"

struct report report_example(void)
{
	static const struct stats_sample samples[] = {
		{ 0, 0, 0 },
		{ 10 * NSEC_PER_MSEC, 0, 0 },
		{ 60 * NSEC_PER_MSEC, 50000000, 0 },
		{ 80 * NSEC_PER_MSEC, 70000000, 20 },
		{ 90 * NSEC_PER_MSEC, 70100000, 20 },
		{ 100 * NSEC_PER_MSEC, 70100000, 20 },
	};
	static const struct source_pass passes[] = {
		{ .start_ns = 10 * NSEC_PER_MSEC,
		  .duration_ns = 50 * NSEC_PER_MSEC,
		  .pages = 12207,
		  .bytes_wire = 50000000,
		  .dirty_pages = 4882 },
		{ .start_ns = 60 * NSEC_PER_MSEC,
		  .duration_ns = 20 * NSEC_PER_MSEC,
		  .pages = 4882,
		  .bytes_wire = 20000000,
		  .dirty_pages = 24,
		  .throttle = 20 },
		{ .start_ns = 82 * NSEC_PER_MSEC,
		  .duration_ns = 1 * NSEC_PER_MSEC,
		  .pages = 24,
		  .bytes_wire = 100000,
		  .throttle = 20 },
	};
	struct report r = {
		.guest = strdup("web"),
		.destination = strdup("tcp:host2:8002"),
		.status = strdup("completed"),
		.total_us = 100000,
		.setup_us = 10000,
		.stopped_us = 81000,
		.running_us = 95000,
		.downtime_us = 14000,
		.memory_bytes = 64 * MIB,
		.wire_bytes = 70100000,
		.payload_bytes = 70000000,
		.pages_sent = 17113,
		.pages_zero = 100,
		.samples = calloc(1, sizeof(samples)),
		.nr_samples = ARRAY_SIZE(samples),
		.passes = calloc(1, sizeof(passes)),
		.nr_passes = ARRAY_SIZE(passes),
		.first_pass = 1,
	};

	assert_non_null(r.samples);
	assert_non_null(r.passes);
	memcpy(r.samples, samples, sizeof(samples));
	memcpy(r.passes, passes, sizeof(passes));
	return r;
}
