/* SPDX-License-Identifier: MIT */
/* Guest memory on its way: passes over dirty pages, sent and received by several streams. */
#ifndef FERRY_MIGRATION_RAM_H
#define FERRY_MIGRATION_RAM_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

struct channel;
struct dirty_log;
struct gmem;

/*
 * Theory of operation
 *
 * RAM is numbered in pages by offset (gmem regions one after the other), and cut
 * into chunks of RAM_CHUNK_PAGES. A chunk belongs to one stream for the whole
 * migration (chunk number modulo streams), so what one page was in pass 3 can
 * never overtake what it was in pass 4, and passes need no barrier. A chunk is
 * as large as a huge page, so that two streams never fault in the same one. Each
 * stream has a thread on either side.
 *
 * A pass: the log says which pages were written since they were last sent;
 * each stream goes through its chunks, clears the log of the pages that it
 * is about to send, and only then reads them. Pages that were never populated
 * (balloon, free page reporting, never touched) are neither cleared, read nor
 * sent, until they are. Zero pages travel as a run of numbers.
 *
 * While the guest runs, a page may change under the sender: it is copied into
 * the record first, so that the record's checksum is that of what is sent. In
 * the last pass the guest stands, and its memory is sent from where it is.
 *
 * A pass that is not the last ends when each receiver has said that all of it is
 * where it belongs.
 *
 * A stream that has nothing to send says so now and then, so that the receiver
 * can tell one that is slow from one that is gone.
 */
#define RAM_CHUNK_PAGES 512U /* 2 MiB */
#define RAM_MAX_STREAMS 16U
#define RAM_PAGE_BYTES  4096U

enum ram_compress { RAM_COMPRESS_NONE, RAM_COMPRESS_LZ4, RAM_COMPRESS_ZSTD };

struct ram_options {
	enum ram_compress compress;
	int level;                /* of zstd; 0: its default */
	uint64_t bandwidth_bytes; /* a second, all streams together; 0: no limit */
};

/* All counts are of the whole migration so far; read by any thread. */
struct ram_stats {
	uint64_t pages_sent;    /* with contents */
	uint64_t pages_zero;    /* as part of a run of zeroes */
	uint64_t pages_skipped; /* in the log but not populated, and never sent */
	uint64_t bytes_wire;    /* records as sent */
	uint64_t bytes_payload; /* contents before compression */
};

/* One pass, when it is over. */
struct ram_pass {
	uint64_t pages; /* sent, zero ones included */
	uint64_t bytes_wire;
	uint64_t duration_ns;
};

struct ram_sender;

/*
 * Streams' threads for sending the memory of @log over @streams (which stay the
 * caller's, and outlive the sender). 0 or -errno. Not a vCPU or loop thread, as
 * all functions of the sender.
 */
__must_check int ram_sender_new(struct ram_sender **ret, struct dirty_log *log,
				struct channel *const *streams, unsigned nr_streams,
				const struct ram_options *options, struct err *e);

/*
 * Cancel the streams unless they have seen the end, wait for the threads, free.
 * NULL: no-op.
 */
void ram_sender_free(struct ram_sender *s);

/*
 * Send what is dirty now, and wait until the receiver has it. @last: the guest is
 * paused, and this is not waited for: the streams have been told the end. 0 or
 * -errno with the stream and the reason.
 */
__must_check int ram_sender_pass(struct ram_sender *s, bool last, struct ram_pass *ret,
				 struct err *e);

/*
 * How many pages a pass would have to send now: dirty and populated. Not while a
 * pass is under way. UINT64_MAX where the log cannot be read: the pass will say why.
 */
uint64_t ram_sender_remaining(struct ram_sender *s);

/* Change the cap while it runs. */
void ram_sender_set_bandwidth(struct ram_sender *s, uint64_t bytes_per_s);

/* What was sent so far. Any thread. */
void ram_sender_stats(const struct ram_sender *s, struct ram_stats *ret);

struct ram_receiver;

/*
 * Start receiving into @gm, whose guest does not run, and which nobody else uses
 * until ram_receiver_wait() has returned; what it held before is zeroed. @streams stay the
 * caller's. 0 or -errno.
 */
__must_check int ram_receiver_new(struct ram_receiver **ret, struct gmem *gm,
				  struct channel *const *streams, unsigned nr_streams,
				  struct err *e);

/* Wait until every stream has ended well. 0, or -errno with the stream and the reason. */
__must_check int ram_receiver_wait(struct ram_receiver *r, struct err *e);

/* Cancel, wait for the threads, free. NULL: no-op. */
void ram_receiver_free(struct ram_receiver *r);

/*
 * XXH3-64 of all pages that are not zero, each behind its number (u64): to prove
 * that both sides agree. Unpopulated pages are not touched. The guest
 * stands. 0: no memory.
 */
uint64_t ram_checksum(struct gmem *gm);

#endif
