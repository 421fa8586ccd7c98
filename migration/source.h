/* SPDX-License-Identifier: MIT */
/* The source's side of a teleport: the phases, and who has the guest in the end. */
#ifndef FERRY_MIGRATION_SOURCE_H
#define FERRY_MIGRATION_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/handover.h"
#include "migration/phase.h"
#include "migration/ram.h"
#include "migration/section.h"
#include "migration/ticket.h"
#include "util/compiler.h"
#include "util/err.h"

struct channel;
struct source;

/*
 * What the migration does with the guest. All are called on the migration's
 * thread; whoever implements them goes to the main loop as needed.
 */
struct source_guest_ops {
	/*
	 * Can it be moved as it is now? CONFIG's payload, malloc()ed. 0, or
	 * -errno with the device and the reason.
	 */
	int (*describe)(void *opaque, void **ret, size_t *ret_bytes, struct err *e);
	/* Put what a later reset needs (kernel, initrd). The guest runs. */
	int (*save_boot)(void *opaque, const struct section_sink *sink, struct err *e);
	/*
	 * Stop vCPUs and devices; *@ret_ns: CLOCK_MONOTONIC, from when on the guest
	 * may have stood. -EAGAIN: it is in the middle of a reset or its end, which
	 * comes first; -errno: it cannot be moved any more. Between pause() and
	 * resume() nobody else makes it run.
	 */
	int (*pause)(void *opaque, uint64_t *ret_ns, struct err *e);
	/* The guest goes on here (unless the user had paused it). */
	void (*resume)(void *opaque);
	/*
	 * Begin to collect its state, while others work. It is paused, and save() or
	 * ram_stop() comes.
	 */
	void (*begin_save)(void *opaque);
	/* Put all sections of its state, END included. It is paused. */
	int (*save)(void *opaque, const struct section_sink *sink, struct err *e);
	/* Are there any? Otherwise the next two do nothing. */
	bool (*has_locks)(void *opaque);
	/* Give its disk locks up; take them again (-EAGAIN: the other still has one). */
	int (*release_locks)(void *opaque, struct err *e);
	int (*take_locks)(void *opaque, struct err *e);
	/* Make the vCPUs rest for so many percent of the time; 0: not at all. */
	void (*throttle)(void *opaque, unsigned percent);
	/* Nobody knows who has the guest; it stays paused. */
	void (*unknown)(void *opaque);

	/* memory: the log, and the sender over @streams. stop() is fine without start(). */
	int (*ram_start)(void *opaque, struct channel *const *streams, unsigned nr_streams,
			 const struct ram_options *options, struct err *e);
	int (*ram_pass)(void *opaque, bool last, struct ram_pass *ret, struct err *e);
	uint64_t (*ram_remaining)(void *opaque);
	void (*ram_stats)(void *opaque, struct ram_stats *ret);
	uint64_t (*ram_checksum)(void *opaque);
	void (*ram_stop)(void *opaque);

	/*
	 * The guest runs elsewhere. Put what its networks have brought here since it stood
	 * (SECTION_FRAMES), until they know where it is; at most a moment. Returns how many
	 * frames that were.
	 */
	uint64_t (*carry)(void *opaque, const struct section_sink *sink);
};

/* How the peer is reached. The migration's thread; a channel is the caller's. */
struct source_peer_ops {
	/* Connect the control connection, or stream @index, which shows the ticket. */
	int (*open_control)(void *opaque, struct channel **ret, struct err *e);
	int (*open_stream)(void *opaque, unsigned index, const struct ticket *ticket,
			   struct channel **ret, struct err *e);
	/*
	 * Ask on a new connection what became of the guest. -errno: no answer of one who
	 * has the ticket.
	 */
	int (*ask)(void *opaque, const struct ticket *ticket, enum handover_answer *ret,
		   struct err *e);
	/* End a connect() or ask() that is under way, and all later ones. Any thread. */
	void (*cancel)(void *opaque);
};

