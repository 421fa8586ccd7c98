/* SPDX-License-Identifier: MIT */
/* When a live teleport stops making passes: a prediction, and what it is compared with. */
#ifndef FERRY_MIGRATION_SOURCE_POLICY_H
#define FERRY_MIGRATION_SOURCE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Theory of operation
 *
 * After each pass it is known what was written meanwhile. Would sending that, and
 * the state, take longer than the downtime that is allowed? Then there is one
 * more pass. If not, there are still a few as long as each leaves clearly less than
 * the one before: the limit is what is allowed, not what is wanted. Where the guest
 * writes as fast as memory is sent, that never ends: auto-converge lets the vCPUs rest,
 * more with each step, and after switch_after_ns the guest is handed over whatever the
 * downtime. (A timeout that gives up is not looked at here: it does not wait for the end
 * of a pass.)
 */
struct policy_params {
	uint64_t max_downtime_ns;
	uint64_t switch_after_ns; /* of passes: then it takes as long as it takes; 0: never */
	bool auto_converge;
	/*
	 * Of the downtime: pause, state, messages. No pass makes it less, so it counts
	 * as half of the limit at most: a quiet guest goes, however long the way.
	 */
	uint64_t fixed_ns;
};

struct policy {
	struct policy_params p;
	uint64_t ns_per_mib; /* of contents; as measured */
	unsigned bad_passes; /* in a row, that left about as much as they sent */
	unsigned throttle;   /* percent */
	unsigned extra;      /* passes that were made though the limit was kept */
};

/* A pass, when it is over. */
struct policy_pass {
	uint64_t elapsed_ns; /* of all passes so far */
	uint64_t duration_ns;
	uint64_t pages_sent;
	uint64_t payload_bytes; /* contents of those that were not zero */
	uint64_t pages_left;    /* written since they were sent */
};

enum policy_verdict {
	POLICY_PASS,       /* one more; with policy.throttle */
	POLICY_EXTRA_PASS, /* the same, at once: the rest is small, and grows meanwhile */
	POLICY_SWITCH,     /* pause, and send the rest */
};

#define POLICY_THROTTLE_FIRST 20U
#define POLICY_THROTTLE_STEP  10U
#define POLICY_THROTTLE_MAX   95U

/* Before the first pass. */
void policy_init(struct policy *p, const struct policy_params *params);

/* What is known of it meanwhile. */
void policy_set_fixed(struct policy *p, uint64_t fixed_ns);

/* What now? *@ret_downtime_ns: the downtime that is predicted. */
enum policy_verdict policy_decide(struct policy *p, const struct policy_pass *pass,
				  uint64_t *ret_downtime_ns);

#endif
