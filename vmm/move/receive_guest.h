/* SPDX-License-Identifier: MIT */
/* One guest that comes by teleport, in a process of its own: from HELLO to its end. */
#ifndef FERRY_VMM_MOVE_RECEIVE_GUEST_H
#define FERRY_VMM_MOVE_RECEIVE_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/dest.h"
#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/state.h"

/* What the process that listens hands to the one that receives. */
struct receive_session {
	struct channel *control;          /* preamble and TLS are done; stays the caller's */
	struct ticket ticket;             /* for the source */
	const struct dest_peer_ops *peer; /* the other connections; the note to the listener */
	/* So much may the guest come to use. 0, or -ENOMEM with what there is. */
	int (*reserve)(void *opaque, uint64_t memory_bytes, struct err *e);
	void *opaque; /* for all of them */
	const struct guest_changes *changes;
	uint32_t hold; /* phases to stop at, see migration/phase.h */
	bool verbose, json;
};

/*
 * Receive the guest, and run it to its end as `ferry run` does. The main thread of a
 * process that has no other; nothing was started yet, signals are as ferry found
 * them. Returns the guest's exit status, or -errno with the reason (which the
 * source has been told) where it never ran here: then nothing is left of it.
 */
__must_check int receive_guest(const struct receive_session *session, struct err *e);

#endif
