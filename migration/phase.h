/* SPDX-License-Identifier: MIT */
/* The phases of a teleport, on both sides, and how either is stopped at one. */
#ifndef FERRY_MIGRATION_PHASE_H
#define FERRY_MIGRATION_PHASE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"
#include "util/thread.h"

/* In their order; docs/teleport.md tells what either side does in each. */
enum phase {
	PHASE_CONNECT,
	PHASE_NEGOTIATE,
	PHASE_RESERVE,
	PHASE_PRECOPY,
	PHASE_STOP,
	PHASE_STATE,
	PHASE_READY,
	PHASE_RELEASE,
	PHASE_COMMIT,
	PHASE_RUNNING,
	PHASE_DONE,
};
#define NR_PHASES PHASE_DONE

/* "precopy"; "done" for PHASE_DONE. */
const char *phase_name(enum phase phase);

/* "precopy,commit" to a set of bits (1 << phase); "" and NULL: none. 0 or -EINVAL. */
__must_check int phase_parse_set(const char *text, uint32_t *ret, struct err *e);

/*
 * A gate that a migration thread passes at the start of each phase, and where
 * another thread can hold it, let it go on, or turn it back.
 */
struct phase_gate {
	struct mutex lock; /* protects: all here; order: a leaf */
	pthread_cond_t changed;
	uint32_t hold; /* phases to stop at */
	enum phase at;
	bool held;
	int closed; /* -errno: nobody passes any more */
	struct err why;
	void (*on_change)(void *opaque); /* const; after each change of held, no lock held */
	void *opaque;
};

/* Open, but for @hold: phases to stop at. */
void phase_gate_init(struct phase_gate *gate, uint32_t hold, void (*on_change)(void *opaque),
		     void *opaque);
void phase_gate_fini(struct phase_gate *gate);

/*
 * Enter @phase: waits while it is held. 0, or what the gate was closed with.
 * The migration's thread.
 */
__must_check int phase_gate_pass(struct phase_gate *gate, enum phase phase, struct err *e);

/* Wait until @deadline_ns (CLOCK_MONOTONIC) unless the gate is closed first: then as above. */
__must_check int phase_gate_sleep(struct phase_gate *gate, uint64_t deadline_ns, struct err *e);

/* Let the one who is held go on. Any thread. 0, or -EINVAL: nobody is. */
__must_check int phase_gate_continue(struct phase_gate *gate, struct err *e);

/* Turn everybody back from now on, with @why; the first reason stays. Any thread. */
void phase_gate_close(struct phase_gate *gate, const struct err *why);

/* Where the migration is, and whether it is held there. Any thread. */
enum phase phase_gate_at(struct phase_gate *gate, bool *ret_held);

#endif
