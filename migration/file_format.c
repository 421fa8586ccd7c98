// SPDX-License-Identifier: MIT
// The saved file: header, index, chunks.
#include "migration/file_format.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "util/page.h"
#include "vmm/gmem.h"

struct wire_part {
	uint64_t offset, bytes;
};

struct wire_file_header {
	char magic[8];
	uint32_t version;
	uint32_t flags;
	uint64_t memory_bytes;
	struct wire_part parts[4]; /* kernel, initrd, sections, ram */
	uint64_t reserved[4];
	uint64_t checksum; /* XXH3-64 of all before it */
};

_Static_assert(sizeof(struct wire_file_header) == FILE_HEADER_BYTES, "no padding");

struct wire_chunk {
	uint64_t checksum, offset;
	uint32_t bytes, pages;
};

_Static_assert(sizeof(struct wire_chunk) == FILE_INDEX_BYTES, "no padding");

static struct wire_part part_out(const struct file_part *part)
{
	return (struct wire_part){ htole64(part->offset), htole64(part->bytes) };
}

static struct file_part part_in(const struct wire_part *part)
{
	return (struct file_part){ le64toh(part->offset), le64toh(part->bytes) };
}

void file_header_write(const struct file_header *h, uint8_t ret[FILE_HEADER_BYTES])
{
	struct wire_file_header w = {
		.magic = FILE_MAGIC,
		.version = htole32(h->version),
		.flags = htole32(h->flags),
		.memory_bytes = htole64(h->memory_bytes),
		.parts = { part_out(&h->kernel), part_out(&h->initrd), part_out(&h->sections),
			   part_out(&h->ram) },
	};

	w.checksum = htole64(XXH3_64bits(&w, offsetof(struct wire_file_header, checksum)));
	memcpy(ret, &w, sizeof(w));
}

static int check_part(const struct file_part *part, uint64_t file_bytes, uint64_t max,
		      const char *what, struct err *e)
{
	if (part->offset > file_bytes || part->bytes > file_bytes - part->offset)
		return err_set(e, -EINVAL, "the file is cut off: it ends before its %s", what);
	if (part->bytes > max || (part->bytes && part->offset < FILE_HEADER_BYTES))
		return err_set(e, -EINVAL, "its header is damaged: %s", what);
	return 0;
}

static int check_header(const struct file_header *h, uint64_t file_bytes, struct err *e)
{
	bool packed = h->flags & FILE_ZSTD;
	int rc;

	if (h->memory_bytes < GMEM_MIN_BYTES || h->memory_bytes > GMEM_MAX_BYTES ||
	    h->memory_bytes % GMEM_PAGE_BYTES)
		return err_set(e, -EINVAL, "its header is damaged: size of memory");
	if ((rc = check_part(&h->kernel, file_bytes, GIB, "kernel", e)) < 0 ||
	    (rc = check_part(&h->initrd, file_bytes, GIB, "initrd", e)) < 0 ||
	    (rc = check_part(&h->sections, file_bytes, FILE_MAX_SECTIONS_BYTES, "sections", e)) <
		    0 ||
	    (rc = check_part(&h->ram, file_bytes, UINT64_MAX, "memory", e)) < 0)
		return rc;
	if (!packed && (h->ram.bytes != h->memory_bytes || h->ram.offset % GMEM_PAGE_BYTES))
		return err_set(e, -EINVAL, "its header is damaged: memory");
	return 0;
}

int file_header_read(const uint8_t bytes[FILE_HEADER_BYTES], uint64_t file_bytes,
		     struct file_header *ret, struct err *e)
{
	struct wire_file_header w;

	memcpy(&w, bytes, sizeof(w));
	if (memcmp(w.magic, FILE_MAGIC, sizeof(w.magic)) != 0)
		return err_set(e, -EINVAL, "not a guest that ferry has saved");
	if (le32toh(w.version) != FILE_VERSION)
		return err_set(e, -EPROTONOSUPPORT,
			       "saved by another version of ferry: its format is %u, and this one "
			       "reads %u",
			       le32toh(w.version), FILE_VERSION);
	if (le64toh(w.checksum) != XXH3_64bits(&w, offsetof(struct wire_file_header, checksum)))
		return err_set(e, -EBADMSG, "its header is damaged: the checksum differs");
	*ret = (struct file_header){
		.version = le32toh(w.version),
		.flags = le32toh(w.flags),
		.memory_bytes = le64toh(w.memory_bytes),
		.kernel = part_in(&w.parts[0]),
		.initrd = part_in(&w.parts[1]),
		.sections = part_in(&w.parts[2]),
		.ram = part_in(&w.parts[3]),
	};
	if (ret->flags & ~(uint32_t)FILE_ZSTD)
		return err_set(e, -EPROTONOSUPPORT, "saved in a way that this version cannot read");
	return check_header(ret, file_bytes, e);
}

void file_chunk_write(const struct file_chunk *c, uint8_t ret[FILE_INDEX_BYTES])
{
	const struct wire_chunk w = {
		.checksum = htole64(c->checksum),
		.offset = htole64(c->offset),
		.bytes = htole32(c->bytes),
		.pages = htole32(c->pages),
	};

	memcpy(ret, &w, sizeof(w));
}

void file_chunk_read(const uint8_t bytes[FILE_INDEX_BYTES], struct file_chunk *ret)
{
	struct wire_chunk w;

	memcpy(&w, bytes, sizeof(w));
	*ret = (struct file_chunk){
		.checksum = le64toh(w.checksum),
		.offset = le64toh(w.offset),
		.bytes = le32toh(w.bytes),
		.pages = le32toh(w.pages),
	};
}

unsigned file_drop_zeroes(const uint8_t *chunk, unsigned nr, uint64_t pages[FILE_CHUNK_WORDS])
{
	unsigned left = 0;

	for (unsigned i = 0; i < FILE_CHUNK_PAGES; i++) {
		uint64_t bit = 1ULL << (i % 64);

		if (!(pages[i / 64] & bit))
			continue;
		if (i >= nr || page_is_zero(chunk + i * GMEM_PAGE_BYTES))
			pages[i / 64] &= ~bit;
		else
			left++;
	}
	return left;
}

bool file_next_run(const uint64_t pages[FILE_CHUNK_WORDS], unsigned *at, unsigned *ret_nr)
{
	unsigned i = *at, end;

	while (i < FILE_CHUNK_PAGES && !(pages[i / 64] >> (i % 64) & 1))
		i++;
	end = i;
	while (end < FILE_CHUNK_PAGES && pages[end / 64] >> (end % 64) & 1)
		end++;
	*at = i;
	*ret_nr = end - i;
	return end > i;
}

uint64_t file_checksum(const uint8_t *chunk, const uint64_t pages[FILE_CHUNK_WORDS])
{
	uint64_t sum = 0;
	unsigned nr;

	for (unsigned at = 0; file_next_run(pages, &at, &nr); at += nr) {
		const uint64_t seed[] = { htole64(sum), htole64(at) };

		sum = XXH3_64bits_withSeed(chunk + at * GMEM_PAGE_BYTES, nr * GMEM_PAGE_BYTES,
					   XXH3_64bits(seed, sizeof(seed)));
	}
	return sum;
}
