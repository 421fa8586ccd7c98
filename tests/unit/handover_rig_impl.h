/* SPDX-License-Identifier: MIT */
/* Inside the rig: what the sides and the wire between them share. */
#ifndef FERRY_TESTS_HANDOVER_RIG_IMPL_H
#define FERRY_TESTS_HANDOVER_RIG_IMPL_H

#include <stdatomic.h>

#include "handover_rig.h"

#define RIG_SOURCE 0
#define RIG_DEST   1

struct rig {
	struct rig_plan plan;
	struct source *source;
	struct channel *dest_control;
	struct phase_gate gate;
	pthread_t forwarders[2], dest_thread;
	struct channel *source_stream, *dest_stream;

	_Atomic bool hit; /* the fault has happened */

	struct mutex lock; /* protects: the rest */
	pthread_cond_t changed;
	int sockets[2][2];           /* control: [source, destination][theirs, forwarder's] */
	int streams[2];              /* one: source's, destination's */
	bool source_dead, dest_dead; /* killed */
	bool source_runs, dest_runs, source_locked, dest_locked;
	bool committed;      /* the note to the listener */
	bool commit_arrived; /* was forwarded to the destination */
	bool dest_ended;     /* its process, without running the guest */
	bool done;           /* the source's thread */
	bool unknown;        /* it waits for an answer */
	bool muted[2];
	unsigned questions;
	unsigned sections[2];
	const char *wrong; /* the first thing that must not happen */
	unsigned nr_points;
	char points[RIG_MAX_POINTS][RIG_NAME_BYTES];
};

/* Note that the moment "@what @when" has come. True: it is the one of the plan. */
bool rig_point(struct rig *r, const char *what, const char *when);

/* Is the fault one of processes and connections, rather than of a section or operation? */
bool rig_is_whole(enum rig_fault fault);

/* Let it happen. */
void rig_strike(struct rig *r);

/* All connections break. */
void rig_cut_locked(struct rig *r);

/* A thread that forwards one direction: that of sender RIG_SOURCE or RIG_DEST. */
struct rig_forwarder {
	struct rig *r;
	unsigned direction;
};
void *rig_forward(void *forwarder);

#endif
