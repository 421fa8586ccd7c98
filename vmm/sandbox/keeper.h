/* SPDX-License-Identifier: MIT */
/* A process beside a guest's that may still do what the guest's process cannot. */
#ifndef FERRY_VMM_SANDBOX_KEEPER_H
#define FERRY_VMM_SANDBOX_KEEPER_H

#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * A guest's process that has become another user, or sees another root, can no longer
 * remove its sockets, and what it starts would be in its namespaces. So it forks a
 * child before: the keeper, which stays what the guest's process was. It is told by
 * messages what to remove at the end, and asked to start ferry-net. Nothing of that is
 * heard any more once keeper_seal() was called, before the guest's process reads
 * what a guest or a peer says: from then on the keeper knows one thing, that the
 * connection was closed. Then it removes the files, also after a kill -9, and ends.
 *
 * It belongs to the process, as confinement does. All functions: main thread; without
 * keeper_start(), or without effect in the keeper's absence, no-ops.
 */

/* Fork the keeper. Before there is a thread. 0, or -errno with @e. */
__must_check int keeper_start(struct err *e);

/* Is there one? */
bool keeper_exists(void);

/* At the end, remove what guest @name has in the runtime directory @dir. 0 or -errno. */
__must_check int keeper_remove_guest(const char *dir, const char *name);

/* At the end, remove the socket that is at @path when it is sealed. 0 or -errno. */
__must_check int keeper_remove_socket(const char *path);

/*
 * Have ferry-net started as by net_helper_spawn(), with @fd, the caller's: from another mount
 * namespace the path of the own program is not to be had. 0, or -errno with @e.
 */
__must_check int keeper_spawn(int fd, struct err *e);

/* It is to hear no more. 0 or -errno. */
__must_check int keeper_seal(void);

/* All is closed: let it remove the files, and wait for that, some seconds at most. */
void keeper_end(void);

#endif
