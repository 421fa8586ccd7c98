/* SPDX-License-Identifier: MIT */
/* Both sides of a teleport in one process, with a wire between them that fails on demand. */
#ifndef FERRY_TESTS_HANDOVER_RIG_H
#define FERRY_TESTS_HANDOVER_RIG_H

#include <pthread.h>
#include <stdbool.h>

#include "migration/dest.h"
#include "migration/source.h"
#include "util/thread.h"

/*
 * The real source and the real destination talk over socketpairs. Between them two
 * threads forward the control connection section by section. The guest, its
 * locks, and the listener who answers questions are a few flags, which are
 * watched: that never two copies run is checked whenever one begins to.
 *
 * Whatever happens has a name: "s>d 5 before" is the moment before the fifth
 * section from source to destination is forwarded, "d run after" the one after the
 * destination's operation run. A fault is a name and what happens then.
 */
enum rig_fault {
	RIG_NONE,
	RIG_CUT,         /* all connections */
	RIG_KILL_SOURCE, /* the process is gone, with its copy and its locks */
	RIG_KILL_DEST,
	RIG_CANCEL, /* somebody cancels at the source */
	RIG_FAIL,   /* the operation fails; of "before" only */
	/* what a bad peer does with a section; of "before" only */
	RIG_SWALLOW, /* and nothing more is forwarded in that direction; later, cut */
	RIG_TWICE,
	RIG_OTHER,  /* a section of another type instead */
	RIG_GARBLE, /* a flipped bit */
	RIG_HALF,   /* half of it, then cut */
	RIG_NR_FAULTS,
};

enum rig_listener {
	RIG_ANSWERS,
	RIG_HESITATES, /* nobody answers the first two questions */
	RIG_SILENT,    /* nobody ever answers */
	RIG_NR_LISTENERS,
};

#define RIG_MAX_POINTS 160U
#define RIG_NAME_BYTES 32U

struct rig_plan {
	char point[RIG_NAME_BYTES];
	enum rig_fault fault;
	enum rig_listener listener;
	bool early; /* the source says that it has no locks, so that it may release them early */
	struct source_options options;
};

/* How it ended. */
struct rig_result {
	enum source_state state;
	bool source_runs, dest_runs, source_dead, dest_dead;
	bool commit_arrived, committed, hit;
	const char *wrong;
	char error[512];
};

/*
 * Play it to the end. @ret_points (NULL: not wanted): the names of all moments,
 * each of RIG_NAME_BYTES; returns how many.
 */
unsigned rig_play(const struct rig_plan *plan, struct rig_result *ret,
		  char ret_points[][RIG_NAME_BYTES]);

#endif
