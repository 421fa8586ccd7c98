// SPDX-License-Identifier: MIT
// Forwards that come and go while guests are there.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/managed/journal.h"
#include "net/managed/network_impl.h"

/*
 * Theory of operation
 *
 * A forward is an element of a map for each nic it leads to, in that nic's journal
 * with all else that was done for the nic, and goes with it. What the definition says
 * now is compared with that: what is too much is taken back, then what is missing
 * is done. So it is the same whether a command changes the definition, or
 * a repair comes after a command that was killed.
 */
struct sync {
	const struct network_lock *lock;
	const struct netdef *def;
	struct err *e;
	struct journal *journal;                  /* of the nic that is looked at */
	struct netop wanted[NETDEF_MAX_FORWARDS]; /* of it */
	unsigned nr_wanted, nr_changed;
};

static int want(void *opaque, const struct netop *op, const char *text, struct err *e)
{
	struct sync *s = opaque;

	(void)text;
	(void)e;
	s->wanted[s->nr_wanted++] = *op;
	return 0;
}

static bool is_forward(const struct netop *op)
{
	return op->kind == NETOP_ELEMENT && (strcmp(op->arg[1], plan_forward_map(false)) == 0 ||
					     strcmp(op->arg[1], plan_forward_map(true)) == 0);
}

static bool is_wanted(const struct sync *s, const struct netop *op)
{
	for (unsigned i = 0; i < s->nr_wanted; i++) {
		if (memcmp(&s->wanted[i], op, sizeof(*op)) == 0)
			return true;
	}
	return false;
}

/* The address that the nic was given. */
static struct net_prefix address_of(const struct journal *j)
{
	struct net_prefix v4 = { 0 };

	for (unsigned i = 0; i < journal_nr_ops(j); i++) {
		const struct netop *op = journal_op(j, i);

		if (op->kind == NETOP_NIC && net_prefix_parse(op->arg[1], &v4) < 0)
			v4.family = 0;
	}
	return v4;
}

static int take_back(struct sync *s)
{
	int rc = 0;

	for (unsigned i = journal_nr_ops(s->journal); rc == 0 && i > 0; i--) {
		const struct netop op = *journal_op(s->journal, i - 1);

		if (!is_forward(&op) || is_wanted(s, &op))
			continue;
		rc = journal_undo_one(s->journal, &s->lock->env, &op, s->e);
		s->nr_changed++;
	}
	return rc;
}

/* One that cannot be done is not left in the journal either. */
static int add_one(struct sync *s, const struct netop *op)
{
	int rc;

	if (journal_has(s->journal, op))
		return 0;
	if (journal_is_long(s->journal))
		return err_set(s->e, -EFBIG, "too many changes since the guest has come");
	s->nr_changed++;
	rc = journal_do(s->journal, &s->lock->env, op, NULL, s->e);
	if (rc < 0)
		(void)!journal_undo_one(s->journal, &s->lock->env, op, NULL);
	return rc;
}

static int sync_nic(void *opaque, const struct network_lock *lock, const char *member)
{
	const char *dot = strrchr(member, '.');
	struct sync *s = opaque;
	struct net_prefix v4;
	char guest[64];
	int rc;

	if (!dot || network_open_member(lock, s->def->name, member, &s->journal) < 0)
		return 0;
	(void)snprintf(guest, sizeof(guest), "%.*s", (int)(dot - member), member);
	v4 = address_of(s->journal);
	s->nr_wanted = 0;
	rc = plan_forwards(s->def, guest, &v4, want, s, s->e);
	if (rc == 0)
		rc = take_back(s);
	for (unsigned i = 0; rc == 0 && i < s->nr_wanted; i++)
		rc = add_one(s, &s->wanted[i]);
	journal_close(s->journal);
	return rc;
}

int network_sync_forwards(const struct network_lock *lock, const struct netdef *def, struct err *e)
{
	struct sync s = { .lock = lock, .def = def, .e = e };
	int rc = def->mode == NET_MODE_NAT ? network_each_member(lock, def->name, sync_nic, &s) : 0;

	return rc < 0 ? rc : (int)s.nr_changed;
}

static int change_locked(struct network_lock *lock, const struct netdef *old,
			 const struct netdef *new, struct err *e)
{
	char path[NETWORK_PATH];
	int rc = 0;

	network_journal_path(lock, new->name, path);
	if (access(path, F_OK) == 0)
		rc = network_sync_forwards(lock, new, e);
	if (rc >= 0)
		rc = netdef_save(new, lock->dirs->defs, true, e);
	if (rc < 0)
		(void)!network_sync_forwards(lock, old, NULL);
	return rc < 0 ? rc : 0;
}

int network_change_forwards(const struct net_dirs *dirs, const char *name,
			    int (*change)(struct netdef *def, const char *rule, struct err *e),
			    const char *rule, struct err *e)
{
	struct network_lock lock;
	struct netdef old, new;
	int rc = network_lock(&lock, dirs, e);

	if (rc < 0)
		return rc;
	rc = netdef_load(&old, dirs->defs, name, e);
	if (rc == 0 && old.mode != NET_MODE_NAT)
		rc = err_set(e, -EINVAL, "network %s: forwards work with --mode nat only", name);
	if (rc == 0) {
		new = old;
		rc = change(&new, rule, e);
	}
	if (rc == 0)
		rc = change_locked(&lock, &old, &new, e);
	network_unlock(&lock);
	return rc;
}
