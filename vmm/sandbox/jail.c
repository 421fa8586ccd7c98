// SPDX-License-Identifier: MIT
// --jail and --chroot: namespaces, and another root.
#include "vmm/sandbox/jail.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/io.h"
#include "vmm/sandbox/resolver.h"

/* Where the new root is put together; any folder that is always there. */
#define WORKPLACE "/tmp"
#define HOSTNAME  "ferry"
/* Enough for mount points, and for nothing else. */
#define ROOT_OPTIONS "mode=0755,size=64k,nr_inodes=64"
#define NO_PROGRAMS  (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* --- namespaces --- */

static int write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* In a user namespace of its own, with the same numbers. */
static int unshare_user(void)
{
	char uids[32], gids[32];
	int rc;

	(void)snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
	(void)snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	(void)capng_get_caps_process(); /* all of them, there */
	rc = write_text("/proc/self/uid_map", uids);
	if (rc == 0)
		rc = write_text("/proc/self/setgroups", "deny");
	return rc < 0 ? rc : write_text("/proc/self/gid_map", gids);
}

/* It goes there and comes not back: a thread has a network namespace of its own. */
static void *make_net(void *opaque)
{
	int *ret_fd = opaque;

	if (unshare(CLONE_NEWNET) < 0)
		*ret_fd = -errno;
	else
		*ret_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return NULL;
}

/* A descriptor of an empty network namespace, or -errno. */
static int new_net(void)
{
	int fd = -ENOENT;
	pthread_t thread;
	int rc = -pthread_create(&thread, NULL, make_net, &fd);

	if (rc == 0)
		rc = -pthread_join(thread, NULL);
	return rc < 0 ? rc : fd;
}

static int make_namespaces(struct jail *j, bool own_net)
{
	int rc;

	j->own_user = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN) != 1;
	rc = j->own_user ? unshare_user() : 0;
	if (rc < 0)
		return rc;
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return -errno;
	/* What is mounted here is seen by nobody else. */
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0 ||
	    sethostname(HOSTNAME, strlen(HOSTNAME)) < 0)
		return -errno;
	if (!own_net)
		return 0;
	j->net_fd = new_net();
	return j->net_fd < 0 ? j->net_fd : 0;
}

const char *jail_remedy(int error)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
		       "kernel.apparmor_restrict_unprivileged_userns=0), or run as root";
	case -ENOSPC:
	case -EUSERS:
		return "allow more namespaces: sysctl user.max_user_namespaces=10000, and "
		       "user.max_mnt_namespaces, max_ipc, max_uts and max_net likewise";
	case -EINVAL:
	case -ENOSYS:
		return "run a kernel with CONFIG_USER_NS, CONFIG_NET_NS, CONFIG_IPC_NS and "
		       "CONFIG_UTS_NS";
	default:
		return "run guests without --jail";
	}
}

static int open_root(struct jail *j, struct err *e)
{
	close_fd(&j->root_fd);
	if (!j->root)
		return 0;
	j->root_fd = open(j->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return j->root_fd < 0 ? err_set(e, -errno, "chroot: %s: %s", j->root, strerror(errno)) : 0;
}

int jail_init(struct jail *j, bool on, const char *root, struct err *e)
{
	int rc;

	*j = (struct jail){ .on = on, .net_fd = -1, .root = root, .root_fd = -1 };
	rc = open_root(j, e);
	if (rc < 0 || !root)
		return rc;
	if (!on && capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_CHROOT) != 1)
		return err_set(e, -EPERM,
			       "chroot: only root can change the root: add --jail, or start "
			       "ferry as root");
	return 0;
}

int jail_begin(struct jail *j, bool own_net, struct err *e)
{
	int rc = j->on ? make_namespaces(j, own_net) : 0;

	if (rc < 0)
		return err_set(e, rc, "jail: %s: %s", strerror(-rc), jail_remedy(rc));
	/* Of this namespace's mounts: others cannot be copied. */
	return open_root(j, e);
}

