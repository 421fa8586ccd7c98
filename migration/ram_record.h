/* SPDX-License-Identifier: MIT */
/* Records: what a memory stream consists of. */
#ifndef FERRY_MIGRATION_RAM_RECORD_H
#define FERRY_MIGRATION_RAM_RECORD_H

#include <stdint.h>
#include <sys/uio.h>
#include <xxh_x86dispatch.h>

#include "migration/ram.h"
#include "util/compiler.h"
#include "util/err.h"

/*
 * A record is a header, runs of pages, and a payload, little-endian:
 *
 *	u32 kind
 *	u32 bytes      of the payload
 *	u32 nr_runs
 *	u32 nr_pages   in all runs
 *	u64 checksum   XXH3-64 of the header with 0 here, the runs, the payload
 *	nr_runs times:
 *		u64 first page
 *		u32 count
 *		u32 0
 *	the payload: contents of the pages, one after the other
 *
 * Runs ascend and do not touch what came before in their record; each lies in one
 * chunk, and that belongs to the stream. Other kinds and numbers are refused.
 */
enum ram_kind {
	RAM_RAW = 1, /* contents as they are */
	RAM_ZERO,    /* no payload: the pages are zero */
	RAM_LZ4,     /* compressed as one block; smaller than the pages */
	RAM_ZSTD,    /* as one frame; smaller than the pages */
	RAM_IDLE,    /* nothing to send: the stream is alive */
	RAM_END,     /* nothing follows */
	RAM_MARK,    /* sent back as it is when all before it is where it belongs */
};

#define RAM_HEADER_BYTES      24U
#define RAM_RUN_BYTES         16U
#define RAM_RECORD_MAX_PAGES  256U /* with a payload */
#define RAM_RECORD_MAX_RUNS   256U
#define RAM_PAYLOAD_MAX_BYTES (RAM_RECORD_MAX_PAGES * RAM_PAGE_BYTES)

struct ram_header {
	uint32_t kind, bytes, nr_runs, nr_pages;
	uint64_t checksum;
};

struct ram_run {
	uint64_t first;
	uint32_t count, zero;
};

_Static_assert(sizeof(struct ram_header) == RAM_HEADER_BYTES, "header on the wire");
_Static_assert(sizeof(struct ram_run) == RAM_RUN_BYTES, "run on the wire");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are on the wire as they are");

/* What pages a stream may talk about. */
struct ram_span {
	uint64_t nr_pages; /* of all RAM */
	unsigned stream, nr_streams;
};

/* The checksum of a record whose payload is in @payload; @state is the caller's, for scratch. */
uint64_t ram_record_checksum(XXH3_state_t *state, const struct ram_header *h,
			     const struct ram_run *runs, const struct iovec *payload,
			     unsigned nr_payload);

/* Are kind and numbers ones that a record can have? 0 or -EPROTO with the reason. */
__must_check int ram_header_check(const struct ram_header *h, struct err *e);

/* Are these h->nr_runs runs good? 0 or -EPROTO with the reason. */
__must_check int ram_runs_check(const struct ram_header *h, const struct ram_run *runs,
				const struct ram_span *span, struct err *e);

#endif
