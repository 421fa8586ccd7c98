/* SPDX-License-Identifier: MIT */
/* Who moves a guest away or receives it, on a thread of his own: what its run knows of him. */
#ifndef FERRY_VMM_MOVE_RUN_MOVER_H
#define FERRY_VMM_MOVE_RUN_MOVER_H

#include <jansson.h>
#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

struct run;
struct run_mover;

/* All on the main loop. */
struct run_mover_ops {
	/*
	 * The guest has ended, or shall: stop soon, change nothing, and call
	 * run_mover_idle(). Once.
	 */
	void (*end)(struct run_mover *mv);
	/* The answer to query-migrate. */
	json_t *(*query)(struct run_mover *mv);
	/* The answer to ferry-migrate-report; NULL: there is none. May be NULL. */
	json_t *(*report)(struct run_mover *mv);
	/* 0, or -errno with why it makes no sense now. */
	int (*cancel)(struct run_mover *mv, struct err *e);
	int (*cont)(struct run_mover *mv, struct err *e); /* from the phase where it is held */
	int (*force_resume)(struct run_mover *mv, struct err *e);
	/* QMP's RunState, where it is not the machine's; NULL: it is. */
	const char *(*status)(struct run_mover *mv);
	void (*free)(struct run_mover *mv); /* idle */
};

/* Embedded in the mover's own structure. */
struct run_mover {
	const struct run_mover_ops *ops;
	bool busy; /* its thread may call the main loop; run's end waits */
};

/* Make @mv the run's, busy; an earlier one, which must be idle, is freed. Main loop. */
void run_set_mover(struct run *run, struct run_mover *mv);

/* The mover, or the last one; NULL: there was none. */
struct run_mover *run_mover(const struct run *run);

/* 0; -EBUSY with @e: somebody saves, moves or dumps the guest; -EINVAL: it is gone. */
__must_check int run_check_idle(const struct run *run, struct err *e);

/* Its thread is done, and joined. Main loop. */
void run_mover_idle(struct run *run);

/* The guest runs elsewhere now, at @where: free it here, and end when nobody watches. */
void run_moved(struct run *run, const char *where);

/* Nothing has run here, or will: end the main loop with @status. */
void run_abort(struct run *run, int status, const char *reason);

/* Has the guest ended, so that its loop is only waiting for the mover? */
bool run_is_ending(const struct run *run);

/* Where it moved to; NULL: it is here. */
const char *run_moved_to(const struct run *run);

/* What the guest is up to: QMP's RunState names, and "handover-unknown". */
const char *run_status_name(const struct run *run);

/* Its name, even if it has moved. */
const char *run_name(const struct run *run);

#endif
