// SPDX-License-Identifier: MIT
// The saved file, written: memory, by several threads.
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "migration/file_writer_impl.h"
#include "util/io.h"
#include "vmm/gmem.h"
#include "vmm/gmem_scan.h"

/* What is the same for all chunks. */
struct ram_job {
	struct file_writer *w;
	struct gmem *gm;
	uint64_t *populated; /* one bit a page */
};

/* Memory goes to the file as it lies: no copy. */
static int write_plain(const struct ram_job *job, size_t i, const uint64_t *pages)
{
	const uint8_t *from = job->gm->base + i * FILE_CHUNK_BYTES;
	uint64_t to = job->w->header.ram.offset + i * FILE_CHUNK_BYTES;
	unsigned nr;
	int rc = 0;

	for (unsigned at = 0; rc == 0 && file_next_run(pages, &at, &nr); at += nr)
		rc = io_pwrite_full(job->w->file.fd, from + at * GMEM_PAGE_BYTES,
				    nr * GMEM_PAGE_BYTES, (off_t)(to + at * GMEM_PAGE_BYTES));
	return rc;
}

/* Room for a chunk's pages one after the other, then for its bitmap and frame. */
static size_t scratch_bytes(const struct file_writer *w)
{
	return w->zstd ? FILE_CHUNK_BYTES + FILE_BITMAP_BYTES + ZSTD_compressBound(FILE_CHUNK_BYTES)
		       : 0;
}

static size_t gather(uint8_t *to, const uint8_t *chunk, const uint64_t *pages)
{
	size_t len = 0;
	unsigned nr;

	for (unsigned at = 0; file_next_run(pages, &at, &nr); at += nr) {
		memcpy(to + len, chunk + at * GMEM_PAGE_BYTES, nr * GMEM_PAGE_BYTES);
		len += nr * GMEM_PAGE_BYTES;
	}
	return len;
}

static int write_packed(const struct ram_job *job, size_t i, const uint64_t *pages,
			uint8_t *scratch)
{
	struct file_writer *w = job->w;
	uint8_t *out = scratch + FILE_CHUNK_BYTES;
	size_t len = gather(scratch, job->gm->base + i * FILE_CHUNK_BYTES, pages);
	size_t bytes = ZSTD_compress(out + FILE_BITMAP_BYTES, ZSTD_compressBound(FILE_CHUNK_BYTES),
				     scratch, len, w->zstd_level);

	if (ZSTD_isError(bytes))
		return -EIO;
	for (unsigned word = 0; word < FILE_CHUNK_WORDS; word++) {
		uint64_t wire = htole64(pages[word]);

		memcpy(out + word * sizeof(wire), &wire, sizeof(wire));
	}
	bytes += FILE_BITMAP_BYTES;
	w->index[i].bytes = (uint32_t)bytes;
	w->index[i].offset = atomic_fetch_add(&w->packed_bytes, bytes);
	return io_pwrite_full(w->file.fd, out, bytes,
			      (off_t)(w->header.ram.offset + w->index[i].offset));
}

static int write_chunk(void *opaque, size_t i, void *scratch, struct err *e)
{
	const struct ram_job *job = opaque;
	const uint8_t *chunk = job->gm->base + i * FILE_CHUNK_BYTES;
	struct file_chunk *entry = &job->w->index[i];
	uint64_t pages[FILE_CHUNK_WORDS];
	int rc;

	memcpy(pages, job->populated + i * FILE_CHUNK_WORDS, sizeof(pages));
	entry->pages = file_drop_zeroes(chunk, file_chunk_pages(job->gm->bytes, i), pages);
	if (entry->pages == 0)
		return 0;
	entry->checksum = file_checksum(chunk, pages);
	rc = job->w->zstd ? write_packed(job, i, pages, scratch) : write_plain(job, i, pages);
	return rc < 0 ? err_set(e, rc, "%s: %s", job->w->file.path, strerror(-rc)) : 0;
}

int file_writer_chunks(struct file_writer *w, struct gmem *gm, struct err *e)
{
	uint64_t nr_words = w->nr_chunks * FILE_CHUNK_WORDS;
	struct ram_job job = { .w = w, .gm = gm, .populated = calloc(nr_words, sizeof(uint64_t)) };
	const struct file_work work = {
		.fn = write_chunk,
		.opaque = &job,
		.nr_chunks = w->nr_chunks,
		.scratch_bytes = scratch_bytes(w),
		.cancelled = &w->file.cancelled,
	};
	struct gmem_scan *scan = NULL;
	int rc = job.populated ? gmem_scan_new(&scan, gm) : -ENOMEM;

	if (rc < 0) {
		free(job.populated);
		return err_set(e, rc, "%s", strerror(-rc));
	}
	gmem_scan_pages(scan, 0, nr_words, job.populated);
	gmem_scan_free(scan);
	rc = file_work_run(&work, e);
	free(job.populated);
	return rc;
}
