/* SPDX-License-Identifier: MIT */
/* Managed networks: brought up, joined, left, taken down, repaired. */
#ifndef FERRY_NET_MANAGED_NETWORK_H
#define FERRY_NET_MANAGED_NETWORK_H

#include "net/managed/netdef.h"
#include "net/managed/plan.h"
#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * The state of all networks is in one directory (/run/ferry/net): for each that is
 * up a journal NAME.journal, for each nic that has joined NAME@GUEST.N.journal,
 * which the process of its guest holds locked as long as it lives. One lock, on the
 * file "lock", is held by whoever changes anything: two that want the same
 * network at once make it once.
 *
 * A journal without its last line, and a nic's journal without its owner, are what
 * somebody left who was killed. Whoever takes the lock next puts that right first,
 * so nothing depends on a command that a person must remember; network_repair()
 * is for the impatient. All functions may block for some 10 ms; main thread.
 */
struct net_dirs {
	const char *defs;  /* definitions: /etc/ferry/networks */
	const char *state; /* /run/ferry/net */
};

/*
 * Make sure that the network is up. -EEXIST, -EADDRINUSE and so on with the reason
 * in @e: something of somebody else's is in the way, and nothing was changed.
 */
__must_check int network_up(const struct net_dirs *dirs, const struct netdef *def, struct err *e);

/* Is it up, or on its way up or down? */
bool network_is_up(const struct net_dirs *dirs, const char *name);

/* Take it down. -EBUSY while guests are on it, with their names. Not up: 0. */
__must_check int network_down(const struct net_dirs *dirs, const char *name, struct err *e);

/* A nic that has joined: its journal. */
struct net_join {
	int fd;      /* the file, without its lock; -1: none */
	int lock_fd; /* locked: whoever has it open is the guest, and alive; may be given away */
	char path[256];
};

static inline void net_join_init(struct net_join *join)
{
	*join = (struct net_join){ .fd = -1, .lock_fd = -1 };
}

/*
 * The address that @m has, or will have, on @def: what it asks for (0 in
 * m->v4/v6: derived from its MAC, past those that others have). Fills in both
 * families. -EADDRINUSE: another guest has it; -EADDRNOTAVAIL: not of this network.
 */
__must_check int network_choose_addresses(const struct net_dirs *dirs, const struct netdef *def,
					  struct net_member *m, struct err *e);

/* Join with a tap that is there; the network is up. */
__must_check int network_join(const struct net_dirs *dirs, const struct netdef *def,
			      const struct net_member *member, struct net_join *ret, struct err *e);

/* The nic of a guest that is an interface of its own, on one of the host. */
struct net_macvtap {
	const char *guest; /* name of the guest */
	unsigned index;    /* of its nic */
	const char *lower; /* the host's interface */
	const char *mode;  /* "bridge", "vepa", "private" */
	uint8_t mac[6];
	unsigned mtu; /* 0: that of @lower */
};

/*
 * Make it, up; *@ret_name is what it is called. It is on no network of ours, but
 * leaves as nics of those do. 0, or -errno with the reason.
 */
__must_check int network_join_macvtap(const struct net_dirs *dirs, const struct net_macvtap *nic,
				      struct net_join *ret, char ret_name[IF_NAMESIZE],
				      struct err *e);

/*
 * Leave, whoever else has the lock; the tap may be gone, and somebody else may have
 * taken everything back already. Never joined: no-op.
 */
void network_leave(const struct net_dirs *dirs, struct net_join *join);

/*
 * Change the forwards of network @name while it runs: @change gets the definition, whose
 * forwards it may add to and take from, and returns 0, or -errno with the reason.
 * Guests that are there get and lose the ports at once, then the definition is
 * written; if anything fails, all is as before.
 */
__must_check int network_change_forwards(const struct net_dirs *dirs, const char *name,
					 int (*change)(struct netdef *def, const char *rule,
						       struct err *e),
					 const char *rule, struct err *e);

/* A nic that is on a network. */
struct network_nic {
	char guest[64];
	unsigned index;
	char tap[IF_NAMESIZE];
	char mac[18];
	struct net_prefix v4, v6; /* family 0: not known */
	char lease[16];           /* IPv4 address that it has got by DHCP; "": none yet */
	struct netlink_link link; /* its tap's; zero if that is gone */
};

/*
 * Call @fn for each; what is not 0 ends it. 1: the network is up, 0: it is not,
 * or -errno.
 */
__must_check int network_each_nic(const struct net_dirs *dirs, const char *name,
				  int (*fn)(void *opaque, const struct network_nic *nic),
				  void *opaque, struct err *e);

/*
 * Put right what killed processes left, and what is missing of networks that are
 * up. Returns how many things were wrong, or -errno.
 */
__must_check int network_repair(const struct net_dirs *dirs, struct err *e);

#endif
