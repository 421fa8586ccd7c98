// SPDX-License-Identifier: MIT
// The lock on all networks: whoever takes it first clears up after the dead.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/managed/journal.h"
#include "net/managed/network_impl.h"
#include "util/io.h"

#define SUFFIX ".journal"

void network_journal_path(const struct network_lock *lock, const char *name,
			  char path[NETWORK_PATH])
{
	(void)snprintf(path, NETWORK_PATH, "%.200s/%s" SUFFIX, lock->dirs->state, name);
}

void network_address_path(const char *state, const char *name, const struct net_prefix *addr,
			  char path[NETWORK_PATH])
{
	char text[NET_PREFIX_TEXT];

	(void)snprintf(path, NETWORK_PATH, "%.150s/%s=%s", state, name,
		       net_addr_format(addr, text));
}

/* "lab" of "lab.journal" and "lab@web.0.journal"; false: another file. */
static bool split(const char *file, char name[64], char member[128])
{
	size_t len = strlen(file), end = len - strlen(SUFFIX), at;

	if (len <= strlen(SUFFIX) || strcmp(file + end, SUFFIX) != 0)
		return false;
	at = strcspn(file, "@");
	(void)snprintf(name, 64, "%.*s", (int)MIN(at, end), file);
	(void)snprintf(member, 128, "%.*s", at < end ? (int)(end - at - 1) : 0,
		       at < end ? file + at + 1 : "");
	return true;
}

int network_undo_file(struct network_lock *lock, const char *path, struct err *e)
{
	struct journal *j;
	int rc = journal_open(&j, path, e);

	if (rc < 0)
		return rc;
	rc = journal_undo(j, &lock->env, e);
	journal_close(j);
	return rc;
}

/* Is the owner of a nic's journal alive? He holds a lock on it. */
static bool is_owned(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0;
}

static bool is_unfinished(const char *path)
{
	struct journal *j;
	bool unfinished;

	if (journal_open(&j, path, NULL) < 0)
		return false;
	unfinished = !journal_is_complete(j);
	journal_close(j);
	return unfinished;
}

static void clear_up_file(struct network_lock *lock, const char *file)
{
	char name[64], member[128], path[NETWORK_PATH];

	if (!split(file, name, member))
		return;
	(void)snprintf(path, sizeof(path), "%.150s/%.100s", lock->dirs->state, file);
	if (member[0] ? is_owned(path) : !is_unfinished(path))
		return;
	lock->nr_mended++;
	(void)!network_undo_file(lock, path, NULL);
}

/* Nics before networks: their ports leave the bridge first. */
static void clear_up(struct network_lock *lock)
{
	for (int nics = 1; nics >= 0; nics--) {
		DIR *dir = opendir(lock->dirs->state);
		struct dirent *entry;

		if (!dir)
			return;
		while ((entry = readdir(dir))) {
			if ((strchr(entry->d_name, '@') != NULL) == nics)
				clear_up_file(lock, entry->d_name);
		}
		(void)closedir(dir);
	}
}

int network_lock(struct network_lock *lock, const struct net_dirs *dirs, struct err *e)
{
	char path[NETWORK_PATH];
	int rc = io_make_dirs(dirs->state, 0755);

	*lock = (struct network_lock){ .dirs = dirs, .fd = -1, .env.dir = dirs->state };
	(void)snprintf(path, sizeof(path), "%.240s/lock", dirs->state);
	if (rc == 0) {
		lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		rc = lock->fd < 0 ? -errno : 0;
	}
	while (rc == 0 && flock(lock->fd, LOCK_EX) < 0) {
		if (errno != EINTR)
			rc = -errno;
	}
	if (rc < 0) {
		close_fd(&lock->fd);
		return err_set(e, rc, "%s: %s: managed networks need root", dirs->state,
			       strerror(-rc));
	}
	rc = netlink_open(&lock->env.nl, e);
	if (rc < 0) {
		close_fd(&lock->fd);
		return rc;
	}
	clear_up(lock);
	return 0;
}

void network_unlock(struct network_lock *lock)
{
	netlink_close(lock->env.nl);
	close_fd(&lock->fd);
}

int network_each_member(const struct network_lock *lock, const char *name,
			int (*fn)(void *opaque, const struct network_lock *lock,
				  const char *member),
			void *opaque)
{
	DIR *dir = opendir(lock->dirs->state);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return -errno;
	while (rc == 0 && (entry = readdir(dir))) {
		char network[64], member[128];

		if (split(entry->d_name, network, member) && member[0] &&
		    strcmp(network, name) == 0)
			rc = fn(opaque, lock, member);
	}
	(void)closedir(dir);
	return rc;
}

int network_open_member(const struct network_lock *lock, const char *name, const char *member,
			struct journal **ret)
{
	char path[NETWORK_PATH];

	(void)snprintf(path, sizeof(path), "%.100s/%s@%.100s" SUFFIX, lock->dirs->state, name,
		       member);
	return journal_open(ret, path, NULL);
}

int network_undo(struct network_lock *lock, const char *name, struct err *e)
{
	char path[NETWORK_PATH];

	network_journal_path(lock, name, path);
	return access(path, F_OK) < 0 ? 0 : network_undo_file(lock, path, e);
}
