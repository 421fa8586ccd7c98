// SPDX-License-Identifier: MIT
// Networks go up and down, nics join and leave, under one lock.
#include "net/managed/network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/mac.h"
#include "net/managed/dhcp.h"
#include "net/managed/journal.h"
#include "net/managed/network_impl.h"
#include "util/io.h"

/* --- going up --- */

struct doing {
	struct journal *journal;
	const struct netop_env *env;
};

static int do_op(void *opaque, const struct netop *op, const char *text, struct err *e)
{
	struct doing *d = opaque;

	return journal_do(d->journal, d->env, op, text, e);
}

/* All of a plan, or nothing of it. The reason of the failure survives the undoing. */
static int finish(struct journal *j, const struct netop_env *env, int rc, struct err *e)
{
	struct err left = { 0 };

	if (rc == 0)
		rc = journal_complete(j, e);
	if (rc < 0 && journal_undo(j, env, &left) < 0)
		(void)err_set(e, rc, "%.300s (and %.150s: run 'ferry net repair')",
			      e ? e->text : "", left.text);
	return rc;
}

static int create(struct network_lock *lock, const struct netdef *def, struct err *e)
{
	char path[NETWORK_PATH];
	struct doing d = { .env = &lock->env };
	int rc = network_check(lock, def, e);

	if (rc < 0)
		return rc;
	network_journal_path(lock, def->name, path);
	rc = journal_create(&d.journal, path, e);
	if (rc < 0)
		return rc;
	rc = plan_network(def, lock->dirs->state, do_op, &d, e);
	rc = finish(d.journal, &lock->env, rc, e);
	journal_close(d.journal);
	return rc;
}

static int up_locked(struct network_lock *lock, const struct netdef *def, struct err *e)
{
	char path[NETWORK_PATH];

	network_journal_path(lock, def->name, path);
	if (access(path, F_OK) == 0)
		return network_mend(lock, def, false, e);
	return create(lock, def, e);
}

int network_up(const struct net_dirs *dirs, const struct netdef *def, struct err *e)
{
	struct network_lock lock;
	int rc = network_lock(&lock, dirs, e);

	if (rc < 0)
		return rc;
	rc = up_locked(&lock, def, e);
	network_unlock(&lock);
	if (rc < 0)
		(void)err_prefix(e, "network %s", def->name);
	return rc < 0 ? rc : 0;
}

bool network_is_up(const struct net_dirs *dirs, const char *name)
{
	const struct network_lock lock = { .dirs = dirs, .fd = -1 };
	char path[NETWORK_PATH];

	network_journal_path(&lock, name, path);
	return access(path, F_OK) == 0;
}

/* --- going down --- */

struct members {
	char names[200];
	unsigned nr;
};

static int note_member(void *opaque, const struct network_lock *lock, const char *member)
{
	struct members *m = opaque;
	size_t used = strlen(m->names);

	(void)lock;
	m->nr++;
	(void)snprintf(m->names + used, sizeof(m->names) - used, "%s%s", used ? ", " : "", member);
	return 0;
}

static int down_locked(struct network_lock *lock, const char *name, struct err *e)
{
	struct members m = { 0 };
	int rc = network_each_member(lock, name, note_member, &m);

	if (rc < 0)
		return err_set(e, rc, "%s: %s", lock->dirs->state, strerror(-rc));
	if (m.nr)
		return err_set(e, -EBUSY, "%u nic%s of guests on it (%s): shut them down first",
			       m.nr, m.nr == 1 ? " is" : "s are", m.names);
	return network_undo(lock, name, e);
}

int network_down(const struct net_dirs *dirs, const char *name, struct err *e)
{
	struct network_lock lock;
	int rc = network_lock(&lock, dirs, e);

	if (rc < 0)
		return rc;
	rc = down_locked(&lock, name, e);
	network_unlock(&lock);
	if (rc < 0)
		(void)err_prefix(e, "network %s", name);
	return rc;
}

/* --- joining --- */

/* Who has an address is a file of its name: made with the nic's other changes. */
static int reserve(struct doing *d, const char *path, const char *what, const struct net_member *m,
		   struct err *e)
{
	struct netop op;
	char text[80];
	int rc = netop_set(&op, NETOP_FILE, path, NULL, NULL, NULL);

	if (rc < 0)
		return err_set(e, rc, "%s: too long", path);
	if (access(path, F_OK) == 0)
		return err_set(e, -EADDRINUSE, "address %s is taken", what);
	(void)snprintf(text, sizeof(text), "%.60s.%u\n", m->guest, m->index);
	return journal_do(d->journal, d->env, &op, text, e);
}

static int reserve_ip(struct doing *d, const struct netdef *def, const struct net_member *m,
		      const struct net_prefix *addr, struct err *e)
{
	char path[NETWORK_PATH], what[NET_PREFIX_TEXT];

	if (!addr->family)
		return 0;
	network_address_path(d->env->dir, def->name, addr, path);
	return reserve(d, path, net_addr_format(addr, what), m, e);
}

/* Two nics with one MAC, or one with the bridge's, would take each other's frames. */
static int reserve_mac(struct doing *d, const struct netdef *def, const struct net_member *m,
		       struct err *e)
{
	char path[NETWORK_PATH], mac[MAC_TEXT_BYTES];
	struct netlink_link bridge;

	mac_format(m->mac, mac);
	if (netlink_get_link(d->env->nl, def->bridge, &bridge) == 0 &&
	    memcmp(bridge.mac, m->mac, sizeof(m->mac)) == 0)
		return err_set(e, -EADDRINUSE, "MAC %s is the bridge's own", mac);
	(void)snprintf(path, sizeof(path), "%.150s/%s=%s", d->env->dir, def->name, mac);
	return reserve(d, path, mac, m, e);
}

