// SPDX-License-Identifier: MIT
// `ferry net repair`: what killed processes left, and what others removed.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/managed/network_impl.h"

/* "lab" of "lab.journal". */
static bool network_of(const char *file, char name[NETDEF_NAME_MAX + 1])
{
	size_t len = strcspn(file, ".@=");

	if (len > NETDEF_NAME_MAX || strcmp(file + len, ".journal") != 0)
		return false;
	memcpy(name, file, len);
	name[len] = '\0';
	return true;
}

static int mend_by_name(struct network_lock *lock, const char *name, struct err *e)
{
	struct netdef def;
	int rc = netdef_load(&def, lock->dirs->defs, name, e);

	if (rc == 0)
		rc = network_mend(lock, &def, e);
	/* Up, but nobody's any more. */
	if (rc == -ENOENT)
		rc = network_undo(lock, name, e) < 0 ? -EIO : 1;
	return rc;
}

int network_repair(const struct net_dirs *dirs, struct err *e)
{
	struct network_lock lock;
	struct dirent *entry;
	DIR *dir;
	int rc = network_lock(&lock, dirs, e), nr;

	if (rc < 0)
		return rc;
	nr = (int)lock.nr_mended;
	dir = opendir(dirs->state);
	while (dir && rc >= 0 && (entry = readdir(dir))) {
		char name[NETDEF_NAME_MAX + 1];

		if (!network_of(entry->d_name, name))
			continue;
		rc = mend_by_name(&lock, name, e);
		nr += rc > 0;
		if (rc < 0)
			(void)err_prefix(e, "network %s", name);
	}
	if (dir)
		(void)closedir(dir);
	network_unlock(&lock);
	return rc < 0 ? rc : nr;
}
