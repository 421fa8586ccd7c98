// SPDX-License-Identifier: MIT
// Names of running guests: the runtime directory, its lock and its sockets.
#include "vmm/guest/runtime.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/hash.h"
#include "util/io.h"

#define LISTEN_BACKLOG      32
#define REMOVAL_PATIENCE_NS (500 * NSEC_PER_MSEC)

/* Files that a guest has in the runtime directory, besides its name. */
static const char *const runtime_suffixes[] = { ".sock", ".console" };

bool runtime_name_start(char c)
{
	return isalnum((unsigned char)c) && (unsigned char)c < 128;
}

bool runtime_name_char(char c)
{
	return runtime_name_start(c) || c == '.' || c == '_' || c == '-';
}

int runtime_check_name(const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (len == 0 || len > RUNTIME_NAME_MAX)
		return err_set(e, -EINVAL, "a name has 1 to %d characters", RUNTIME_NAME_MAX);
	if (!runtime_name_start(name[0]))
		return err_set(e, -EINVAL, "name '%s' does not start with a letter or digit", name);
	for (size_t i = 0; i < len; i++) {
		if (!runtime_name_char(name[i]))
			return err_set(e, -EINVAL,
				       "name '%s': only letters, digits, '.', '_' and '-' are "
				       "possible",
				       name);
	}
	return 0;
}

/* --- the directory --- */

int runtime_check_dir(const char *dir, struct err *e)
{
	struct stat st;

	if (lstat(dir, &st) < 0)
		return err_set(e, -errno, "runtime directory %s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(e, -EPERM,
			       "runtime directory %s is not a directory of this user alone: "
			       "remove it, or chmod 700 it",
			       dir);
	return 0;
}

int runtime_dir(char *buf, size_t len, bool create, struct err *e)
{
	const char *xdg = secure_getenv("XDG_RUNTIME_DIR");
	int n;

	if (xdg && xdg[0] == '/')
		n = snprintf(buf, len, "%s/ferry", xdg);
	else if (geteuid() == 0)
		n = snprintf(buf, len, "/run/ferry");
	else
		n = snprintf(buf, len, "/tmp/ferry-%u", geteuid());
	if (n < 0 || (size_t)n >= len)
		return err_set(e, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
	if (!create)
		return 0;
	if (mkdir(buf, 0700) < 0 && errno != EEXIST)
		return err_set(e, -errno, "cannot make the runtime directory %s: %s", buf,
			       strerror(errno));
	return runtime_check_dir(buf, e);
}

int runtime_addr(const char *dir, const char *name, bool abstract, struct runtime_addr *ret,
		 struct err *e)
{
	size_t room = sizeof(ret->sun.sun_path) - abstract;
	int n;

	*ret = (struct runtime_addr){ .sun.sun_family = AF_UNIX };
	n = snprintf(ret->sun.sun_path + abstract, room, "%s/%s.sock", dir, name);
	if (n < 0 || (size_t)n >= room)
		return err_set(
			e, -ENAMETOOLONG,
			"the path %s/%s.sock is too long for a socket: choose a shorter name", dir,
			name);
	ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	return 0;
}

/* --- locks --- */

/* The name's hash, cut to what a lock's offset can be. */
static off_t lock_offset(const char *name)
{
	return (off_t)(fnv1a_text(name) >> 2 & ~1ULL);
}

/* Who owns the name. */
static struct flock lock_of(const char *name)
{
	return (struct flock){
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = lock_offset(name),
		.l_len = 1,
	};
}

/* Who removes files of the name; held for that moment alone. */
static struct flock removal_lock_of(const char *name)
{
	struct flock fl = lock_of(name);

	fl.l_start++;
	return fl;
}

/*
 * It is held for a moment, unless its holder was stopped, or is a guest's process that somebody
 * has taken over, which may lock whatever it likes: -EAGAIN then.
 */
static int wait_for_removal_lock(int lock_fd, const char *name)
{
	const struct timespec pause = { .tv_nsec = (long)NSEC_PER_MSEC };
	uint64_t until_ns = clock_now_ns() + REMOVAL_PATIENCE_NS;
	struct flock fl = removal_lock_of(name);

	while (fcntl(lock_fd, F_OFD_SETLK, &fl) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -errno;
		if (clock_now_ns() >= until_ns)
			return -EAGAIN;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static void drop_lock(int lock_fd, struct flock fl)
{
	fl.l_type = F_UNLCK;
	(void)fcntl(lock_fd, F_OFD_SETLK, &fl);
}

/* Open the lock file. -ENOENT without @create where there is none. */
static int open_lock(const char *dir, bool create)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	return fd < 0 ? -errno : fd;
}

/* Does a living guest with files have @name? */
static bool is_locked(int lock_fd, const char *name)
{
	struct flock fl = lock_of(name);

	return fcntl(lock_fd, F_OFD_GETLK, &fl) == 0 && fl.l_type != F_UNLCK;
}

/* -EAGAIN: somebody is there, but does not accept. @now: do not wait for that. */
static int connect_to(const struct runtime_addr *addr, bool now)
{
	_cleanup_close_ int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (now ? SOCK_NONBLOCK : 0), 0);
	const struct timeval patience = { .tv_usec = 200000 };

	if (fd < 0)
		return -errno;
	/* Abstract names are anybody's: a full backlog must not hold us for ever. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&addr->sun, addr->len) < 0)
		return -errno;
	return take_fd(&fd);
}

/* --- claims --- */

static int err_taken(const char *name, struct err *e)
{
	return err_set(e, -EEXIST,
		       "a guest called %s is running already: choose another --name "
		       "('ferry receive --name' for one that arrives), or end that guest first",
		       name);
}

static int bind_and_listen(const struct runtime_addr *addr)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* The file gets the mode of the descriptor, less the umask. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&addr->sun, addr->len) < 0)
		return -errno;
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	return take_fd(&fd);
}

