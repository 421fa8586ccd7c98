// SPDX-License-Identifier: MIT
// What is on networks, and what of them is to be put right.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/managed/dhcp.h"
#include "net/managed/journal.h"
#include "net/managed/network_impl.h"

/* --- what is there --- */

struct listing {
	const char *name;
	int (*fn)(void *opaque, const struct network_nic *nic);
	void *opaque;
};

/* A nic's journal says all about it. */
static int read_nic(void *opaque, const struct network_lock *lock, const char *member)
{
	const struct listing *l = opaque;
	const char *dot = strrchr(member, '.');
	struct network_nic nic = { 0 };
	char folder[NETWORK_PATH];
	struct journal *j;

	if (!dot || network_open_member(lock, l->name, member, &j) < 0)
		return 0;
	(void)snprintf(nic.guest, sizeof(nic.guest), "%.*s", (int)(dot - member), member);
	nic.index = (unsigned)strtoul(dot + 1, NULL, 10);
	for (unsigned i = 0; i < journal_nr_ops(j); i++) {
		const struct netop *op = journal_op(j, i);

		if (op->kind != NETOP_NIC)
			continue;
		(void)snprintf(nic.mac, sizeof(nic.mac), "%.17s", op->arg[0]);
		(void)!net_prefix_parse(op->arg[1], &nic.v4);
		(void)!net_prefix_parse(op->arg[2], &nic.v6);
		(void)snprintf(nic.tap, sizeof(nic.tap), "%.15s", op->arg[3]);
	}
	journal_close(j);
	(void)!netlink_get_link(lock->env.nl, nic.tap, &nic.link);
	(void)snprintf(folder, sizeof(folder), "%.200s/%s.dhcp", lock->dirs->state, l->name);
	dhcp_find_lease(folder, nic.mac, nic.lease);
	return l->fn(l->opaque, &nic);
}

int network_each_nic(const struct net_dirs *dirs, const char *name,
		     int (*fn)(void *opaque, const struct network_nic *nic), void *opaque,
		     struct err *e)
{
	struct listing l = { .name = name, .fn = fn, .opaque = opaque };
	char path[NETWORK_PATH];
	struct network_lock lock;
	int rc = network_lock(&lock, dirs, e);

	if (rc < 0)
		return rc;
	rc = network_each_member(&lock, name, read_nic, &l);
	network_journal_path(&lock, name, path);
	if (rc == 0)
		rc = access(path, F_OK) == 0;
	network_unlock(&lock);
	return rc;
}

/* --- putting it right --- */

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
		rc = network_mend(lock, &def, true, e);
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
		nr += MAX(rc, 0);
		if (rc < 0)
			(void)err_prefix(e, "network %s", name);
	}
	if (dir)
		(void)closedir(dir);
	network_unlock(&lock);
	return rc < 0 ? rc : nr;
}
