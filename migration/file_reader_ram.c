// SPDX-License-Identifier: MIT
// The saved file, read: memory, where mapping it is not all.
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "migration/file_reader_impl.h"
#include "util/io.h"
#include "vmm/gmem.h"

static int damaged(size_t i, struct err *e)
{
	return err_set(e, -EBADMSG, "its memory is damaged at %zu MiB",
		       (size_t)(i * FILE_CHUNK_BYTES / MIB));
}

/* Read a bitmap, which has as many bits as the index says, all in the chunk. */
static int read_bitmap(const struct file_reader *r, size_t i, const uint8_t *packed,
		       uint64_t pages[FILE_CHUNK_WORDS])
{
	unsigned nr = file_chunk_pages(r->header.memory_bytes, i);
	unsigned set = 0;

	for (unsigned word = 0; word < FILE_CHUNK_WORDS; word++) {
		uint64_t wire;

		memcpy(&wire, packed + word * sizeof(wire), sizeof(wire));
		pages[word] = le64toh(wire);
		set += (unsigned)__builtin_popcountll(pages[word]);
	}
	for (unsigned page = nr; page < FILE_CHUNK_PAGES; page++) {
		if (pages[page / 64] >> (page % 64) & 1)
			return -EBADMSG;
	}
	return set == r->index[i].pages ? 0 : -EBADMSG;
}

/* Put the pages of a frame to their places in @chunk. */
static void scatter(uint8_t *chunk, const uint8_t *from, const uint64_t *pages)
{
	unsigned nr;

	for (unsigned at = 0; file_next_run(pages, &at, &nr); at += nr) {
		memcpy(chunk + at * GMEM_PAGE_BYTES, from, nr * GMEM_PAGE_BYTES);
		from += nr * GMEM_PAGE_BYTES;
	}
}

/* Unpack chunk @i to @chunk, whose other pages stay. @scratch: both sizes. */
static int unpack(const struct file_reader *r, size_t i, uint8_t *chunk, uint8_t *scratch,
		  struct err *e)
{
	const struct file_chunk *c = &r->index[i];
	uint8_t *packed = scratch + FILE_CHUNK_BYTES;
	uint64_t pages[FILE_CHUNK_WORDS];
	size_t len = c->pages * GMEM_PAGE_BYTES;
	int rc = io_pread_full(r->fd, packed, c->bytes, (off_t)(r->header.ram.offset + c->offset));

	if (rc < 0)
		return err_set(e, rc, "its memory cannot be read: %s", strerror(-rc));
	if (read_bitmap(r, i, packed, pages) < 0 ||
	    ZSTD_decompress(scratch, FILE_CHUNK_BYTES, packed + FILE_BITMAP_BYTES,
			    c->bytes - FILE_BITMAP_BYTES) != len)
		return damaged(i, e);
	scatter(chunk, scratch, pages);
	return file_checksum(chunk, pages) == c->checksum ? 0 : damaged(i, e);
}

/* What is the same for all chunks. */
struct read_job {
	const struct file_reader *r;
	struct gmem *gm;
};

static int load_chunk(void *opaque, size_t i, void *scratch, struct err *e)
{
	const struct read_job *job = opaque;

	if (job->r->index[i].pages == 0)
		return 0;
	return unpack(job->r, i, job->gm->base + i * FILE_CHUNK_BYTES, scratch, e);
}

static int run(const struct file_reader *r, struct gmem *gm,
	       int (*fn)(void *opaque, size_t chunk, void *scratch, struct err *e), struct err *e)
{
	struct read_job job = { .r = r, .gm = gm };
	const struct file_work work = {
		.fn = fn,
		.opaque = &job,
		.nr_chunks = r->nr_chunks,
		.scratch_bytes = 2 * FILE_CHUNK_BYTES + FILE_MAX_PACKED_BYTES,
	};

	if (!r->index)
		return err_set(e, -EPROTO, "its index of memory is missing");
	return file_work_run(&work, e);
}

int file_reader_ram(struct file_reader *r, struct gmem *gm, struct err *e)
{
	if (gm->bytes != r->header.memory_bytes || !(r->header.flags & FILE_ZSTD))
		return err_set(e, -EINVAL, "its memory is of another size than the guest's");
	return run(r, gm, load_chunk, e);
}

/* The chunk as it is in the file, in the scratch memory's last part. */
static int verify_plain(const struct file_reader *r, size_t i, uint8_t *chunk, struct err *e)
{
	unsigned nr = file_chunk_pages(r->header.memory_bytes, i);
	uint64_t pages[FILE_CHUNK_WORDS];
	uint64_t offset = r->header.ram.offset + i * FILE_CHUNK_BYTES;
	int rc = io_pread_full(r->fd, chunk, nr * GMEM_PAGE_BYTES, (off_t)offset);

	if (rc < 0)
		return err_set(e, rc, "its memory cannot be read: %s", strerror(-rc));
	memset(pages, 0xff, sizeof(pages));
	if (file_drop_zeroes(chunk, nr, pages) != r->index[i].pages ||
	    file_checksum(chunk, pages) != r->index[i].checksum)
		return damaged(i, e);
	return 0;
}

static int verify_chunk(void *opaque, size_t i, void *scratch, struct err *e)
{
	const struct file_reader *r = ((const struct read_job *)opaque)->r;
	uint8_t *room = scratch;
	uint8_t *chunk = (uint8_t *)ALIGN_UP((uintptr_t)room, GMEM_PAGE_BYTES);

	if (!(r->header.flags & FILE_ZSTD))
		return verify_plain(r, i, chunk, e);
	if (r->index[i].pages == 0)
		return 0;
	return unpack(r, i, room + FILE_CHUNK_BYTES + FILE_MAX_PACKED_BYTES, room, e);
}

int file_reader_verify(struct file_reader *r, struct err *e)
{
	return run(r, NULL, verify_chunk, e);
}
