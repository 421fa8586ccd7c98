// SPDX-License-Identifier: MIT
// The saved file, read: header, sections, where the rest is.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "migration/file_reader_impl.h"
#include "util/io.h"

static int read_header(struct file_reader *r, struct err *e)
{
	uint8_t bytes[FILE_HEADER_BYTES];
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return err_set(e, -errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "not a regular file");
	if (st.st_size < (off_t)sizeof(bytes))
		return err_set(e, -EINVAL, "not a guest that ferry has saved: too short");
	if (io_pread_full(r->fd, bytes, sizeof(bytes), 0) < 0)
		return err_set(e, -EIO, "its header cannot be read");
	return file_header_read(bytes, (uint64_t)st.st_size, &r->header, e);
}

int file_reader_open(struct file_reader **ret, const char *path, struct err *e)
{
	struct file_reader *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	/* A fifo must not make us wait. */
	r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	rc = r->fd < 0 ? err_set(e, -errno, "%s", strerror(errno)) : read_header(r, e);
	if (rc < 0) {
		file_reader_close(r);
		return err_prefix(e, "%s", path);
	}
	r->at = r->header.sections.offset;
	*ret = r;
	return 0;
}

void file_reader_close(struct file_reader *r)
{
	if (!r)
		return;
	close_fd(&r->fd);
	free(r->index);
	free(r);
}

const struct file_header *file_reader_header(const struct file_reader *r)
{
	return &r->header;
}

int file_reader_fd(const struct file_reader *r)
{
	return r->fd;
}

void file_reader_boot(const struct file_reader *r, struct boot_part ret[BOOT_NR_PARTS])
{
	const struct file_part *parts[BOOT_NR_PARTS] = {
		[BOOT_PART_KERNEL] = &r->header.kernel,
		[BOOT_PART_INITRD] = &r->header.initrd,
	};

	for (unsigned i = 0; i < BOOT_NR_PARTS; i++)
		ret[i] = (struct boot_part){
			.fd = r->fd,
			.start = parts[i]->offset,
			.bytes = parts[i]->bytes,
		};
}

const struct file_chunk *file_reader_index(const struct file_reader *r, size_t *ret_nr)
{
	*ret_nr = r->nr_chunks;
	return r->index;
}

/* --- sections --- */

/* Header and payload at r->at, which moves behind them. */
static int read_section(struct file_reader *r, struct section *ret, struct err *e)
{
	uint64_t end = r->header.sections.offset + r->header.sections.bytes;
	uint8_t header[SECTION_HEADER_BYTES];
	struct section s = { 0 };
	int rc;

	if (r->at == end)
		return -ENODATA;
	if (end - r->at < sizeof(header))
		return err_set(e, -EPROTO, "its sections are cut off");
	rc = io_pread_full(r->fd, header, sizeof(header), (off_t)r->at);
	if (rc < 0)
		return err_set(e, rc, "its sections cannot be read: %s", strerror(-rc));
	rc = section_parse_header(header, &s, e);
	if (rc < 0)
		return rc;
	if (s.bytes > end - r->at - sizeof(header))
		return err_set(e, -EPROTO, "section %u.%u is cut off", s.type, s.id);
	s.payload = malloc(s.bytes + 1);
	if (!s.payload)
		return err_set(e, -ENOMEM, "out of memory");
	rc = io_pread_full(r->fd, s.payload, s.bytes, (off_t)(r->at + sizeof(header)));
	if (rc < 0)
		rc = err_set(e, rc, "its sections cannot be read: %s", strerror(-rc));
	if (rc == 0)
		rc = section_verify(header, s.payload, e);
	if (rc < 0) {
		section_fini(&s);
		return rc;
	}
	r->at += sizeof(header) + s.bytes;
	*ret = s;
	return 0;
}

static int check_entry(const struct file_reader *r, size_t i)
{
	const struct file_chunk *c = &r->index[i];
	uint64_t ram = r->header.ram.bytes;

	if (c->pages > file_chunk_pages(r->header.memory_bytes, i))
		return -EPROTO;
	if (!(r->header.flags & FILE_ZSTD) || c->pages == 0)
		return c->bytes || c->offset ? -EPROTO : 0;
	if (c->bytes <= FILE_BITMAP_BYTES || c->bytes > FILE_MAX_PACKED_BYTES)
		return -EPROTO;
	return c->offset > ram || c->bytes > ram - c->offset ? -EPROTO : 0;
}

static int take_index(struct file_reader *r, const struct section *s, struct err *e)
{
	size_t nr = file_nr_chunks(r->header.memory_bytes);

	if (r->index)
		return err_set(e, -EPROTO, "its index of memory comes twice");
	if (s->bytes != nr * FILE_INDEX_BYTES)
		return err_set(e, -EPROTO, "its index of memory is not as long as memory");
	r->index = calloc(nr, sizeof(*r->index));
	if (!r->index)
		return err_set(e, -ENOMEM, "out of memory");
	r->nr_chunks = nr;
	for (size_t i = 0; i < nr; i++) {
		file_chunk_read((const uint8_t *)s->payload + i * FILE_INDEX_BYTES, &r->index[i]);
		if (check_entry(r, i) < 0)
			return err_set(e, -EPROTO, "its index of memory is damaged: chunk %zu", i);
	}
	return 0;
}

int file_reader_next(struct file_reader *r, struct section *ret, uint64_t *ret_offset,
		     struct err *e)
{
	uint64_t offset = r->at;
	struct section s = { 0 };
	int rc = read_section(r, &s, e);

	if (rc == -ENODATA)
		return err_set(e, rc, "its sections have no end");
	if (rc < 0)
		return rc;
	if (s.type == SECTION_RAM_INDEX)
		rc = take_index(r, &s, e);
	if (rc < 0) {
		section_fini(&s);
		return rc;
	}
	if (ret_offset)
		*ret_offset = offset;
	*ret = s;
	return 0;
}

static int get(void *opaque, struct section *ret, struct err *e)
{
	struct file_reader *r = opaque;

	for (;;) {
		struct section s = { 0 };
		int rc = file_reader_next(r, &s, NULL, e);

		if (rc < 0)
			return rc;
		if (s.type != SECTION_RAM_INDEX && section_is_known(s.type)) {
			*ret = s;
			return 0;
		}
		section_fini(&s);
	}
}

struct section_source file_reader_source(struct file_reader *r)
{
	return (struct section_source){ .get = get, .opaque = r };
}
