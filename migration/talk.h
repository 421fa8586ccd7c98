/* SPDX-License-Identifier: MIT */
/* The control connection of a teleport: sections, messages, replies, signs of life. */
#ifndef FERRY_MIGRATION_TALK_H
#define FERRY_MIGRATION_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/section.h"
#include "util/compiler.h"
#include "util/err.h"

struct channel;
struct talk;

/*
 * Theory of operation
 *
 * Either side may have nothing to say for hours: a pass takes its time, and a
 * side may be held at a phase. So each sends MESSAGE alive every second, and
 * each reads all the time, on a thread of its own. Who hears nothing for
 * CHANNEL_TIMEOUT_MS takes the peer for dead; who is told that the other has
 * given up knows it at once, in whatever phase it is.
 *
 * The conversation ends for one reason, the first: the connection broke, the
 * peer refused (REPLY with a code), it cancelled, or we did. All functions then
 * fail with that reason; what the peer had said before is read first.
 */
enum talk_message {
	MESSAGE_ALIVE = 1, /* nothing; either side, at any time */
	MESSAGE_CANCEL,    /* source: it keeps the guest */
	MESSAGE_STOPPED,   /* source: the guest stands, and all memory is sent: STOPPED_VALUES */
	MESSAGE_RELEASED,  /* source: the disk locks are free */
	MESSAGE_COMMIT,    /* source: the guest is yours */
	MESSAGE_RUNNING,   /* destination: it runs: RUNNING_VALUES */
	MESSAGE_HEARD,     /* source: it knows that, and has nothing left to ask */
};
#define TALK_MAX_VALUES 4U

/* Values of MESSAGE stopped. */
enum stopped_value { STOPPED_FLAGS, STOPPED_CHECKSUM, STOPPED_VALUES };
enum stopped_flags {
	STOPPED_CLOCK_REAL = 1 << 0, /* the guest's clocks jump over the downtime */
	STOPPED_CHECKED = 1 << 1,    /* the checksum of all memory is there */
};

/* Values of MESSAGE running: nanoseconds since commit arrived. */
enum running_value { RUNNING_NS, RUNNING_VALUES };

struct talk_params {
	struct channel *ch; /* stays the caller's, who leaves it alone until talk_free() */
	/* The peer ended it, or the network: once, on whatever thread saw it, without locks. */
	void (*ended)(void *opaque, const struct err *why);
	void *opaque;
};

/* Begin to listen and to give signs of life. 0 or -errno. */
__must_check int talk_new(struct talk **ret, const struct talk_params *params, struct err *e);

/* Cancel the channel, wait for the threads, free. NULL: no-op. */
void talk_free(struct talk *t);

/* All waiting ends, with @why. The peer is not told. Any thread. */
void talk_cancel(struct talk *t, const struct err *why);

/* Tell the peer, if it still listens, that the source keeps the guest. Before talk_free(). */
void talk_say_cancel(struct talk *t);

/* Send and receive sections. 0, or -errno with why the conversation is over. */
__must_check int talk_send(struct talk *t, uint32_t type, uint32_t id, const void *payload,
			   size_t bytes, struct err *e);
__must_check int talk_send_all(struct talk *t, const struct section *items, size_t nr,
			       struct err *e);
__must_check int talk_recv(struct talk *t, uint32_t type, struct section *ret, struct err *e);

/* Messages, with exactly @nr values (of 8 bytes each). */
__must_check int talk_send_message(struct talk *t, enum talk_message kind, const uint64_t *values,
				   unsigned nr, struct err *e);
__must_check int talk_recv_message(struct talk *t, enum talk_message kind, uint64_t *ret_values,
				   unsigned nr, struct err *e);

/* The same for a section that has been received. 0 or -EPROTO. */
__must_check int talk_take_message(const struct section *s, enum talk_message kind,
				   uint64_t *ret_values, unsigned nr, struct err *e);

/*
 * The destination's answer: 0, or why not (which is said even after the
 * conversation was cancelled here); and what the source gets of it.
 */
__must_check int talk_send_reply(struct talk *t, int code, const char *text, struct err *e);
__must_check int talk_recv_reply(struct talk *t, struct err *e);

/*
 * Wait until there is something to receive, or the conversation is over. False: neither
 * within @timeout_ms, though the peer is alive.
 */
bool talk_wait(struct talk *t, unsigned timeout_ms);

/* Has the peer said itself that it gave up (rather than fallen silent)? */
bool talk_was_refused(struct talk *t);

/*
 * Something else failed, which may be a consequence: if the conversation has
 * ended, or ends within @timeout_ms, take its reason for @e. Returns e->code.
 */
int talk_explain(struct talk *t, unsigned timeout_ms, struct err *e);

/* The same connection for those who write or read a machine's state. */
const struct section_sink *talk_sink(struct talk *t);
const struct section_source *talk_source(struct talk *t);

#endif
