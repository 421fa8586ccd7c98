/* SPDX-License-Identifier: MIT */
/* Building plans: for plan_*.c. */
#ifndef FERRY_NET_MANAGED_PLAN_IMPL_H
#define FERRY_NET_MANAGED_PLAN_IMPL_H

#include "net/managed/plan.h"

struct plan {
	const struct netdef *def;
	const char *dir;
	plan_fn fn;
	void *opaque;
	struct err *e;
	int rc; /* of the first that failed: nothing is planned after it */
};

/* The name of the table with the network's rules, for "inet" or "bridge". */
const char *plan_table(const struct plan *p, const char *family, char buf[48]);

/*
 * The MAC of the bridge where it is the guests' router: of the network's name, so that
 * a guest finds the same one on every host.
 */
const uint8_t *plan_host_mac(const struct netdef *def, uint8_t ret[6]);

/* The address that an interface gives itself in @net: RFC 4291, appendix A. */
struct net_prefix plan_eui64(const struct net_prefix *net, const uint8_t mac[6]);

#define PLAN_V6_NUMBER 35

/* An IPv6 address as nftables writes 128 bits of a packet: "0xfe80...". Returns @buf. */
const char *plan_v6_number(const struct net_prefix *addr, char buf[PLAN_V6_NUMBER]);

/* Rules of the network, and dnsmasq's file; malloc()ed, NULL: no memory. */
char *plan_filter_rules(const struct netdef *def);
char *plan_inet_rules(const struct netdef *def);
char *plan_dhcp_conf(const struct netdef *def, const char *folder);

/* The guests' addresses are handed out by ferry, so it knows them. */
static inline bool plan_has_addresses(const struct netdef *def)
{
	return def->v4.family != 0 || def->v6.family != 0;
}

#endif
