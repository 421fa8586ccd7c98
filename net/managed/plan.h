/* SPDX-License-Identifier: MIT */
/* What a definition means on a host: the operations of each mode, in order. */
#ifndef FERRY_NET_MANAGED_PLAN_H
#define FERRY_NET_MANAGED_PLAN_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/managed/netdef.h"
#include "net/managed/netop.h"

/* The nic of a guest that joins a network. */
struct net_member {
	const char *guest; /* name of the guest */
	unsigned index;    /* of its nic */
	uint8_t mac[6];
	char tap[IF_NAMESIZE];
	struct net_prefix v4, v6; /* its addresses there; family 0: not known */
	struct net_prefix slaac;  /* what it makes of the prefix, if that is another than v6 */
	bool unfiltered;          /* may send from any address: nested guests, bridges */
	bool promiscuous;         /* sees frames for others */
	uint16_t vlan;            /* 0: none */
};

/* Does the next operation; not 0: stop and return that. @text as netop_apply()'s. */
typedef int (*plan_fn)(void *opaque, const struct netop *op, const char *text, struct err *e);

/*
 * Give @fn, in order, what makes the network @def: its files are in @dir. Undone
 * in reverse, each prefix of it leaves the host as it was. 0, or what @fn returned.
 */
__must_check int plan_network(const struct netdef *def, const char *dir, plan_fn fn, void *opaque,
			      struct err *e);

/* The same for a member, whose tap is there. */
__must_check int plan_member(const struct netdef *def, const char *dir, const struct net_member *m,
			     plan_fn fn, void *opaque, struct err *e);

/* The map of the network's table that has forwards. */
static inline const char *plan_forward_map(bool udp)
{
	return udp ? "udp_forwards" : "tcp_forwards";
}

/* The part of that which leads ports of the host to a guest with address @v4. */
__must_check int plan_forwards(const struct netdef *def, const char *guest,
			       const struct net_prefix *v4, plan_fn fn, void *opaque,
			       struct err *e);

#endif
