/* SPDX-License-Identifier: MIT */
/* The lock on all networks and what is done under it: for network_*.c. */
#ifndef FERRY_NET_MANAGED_NETWORK_IMPL_H
#define FERRY_NET_MANAGED_NETWORK_IMPL_H

#include <fcntl.h>

#include "net/managed/netlink.h"
#include "net/managed/network.h"

#define NETWORK_PATH 256

struct journal;

struct network_lock {
	const struct net_dirs *dirs;
	struct netop_env env;
	int fd;
	unsigned nr_mended; /* what was found wrong when it was taken */
};

/*
 * Wait for the lock, and take back what killed processes have left. 0, or
 * -errno: no permission, no such directory.
 */
__must_check int network_lock(struct network_lock *lock, const struct net_dirs *dirs,
			      struct err *e);
void network_unlock(struct network_lock *lock);

/* Where the journal of a network is, and the file that says whose an address is. */
void network_journal_path(const struct network_lock *lock, const char *name,
			  char path[NETWORK_PATH]);
void network_address_path(const char *state, const char *name, const struct net_prefix *addr,
			  char path[NETWORK_PATH]);

/* The journal of @member ("GUEST.N") of a network. */
__must_check int network_open_member(const struct network_lock *lock, const char *name,
				     const char *member, struct journal **ret);

/* Nics on network @name: @fn gets "GUEST.N"; what is not 0 ends it. */
__must_check int network_each_member(const struct network_lock *lock, const char *name,
				     int (*fn)(void *opaque, const struct network_lock *lock,
					       const char *member),
				     void *opaque);

/* Take back what a journal says, and remove it. */
__must_check int network_undo_file(struct network_lock *lock, const char *path, struct err *e);

/* Take all of a network back; not up: 0. */
__must_check int network_undo(struct network_lock *lock, const char *name, struct err *e);

/* Is anything of somebody else's in the way of @def? 0, or -errno with what. */
__must_check int network_check(struct network_lock *lock, const struct netdef *def, struct err *e);

/*
 * The network was made; make it what @def says, and put its nics back where something
 * was missing. @thorough: look at the nics in any case. Returns how many
 * things were wrong, or -errno.
 */
__must_check int network_mend(struct network_lock *lock, const struct netdef *def, bool thorough,
			      struct err *e);

/*
 * Let the forwards of the nics that are there be those of @def. Returns how many
 * were not, or -errno with the reason of the first failure.
 */
__must_check int network_sync_forwards(const struct network_lock *lock, const struct netdef *def,
				       struct err *e);

#endif
