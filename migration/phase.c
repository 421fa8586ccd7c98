// SPDX-License-Identifier: MIT
// The phases of a teleport, on both sides, and how either is stopped at one.
#include "migration/phase.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"

static const char *const names[] = {
	[PHASE_CONNECT] = "connect", [PHASE_NEGOTIATE] = "negotiate", [PHASE_RESERVE] = "reserve",
	[PHASE_PRECOPY] = "precopy", [PHASE_STOP] = "stop",           [PHASE_STATE] = "state",
	[PHASE_READY] = "ready",     [PHASE_RELEASE] = "release",     [PHASE_COMMIT] = "commit",
	[PHASE_RUNNING] = "running", [PHASE_DONE] = "done",
};

const char *phase_name(enum phase phase)
{
	return names[phase];
}

static int parse_one(const char *word, size_t len, uint32_t *set, struct err *e)
{
	char all[128] = "";
	size_t used = 0;

	for (unsigned i = 0; i < NR_PHASES; i++) {
		if (len == strlen(names[i]) && !strncmp(word, names[i], len)) {
			*set |= 1U << i;
			return 0;
		}
		used += (size_t)snprintf(all + used, sizeof(all) - used, " %s", names[i]);
	}
	return err_set(e, -EINVAL, "'%.*s' is not one of the phases:%s", (int)len, word, all);
}

int phase_parse_set(const char *text, uint32_t *ret, struct err *e)
{
	uint32_t set = 0;

	while (text && *text) {
		size_t len = strcspn(text, ",");
		int rc = parse_one(text, len, &set, e);

		if (rc < 0)
			return rc;
		text += len + (text[len] == ',');
	}
	*ret = set;
	return 0;
}

void phase_gate_init(struct phase_gate *gate, uint32_t hold, void (*on_change)(void *opaque),
		     void *opaque)
{
	*gate = (struct phase_gate){ .hold = hold, .on_change = on_change, .opaque = opaque };
	mutex_init(&gate->lock);
	cond_init(&gate->changed);
}

void phase_gate_fini(struct phase_gate *gate)
{
	(void)pthread_cond_destroy(&gate->changed);
	mutex_fini(&gate->lock);
}

static void tell(struct phase_gate *gate)
{
	if (gate->on_change)
		gate->on_change(gate->opaque);
}

/* 0, or the reason why the gate is closed. */
static int verdict_locked(const struct phase_gate *gate, struct err *e)
{
	return gate->closed ? err_set(e, gate->closed, "%s", gate->why.text) : 0;
}

int phase_gate_pass(struct phase_gate *gate, enum phase phase, struct err *e)
{
	bool hold;
	int rc;

	mutex_lock(&gate->lock);
	gate->at = phase;
	hold = gate->hold & 1U << phase && !gate->closed;
	gate->held = hold;
	mutex_unlock(&gate->lock);
	if (hold)
		tell(gate);
	mutex_lock(&gate->lock);
	while (gate->held && !gate->closed)
		(void)pthread_cond_wait(&gate->changed, &gate->lock.m);
	gate->held = false;
	rc = verdict_locked(gate, e);
	mutex_unlock(&gate->lock);
	if (hold)
		tell(gate);
	return rc;
}

int phase_gate_sleep(struct phase_gate *gate, uint64_t deadline_ns, struct err *e)
{
	int rc = 0;

	MUTEX_SCOPE(&gate->lock);
	while (rc == 0 && !gate->closed)
		rc = cond_wait_until(&gate->changed, &gate->lock, deadline_ns);
	return verdict_locked(gate, e);
}

int phase_gate_continue(struct phase_gate *gate, struct err *e)
{
	MUTEX_SCOPE(&gate->lock);
	if (!gate->held)
		return err_set(e, -EINVAL, "the teleport is not held at any phase");
	gate->held = false;
	(void)pthread_cond_broadcast(&gate->changed);
	return 0;
}

void phase_gate_close(struct phase_gate *gate, const struct err *why)
{
	MUTEX_SCOPE(&gate->lock);
	if (gate->closed)
		return;
	gate->closed = why->code;
	gate->why = *why;
	(void)pthread_cond_broadcast(&gate->changed);
}

enum phase phase_gate_at(struct phase_gate *gate, bool *ret_held)
{
	MUTEX_SCOPE(&gate->lock);
	*ret_held = gate->held;
	return gate->at;
}
