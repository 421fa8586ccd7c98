// SPDX-License-Identifier: MIT
// Throwaway writes: a temporary file over a base, and a map of what is in it.
#include "virtio/block/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/bitmap.h"
#include "util/io.h"
#include "virtio/block/block.h"

int overlay_open_file(struct err *e)
{
	const char *dir = secure_getenv("TMPDIR");
	int fd;

	if (!dir || !*dir)
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, -errno,
			       "overlay: no temporary file in %s: %s: set TMPDIR to a directory "
			       "with room for what the guest writes",
			       dir, strerror(errno));
	return fd;
}

/* Any descriptor can come: what would show the guest something, or lead writes astray? */
static int look_at_given(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return err_set(e, -errno, "overlay: its descriptor: %s", strerror(errno));
	if (flags & O_PATH || (flags & O_ACCMODE) != O_RDWR || !S_ISREG(st.st_mode) || st.st_size)
		return err_set(e, -EINVAL,
			       "overlay: its descriptor must be that of an empty file, for reading "
			       "and writing");
	if (fcntl(fd, F_SETFL, flags & ~(O_NONBLOCK | O_APPEND | O_ASYNC | O_DIRECT)) < 0)
		return err_set(e, -errno, "overlay: its descriptor: %s", strerror(errno));
	return 0;
}

/* Its file: what came in *@given_fd, which is then -1, or a new one. */
static int get_file(struct overlay *ov, int *given_fd, struct err *e)
{
	int rc = given_fd ? look_at_given(*given_fd, e) : overlay_open_file(e);

	if (rc < 0)
		return rc;
	ov->fd = given_fd ? take_fd(given_fd) : rc;
	return overlay_resize(ov, ov->bytes, e);
}

int overlay_new(struct overlay **ret, const struct overlay_config *cfg, struct err *e)
{
	struct overlay *ov = calloc(1, sizeof(*ov));
	int rc;

	if (!ov)
		return err_set(e, -ENOMEM, "overlay: %s", strerror(ENOMEM));
	ov->fd = -1;
	ov->base_bytes = cfg->base_bytes;
	ov->bytes = cfg->bytes;
	rc = get_file(ov, cfg->given_fd, e);
	if (rc < 0)
		goto err_free;
	ov->map = bitmap_new(ov->base_bytes / BLOCK_SECTOR_BYTES + 64);
	if (!ov->map) {
		rc = err_set(e, -ENOMEM, "overlay: no memory for the map of %llu bytes",
			     (unsigned long long)ov->base_bytes);
		goto err_free;
	}
	*ret = ov;
	return 0;

err_free:
	overlay_free(ov);
	return rc;
}

void overlay_free(struct overlay *ov)
{
	if (!ov)
		return;
	close_fd(&ov->fd);
	free(ov->map);
	free(ov);
}

int overlay_resize(struct overlay *ov, uint64_t bytes, struct err *e)
{
	if (ftruncate(ov->fd, (off_t)bytes) < 0)
		return err_set(e, -errno,
			       "overlay: its temporary file cannot have %llu bytes: %s: set TMPDIR",
			       (unsigned long long)bytes, strerror(errno));
	ov->bytes = bytes;
	return 0;
}

/* The word with the bit of sector @at; one word more than there are is fine. */
static uint64_t load_word(const struct overlay *ov, uint64_t at)
{
	return atomic_load_explicit(&ov->map[at / 64], memory_order_relaxed);
}

uint64_t overlay_run(const struct overlay *ov, uint64_t offset, uint64_t bytes, bool *ret_written)
{
	uint64_t at = offset / BLOCK_SECTOR_BYTES, end, word;

	if (offset >= ov->base_bytes) {
		*ret_written = true;
		return bytes;
	}
	bytes = MIN(bytes, ov->base_bytes - offset);
	end = (offset + bytes + BLOCK_SECTOR_BYTES - 1) / BLOCK_SECTOR_BYTES;
	word = load_word(ov, at);
	*ret_written = word >> (at % 64) & 1;
	for (; at < end; word = load_word(ov, at)) {
		/* Those that are not as the first one was. */
		uint64_t others = (*ret_written ? ~word : word) >> (at % 64);

		if (others) {
			at += (unsigned)__builtin_ctzll(others);
			break;
		}
		at += 64 - at % 64;
	}
	return MIN(at * BLOCK_SECTOR_BYTES - offset, bytes);
}

void overlay_mark(struct overlay *ov, uint64_t offset, uint64_t bytes)
{
	if (offset >= ov->base_bytes)
		return;
	bytes = MIN(bytes, ov->base_bytes - offset);
	bitmap_set_range(ov->map, offset / BLOCK_SECTOR_BYTES, bytes / BLOCK_SECTOR_BYTES);
}
