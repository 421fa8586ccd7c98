// SPDX-License-Identifier: MIT
// Landlock: which files may still be opened, and which connections made.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/io.h"
#include "vmm/sandbox/resolver.h"
#include "vmm/sandbox/sandbox.h"
#include "vmm/sandbox/sandbox_impl.h"

/* Newer than Debian 12's headers; see linux/landlock.h of Linux 6.12. */
#define ACCESS_FS_TRUNCATE     (1ULL << 14) /* version 3 */
#define ACCESS_FS_IOCTL_DEV    (1ULL << 15) /* version 5 */
#define ACCESS_NET_BIND_TCP    (1ULL << 0)  /* version 4 */
#define ACCESS_NET_CONNECT_TCP (1ULL << 1)  /* version 4 */
#define SCOPE_ABSTRACT_UNIX    (1ULL << 0)  /* version 6 */
#define SCOPE_SIGNAL           (1ULL << 1)  /* version 6 */
/* Asks for a mask of mistakes that were mended; see linux/landlock.h of Linux 6.15. */
#define CREATE_RULESET_ERRATA (1U << 1)
/* Threads of one process may signal each other, whatever their domains are. */
#define ERRATUM_SIGNAL (1L << 1)

struct ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* from version 4 */
	uint64_t scoped;             /* from version 6 */
};

/* Which rights a version knows, besides those of the versions before it. */
static const struct {
	int abi;
	uint64_t fs, net, scoped;
} versions[] = {
	{ 1, (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1, 0, 0 },
	{ 2, LANDLOCK_ACCESS_FS_REFER, 0, 0 },
	{ 3, ACCESS_FS_TRUNCATE, 0, 0 },
	{ 4, 0, ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP, 0 },
	{ 5, ACCESS_FS_IOCTL_DEV, 0, 0 },
	{ 6, 0, 0, SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL },
};

/* The main thread kicks vCPUs, whose domain is another: could it, were signals scoped? */
static bool can_scope_signals(void)
{
	long mended = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_ERRATA);

	return mended > 0 && (mended & ERRATUM_SIGNAL);
}

/*
 * What a class may do all the same. Whatever the main thread starts, user networks and
 * teleports among them, has its domain beneath its own.
 */
static const struct freedom {
	uint64_t net;
	uint64_t scopes; /* to connect to */
} freedoms[THREAD_NR_CLASSES] = {
	/* names of ephemeral guests */
	[THREAD_MAIN] = { ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP, SCOPE_ABSTRACT_UNIX },
	/* the guest's connections, and ports that are forwarded to it */
	[THREAD_NET] = { ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP, 0 },
	/* the other host */
	[THREAD_MOVE] = { ACCESS_NET_CONNECT_TCP, 0 },
};

int sandbox_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static size_t ruleset_bytes(int abi)
{
	if (abi < 4)
		return offsetof(struct ruleset, handled_access_net);
	return abi < 6 ? offsetof(struct ruleset, scoped) : sizeof(struct ruleset);
}

/* A ruleset that forbids all there is to forbid but @but. The descriptor or -errno. */
static int new_ruleset(int abi, const struct freedom *but)
{
	struct ruleset r = { 0 };
	long fd;

	for (size_t i = 0; i < ARRAY_SIZE(versions) && versions[i].abi <= abi; i++) {
		r.handled_access_fs |= versions[i].fs;
		r.handled_access_net |= versions[i].net;
		r.scoped |= versions[i].scoped;
	}
	r.handled_access_net &= ~but->net;
	r.scoped &= ~but->scopes;
	if (!can_scope_signals())
		r.scoped &= ~SCOPE_SIGNAL;
	fd = syscall(SYS_landlock_create_ruleset, &r, ruleset_bytes(abi), 0);
	return fd < 0 ? -errno : (int)fd;
}

static int allow_fd(int ruleset_fd, int fd, uint64_t access)
{
	const struct landlock_path_beneath_attr attr = { .allowed_access = access,
							 .parent_fd = fd };

	return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0
		       ? -errno
		       : 0;
}

static int allow(int ruleset_fd, const char *path, uint64_t access)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : allow_fd(ruleset_fd, fd, access);
}

static int allow_resolver(const struct landlock *l)
{
	char real[PATH_MAX], tree[PATH_MAX];
	int rc;

	if (resolver_find(real, tree) < 0)
		return 0; /* nothing to read */
	rc = allow(l->fds[THREAD_NET], tree, LANDLOCK_ACCESS_FS_READ_FILE);
	/* The main thread for those that come later, with a nic. */
	return rc < 0 ? rc : allow(l->fds[THREAD_MAIN], tree, LANDLOCK_ACCESS_FS_READ_FILE);
}

int landlock_allow_resolver_in(const struct landlock *l, const char *root)
{
	char path[PATH_MAX];
	int rc;

	if (!l->abi)
		return 0;
	(void)snprintf(path, sizeof(path), "%s" RESOLVER_PATH, root);
	rc = allow(l->fds[THREAD_NET], path, LANDLOCK_ACCESS_FS_READ_FILE);
	if (rc == 0) /* as in allow_resolver() */
		rc = allow(l->fds[THREAD_MAIN], path, LANDLOCK_ACCESS_FS_READ_FILE);
	return rc == -ENOENT ? 0 : rc;
}

int landlock_init(struct landlock *l)
{
	int rc = 0;

	l->abi = sandbox_landlock_abi();
	for (unsigned i = 0; i < THREAD_NR_CLASSES; i++)
		l->fds[i] = -1;
	for (unsigned i = 0; l->abi && i < THREAD_NR_CLASSES && rc >= 0; i++)
		rc = l->fds[i] = new_ruleset(l->abi, &freedoms[i]);
	return rc < 0 || !l->abi ? rc : allow_resolver(l);
}

int landlock_allow_removal(const struct landlock *l, const char *dir)
{
	int rc;

	if (!l->abi)
		return 0;
	rc = allow(l->fds[THREAD_MAIN], dir, LANDLOCK_ACCESS_FS_REMOVE_FILE);
	/* Whoever makes a file there says it better. */
	return rc == -ENOENT || rc == -ENOTDIR ? 0 : rc;
}

int landlock_allow_rename(const struct landlock *l, const char *dir, int lock_fd)
{
	int rc;

	if (!l->abi)
		return 0;
	rc = allow(l->fds[THREAD_MAIN], dir, LANDLOCK_ACCESS_FS_MAKE_SOCK);
	return rc < 0 ? rc
		      : allow_fd(l->fds[THREAD_MAIN], lock_fd,
				 LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
}

int landlock_allow_cores(const struct landlock *l, const char *dir)
{
	/* Made without a name, which is linked, or with another, which is changed; synced. */
	uint64_t access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
			  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE |
			  LANDLOCK_ACCESS_FS_READ_DIR;
	int rc;

	if (!l->abi)
		return 0;
	if (l->abi >= 3)
		access |= ACCESS_FS_TRUNCATE;
	rc = allow(l->fds[THREAD_MAIN], dir, access);
	return rc < 0 ? rc : allow(l->fds[THREAD_MOVE], dir, access);
}

int landlock_enter(const struct landlock *l, enum thread_class class)
{
	if (!l->abi)
		return 0;
	return syscall(SYS_landlock_restrict_self, l->fds[class], 0) < 0 ? -errno : 0;
}
