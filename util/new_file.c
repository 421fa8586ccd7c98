// SPDX-License-Identifier: MIT
// A file that has its name only when it is complete.
#include "util/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/io.h"

int new_file_fail(const struct new_file *f, int rc, struct err *e)
{
	return err_set(e, rc, "%s: %s", f->path, strerror(-rc));
}

/* "/a/b" has the directory "/a", "/b" the directory "/", "b" this one. */
static int split_path(struct new_file *f, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');

	if (!(slash ? slash[1] : *path) || strlen(path) >= sizeof(f->path))
		return err_set(e, -EINVAL, "%s: not the path of a file", path);
	(void)snprintf(f->path, sizeof(f->path), "%s", path);
	(void)snprintf(f->dir, sizeof(f->dir), "%.*s", slash ? (int)MAX(slash - path, 1) : 1,
		       slash ? path : ".");
	return 0;
}

/* Only a regular file may be in the way: nobody wants to lose a device. */
static int check_target(const struct new_file *f, struct err *e)
{
	struct stat st;

	if (lstat(f->path, &st) < 0)
		return errno == ENOENT ? 0 : new_file_fail(f, -errno, e);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EEXIST, "%s: is there, and not a file", f->path);
	if (!f->force)
		return err_set(e, -EEXIST, "%s: is there already: give --force to replace it",
			       f->path);
	return 0;
}

static int open_unnamed(struct new_file *f, struct err *e)
{
	bool can_be_named = access("/proc/self/fd", F_OK) == 0; /* not in a jail */

	if (can_be_named)
		f->fd = open(f->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (f->fd >= 0)
		return 0;
	if (can_be_named && errno != EOPNOTSUPP && errno != EISDIR)
		return new_file_fail(f, -errno, e);
	/* Where that cannot be done: a name of our own, removed at the end. */
	(void)snprintf(f->temp, sizeof(f->temp), "%s/.ferry-save-XXXXXX", f->dir);
	f->fd = mkostemp(f->temp, O_CLOEXEC);
	if (f->fd < 0) {
		f->temp[0] = '\0';
		return new_file_fail(f, -errno, e);
	}
	return 0;
}

void new_file_init(struct new_file *f)
{
	*f = (struct new_file){ .fd = -1 };
}

int new_file_open(struct new_file *f, const char *path, bool force, struct err *e)
{
	int rc;

	new_file_init(f);
	f->force = force;
	rc = split_path(f, path, e);
	if (rc == 0)
		rc = check_target(f, e);
	return rc < 0 ? rc : open_unnamed(f, e);
}

int new_file_adopt(struct new_file *f, int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	new_file_init(f);
	(void)snprintf(f->path, sizeof(f->path), "the file");
	if (flags < 0 || fstat(fd, &st) < 0)
		return new_file_fail(f, -errno, e);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "the descriptor is not of a file");
	if ((flags & O_ACCMODE) == O_RDONLY || (flags & (O_APPEND | O_PATH)))
		return err_set(e, -EINVAL,
			       "the descriptor must be open for writing, without "
			       "O_APPEND");
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return f->fd < 0 ? new_file_fail(f, -errno, e) : 0;
}

void new_file_cancel(struct new_file *f)
{
	atomic_store(&f->cancelled, true);
}

void new_file_drop(struct new_file *f)
{
	if (f->temp[0])
		(void)unlink(f->temp);
	f->temp[0] = '\0';
	close_fd(&f->fd);
}

/* Not every file system can, or needs to, make a name durable: EINVAL then. */
static int sync_dir(const struct new_file *f)
{
	_cleanup_close_ int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || (fsync(fd) < 0 && errno != EINVAL) ? -errno : 0;
}

/* Give the unnamed file the name @path. 0 or -errno. */
static int link_as(const struct new_file *f, const char *path)
{
	char self[64];

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
	return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A name that is not taken, for a moment: only rename() replaces a file. */
static int link_temp(struct new_file *f)
{
	int rc = -EEXIST;

	for (unsigned i = 0; rc == -EEXIST && i < 100; i++) {
		(void)snprintf(f->temp, sizeof(f->temp), "%s/.ferry-save-%d-%u", f->dir, getpid(),
			       i);
		rc = link_as(f, f->temp);
	}
	if (rc < 0)
		f->temp[0] = '\0';
	return rc;
}

static int give_name(struct new_file *f)
{
	int rc;

	if (!f->temp[0] && !f->force)
		return link_as(f, f->path);
	if (!f->temp[0]) {
		rc = link_temp(f);
		if (rc < 0)
			return rc;
	}
	if (f->force)
		rc = rename(f->temp, f->path);
	else
		rc = renameat2(AT_FDCWD, f->temp, AT_FDCWD, f->path, RENAME_NOREPLACE);
	if (rc < 0)
		return -errno;
	f->temp[0] = '\0';
	return 0;
}

int new_file_commit(struct new_file *f, struct err *e)
{
	int rc;

	if (atomic_load(&f->cancelled))
		return err_set(e, -ECANCELED, "cancelled");
	if (fsync(f->fd) < 0)
		return new_file_fail(f, -errno, e);
	rc = f->dir[0] ? check_target(f, e) : 0;
	if (rc < 0)
		return rc;
	if (atomic_load(&f->cancelled))
		return err_set(e, -ECANCELED, "cancelled");
	if (!f->dir[0])
		return 0;
	rc = give_name(f);
	if (rc < 0)
		return new_file_fail(f, rc, e);
	rc = sync_dir(f);
	/* The caller will go on as if it were not there: nothing may say that it is. */
	if (rc < 0)
		(void)unlink(f->path);
	return rc < 0 ? new_file_fail(f, rc, e) : 0;
}
