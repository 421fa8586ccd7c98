// SPDX-License-Identifier: MIT
// Guest memory that begins as a saved file.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "util/bitmap.h"
#include "util/io.h"
#include "vmm/gmem_impl.h"

/*
 * Theory of operation
 *
 * The file is mapped privately: what the guest reads comes from the page cache,
 * what it writes is copied first. So the guest runs before any of it was read,
 * guests restored from one file share what they do not change, and the file stays
 * as it is.
 *
 * To discard a page of such a mapping as usual (MADV_DONTNEED) would bring the
 * file's contents back. Anonymous memory is mapped over it instead, and a bit
 * kept: whoever looks for pages in use would else believe that it is the file's.
 * Each such piece may be a mapping of its own, of which a process has a limited
 * number; where that is reached, the page is filled with zeroes instead.
 */

static int check_file(const struct gmem_file *file, uint64_t bytes, struct err *e)
{
	struct stat st;

	if (file->offset % GMEM_PAGE_BYTES)
		return err_set(e, -EINVAL, "guest memory: does not begin at a page of the file");
	if (fstat(file->fd, &st) < 0)
		return err_set(e, -errno, "guest memory: %s", strerror(errno));
	/* Behind the end of a file there is no zero page, but SIGBUS. */
	if (file->offset > (uint64_t)st.st_size || bytes > (uint64_t)st.st_size - file->offset)
		return err_set(e, -EINVAL, "guest memory: the file is cut off");
	return 0;
}

/* Huge pages are memory of their own: copy what is not a hole. */
static int copy_file(struct gmem *gm, const struct gmem_file *file)
{
	off_t start = (off_t)file->offset;
	off_t end = start + (off_t)gm->bytes;
	off_t at = start;

	while (at < end && (at = lseek(file->fd, at, SEEK_DATA)) >= 0 && at < end) {
		off_t stop = MIN(lseek(file->fd, at, SEEK_HOLE), end);
		int rc = stop < 0 ? -errno
				  : io_pread_full(file->fd, gm->base + (at - start),
						  (size_t)(stop - at), at);

		if (rc < 0)
			return rc;
		at = stop;
	}
	return at < 0 && errno != ENXIO ? -errno : 0;
}

static int map_file(struct gmem *gm, const struct gmem_file *file)
{
	gm->discarded = bitmap_new(gm->bytes / GMEM_PAGE_BYTES);
	gm->file_fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 3);
	gm->file_offset = file->offset;
	if (!gm->discarded || gm->file_fd < 0)
		return -ENOMEM;
	if (mmap(gm->base, gm->bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file->fd,
		 (off_t)file->offset) == MAP_FAILED)
		return -errno;
	gmem_keep_private(gm->base, gm->bytes);
	return 0;
}

int gmem_init_file(struct gmem *gm, uint64_t bytes, unsigned flags, const struct gmem_file *file,
		   struct err *e)
{
	int rc = check_file(file, bytes, e);

	if (rc == 0)
		rc = gmem_init(gm, bytes, flags, e);
	if (rc < 0)
		return rc;
	rc = gm->hugepages ? copy_file(gm, file) : map_file(gm, file);
	if (rc < 0) {
		gmem_fini(gm);
		return err_set(e, rc, "guest memory: the saved file: %s", strerror(-rc));
	}
	return 0;
}

void gmem_forget_file(struct gmem *gm)
{
	close_fd(&gm->file_fd);
	free(gm->discarded);
	gm->discarded = NULL;
}

int gmem_discard_file(struct gmem *gm, void *start, uint64_t bytes)
{
	uint64_t first = (uint64_t)((uint8_t *)start - gm->base) / GMEM_PAGE_BYTES;
	void *area = mmap(start, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED && errno != ENOMEM)
		return -errno;
	if (area == MAP_FAILED) {
		memset(start, 0, bytes);
	} else {
		gmem_keep_private(start, bytes);
		(void)madvise(start, bytes, MADV_HUGEPAGE);
		bitmap_set_range(gm->discarded, first, bytes / GMEM_PAGE_BYTES);
	}
	gmem_mark_dirty_hva(gm, start, bytes);
	return 0;
}

/* Set bits [first, end) of @words, whose bit 0 is page @base, but for discarded pages. */
static void set_pages(const struct gmem *gm, uint64_t *words, uint64_t base, uint64_t first,
		      uint64_t end)
{
	for (uint64_t page = first; page < end; page++) {
		if (!bitmap_test(gm->discarded, page))
			words[(page - base) / 64] |= 1ULL << ((page - base) % 64);
	}
}

int gmem_file_pages(const struct gmem *gm, uint64_t first, uint64_t *words, unsigned nr_words)
{
	uint64_t last = MIN(first + 64ULL * nr_words, gm->bytes / GMEM_PAGE_BYTES);
	off_t at = (off_t)(gm->file_offset + first * GMEM_PAGE_BYTES);
	off_t end = (off_t)(gm->file_offset + last * GMEM_PAGE_BYTES);

	if (gm->file_fd < 0)
		return 0;
	while (at < end && (at = lseek(gm->file_fd, at, SEEK_DATA)) >= 0 && at < end) {
		off_t stop = MIN(lseek(gm->file_fd, at, SEEK_HOLE), end);

		if (stop < 0)
			return -errno;
		set_pages(gm, words, first, ((uint64_t)at - gm->file_offset) / GMEM_PAGE_BYTES,
			  ALIGN_UP((uint64_t)stop - gm->file_offset, GMEM_PAGE_BYTES) /
				  GMEM_PAGE_BYTES);
		at = stop;
	}
	return at < 0 && errno != ENXIO ? -errno : 0;
}

bool gmem_file_is_cut(const struct gmem *gm)
{
	struct stat st;

	return gm->file_fd >= 0 &&
	       (fstat(gm->file_fd, &st) < 0 || (uint64_t)st.st_size < gm->file_offset + gm->bytes);
}