struct source_options {
	struct ram_options ram;
	unsigned nr_streams;      /* 1 to RAM_MAX_STREAMS */
	uint64_t max_downtime_ns; /* passes go on until it will be no longer */
	uint64_t switch_after_ns; /* of passes: hand over whatever the downtime; 0: never */
	bool stopped;             /* pause first */
	bool auto_converge;
	bool verify; /* compare the checksum of all memory before the hand-over */
	bool clock_real;
	uint32_t hold; /* phases, see phase.h */
};

/* QMP's states of a migration, and one that QMP does not have. */
enum source_state {
	SOURCE_SETUP,
	SOURCE_ACTIVE, /* passes */
	SOURCE_DEVICE, /* the guest stands: downtime */
	SOURCE_CANCELLING,
	SOURCE_CANCELLED,
	SOURCE_FAILED,
	SOURCE_UNKNOWN, /* commit was sent, and no answer came */
	SOURCE_COMPLETED,
};

#define SOURCE_MAX_PASSES 1024U /* that are remembered; those in the middle are merged */

struct source_pass {
	uint64_t start_ns; /* since the migration's start */
	uint64_t duration_ns;
	uint64_t pages, bytes_wire;
	uint64_t dirty_pages; /* what was left to send when it ended */
	unsigned throttle;    /* percent, during it */
};

/* What is known of it. Times in ns; 0: not yet. */
struct source_status {
	enum source_state state;
	enum phase phase;
	bool held;
	uint64_t elapsed_ns, setup_ns, downtime_ns, expected_downtime_ns;
	uint64_t stopped_at_ns, running_at_ns; /* since the start */
	uint64_t dest_downtime_ns;             /* the destination's part of the downtime */
	uint64_t frames_carried;               /* that came for it here after it had left */
	uint64_t phase_ns[NR_PHASES];          /* how long each took; not while it was held */
	struct ram_stats ram;
	uint64_t total_bytes, remaining_bytes;
	uint64_t dirty_pages_per_s, bytes_per_s;
	unsigned throttle;
	unsigned nr_passes;
	struct err error; /* code 0: none */
};

struct source_listener {
	/* State or hold has changed; a pass is over. The migration's thread, no locks. */
	void (*changed)(void *opaque);
	void (*pass)(void *opaque, unsigned number, const struct source_pass *pass);
	/* The thread is done, and the guest is resumed, or gone: source_free() may be called. */
	void (*done)(void *opaque);
};

struct source_params {
	struct source_options options;
	const struct source_guest_ops *guest;
	const struct source_peer_ops *peer;
	const struct source_listener *listener;
	void *opaque; /* for all of them */
	uint64_t ram_bytes;
};

/* Start the migration on a thread of its own. 0 or -errno. */
__must_check int source_start(struct source **ret, const struct source_params *params,
			      struct err *e);

/* Wait for the thread, free. NULL: no-op. After done(), or source_abandon(). */
void source_free(struct source *s);

/*
 * Give it up for the reason @why (-ECANCELED: a person wants it): the guest goes
 * on here. -EBUSY once the commit was sent. Done when the listener hears it.
 * Any thread, as all below.
 */
__must_check int source_cancel(struct source *s, const struct err *why, struct err *e);

/* The process ends: stop waiting for anything, resume nothing. */
void source_abandon(struct source *s);

/* Go on from the phase where it is held. 0 or -EINVAL. */
__must_check int source_continue(struct source *s, struct err *e);

/* In SOURCE_UNKNOWN: somebody knows that the guest does not run there. 0 or -EINVAL. */
__must_check int source_force_resume(struct source *s, struct err *e);

/* How far it is, or how it ended. */
void source_get_status(struct source *s, struct source_status *ret);

/* The passes so far, at most @max of them, the last ones. Returns how many. */
unsigned source_get_passes(struct source *s, struct source_pass *ret, unsigned max);

/* "active", ... */
const char *source_state_name(enum source_state state);

#endif
