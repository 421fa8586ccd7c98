/* SPDX-License-Identifier: MIT */
/* The saved file: a guest's sections, its kernel, and its memory. */
#ifndef FERRY_MIGRATION_FILE_H
#define FERRY_MIGRATION_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/section.h"
#include "util/compiler.h"
#include "util/err.h"
#include "vmm/boot.h"

struct gmem;

/*
 * Theory of operation
 *
 * All numbers are little-endian, and all offsets multiples of the page size but
 * those of compressed chunks:
 *
 *	header            FILE_HEADER_BYTES, struct file_header; zeroes up to a page
 *	kernel, initrd    what a reset of the guest needs again
 *	sections          RAM_INDEX, CONFIG, then all of the state up to END
 *	memory            page n of RAM at ram_offset + n * 4096, zero pages are
 *	                  holes; or, compressed, chunks one after the other
 *
 * Memory is cut in chunks of FILE_CHUNK_PAGES. RAM_INDEX has an entry of each:
 * the checksum over those of its pages that are not zero, in order, and where it is
 * if it is compressed. A compressed chunk is a bitmap of the pages that are in
 * it and one zstd frame of them.
 *
 * A file without compression is restored by mapping it: that is why memory is at
 * the same place in it as in the guest, and why its checksums are compared only by
 * file_reader_verify(), which reads all of it.
 *
 * Nothing in a file is believed: lengths and offsets are checked against the
 * file's size, and sizes have limits before anything is allocated.
 */
#define FILE_MAGIC        "FERRYSAV"
#define FILE_VERSION      1U
#define FILE_HEADER_BYTES 128U
#define FILE_CHUNK_PAGES  256U /* 1 MiB */
#define FILE_RAM_ALIGN    (2ULL * 1024 * 1024)

enum file_flags {
	FILE_ZSTD = 1 << 0, /* memory is compressed */
};

struct file_part {
	uint64_t offset, bytes;
};

/* As in the file, but in the host's byte order. */
struct file_header {
	uint32_t version;
	uint32_t flags;        /* enum file_flags */
	uint64_t memory_bytes; /* of the guest */
	struct file_part kernel, initrd, sections, ram;
};

/* An entry of RAM_INDEX. */
struct file_chunk {
	uint64_t checksum; /* XXH3-64; 0 without pages */
	uint64_t offset;   /* compressed: in the part `ram` */
	uint32_t bytes;    /* compressed: of the bitmap and the frame; 0: all zeroes */
	uint32_t pages;    /* that are not zero */
};

/* --- written --- */

struct file_writer;

struct file_options {
	const char *path; /* absolute; NULL: the file that @fd is open on */
	int fd;           /* stays the caller's, who gives it its name */
	bool force;       /* replace a file that is there */
	bool zstd;
	int zstd_level; /* 0: the default */
};

/*
 * Begin a file beside @options->path, under no name where the file system can do
 * that: whoever dies, nothing is left. 0, or -errno with the reason: -EEXIST
 * without force.
 */
__must_check int file_writer_new(struct file_writer **ret, const struct file_options *options,
				 struct err *e);

/* Drop it, and what was written unless it has been committed. NULL: no-op. */
void file_writer_free(struct file_writer *w);

/* Copy kernel and initrd. First of all; the guest may run. 0 or -errno with @e. */
__must_check int file_writer_boot(struct file_writer *w,
				  const struct boot_part parts[BOOT_NR_PARTS], struct err *e);

/* Where to put the sections: CONFIG first, END last. They are kept in memory. */
struct section_sink file_writer_sink(struct file_writer *w);

/*
 * Write the memory of the paused guest, by several threads, and the sections, which
 * are complete. 0 or -errno with @e; -ECANCELED after file_writer_cancel().
 */
__must_check int file_writer_ram(struct file_writer *w, struct gmem *gm, struct err *e);

/*
 * Make it durable and give it its name, if it was begun by one. 0 or -errno with @e: then
 * there is no such file, or still the one that was there.
 */
__must_check int file_writer_commit(struct file_writer *w, struct err *e);

/* Any thread: what goes on ends soon, and nothing succeeds any more but a commit under way. */
void file_writer_cancel(struct file_writer *w);

struct file_stats {
	uint64_t pages;      /* that are not zero */
	uint64_t file_bytes; /* of the file, holes included */
	uint64_t data_bytes; /* without them */
};

/* After file_writer_ram(). */
void file_writer_stats(const struct file_writer *w, struct file_stats *ret);

/* --- read --- */

struct file_reader;

/*
 * Open a saved file and check header and sizes. It stays open, so that replacing or
 * removing it does no harm. 0, or -errno with the file and what is wrong.
 */
__must_check int file_reader_open(struct file_reader **ret, const char *path, struct err *e);
void file_reader_close(struct file_reader *r);

/* Checked against the size of the file. The reader's. */
const struct file_header *file_reader_header(const struct file_reader *r);

/* The reader's. */
int file_reader_fd(const struct file_reader *r);

/*
 * The next section, its checksum compared, RAM_INDEX among them (which the reader
 * remembers); *@ret_offset
 * (may be NULL): of its header in the file. 0, -ENODATA after the last, or -errno
 * with @e.
 */
__must_check int file_reader_next(struct file_reader *r, struct section *ret, uint64_t *ret_offset,
				  struct err *e);

/* The same as a source, without RAM_INDEX and unknown optional sections. */
struct section_source file_reader_source(struct file_reader *r);

/* Kernel and initrd, as parts of the reader's descriptor. */
void file_reader_boot(const struct file_reader *r, struct boot_part ret[BOOT_NR_PARTS]);

/*
 * Uncompress the memory of a compressed file into @gm, which is empty and as large as
 * header says; a section has been read. Checksums are compared. 0 or
 * -errno with @e.
 */
__must_check int file_reader_ram(struct file_reader *r, struct gmem *gm, struct err *e);

/* Compare all checksums of memory; a section has been read. 0 or -EBADMSG with @e. */
__must_check int file_reader_verify(struct file_reader *r, struct err *e);

/* The index of memory once it was passed: @ret_nr chunks, the reader's. NULL: not yet. */
const struct file_chunk *file_reader_index(const struct file_reader *r, size_t *ret_nr);

#endif
