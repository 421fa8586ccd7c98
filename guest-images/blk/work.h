/* SPDX-License-Identifier: MIT */
/* What the blk guest can be asked to do. */
#ifndef GUEST_BLK_WORK_H
#define GUEST_BLK_WORK_H

#include "blk.h"
#include "sector.h"

struct work_params {
	bool sequential;
	bool expect_ioerr;
	bool queue_reset;      /* reset= queue, not the device */
	unsigned int read_pct; /* of reads and writes */
	unsigned int depth;
	unsigned int batch; /* submit when that many slots are free */
	uint32_t bs_bytes;  /* of a block */
	uint32_t bs_sectors;
	uint64_t start;                  /* first sector */
	uint64_t sectors;                /* a multiple of bs_sectors */
	uint64_t ops;                    /* 0: no limit */
	uint64_t time_ns;                /* 0: no limit */
	uint64_t flush, discard, zeroes; /* one in so many; 0: none */
	uint64_t resets;
	uint32_t seed;
};

struct stats {
	uint64_t submitted, done, bytes, errors, corrupt, dropped, resets;
	uint64_t reads, writes, flushes, discards, zeroes;
	uint64_t min_tsc, max_tsc, sum_tsc; /* latency */
	uint64_t start_ns;
};

struct work {
	struct blk *blk;
	struct work_params p;
	struct stats stats;
	struct blk_req *slots; /* depth of them */
	unsigned int in_flight;
	/* Per sector from p.start on: its generation, or SECTOR_UNKNOWN or _ZERO. */
	uint32_t *expected;
	uint8_t *busy;       /* per block: a request is in flight */
	uint64_t next_block; /* of a sequential run */
	uint64_t random;
	uint32_t generation; /* the last one that was written */
	unsigned int button_vector;
	bool stopped; /* by the power button */
};

/* Reads the parameters; allocates slots and buffers. Ends the guest if they make no sense. */
void work_init(struct work *work, struct blk *blk);

/* Random or sequential requests, every read verified. Returns an enum guest_exit. */
int work_run(struct work *work);

/*
 * Whether the limit of time or operations is reached, or the button was pressed, and
 * how far that is, 0 to 1000.
 */
bool work_finished(const struct work *work);
unsigned int work_permille(const struct work *work);

/* Resets with requests in flight; then finds out what became of the sectors they were writing. */
void work_reset(struct work *work);

/* Checks @sectors sectors of @data, which begins at sector @index of the span. */
void work_verify(struct work *work, const struct sector *data, uint64_t index, uint32_t sectors);

/* The same requests without any checks, for comparing monitors. */
int bench_run(struct work *work);

/* Writes the whole span with generation @generation, and knows it then. */
void pattern_fill(struct work *work, uint32_t generation);

/* Reads the whole span and verifies what is known about it. */
void pattern_verify(struct work *work);

/* pattern=write and pattern=verify. */
int pattern_run(struct work *work);

/* expect=needs_reset. */
int mistakes_run(struct work *work);

/* expect=ro, expect=edge and expect=growth. */
int checks_read_only(struct work *work);
int checks_growth(struct work *work);
int checks_edges(struct work *work);

/* Counts a finished request. */
void stats_count(struct stats *stats, const struct blk_req *req);
/* Prints the line of results. */
void stats_report(const struct work *work, const char *what);

#endif
