/* SPDX-License-Identifier: MIT */
/* Changes to the host's network, each of which can be taken back by its description. */
#ifndef FERRY_NET_MANAGED_NETOP_H
#define FERRY_NET_MANAGED_NETOP_H

#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"

struct netlink;

/*
 * Theory of operation
 *
 * Whatever ferry changes on a host for a managed network is one of the few
 * operations below: a kind and up to four short strings. They are written to a
 * journal before they are done (journal.h), and that description alone is enough
 * to undo them later, in another process, whether they were done in full, in
 * part or not at all. So undoing never fails because there is nothing to undo,
 * and never touches what is not, or no longer, ours.
 */
#define NETOP_ARGS      4
#define NETOP_ARG_BYTES 112

enum netop_kind {
	NETOP_BRIDGE,  /* name, alias, "vlan", "hub", both or "", MAC or "": ours, up, by alias */
	NETOP_VXLAN,   /* name, alias, "7" or "7 ipv6", bridge: a port that leads to other hosts */
	NETOP_PEER,    /* vxlan, address: one of these hosts */
	NETOP_PORT,    /* interface, bridge, "isolated" or "", VLAN or "" */
	NETOP_ADDR,    /* interface, prefix, "alone": the kernel makes no route of it */
	NETOP_ROUTE,   /* interface, prefix, source address or "" */
	NETOP_PROXY,   /* interface, address: ARP or neighbour solicitations are answered */
	NETOP_SYSCTL,  /* key ("net/ipv4/ip_forward"), value, user: see sysctl.h */
	NETOP_NFT,     /* family and name of a table ("inet ferry-lab"), hash of its rules */
	NETOP_ELEMENT, /* table with family, set, element */
	NETOP_DHCP,    /* folder with a dnsmasq's files, hash of "conf"; it runs there */
	NETOP_UPLINK,  /* interface, bridge, file for what it had: see uplink.h */
	NETOP_MTU,     /* interface of ours, bytes */
	NETOP_TRUNK,   /* port of a bridge with VLANs: carries all of them, tagged */
	NETOP_FILE,    /* path: a small file of ours */
	NETOP_LEASE,   /* folder of a dnsmasq, "GUEST.N", MAC, "ADDRESS,[ADDRESS],GUEST" */
	NETOP_NIC,     /* MAC, IPv4 address, IPv6 address, tap: noted, nothing is changed */
	NETOP_MACVTAP, /* name, alias, interface below, "MODE MAC": ours, up */
	NETOP_MAX
};

struct netop {
	enum netop_kind kind;
	char arg[NETOP_ARGS][NETOP_ARG_BYTES];
};

/* What operations need; the lock of the network directory is held. */
struct netop_env {
	struct netlink *nl;
	const char *dir; /* of all networks' state */
};

/*
 * Fill in an operation. 0, or -ENAMETOOLONG where an argument does not fit. NULL
 * arguments are empty.
 */
__must_check int netop_set(struct netop *op, enum netop_kind kind, const char *a, const char *b,
			   const char *c, const char *d);

/*
 * Do it. @text is what only doing it needs: the rules of a table, the contents
 * of a file; NULL otherwise. 0, or -errno with thing and reason in @e.
 */
__must_check int netop_apply(const struct netop_env *env, const struct netop *op, const char *text,
			     struct err *e);

/*
 * Is it still so? Somebody may have deleted a bridge, flushed all rules, killed a
 * server. 1: yes, 0: no, -ENOTSUP: it cannot be seen, and went with what it is part of.
 */
__must_check int netop_holds(const struct netop_env *env, const struct netop *op);

/* Take it back, as far as it is there. 0, or -errno with the reason in @e. */
__must_check int netop_revert(const struct netop_env *env, const struct netop *op, struct err *e);

/* "bridge", ...; and back, NETOP_MAX for an unknown name. */
const char *netop_name(enum netop_kind kind);
enum netop_kind netop_by_name(const char *name);

#endif
