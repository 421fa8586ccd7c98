// SPDX-License-Identifier: MIT
// A disk image on the host: opening it, its lock, and what it can do.
#include "virtio/block/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "util/clock.h"
#include "util/io.h"

#define LOCK_PATIENCE_NS (300 * NSEC_PER_MSEC)

static int try_lock(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/*
 * A process that was killed holds its lock until the kernel has finished the
 * I/O that it left behind, and so it should: wait for that, but not for more.
 */
static int lock_patiently(int fd, short type)
{
	const struct timespec pause = { .tv_nsec = 10 * (long)NSEC_PER_MSEC };
	uint64_t until_ns = clock_now_ns() + LOCK_PATIENCE_NS;
	int rc;

	while ((rc = try_lock(fd, type)) == -EAGAIN && clock_now_ns() < until_ns)
		(void)nanosleep(&pause, NULL);
	return rc;
}

int block_file_lock(int fd, const char *path, bool writer, struct err *e)
{
	struct flock held = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int rc = lock_patiently(fd, writer ? F_WRLCK : F_RDLCK);

	if (rc == 0)
		return 0;
	if (rc != -EAGAIN)
		return err_set(e, rc, "%s: cannot lock the image: %s: use a file system with locks",
			       path, strerror(-rc));
	(void)fcntl(fd, F_OFD_GETLK, &held);
	if (held.l_type == F_RDLCK)
		return err_set(e, -EBUSY,
			       "%s: another guest reads the image, and relies on it: stop that "
			       "guest first, or use overlay here as well",
			       path);
	return err_set(e, -EBUSY,
		       "%s: another guest has the image open for writing: stop that guest first",
		       path);
}

static int find_device_size(struct block_file *f, const char *path, struct err *e)
{
	if (ioctl(f->fd, BLKGETSIZE64, &f->bytes) < 0)
		return err_set(e, -errno, "%s: cannot find the size of the device: %s", path,
			       strerror(errno));
	f->is_device = true;
	f->can_punch = true; /* where it cannot, image.c finds another way */
	return 0;
}

/* Beyond the end there is nothing to lose, so it can be tried. */
static bool try_punch(const struct block_file *f)
{
	off_t beyond = (off_t)ALIGN_UP(f->bytes, MIB);

	return fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, beyond, 4096) == 0;
}

static int inspect(struct block_file *f, const char *path, bool writer, struct err *e)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (S_ISBLK(st.st_mode))
		return find_device_size(f, path, e);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL,
			       "%s: neither a file nor a block device: give a raw disk image",
			       path);
	f->bytes = (uint64_t)st.st_size;
	f->can_punch = writer && try_punch(f);
	return 0;
}

/*
 * Can the file be read sector by sector past the page cache? Asked by doing it,
 * into memory that is aligned to a sector and to no more: that is what guests
 * may do. (statx() tells on some file systems and some kernels only.)
 */
static bool try_direct(int fd)
{
	uint8_t *buf = aligned_alloc(4096, 4096);
	bool ok = buf &&
		  pread(fd, buf + BLOCK_SECTOR_BYTES, BLOCK_SECTOR_BYTES, BLOCK_SECTOR_BYTES) >= 0;

	free(buf);
	return ok;
}

static int set_direct(struct block_file *f, const struct block_image_config *cfg, struct err *e)
{
	int flags = fcntl(f->fd, F_GETFL) & ~O_NONBLOCK;
	/* The base of an overlay is often shared: best read once, for all. */
	bool want = cfg->direct == BLOCK_DIRECT_ON ||
		    (cfg->direct == BLOCK_DIRECT_AUTO && !cfg->overlay);

	if (want && fcntl(f->fd, F_SETFL, flags | O_DIRECT) == 0 && try_direct(f->fd)) {
		f->direct = true;
		return 0;
	}
	if (fcntl(f->fd, F_SETFL, flags) < 0)
		return err_set(e, -errno, "%s: %s", cfg->path, strerror(errno));
	if (cfg->direct == BLOCK_DIRECT_ON)
		return err_set(e, -EINVAL,
			       "%s: direct: its file system or device cannot do direct I/O by "
			       "sectors of 512 bytes: leave direct out",
			       cfg->path);
	return 0;
}

int block_file_open(struct block_file *f, const struct block_image_config *cfg, struct err *e)
{
	bool writer = !cfg->readonly && !cfg->overlay;
	int rc;

	/* O_NONBLOCK: a FIFO must not make us wait before we can refuse it. */
	*f = (struct block_file){ .fd = open(cfg->path, (writer ? O_RDWR : O_RDONLY) | O_CLOEXEC |
								O_NOCTTY | O_NONBLOCK) };
	if (f->fd < 0 && writer && (errno == EACCES || errno == EROFS))
		return err_set(e, -errno, "%s: %s: for writing; use it with overlay or readonly",
			       cfg->path, strerror(errno));
	if (f->fd < 0)
		return err_set(e, -errno, "%s: %s", cfg->path, strerror(errno));
	rc = inspect(f, cfg->path, writer, e);
	if (rc == 0)
		rc = block_file_lock(f->fd, cfg->path, writer, e);
	if (rc == 0)
		rc = set_direct(f, cfg, e);
	if (rc < 0)
		block_file_close(f);
	return rc;
}

void block_file_close(struct block_file *f)
{
	/*
	 * Our io_uring may go on to hold the file for a moment, but nothing is
	 * under way on it any more: the next one need not wait for that.
	 */
	if (f->fd >= 0)
		(void)!try_lock(f->fd, F_UNLCK);
	close_fd(&f->fd);
}