static int listen_at(struct runtime_claim *claim, const struct runtime_addr *addr, const char *name,
		     struct err *e)
{
	int fd;

	if (claim->has_file)
		(void)unlink(addr->sun.sun_path); /* a dead guest's: we hold the lock */
	fd = bind_and_listen(addr);
	if (fd == -EADDRINUSE)
		return err_taken(name, e);
	if (fd < 0)
		return err_set(e, fd, "cannot make the control socket %s: %s", claim->path,
			       strerror(-fd));
	claim->sock_fd = fd;
	return 0;
}

static int take_lock(struct runtime_claim *claim, const char *dir, const char *name, struct err *e)
{
	struct flock fl = lock_of(name);
	int fd = open_lock(dir, true), rc;

	if (fd < 0)
		return err_set(e, fd, "cannot open %s/lock: %s", dir, strerror(-fd));
	claim->lock_fd = fd;
	if (fcntl(fd, F_OFD_SETLK, &fl) < 0)
		return errno == EAGAIN || errno == EACCES
			       ? err_taken(name, e)
			       : err_set(e, -errno, "cannot lock %s/lock: %s", dir,
					 strerror(errno));
	/* Whoever removes files now did not see us; the next one will. */
	rc = wait_for_removal_lock(fd, name);
	if (rc == -EAGAIN)
		return err_set(e, rc,
			       "%s/lock: another process, which /proc/locks names, holds the lock "
			       "of name %s: end it",
			       dir, name);
	if (rc < 0)
		return err_set(e, rc, "cannot lock %s/lock: %s", dir, strerror(-rc));
	drop_lock(fd, removal_lock_of(name));
	return 0;
}

/*
 * Does a guest of the one kind, or of the other, listen under the name? Whoever claims
 * it listens before he asks, so that of two at least one is refused. Without a look at
 * the lock: a confined guest without files cannot open it.
 */
