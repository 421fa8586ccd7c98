/* SPDX-License-Identifier: MIT */
/* The hand-over: the few messages after which the destination has the guest. */
#ifndef FERRY_MIGRATION_HANDOVER_H
#define FERRY_MIGRATION_HANDOVER_H

/* What the listener knows about the guest of a session. */
enum handover_answer {
	HANDOVER_WAIT,    /* not decided: ask again */
	HANDOVER_RUNNING, /* the commit arrived: the guest is the destination's, or was */
	HANDOVER_NEVER,   /* its process has ended without the commit, and never ran it */
};

#endif
