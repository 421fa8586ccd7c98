/* SPDX-License-Identifier: MIT */
/* Inside the reader of the saved file: what its two halves share. */
#ifndef FERRY_MIGRATION_FILE_READER_IMPL_H
#define FERRY_MIGRATION_FILE_READER_IMPL_H

#include "migration/file_format.h"

/* More than a chunk that zstd could not make smaller. */
#define FILE_MAX_PACKED_BYTES (FILE_CHUNK_BYTES + 64 * 1024)

struct file_reader {
	int fd;
	struct file_header header;
	uint64_t at;              /* of the next section */
	struct file_chunk *index; /* NULL: not read yet */
	size_t nr_chunks;
};

#endif
