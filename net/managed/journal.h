/* SPDX-License-Identifier: MIT */
/* What was changed for a network or a guest's nic, written down before it is done. */
#ifndef FERRY_NET_MANAGED_JOURNAL_H
#define FERRY_NET_MANAGED_JOURNAL_H

#include <stdbool.h>

#include "net/managed/netop.h"

/*
 * A journal is a file of lines, one JSON array an operation: ["addr","br0",
 * "10.0.0.1/24"]. A line is one write(2), so a process that is killed leaves whole
 * lines, and perhaps a last one for something that was never done. The line
 * ["complete"] says that all was done, ["incomplete"] that it is being taken back,
 * and "undone" before an operation that it was. Lines are only added: whoever holds
 * a lock on the file keeps it. It lives in the runtime directory: a reboot
 * takes the changes and the journal away together.
 */
struct journal;

/* Most operations a journal may have: what is more is not ours. */
#define JOURNAL_MAX_OPS 4096U

/* Begin @path, which must not exist (-EEXIST), or go on with one that does. */
__must_check int journal_create(struct journal **ret, const char *path, struct err *e);
__must_check int journal_open(struct journal **ret, const char *path, struct err *e);

/* Forget it; the file stays. NULL: no-op. */
void journal_close(struct journal *j);

/* Write @op down, then do it. */
__must_check int journal_do(struct journal *j, const struct netop_env *env, const struct netop *op,
			    const char *text, struct err *e);

/* Take the last operation that equals @op back and out of the journal; none: 0. */
__must_check int journal_undo_one(struct journal *j, const struct netop_env *env,
				  const struct netop *op, struct err *e);

/* Is there an operation that equals @op? */
bool journal_has(const struct journal *j, const struct netop *op);

/* All was done. */
__must_check int journal_complete(struct journal *j, struct err *e);
bool journal_is_complete(const struct journal *j);

/* Has it grown so long that no more should be done by it? Undoing it needs room, too. */
bool journal_is_long(const struct journal *j);

/* The operations, oldest first. */
unsigned journal_nr_ops(const struct journal *j);
const struct netop *journal_op(const struct journal *j, unsigned i);

/*
 * Take all back, last first, then remove the file. An operation that cannot be
 * taken back does not stop the others: it stays in the file, and the first
 * reason is returned.
 */
__must_check int journal_undo(struct journal *j, const struct netop_env *env, struct err *e);

#endif