static bool taken_by(const char *dir, const char *name, bool ephemeral)
{
	_cleanup_close_ int fd = -1;
	struct runtime_addr addr;

	if (runtime_addr(dir, name, ephemeral, &addr, NULL) == 0)
		fd = connect_to(&addr, false);
	return fd >= 0 || fd == -EAGAIN;
}

int runtime_check_free(const char *name, struct err *e)
{
	char dir[108];
	int rc = runtime_dir(dir, sizeof(dir), false, e);

	if (rc < 0)
		return rc;
	return taken_by(dir, name, false) || taken_by(dir, name, true) ? err_taken(name, e) : 0;
}

static int claim_name(struct runtime_claim *claim, const char *dir, const char *name, struct err *e)
{
	struct runtime_addr addr;
	int rc = runtime_addr(dir, name, claim->ephemeral, &addr, e);

	if (rc < 0)
		return rc;
	(void)snprintf(claim->path, sizeof(claim->path), "%s",
		       addr.sun.sun_path + claim->ephemeral);
	if (!claim->ephemeral)
		rc = take_lock(claim, dir, name, e);
	if (rc == 0) {
		claim->has_file = !claim->ephemeral;
		rc = listen_at(claim, &addr, name, e);
	}
	if (rc < 0)
		return rc;
	return taken_by(dir, name, !claim->ephemeral) ? err_taken(name, e) : 0;
}

int runtime_claim(struct runtime_claim *claim, const char *name, bool ephemeral, struct err *e)
{
	char dir[sizeof(claim->path)];
	int rc;

	runtime_claim_init(claim);
	claim->ephemeral = ephemeral;
	rc = runtime_dir(dir, sizeof(dir), !ephemeral, e);
	if (rc == 0)
		rc = claim_name(claim, dir, name, e);
	if (rc < 0)
		runtime_release(claim);
	return rc;
}

void runtime_release(struct runtime_claim *claim)
{
	close_fd(&claim->sock_fd);
	if (claim->has_file)
		(void)unlink(claim->path);
	claim->has_file = false;
	/* The lock goes last: until now nobody else may make these files. */
	close_fd(&claim->lock_fd);
}

/* --- looking for guests --- */

bool runtime_remove_stale(const char *dir, const char *name)
{
	_cleanup_close_ int fd = open_lock(dir, false);
	char path[256];

	if (fd < 0 || is_locked(fd, name))
		return false;
	/* In this order: a guest that starts after the second look waits for us. */
	if (wait_for_removal_lock(fd, name) < 0 || is_locked(fd, name))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(runtime_suffixes); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s%s", dir, name, runtime_suffixes[i]);
		(void)unlink(path);
	}
	return true;
}

/* The process at the other end; nobody else may pose as a guest of ours. */
static int check_peer(int fd, pid_t *ret_pid, struct err *e)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set(e, -errno, "control socket: %s", strerror(errno));
	if (cred.uid != geteuid() && cred.uid != 0)
		return err_set(e, -EPERM, "control socket: it belongs to user %u", cred.uid);
	*ret_pid = cred.pid;
	return 0;
}

int runtime_connect(const char *name, bool now, pid_t *ret_pid, struct err *e)
{
	_cleanup_close_ int fd = -1;
	struct runtime_addr addr;
	char dir[108];
	int rc = runtime_check_name(name, e);

	if (rc == 0)
		rc = runtime_dir(dir, sizeof(dir), false, e);
	for (int abstract = 0; rc == 0 && fd < 0 && fd != -EAGAIN && abstract <= 1; abstract++) {
		rc = runtime_addr(dir, name, abstract, &addr, e);
		if (rc == 0)
			fd = connect_to(&addr, now);
	}
	if (rc < 0)
		return rc;
	if (fd == -EAGAIN)
		return err_set(e, fd, "guest %s does not answer", name);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return err_set(e, -ENOENT, "no guest called %s is running: see 'ferry list'", name);
	if (fd < 0)
		return err_set(e, fd, "guest %s: %s", name, strerror(-fd));
	rc = check_peer(fd, ret_pid, e);
	return rc < 0 ? rc : take_fd(&fd);
}
