/* SPDX-License-Identifier: MIT */
/* What the files of the memory sender share. */
#ifndef FERRY_MIGRATION_RAM_SENDER_IMPL_H
#define FERRY_MIGRATION_RAM_SENDER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/channel.h"
#include "migration/ram_codec.h"
#include "migration/ram_record.h"
#include "util/thread.h"
#include "util/token_bucket.h"
#include "vmm/dirty_log.h"
#include "vmm/gmem.h"

#define CHUNK_WORDS (RAM_CHUNK_PAGES / 64)

/* A record that is being put together. */
struct ram_batch {
	struct ram_header h;
	struct ram_run runs[RAM_RECORD_MAX_RUNS];
};

struct ram_stream {
	/* const after ram_stream_init() */
	struct ram_sender *s;
	struct channel *ch;
	struct ram_span span;
	struct ram_codec *codec;
	XXH3_state_t *hash;
	uint8_t *copy;   /* contents of the pages in data, while the guest runs */
	uint8_t *packed; /* the same compressed; NULL: not wanted */

	pthread_t thread; /* valid if started; who made the sender */
	bool started;

	bool busy; /* of stream 0: a pass, or a sign of life; under the sender's lock */

	/* who sends: the thread, or for stream 0 who made it busy */
	struct ram_batch data, zero;
	struct iovec iov[2 + RAM_RECORD_MAX_RUNS];
	bool in_place; /* the guest stands: no copy is needed */
	bool unmarked; /* pages were sent since the last mark came back */
};

struct ram_sender {
	/* const after ram_sender_new() */
	struct gmem *gm;
	struct dirty_log *log;
	struct gmem_scan *scan;
	uint64_t nr_pages, nr_words;
	unsigned nr_streams;
	struct ram_stream streams[RAM_MAX_STREAMS];

	/* Who asks for passes, between them; each stream writes its chunks of sent. */
	uint64_t *plan; /* what this pass sends */
	uint64_t *sent; /* what the receiver has heard of */

	_Atomic bool stop;             /* partners: fail(), free(); streams look now and then */
	_Atomic unsigned record_pages; /* contents in one record; fewer under a low cap */

	struct mutex lock;    /* protects: the group below; order: leaf */
	pthread_cond_t begin; /* pass_no or quit changed */
	pthread_cond_t done;  /* nr_busy became 0, or a stream is busy no more */
	unsigned pass_no, nr_busy;
	bool last, ended, quit;
	struct err error; /* the first; code 0: none */
	struct token_bucket bucket;

	/* relaxed counters, as in struct ram_stats */
	_Atomic uint64_t pages_sent, pages_zero, pages_skipped, bytes_wire, bytes_payload;
};

/* What a stream's thread needs, but not the thread. 0 or -ENOMEM. */
__must_check int ram_stream_init(struct ram_stream *st, enum ram_compress compress, int level);
void ram_stream_fini(struct ram_stream *st);

/* The stream's part of a pass. 0 or -errno. Its thread. */
__must_check int ram_stream_pass(struct ram_stream *st, bool last);

/* Say that the stream is alive. 0 or -errno. Its thread. */
__must_check int ram_stream_idle(struct ram_stream *st);

/* Wait until @bytes may be sent under the cap. 0 or -ECANCELED. A stream's thread. */
__must_check int ram_sender_pace(struct ram_sender *s, uint64_t bytes);

#endif
