// SPDX-License-Identifier: MIT
// Saved files: header, sections, index and compressed memory are read or refused.
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "migration/file_format.h"
#include "util/io.h"
#include "vmm/gmem.h"

#define MAX_INPUT (64 * KIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Make the checksums right, or nothing behind them would ever be tried. */
static void seal(uint8_t *bytes, size_t size)
{
	const size_t at = FILE_HEADER_BYTES - sizeof(uint64_t);
	uint64_t sum, start, len;

	if (size < FILE_HEADER_BYTES)
		return;
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): so it is in the file */
	memcpy(bytes, FILE_MAGIC, 8);
	memcpy(bytes + 8, &(uint32_t){ htole32(FILE_VERSION) }, 4);
	sum = htole64(XXH3_64bits(bytes, at));
	memcpy(bytes + at, &sum, sizeof(sum));
	memcpy(&start, bytes + 56, sizeof(start));
	start = le64toh(start);
	while (start < size && size - start >= SECTION_HEADER_BYTES) {
		uint8_t *section = bytes + start;
		uint32_t type, id;

		memcpy(&type, section, 4);
		memcpy(&id, section + 4, 4);
		memcpy(&len, section + 8, 8);
		len = le64toh(len);
		if (len > size - start - SECTION_HEADER_BYTES)
			return;
		section_seal(section, le32toh(type), le32toh(id), section + SECTION_HEADER_BYTES,
			     len);
		start += SECTION_HEADER_BYTES + len;
	}
}

static void read_all(struct file_reader *r)
{
	const struct section_source source = file_reader_source(r);
	struct section s = { 0 };
	struct err e = { 0 };

	while (source.get(source.opaque, &s, &e) == 0)
		section_fini(&s);
	(void)!file_reader_verify(r, &e);
}

static void read_memory(struct file_reader *r)
{
	const struct file_header *h = file_reader_header(r);
	const struct gmem_file file = { .fd = file_reader_fd(r), .offset = h->ram.offset };
	uint64_t words[4] = { 0 };
	struct gmem gm;
	struct err e;

	if (h->memory_bytes > 4 * MIB)
		return;
	if (h->flags & FILE_ZSTD) {
		if (gmem_init(&gm, h->memory_bytes, 0, &e) < 0)
			return;
		(void)!file_reader_ram(r, &gm, &e);
	} else {
		if (gmem_init_file(&gm, h->memory_bytes, 0, &file, &e) < 0)
			return;
		(void)!gmem_discard(&gm, 0, GMEM_PAGE_BYTES);
		(void)!gmem_file_pages(&gm, 0, words, 4);
	}
	gmem_fini(&gm);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
	_cleanup_free_ uint8_t *bytes = malloc(size + 1);
	struct file_reader *r;
	char path[64];
	struct err e;

	if (fd < 0 || !bytes || size < 1 || size > MAX_INPUT)
		return 0;
	memcpy(bytes, data, size);
	seal(bytes, size);
	if (io_pwrite_full(fd, bytes, size, 0) < 0 || ftruncate(fd, (off_t)(size + 2 * MIB)) < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (file_reader_open(&r, path, &e) < 0)
		return 0;
	read_all(r);
	read_memory(r);
	file_reader_close(r);
	return 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */
