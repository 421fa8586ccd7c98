/* SPDX-License-Identifier: MIT */
/* Inside the source's side: what its files share. */
#ifndef FERRY_MIGRATION_SOURCE_IMPL_H
#define FERRY_MIGRATION_SOURCE_IMPL_H

#include "migration/source.h"
#include "migration/talk.h"
#include "util/thread.h"

struct source {
	/* const after source_start() */
	struct source_params p;
	uint64_t start_ns;
	pthread_t thread;
	struct phase_gate gate; /* locks itself */

	/* the migration's thread only */
	struct talk *talk;
	struct ticket ticket; /* once HELLO was answered */
	bool paused;          /* by us */
	bool released;        /* the disk locks */
	bool told_released;   /* the peer */
	bool untold;          /* the last pass, to who listens */
	struct source_pass last_pass;

	struct mutex lock;      /* protects: the rest; order: a leaf */
	pthread_cond_t changed; /* forced or abandoned */
	bool committed;         /* the guest is no longer ours */
	bool cancelled;         /* and will not be handed over */
	bool abandoned, forced;
	bool ram_on; /* between ram_start() and ram_stop() */
	struct channel *control, *streams[RAM_MAX_STREAMS];
	struct source_status st;
	uint64_t pass_start_ns; /* of the pass that is under way; 0: none is */
	struct ram_stats pass_start;
	uint64_t end_ns; /* of the migration; 0: it goes on */
	struct source_pass passes[SOURCE_MAX_PASSES];
};

/* Nanoseconds since the migration began. */
uint64_t source_elapsed_ns(const struct source *s);

/* Set the state, and tell the listener. */
void source_set_state(struct source *s, enum source_state state);

/* Does the process end? */
bool source_is_abandoned(struct source *s);

/* Wait so long, or until somebody forces or abandons something. */
void source_sleep(struct source *s, uint64_t ns);

/* The log, and the passes while the guest runs. 0 or -errno. */
__must_check int source_precopy(struct source *s, struct err *e);

/* One pass, counted and, but for the last, told, into *@ret. 0 or -errno. */
__must_check int source_pass(struct source *s, bool last, struct source_pass *ret, struct err *e);

/* The commit was sent, and nobody here knows who has the guest: say so. */
void source_become_unknown(struct source *s, const char *why);

/*
 * The commit was sent, and no answer came: wait until it is known who has the
 * guest. True: it is ours. False: it is the destination's, or source_is_abandoned().
 */
__must_check bool source_settle(struct source *s);

#endif
