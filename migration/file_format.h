/* SPDX-License-Identifier: MIT */
/* Inside the saved file: bytes of its header and index, and what both directions share. */
#ifndef FERRY_MIGRATION_FILE_FORMAT_H
#define FERRY_MIGRATION_FILE_FORMAT_H

#include "migration/file.h"

#define FILE_CHUNK_BYTES  (FILE_CHUNK_PAGES * 4096ULL)
#define FILE_CHUNK_WORDS  (FILE_CHUNK_PAGES / 64U)
#define FILE_BITMAP_BYTES (FILE_CHUNK_PAGES / 8U)
#define FILE_INDEX_BYTES  24U /* of one entry */

#define FILE_MAX_SECTIONS_BYTES (256ULL * 1024 * 1024)
#define FILE_MAX_WORKERS        4U

/* The header as bytes, sealed by its checksum. */
void file_header_write(const struct file_header *h, uint8_t ret[FILE_HEADER_BYTES]);

/* Take it apart and check it against the size of the file. 0, or -EINVAL etc. with @e. */
__must_check int file_header_read(const uint8_t bytes[FILE_HEADER_BYTES], uint64_t file_bytes,
				  struct file_header *ret, struct err *e);

/* An entry of the index as bytes, and back. */
void file_chunk_write(const struct file_chunk *c, uint8_t ret[FILE_INDEX_BYTES]);
void file_chunk_read(const uint8_t bytes[FILE_INDEX_BYTES], struct file_chunk *ret);

/* How many chunks so much RAM has. */
static inline size_t file_nr_chunks(uint64_t memory_bytes)
{
	return (size_t)((memory_bytes + FILE_CHUNK_BYTES - 1) / FILE_CHUNK_BYTES);
}

/* Pages of chunk @i, of which the last may have fewer. */
static inline unsigned file_chunk_pages(uint64_t memory_bytes, size_t i)
{
	uint64_t left = memory_bytes - i * FILE_CHUNK_BYTES;

	return (unsigned)(MIN(left, FILE_CHUNK_BYTES) / 4096);
}

/*
 * Clear the bits of @pages that read as zeroes, or lie past @nr. Returns how many are left.
 */
unsigned file_drop_zeroes(const uint8_t *chunk, unsigned nr, uint64_t pages[FILE_CHUNK_WORDS]);

/* The checksum over the pages that are set, their numbers included; 0 if none is. */
uint64_t file_checksum(const uint8_t *chunk, const uint64_t pages[FILE_CHUNK_WORDS]);

/*
 * The next run of set pages from *@at on: *@at its first, *@ret_nr its length. False:
 * there is none.
 */
bool file_next_run(const uint64_t pages[FILE_CHUNK_WORDS], unsigned *at, unsigned *ret_nr);

/*
 * Work on all chunks by several threads and this one: @fn for each, in any order.
 * The first failure ends it. 0 or -errno with @e. @fn: 0, or -errno with @e; @scratch is
 * memory of its thread, of @scratch_bytes.
 */
struct file_work {
	int (*fn)(void *opaque, size_t chunk, void *scratch, struct err *e);
	void *opaque;
	size_t nr_chunks;
	size_t scratch_bytes;
	const _Atomic bool *cancelled; /* NULL: cannot be */
};

/* Do it. -ECANCELED once @work->cancelled is set. */
__must_check int file_work_run(const struct file_work *work, struct err *e);

#endif
