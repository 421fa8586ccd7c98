// SPDX-License-Identifier: MIT
// The saved file, written: a file without a name, its parts, its name.
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migration/file_writer_impl.h"
#include "util/io.h"
#include "vmm/gmem.h"

#define COPY_BYTES MIB

static int fail(const struct file_writer *w, int rc, struct err *e)
{
	return new_file_fail(&w->file, rc, e);
}

int file_writer_new(struct file_writer **ret, const struct file_options *options, struct err *e)
{
	struct file_writer *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return err_set(e, -ENOMEM, "out of memory");
	w->zstd = options->zstd;
	w->zstd_level = options->zstd_level;
	rc = options->path ? new_file_open(&w->file, options->path, options->force, e)
			   : new_file_adopt(&w->file, options->fd, e);
	if (rc < 0) {
		file_writer_free(w);
		return rc;
	}
	w->end = GMEM_PAGE_BYTES;
	*ret = w;
	return 0;
}

void file_writer_free(struct file_writer *w)
{
	if (!w)
		return;
	new_file_drop(&w->file);
	free(w->sections.data);
	free(w->index);
	free(w);
}

void file_writer_cancel(struct file_writer *w)
{
	new_file_cancel(&w->file);
}

/* --- kernel and initrd --- */

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
static int copy_part(struct file_writer *w, const struct boot_part *part, struct file_part *ret)
{
	_cleanup_free_ void *buf = malloc(COPY_BYTES);
	uint64_t done = 0;
	int rc = buf ? 0 : -ENOMEM;

	*ret = (struct file_part){ .offset = w->end, .bytes = part->bytes };
	while (rc == 0 && done < part->bytes) {
		size_t n = (size_t)MIN(part->bytes - done, COPY_BYTES);

		rc = io_pread_full(part->fd, buf, n, (off_t)(part->start + done));
		if (rc == 0)
			rc = io_pwrite_full(w->file.fd, buf, n, (off_t)(w->end + done));
		if (rc == 0 && atomic_load(&w->file.cancelled))
			rc = -ECANCELED;
		done += n;
	}
	if (rc < 0)
		return rc;
	w->end = ALIGN_UP(w->end + part->bytes, GMEM_PAGE_BYTES);
	return 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

int file_writer_boot(struct file_writer *w, const struct boot_part parts[BOOT_NR_PARTS],
		     struct err *e)
{
	/* What is adopted need not be empty, and what is zero is not written. */
	int rc = ftruncate(w->file.fd, 0) < 0 ? -errno : 0;

	if (rc == 0)
		rc = copy_part(w, &parts[BOOT_PART_KERNEL], &w->header.kernel);
	if (rc == 0)
		rc = copy_part(w, &parts[BOOT_PART_INITRD], &w->header.initrd);
	return rc < 0 ? fail(w, rc, e) : 0;
}

/* --- sections --- */

static int append(struct file_buffer *b, const void *data, size_t len)
{
	if (b->bytes + len > FILE_MAX_SECTIONS_BYTES)
		return -E2BIG;
	if (b->bytes + len > b->room) {
		size_t room = MAX(b->bytes + len, 2 * b->room);
		uint8_t *grown = realloc(b->data, room);

		if (!grown)
			return -ENOMEM;
		b->data = grown;
		b->room = room;
	}
	if (len)
		memcpy(b->data + b->bytes, data, len);
	b->bytes += len;
	return 0;
}

static int put(void *opaque, uint32_t type, uint32_t id, const void *payload, size_t bytes,
	       struct err *e)
{
	struct file_writer *w = opaque;
	uint8_t header[SECTION_HEADER_BYTES];
	int rc;

	section_seal(header, type, id, payload, bytes);
	rc = append(&w->sections, header, sizeof(header));
	if (rc == 0)
		rc = append(&w->sections, payload, bytes);
	return rc < 0 ? fail(w, rc, e) : 0;
}

struct section_sink file_writer_sink(struct file_writer *w)
{
	return (struct section_sink){ .put = put, .opaque = w };
}

/* RAM_INDEX comes first, because a reader needs it first, and is known last. */
static int write_sections(struct file_writer *w)
{
	size_t bytes = w->nr_chunks * FILE_INDEX_BYTES;
	uint8_t *index = malloc(SECTION_HEADER_BYTES + bytes);
	uint64_t at = w->header.sections.offset;
	int rc;

	if (!index)
		return -ENOMEM;
	for (size_t i = 0; i < w->nr_chunks; i++)
		file_chunk_write(&w->index[i], index + SECTION_HEADER_BYTES + i * FILE_INDEX_BYTES);
	section_seal(index, SECTION_RAM_INDEX, 0, index + SECTION_HEADER_BYTES, bytes);
	rc = io_pwrite_full(w->file.fd, index, SECTION_HEADER_BYTES + bytes, (off_t)at);
	at += SECTION_HEADER_BYTES + bytes;
	if (rc == 0)
		rc = io_pwrite_full(w->file.fd, w->sections.data, w->sections.bytes, (off_t)at);
	free(index);
	return rc;
}

static int write_header(struct file_writer *w)
{
	uint8_t bytes[FILE_HEADER_BYTES];

	w->header.version = FILE_VERSION;
	w->header.flags = w->zstd ? FILE_ZSTD : 0;
	file_header_write(&w->header, bytes);
	return io_pwrite_full(w->file.fd, bytes, sizeof(bytes), 0);
}

/* --- all of it --- */

static int lay_out(struct file_writer *w, const struct gmem *gm)
{
	size_t index_bytes;

	w->header.memory_bytes = gm->bytes;
	w->nr_chunks = file_nr_chunks(gm->bytes);
	w->index = calloc(w->nr_chunks, sizeof(*w->index));
	if (!w->index)
		return -ENOMEM;
	index_bytes = SECTION_HEADER_BYTES + w->nr_chunks * FILE_INDEX_BYTES;
	w->header.sections = (struct file_part){
		.offset = w->end,
		.bytes = w->sections.bytes + index_bytes,
	};
	w->header.ram.offset = ALIGN_UP(w->end + w->header.sections.bytes, FILE_RAM_ALIGN);
	return 0;
}

int file_writer_ram(struct file_writer *w, struct gmem *gm, struct err *e)
{
	int rc = lay_out(w, gm);

	if (rc < 0)
		return fail(w, rc, e);
	rc = file_writer_chunks(w, gm, e);
	if (rc < 0)
		return rc;
	w->header.ram.bytes = w->zstd ? atomic_load(&w->packed_bytes) : gm->bytes;
	/* Where memory ends in zeroes, the file must reach to its end all the same. */
	if (ftruncate(w->file.fd, (off_t)(w->header.ram.offset + w->header.ram.bytes)) < 0)
		return fail(w, -errno, e);
	rc = write_sections(w);
	if (rc == 0)
		rc = write_header(w);
	return rc < 0 ? fail(w, rc, e) : 0;
}

int file_writer_commit(struct file_writer *w, struct err *e)
{
	return new_file_commit(&w->file, e);
}

void file_writer_stats(const struct file_writer *w, struct file_stats *ret)
{
	struct stat st = { 0 };

	*ret = (struct file_stats){ 0 };
	for (size_t i = 0; i < w->nr_chunks; i++)
		ret->pages += w->index[i].pages;
	if (fstat(w->file.fd, &st) < 0)
		return;
	ret->file_bytes = (uint64_t)st.st_size;
	ret->data_bytes = (uint64_t)st.st_blocks * 512;
}
