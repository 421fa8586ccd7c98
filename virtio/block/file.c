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
#include "util/log.h"

#define LOCK_PATIENCE_NS (300 * NSEC_PER_MSEC)

static int try_lock(int fd, short type)
{
	struct flock wanted = { .l_type = type, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &wanted) < 0 ? -errno : 0;
}

static void pause_briefly(void)
{
	const struct timespec pause = { .tv_nsec = 10 * (long)NSEC_PER_MSEC };

	(void)nanosleep(&pause, NULL);
}

/*
 * A process that was killed holds its lock until the kernel has finished the
 * I/O that it left behind, and so it should: wait for that, but not for more.
 */
static int lock_patiently(int fd, short type)
{
	uint64_t until_ns = clock_now_ns() + LOCK_PATIENCE_NS;
	int rc;

	while ((rc = try_lock(fd, type)) == -EAGAIN && clock_now_ns() < until_ns)
		pause_briefly();
	return rc;
}

static int take_lock(struct block_file *f, struct err *e)
{
	struct flock held = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int rc = lock_patiently(f->fd, f->writer ? F_WRLCK : F_RDLCK);

	if (rc == 0) {
		atomic_store_explicit(&f->locked, true, memory_order_relaxed);
		return 0;
	}
	if (rc != -EAGAIN)
		return err_set(e, rc, "%s: cannot lock the image: %s: use a file system with locks",
			       f->path, strerror(-rc));
	(void)fcntl(f->fd, F_OFD_GETLK, &held);
	if (held.l_type == F_RDLCK)
		return err_set(e, -EBUSY,
			       "%s: another guest reads the image, and relies on it: stop that "
			       "guest first, or use overlay here as well",
			       f->path);
	return err_set(e, -EBUSY,
		       "%s: another guest has the image open for writing: stop that guest first",
		       f->path);
}

static void drop_lock(struct block_file *f)
{
	atomic_store_explicit(&f->locked, false, memory_order_relaxed);
	(void)!try_lock(f->fd, F_UNLCK);
}

static int err_not_writable(const char *path, int code, struct err *e)
{
	return err_set(e, code, "%s: %s: for writing; use it with overlay or readonly", path,
		       strerror(-code));
}

static int inspect_device(struct block_file *f, const char *path, struct err *e)
{
	int block_bytes = 0, readonly = 0;

	/* It could be opened for writing all the same. */
	if (f->writer && ioctl(f->fd, BLKROGET, &readonly) == 0 && readonly)
		return err_not_writable(path, -EROFS, e);
	if (ioctl(f->fd, BLKGETSIZE64, &f->bytes) < 0)
		return err_set(e, -errno, "%s: cannot find the size of the device: %s", path,
			       strerror(errno));
	if (ioctl(f->fd, BLKSSZGET, &block_bytes) == 0 && block_bytes > 0)
		f->block_bytes = (uint32_t)block_bytes;
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

static int inspect(struct block_file *f, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	f->block_bytes = BLOCK_SECTOR_BYTES;
	if (S_ISBLK(st.st_mode))
		return inspect_device(f, path, e);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL,
			       "%s: neither a file nor a block device: give a raw disk image",
			       path);
	f->bytes = (uint64_t)st.st_size;
	f->can_punch = f->writer && try_punch(f);
	return 0;
}

