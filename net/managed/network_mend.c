// SPDX-License-Identifier: MIT
// A network that is up is made what its definition says.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/managed/journal.h"
#include "net/managed/network_impl.h"
#include "util/io.h"

/*
 * Theory of operation
 *
 * The plan of the definition is compared with the journal of what was done. What
 * the plan no longer has is taken back, last first; what it has and the journal has
 * not is done; what both have and the host has no more is done again. Some
 * operations cannot be seen on the host: they were lost with what they are part
 * of, so they are done again if anything before them was.
 */
struct mending {
	struct journal *journal;
	const struct netop_env *env;
	struct netop *wanted; /* the plan */
	unsigned nr_wanted, room;
	unsigned nr_mended;
};

static int want(void *opaque, const struct netop *op, const char *text, struct err *e)
{
	struct mending *m = opaque;

	(void)text;
	if (m->nr_wanted == JOURNAL_MAX_OPS)
		return err_set(e, -E2BIG, "too many operations");
	if (m->nr_wanted == m->room) {
		unsigned room = m->room ? 2 * m->room : 16;
		struct netop *ops = reallocarray(m->wanted, room, sizeof(*ops));

		if (!ops)
			return err_set(e, -ENOMEM, "no memory");
		m->wanted = ops;
		m->room = room;
	}
	m->wanted[m->nr_wanted++] = *op;
	return 0;
}

static bool is_wanted(const struct mending *m, const struct netop *op)
{
	for (unsigned i = 0; i < m->nr_wanted; i++) {
		if (memcmp(&m->wanted[i], op, sizeof(*op)) == 0)
			return true;
	}
	return false;
}

static int take_back(struct mending *m, struct err *e)
{
	for (unsigned i = journal_nr_ops(m->journal); i > 0; i--) {
		const struct netop op = *journal_op(m->journal, i - 1);
		int rc;

		if (is_wanted(m, &op))
			continue;
		rc = journal_undo_one(m->journal, m->env, &op, e);
		if (rc < 0)
			return rc;
		m->nr_mended++;
	}
	return 0;
}

static int make(void *opaque, const struct netop *op, const char *text, struct err *e)
{
	struct mending *m = opaque;
	int rc;

	if (!journal_has(m->journal, op)) {
		m->nr_mended++;
		return journal_do(m->journal, m->env, op, text, e);
	}
	rc = netop_holds(m->env, op);
	if (rc == 1 || (rc == -ENOTSUP && m->nr_mended == 0))
		return 0;
	m->nr_mended += rc == 0;
	return netop_apply(m->env, op, text, e);
}

struct rejoining {
	const char *network;
	bool remade; /* something of the network was: what cannot be seen is done again, too */
	unsigned nr_mended;
};

/* A nic's operations. Files are still there, and their text is not known here. */
static int rejoin(void *opaque, const struct network_lock *lock, const char *member)
{
	struct rejoining *r = opaque;
	bool mended = false;
	struct journal *j;

	if (network_open_member(lock, r->network, member, &j) < 0)
		return 0;
	for (unsigned i = 0; i < journal_nr_ops(j); i++) {
		const struct netop *op = journal_op(j, i);
		int held = netop_holds(&lock->env, op);

		if (op->kind == NETOP_FILE || held == 1 || (held < 0 && !r->remade && !mended))
			continue;
		mended |= held == 0;
		(void)!netop_apply(&lock->env, op, NULL, NULL);
	}
	journal_close(j);
	r->nr_mended += mended;
	return 0;
}

static int mend(struct network_lock *lock, const struct netdef *def, struct mending *m,
		struct err *e)
{
	const char *state = lock->dirs->state;
	int rc = plan_network(def, state, want, m, e);

	if (rc == 0)
		rc = take_back(m, e);
	if (rc == 0)
		rc = plan_network(def, state, make, m, e);
	return rc;
}

int network_mend(struct network_lock *lock, const struct netdef *def, bool thorough, struct err *e)
{
	struct mending m = { .env = &lock->env };
	struct rejoining nics = { .network = def->name };
	char path[NETWORK_PATH];
	int rc;

	network_journal_path(lock, def->name, path);
	rc = journal_open(&m.journal, path, e);
	if (rc < 0)
		return rc;
	rc = mend(lock, def, &m, e);
	journal_close(m.journal);
	free(m.wanted);
	nics.remade = m.nr_mended > 0;
	if (rc == 0 && (nics.remade || thorough))
		rc = network_each_member(lock, def->name, rejoin, &nics);
	if (rc == 0 && thorough)
		rc = network_sync_forwards(lock, def, e);
	if (rc > 0)
		nics.nr_mended += (unsigned)rc;
	return rc < 0 ? rc : (int)(m.nr_mended + nics.nr_mended);
}
