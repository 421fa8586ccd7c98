/* SPDX-License-Identifier: MIT */
/* The destination's side of a teleport: from HELLO to the running guest. */
#ifndef FERRY_MIGRATION_DEST_H
#define FERRY_MIGRATION_DEST_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/phase.h"
#include "migration/section.h"
#include "migration/ticket.h"
#include "util/compiler.h"
#include "util/err.h"

struct channel;

/*
 * What the conversation does with the guest that comes, once it is reserved. All
 * are called on the conversation's thread; whoever implements them goes to the
 * main loop as needed.
 */
struct dest_guest_ops {
	/* Receive memory; wait until all of it is there; end it, whatever it does. */
	int (*ram_start)(void *opaque, struct channel *const *streams, unsigned nr_streams,
			 struct err *e);
	int (*ram_wait)(void *opaque, struct err *e); /* on a thread of its own */
	void (*ram_stop)(void *opaque); /* fine without start(); the channels are cancelled */
	uint64_t (*ram_checksum)(void *opaque);
	/* A piece of what a later reset needs (kernel, initrd). */
	int (*load_boot)(void *opaque, const struct section *piece, struct err *e);
	/* Read all sections up to END, check and load them. @flags: enum stopped_flags. */
	int (*load)(void *opaque, const struct section_source *source, uint64_t flags,
		    struct err *e);
	/* Take the disk locks; give them up again, for a source that resumes. */
	int (*take_locks)(void *opaque, struct err *e);
	void (*release_locks)(void *opaque);
	/* Let it run, unless its user had paused it. The last that can fail. */
	int (*run)(void *opaque, struct err *e);
	/* The source was told that it runs: tell the networks. */
	void (*announce)(void *opaque);
	/* What came for it where it was (SECTION_FRAMES). -EPROTO: not that. */
	int (*take_frames)(void *opaque, const struct section *frames, struct err *e);
};

/* What the conversation needs of the listener. */
struct dest_peer_ops {
	/* HELLO is done: so many streams will come. */
	void (*expect_streams)(void *opaque, unsigned nr);
	/* The connection of stream @index, which the source opens soon: waits for it, bounded. */
	int (*get_stream)(void *opaque, unsigned index, struct channel **ret, struct err *e);
	/*
	 * The commit has come, and the guest runs next. From here on whoever asks has
	 * to wait until it runs, and is told that it does if this process is killed.
	 */
	void (*committed)(void *opaque);
	/* CONFIG was read: this is what the guest is called here. For messages. */
	void (*named)(void *opaque, const char *name);
	/*
	 * It runs, since @after_ns from the commit. Once after committed(), and again
	 * with @told when the source has said that it knows: else it will ask.
	 */
	void (*running)(void *opaque, uint64_t after_ns, bool told);
};

struct dest_params {
	struct channel *control; /* preamble and TLS are done; stays the caller's */
	struct ticket ticket;    /* for the source */
	const struct dest_guest_ops *guest;
	const struct dest_peer_ops *peer;
	void *opaque;            /* for both */
	struct phase_gate *gate; /* the caller's: hold, continue, cancel */
};

struct dest;

/*
 * Begin: HELLO, and CONFIG into *@ret_config (the payload is then the caller's).
 * Any thread. 0, or -errno with the reason; the peer has been told.
 */
__must_check int dest_new(struct dest **ret, const struct dest_params *params,
			  struct section *ret_config, struct err *e);

/* The guest that CONFIG describes cannot be had here: say why. */
void dest_refuse(struct dest *d, const struct err *why);

/*
 * All is reserved: hold the rest of the conversation. 0: the guest runs here.
 * -errno with the reason: it does not, and never will; the caller throws
 * everything away. Not the main loop's thread, which goes on meanwhile.
 */
__must_check int dest_receive(struct dest *d, struct err *e);

/*
 * End the conversation, wherever it is, unless the guest runs here already. Any
 * thread; dest_receive() then returns -ECANCELED.
 */
void dest_cancel(struct dest *d, const struct err *why);

/* End the conversation if it goes on, free. NULL: no-op. */
void dest_free(struct dest *d);

#endif