/* The size now; 0 if that is not to be found out. */
static uint64_t current_bytes(const struct block_file *f)
{
	uint64_t bytes = 0;
	struct stat st;

	if (f->is_device)
		return ioctl(f->fd, BLKGETSIZE64, &bytes) < 0 ? 0 : bytes;
	return fstat(f->fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

/*
 * What this host has cached was true when it was read. Pages are clean: while
 * another has the lock nobody writes here. Of a device they can be
 * thrown away for good by root only; the advice does the same for pages that
 * nobody uses at this moment.
 */
static void drop_cache(const struct block_file *f)
{
	if (f->is_device)
		(void)ioctl(f->fd, BLKFLSBUF, 0);
	(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
}

int block_file_take_lock(struct block_file *f, struct err *e)
{
	int rc;

	if (block_file_is_locked(f))
		return 0;
	rc = take_lock(f, e);
	if (rc < 0)
		return rc;
	drop_cache(f);
	if (current_bytes(f) == f->bytes)
		return 0;
	drop_lock(f);
	return err_set(e, -ESTALE, "%s: the image has had %llu bytes, and has another size now",
		       f->path, (unsigned long long)f->bytes);
}

int block_file_release_lock(struct block_file *f, struct err *e)
{
	if (!block_file_is_locked(f))
		return 0;
	if (f->writer && fsync(f->fd) < 0)
		return err_set(e, -errno, "%s: cannot be flushed: %s", f->path, strerror(errno));
	drop_lock(f);
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

/* Make a file that has @now as large as @bytes. */
static int enlarge(const struct block_file *f, uint64_t now, uint64_t bytes, struct err *e)
{
	if (f->is_device)
		return err_set(e, -EINVAL,
			       "%s: the device has %llu bytes: enlarge it first, by what made it",
			       f->path, (unsigned long long)now);
	if (!f->writer)
		return err_set(e, -EROFS, "%s: open for reading alone: it cannot be enlarged here",
			       f->path);
	if (ftruncate(f->fd, (off_t)bytes) < 0)
		return err_set(e, -errno, "%s: cannot have %llu bytes: %s", f->path,
			       (unsigned long long)bytes, strerror(errno));
	return 0;
}

int block_file_resize(struct block_file *f, uint64_t bytes, struct err *e)
{
	uint64_t now = current_bytes(f);
	int rc;

	if (!block_file_is_locked(f))
		return err_set(e, -ENOLCK, "%s: another process has the image", f->path);
	if (now < f->bytes)
		return err_set(e, -EIO,
			       "%s: the image has had %llu bytes, and was made shorter by somebody",
			       f->path, (unsigned long long)f->bytes);
	if (bytes && bytes < now)
		return err_set(e, -EINVAL,
			       "%s: the image has %llu bytes by now: give no size, and the guest "
			       "gets that",
			       f->path, (unsigned long long)now);
	if (bytes > now) {
		rc = enlarge(f, now, bytes, e);
		if (rc < 0)
			return rc;
		now = bytes;
	}
	f->bytes = now;
	return 0;
}

/* Its owner meant another file, or a tool for it: the guest would write over its structures. */
static void warn_of_format(const struct block_file *f)
{
	static const struct {
		const char *name;
		size_t at, bytes;
		const char *magic;
	} formats[] = {
		{ "qcow2", 0, 4, "QFI\xfb" },
		{ "vmdk", 0, 4, "KDMV" },
		{ "vhdx", 0, 8, "vhdxfile" },
		{ "vdi", 64, 4, "\x7f\x10\xda\xbe" },
	};
	uint8_t head[128];

	if (pread(f->fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		if (!memcmp(head + formats[i].at, formats[i].magic, formats[i].bytes))
			log_warn("%s: looks like %s, and is used as a raw image all the same: "
				 "'qemu-img convert -O raw' makes one of it",
				 f->path, formats[i].name);
	}
}

static int set_direct(struct block_file *f, const struct block_image_config *cfg, struct err *e)
{
	int flags = fcntl(f->fd, F_GETFL) & ~(O_NONBLOCK | O_APPEND | O_ASYNC | O_DIRECT);
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

/* --- opening --- */

/* O_NONBLOCK: a FIFO must not make us wait before we can refuse it. */
static int open_flags(const struct block_file *f)
{
	return (f->writer ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
}

static int err_open(const struct block_file *f, const char *path, int code, struct err *e)
{
	if (f->writer && (code == -EACCES || code == -EROFS))
		return err_not_writable(path, code, e);
	return err_set(e, code, "%s: %s", path, strerror(-code));
}

/* Who writes to a device claims it; of a file the flag has no meaning. */
static bool wants_claim(const struct block_file *f, const char *path)
{
	struct stat st;

	return f->writer && stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* Open it here, with a device's claim if nobody has that. */
static int open_path(struct block_file *f, const struct block_image_config *cfg, struct err *e)
{
	bool device = wants_claim(f, cfg->path);

	f->fd = open(cfg->path, open_flags(f) | (device ? O_EXCL : 0));
	if (f->fd < 0 && errno == EBUSY && device) {
		f->unclaimed = true;
		f->fd = open(cfg->path, open_flags(f));
	}
	return f->fd < 0 ? err_open(f, cfg->path, -errno, e) : 0;
}

/*
 * Claim the device by another descriptor in place of the one there is. Patiently: a claim
 * ends when the kernel closes the file, as a killed process's lock does.
 */
static int claim(struct block_file *f, const char *path, struct err *e)
{
	uint64_t until_ns = clock_now_ns() + LOCK_PATIENCE_NS;
	int fd;

	while ((fd = open(path, open_flags(f) | O_EXCL)) < 0 && errno == EBUSY &&
	       clock_now_ns() < until_ns)
		pause_briefly();
	if (fd < 0 && errno == EBUSY)
		return err_set(e, -EBUSY,
			       "%s: this host uses the device, as a mounted file system, swap or "
			       "part of another device: end that first, or use overlay here",
			       path);
	if (fd < 0)
		return err_open(f, path, -errno, e);
	(void)close(f->fd);
	f->fd = fd;
	f->unclaimed = false;
	return 0;
}

/*
 * Who has the claim that we did not get? A guest that has the lock, too: to wait for the lock
 * says so, or outlasts it; and of an incoming guest that is its own source, on this host.
 */
static int settle_claim(struct block_file *f, const struct block_image_config *cfg, struct err *e)
{
	struct flock held = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int rc;

	if (cfg->incoming && fcntl(f->fd, F_OFD_GETLK, &held) == 0 && held.l_type != F_UNLCK)
		return 0;
	rc = cfg->incoming ? 0 : take_lock(f, e);
	return rc < 0 ? rc : claim(f, cfg->path, e);
}

/*
 * Is that which somebody has opened fit to be used, and for no more than is needed? What
 * kind of file it is inspect() judges; flags of its that mislead are cleared by set_direct().
 */
static int look_at_given(struct block_file *f, const struct block_image_config *cfg, struct err *e)
{
	int flags = fcntl(cfg->given->fd, F_GETFL);

	if (flags < 0)
		return err_set(e, -errno, "%s: the descriptor: %s", cfg->path, strerror(errno));
	if (flags & O_PATH || (flags & O_ACCMODE) != (f->writer ? O_RDWR : O_RDONLY))
		return err_set(e, -EINVAL, "%s: the descriptor must be open for %s", cfg->path,
			       f->writer ? "reading and writing" : "reading alone");
	f->fd = cfg->given->fd;
	return 0;
}

static int set_up(struct block_file *f, const struct block_image_config *cfg, struct err *e)
{
	int rc;

	f->path = strdup(cfg->path);
	rc = f->path ? inspect(f, cfg->path, e)
		     : err_set(e, -ENOMEM, "%s: %s", cfg->path, strerror(ENOMEM));
	if (rc == 0 && f->unclaimed)
		rc = settle_claim(f, cfg, e);
	if (rc == 0 && !cfg->incoming)
		rc = take_lock(f, e);
	if (rc == 0 && !cfg->given)
		warn_of_format(f); /* before reads have to be aligned */
	return rc < 0 ? rc : set_direct(f, cfg, e);
}

int block_file_open(struct block_file *f, const struct block_image_config *cfg, struct err *e)
{
	int rc;

	*f = (struct block_file){ .writer = !cfg->readonly && !cfg->overlay, .fd = -1 };
	rc = cfg->given ? look_at_given(f, cfg, e) : open_path(f, cfg, e);
	if (rc < 0)
		return rc;
	rc = set_up(f, cfg, e);
	if (rc == 0 && cfg->given)
		cfg->given->fd = -1;
	else if (rc < 0 && cfg->given)
		(void)block_file_give(f); /* it stays the caller's */
	else if (rc < 0)
		block_file_close(f);
	return rc;
}

int block_file_give(struct block_file *f)
{
	free(f->path);
	f->path = NULL;
	return take_fd(&f->fd);
}

void block_file_close(struct block_file *f)
{
	/*
	 * Our io_uring may go on to hold the file for a moment, but nothing is
	 * under way on it any more: the next one need not wait for that.
	 */
	if (f->fd >= 0)
		drop_lock(f);
	close_fd(&f->fd);
	free(f->path);
	f->path = NULL;
}
