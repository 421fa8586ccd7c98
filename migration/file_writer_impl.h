/* SPDX-License-Identifier: MIT */
/* Inside the writer of the saved file: what its two halves share. */
#ifndef FERRY_MIGRATION_FILE_WRITER_IMPL_H
#define FERRY_MIGRATION_FILE_WRITER_IMPL_H

#include <stdatomic.h>

#include "migration/file_format.h"
#include "util/new_file.h"

struct file_buffer {
	uint8_t *data;
	size_t bytes, room;
};

struct file_writer {
	/* const after file_writer_new() */
	bool zstd;
	int zstd_level;

	struct new_file file;
	uint64_t end; /* of what was written in order */
	struct file_header header;
	struct file_buffer sections; /* all but RAM_INDEX */
	struct file_chunk *index;    /* each entry: the worker of its chunk */
	size_t nr_chunks;
	_Atomic uint64_t packed_bytes; /* of compressed memory, given out to workers */
};

/* Write all chunks of memory where the header says. 0 or -errno with @e. */
__must_check int file_writer_chunks(struct file_writer *w, struct gmem *gm, struct err *e);

#endif