int jail_enter_net(const struct jail *j)
{
	return j->net_fd >= 0 && setns(j->net_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

/* --- what is seen --- */

static struct jail_shown *new_shown(struct jail *j, const char *path, const char *source)
{
	struct jail_shown *s = &j->shown[j->nr_shown];

	if (j->nr_shown == JAIL_MAX_SHOWN || strlen(path) >= sizeof(s->path) ||
	    strlen(source) >= sizeof(s->source))
		return NULL;
	j->nr_shown++;
	(void)snprintf(s->path, sizeof(s->path), "%s", path);
	(void)snprintf(s->source, sizeof(s->source), "%s", source);
	return s;
}

/* --chroot's folder has what it has. */
static bool shows_more(const struct jail *j)
{
	return j->on && !j->root;
}

int jail_show_folder(struct jail *j, const char *dir)
{
	struct jail_shown *s = shows_more(j) ? new_shown(j, dir, dir) : NULL;

	if (s)
		s->writable = true;
	return s || !shows_more(j) ? 0 : -ENAMETOOLONG;
}

int jail_show_resolver(struct jail *j)
{
	char real[PATH_MAX], tree[PATH_MAX];
	struct jail_shown *s;

	if (!shows_more(j) || resolver_find(real, tree) < 0)
		return 0;
	if (!strcmp(real, tree))
		return new_shown(j, RESOLVER_PATH, real) ? 0 : -ENAMETOOLONG;
	if (!new_shown(j, tree, tree))
		return -ENAMETOOLONG;
	s = new_shown(j, RESOLVER_PATH, real);
	if (s)
		s->is_link = true;
	return s ? 0 : -ENAMETOOLONG;
}

/* --- the root --- */

/* A copy of the mount at @path, or of @dirfd's where @path is empty. A descriptor or -errno. */
static int copy_tree(int dirfd, const char *path, bool writable)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
			    (writable ? 0 : MOUNT_ATTR_RDONLY),
		/* What the host mounts below it later would come without these. */
		.propagation = MS_PRIVATE,
	};
	_cleanup_close_ int fd = open_tree(
		dirfd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);

	if (fd < 0)
		return -errno;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* The folders above @path, which is relative to the new root. */
static int make_parents(const char *path)
{
	char copy[PATH_MAX];

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

/* Something to mount @fd on. */
static int make_point(const char *path, int fd)
{
	_cleanup_close_ int file = -1;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return mkdir(path, 0755) < 0 ? -errno : 0;
	file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	return file < 0 ? -errno : 0;
}

/* @fd is what @s shows; -1: a link. The working directory is the new root. */
static int place(const struct jail_shown *s, int fd)
{
	const char *path = s->path + 1;
	int rc = make_parents(path);

	if (rc < 0)
		return rc;
	if (s->is_link)
		return symlink(s->source, path) < 0 ? -errno : 0;
	rc = make_point(path, fd);
	if (rc < 0)
		return rc;
	return move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Over WORKPLACE: --chroot's folder, or one that is empty. */
static int mount_root(const struct jail *j)
{
	_cleanup_close_ int fd = -1;

	if (!j->root)
		return mount(HOSTNAME, WORKPLACE, "tmpfs", NO_PROGRAMS, ROOT_OPTIONS) < 0 ? -errno
											  : 0;
	fd = copy_tree(j->root_fd, "", false);
	if (fd < 0)
		return fd;
	return move_mount(fd, "", AT_FDCWD, WORKPLACE, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

/* The new root for all threads, and the old one nowhere. */
static int pivot(void)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };

	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return mount_setattr(AT_FDCWD, "/", 0, &read_only, sizeof(read_only)) < 0 ? -errno : 0;
}

static int exchange_root(const struct jail *j)
{
	int fds[JAIL_MAX_SHOWN], rc = 0;
	unsigned nr;

	/* All are looked up first: what is mounted now may hide them. */
	for (nr = 0; rc == 0 && nr < j->nr_shown; nr++) {
		const struct jail_shown *s = &j->shown[nr];

		fds[nr] = s->is_link ? -1 : copy_tree(AT_FDCWD, s->source, s->writable);
		rc = fds[nr] < 0 && !s->is_link ? fds[nr] : 0;
	}
	if (rc == 0)
		rc = mount_root(j);
	if (rc == 0 && chdir(WORKPLACE) < 0)
		rc = -errno;
	for (unsigned i = 0; rc == 0 && i < j->nr_shown; i++)
		rc = place(&j->shown[i], fds[i]);
	for (unsigned i = 0; i < nr; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	return rc < 0 ? rc : pivot();
}

static int change_root(const struct jail *j)
{
	return fchdir(j->root_fd) < 0 || chroot(".") < 0 || chdir("/") < 0 ? -errno : 0;
}

int jail_enter_root(struct jail *j, struct err *e)
{
	int rc = 0;

	if (j->on)
		rc = exchange_root(j);
	else if (j->root)
		rc = change_root(j);
	close_fd(&j->root_fd);
	return rc < 0 ? err_set(e, rc, "jail: cannot change the root: %s", strerror(-rc)) : 0;
}

/* --- for ferry doctor --- */

static int try_it(void)
{
	struct jail j = { .on = true, .net_fd = -1, .root_fd = -1 };
	struct err e;
	int rc = make_namespaces(&j, true);

	return rc < 0 ? rc : jail_enter_root(&j, &e);
}

int jail_check(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(-try_it());
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}