/* Two descriptors of the journal, one of them with the lock: it can be given away. */
static int hold_journal(struct net_join *join, struct err *e)
{
	join->fd = open(join->path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	join->lock_fd = open(join->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (join->fd < 0 || join->lock_fd < 0 || flock(join->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, -errno, "%s: %s", join->path, strerror(errno));
	return 0;
}

static int join_locked(struct network_lock *lock, const struct netdef *def,
		       const struct net_member *m, struct net_join *ret, struct err *e)
{
	struct doing d = { .env = &lock->env };
	int rc;

	(void)snprintf(ret->path, sizeof(ret->path), "%.150s/%s@%.48s.%u.journal",
		       lock->dirs->state, def->name, m->guest, m->index);
	rc = journal_create(&d.journal, ret->path, e);
	if (rc < 0)
		return rc;
	rc = reserve_mac(&d, def, m, e);
	if (rc == 0)
		rc = reserve_ip(&d, def, m, &m->v4, e);
	if (rc == 0)
		rc = reserve_ip(&d, def, m, &m->v6, e);
	if (rc == 0)
		rc = reserve_ip(&d, def, m, &m->slaac, e);
	if (rc == 0)
		rc = plan_member(def, lock->dirs->state, m, do_op, &d, e);
	rc = finish(d.journal, &lock->env, rc, e);
	journal_close(d.journal);
	if (rc < 0)
		return rc;
	return hold_journal(ret, e);
}

int network_join(const struct net_dirs *dirs, const struct netdef *def,
		 const struct net_member *member, struct net_join *ret, struct err *e)
{
	struct network_lock lock;
	int rc = network_lock(&lock, dirs, e);

	net_join_init(ret);
	if (rc < 0)
		return rc;
	rc = join_locked(&lock, def, member, ret, e);
	network_unlock(&lock);
	if (rc < 0)
		(void)err_prefix(e, "network %s", def->name);
	return rc;
}

/* --- macvtap --- */

/* Names of networks begin with a small letter, so none is called like this. */
#define NO_NETWORK  "MACVTAP"
#define MAX_NUMBERS 4096U

/* A name that no interface has; others make theirs with another prefix. */
static int free_name(struct netlink *nl, char name[IF_NAMESIZE])
{
	struct netlink_link link;

	for (unsigned i = 0; i < MAX_NUMBERS; i++) {
		(void)snprintf(name, IF_NAMESIZE, "fymv%u", i);
		if (netlink_get_link(nl, name, &link) == -ENODEV)
			return 0;
	}
	return -ENFILE;
}

static int plan_macvtap(struct doing *d, const struct net_macvtap *nic, const char *name,
			struct err *e)
{
	char alias[80], how[40], mac[MAC_TEXT_BYTES], mtu[16];
	struct netop op;
	int rc;

	mac_format(nic->mac, mac);
	(void)snprintf(alias, sizeof(alias), "ferry:%.48s.%u", nic->guest, nic->index);
	(void)snprintf(how, sizeof(how), "%.10s %s", nic->mode, mac);
	rc = netop_set(&op, NETOP_MACVTAP, name, alias, nic->lower, how);
	if (rc == 0)
		rc = journal_do(d->journal, d->env, &op, NULL, e);
	(void)snprintf(mtu, sizeof(mtu), "%u", nic->mtu);
	if (rc == 0 && nic->mtu)
		rc = netop_set(&op, NETOP_MTU, name, mtu, NULL, NULL);
	return rc < 0 || !nic->mtu ? rc : journal_do(d->journal, d->env, &op, NULL, e);
}

static int join_macvtap_locked(struct network_lock *lock, const struct net_macvtap *nic,
			       struct net_join *ret, char name[IF_NAMESIZE], struct err *e)
{
	struct doing d = { .env = &lock->env };
	int rc = free_name(lock->env.nl, name);

	if (rc < 0)
		return err_set(e, rc, "%s: too many macvtaps", nic->lower);
	(void)snprintf(ret->path, sizeof(ret->path), "%.150s/" NO_NETWORK "@%.48s.%u.journal",
		       lock->dirs->state, nic->guest, nic->index);
	rc = journal_create(&d.journal, ret->path, e);
	if (rc < 0)
		return rc;
	rc = plan_macvtap(&d, nic, name, e);
	rc = finish(d.journal, &lock->env, rc, e);
	journal_close(d.journal);
	return rc < 0 ? rc : hold_journal(ret, e);
}

int network_join_macvtap(const struct net_dirs *dirs, const struct net_macvtap *nic,
			 struct net_join *ret, char ret_name[IF_NAMESIZE], struct err *e)
{
	struct network_lock lock;
	int rc = network_lock(&lock, dirs, e);

	net_join_init(ret);
	if (rc < 0)
		return rc;
	rc = join_macvtap_locked(&lock, nic, ret, ret_name, e);
	network_unlock(&lock);
	return rc;
}

/* --- leaving --- */

/* Is the file of that name still the one that was made for this nic? */
static bool is_ours(const struct net_join *join)
{
	struct stat ours, now;

	return fstat(join->fd, &ours) == 0 && lstat(join->path, &now) == 0 &&
	       ours.st_dev == now.st_dev && ours.st_ino == now.st_ino;
}

void network_leave(const struct net_dirs *dirs, struct net_join *join)
{
	struct network_lock lock;

	close_fd(&join->lock_fd);
	if (join->fd < 0)
		return;
	/* Without owner it is one of those that network_lock() takes back. */
	if (network_lock(&lock, dirs, NULL) == 0) {
		if (is_ours(join))
			(void)!network_undo_file(&lock, join->path, NULL);
		network_unlock(&lock);
	}
	close_fd(&join->fd);
}
