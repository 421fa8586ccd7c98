/* SPDX-License-Identifier: MIT */
/* The kernel's network objects, made and removed through rtnetlink. */
#ifndef FERRY_NET_MANAGED_NETLINK_H
#define FERRY_NET_MANAGED_NETLINK_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * One rtnetlink socket in the network namespace of the caller. Each function
 * is one request, answered by the kernel before it returns: 0, or the kernel's
 * -errno (-EPERM: CAP_NET_ADMIN is missing). Names are of interfaces. What is
 * removed and is not there is no error. Not thread-safe.
 * Source: rtnetlink(7), uapi/linux/if_link.h.
 */
struct netlink;

/* Open a socket, with the reason in @e where that fails; close it. NULL: no-op. */
__must_check int netlink_open(struct netlink **ret, struct err *e);
void netlink_close(struct netlink *nl);

/* An IPv4 or IPv6 address with the length of its network's prefix. */
struct net_prefix {
	int family; /* AF_INET, AF_INET6; 0: none */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	} addr;
	unsigned len; /* bits */
};

#define NET_PREFIX_TEXT 64

/* "10.1.2.3/24", or without the length for a host. 0 or -EINVAL. */
__must_check int net_prefix_parse(const char *text, struct net_prefix *ret);
const char *net_prefix_format(const struct net_prefix *p, char buf[NET_PREFIX_TEXT]);

/* The address without its length. */
const char *net_addr_format(const struct net_prefix *p, char buf[NET_PREFIX_TEXT]);

/* Does the network of @a hold an address of that of @b, or the other way round? */
bool net_prefix_overlap(const struct net_prefix *a, const struct net_prefix *b);

/* Address number @n of the network of @p, with its length. */
struct net_prefix net_prefix_nth(const struct net_prefix *p, uint32_t n);

struct netlink_bridge {
	bool vlan_filtering;
	bool hub; /* does not learn where a station is */
	bool has_mac;
	uint8_t mac[6];
};

/*
 * A bridge without STP and forward delay, with MAC learning; down. -EEXIST;
 * -EOPNOTSUPP: this kernel has no VLAN filtering.
 */
__must_check int netlink_add_bridge(struct netlink *nl, const char *name,
				    const struct netlink_bridge *opt);

struct netlink_vxlan {
	uint32_t vni;
	const char *lower;       /* interface it goes out by; NULL: by route */
	struct net_prefix local; /* family 0: the kernel's choice */
	uint16_t port;           /* 0: 4789 */
};

/* A VXLAN end point without a group: peers are added by netlink_vxlan_peer(). Down. */
__must_check int netlink_add_vxlan(struct netlink *nl, const char *name,
				   const struct netlink_vxlan *opt);
__must_check int netlink_vxlan_peer(struct netlink *nl, bool add, const char *name,
				    const struct net_prefix *peer);

/*
 * A macvtap on @lower; down. @mode: "bridge", "vepa" or "private", else -EINVAL.
 * Its queues are opens of a character device: see macvtap.h.
 */
__must_check int netlink_add_macvtap(struct netlink *nl, const char *name, const char *lower,
				     const char *mode, const uint8_t mac[6]);

/* Remove an interface of any kind. */
__must_check int netlink_del_link(struct netlink *nl, const char *name);

/* What is known of an interface. */
struct netlink_link {
	unsigned index;
	unsigned master; /* index of its bridge; 0: none */
	unsigned flags;  /* IFF_* */
	unsigned mtu;
	bool carrier;
	uint8_t mac[6];
	char kind[16]; /* "bridge", "tun", "" for hardware */
	char alias[64];
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
};

/* -ENODEV: there is none. */
__must_check int netlink_get_link(struct netlink *nl, const char *name, struct netlink_link *ret);

/* Change one property of an interface. -ENODEV: there is none of that name. */
__must_check int netlink_set_up(struct netlink *nl, const char *name, bool up);
__must_check int netlink_set_mac(struct netlink *nl, const char *name, const uint8_t mac[6]);
__must_check int netlink_set_alias(struct netlink *nl, const char *name, const char *alias);
__must_check int netlink_set_mtu(struct netlink *nl, const char *name, unsigned mtu);

/* Make @name a port of @bridge; NULL: of none. */
__must_check int netlink_set_master(struct netlink *nl, const char *name, const char *bridge);

struct netlink_port {
	bool isolated;    /* reaches only ports that are not */
	bool no_learning; /* only what the host enters is known there */
	bool flood;       /* unknown unicast goes there: promiscuous guests */
	uint16_t vlan;    /* the port's untagged VLAN; 0: none */
};

/* What a bridge does with a port. */
__must_check int netlink_set_port(struct netlink *nl, const char *name,
				  const struct netlink_port *opt);

/* Let VLANs 2 to 4094 through a port, tagged; or no longer. */
__must_check int netlink_set_trunk(struct netlink *nl, const char *name, bool on);

/*
 * The address of an interface; adding what is there is no error. @alone: without
 * the route to its network.
 */
__must_check int netlink_addr(struct netlink *nl, bool add, const char *name,
			      const struct net_prefix *addr, bool alone);

struct netlink_route {
	struct net_prefix dst; /* len 0: the default route; family is needed */
	struct net_prefix via; /* family 0: on the link */
	struct net_prefix src; /* preferred source; family 0: none */
	uint32_t metric;
	uint32_t table;   /* 0: main */
	uint8_t protocol; /* 0: static */
	uint8_t scope;    /* of a listed one */
	char dev[IF_NAMESIZE];
};

/* Add a route, or remove it; adding what is there is no error. */
__must_check int netlink_route(struct netlink *nl, bool add, const struct netlink_route *r);

/* Answer ARP or neighbour solicitations for @addr on @name. */
__must_check int netlink_neigh_proxy(struct netlink *nl, bool add, const char *name,
				     const struct net_prefix *addr);

/* What there is, for one interface or (NULL) all; @fn returns non-zero to stop with that. */
__must_check int netlink_each_addr(struct netlink *nl, const char *name,
				   int (*fn)(void *opaque, const char *dev,
					     const struct net_prefix *addr, unsigned flags),
				   void *opaque);
__must_check int netlink_each_route(struct netlink *nl, const char *name,
				    int (*fn)(void *opaque, const struct netlink_route *route),
				    void *opaque);

/*
 * An address, a route or a neighbour as the kernel tells it, with all its attributes: to
 * be made again, on the same interface or another one. Not those that the kernel makes
 * itself or learns.
 */
#define NETLINK_OBJECT_BYTES 512U

enum netlink_object_kind {
	NETLINK_OBJ_ADDR,
	NETLINK_OBJ_ROUTE,
	NETLINK_OBJ_NEIGH, /* permanent */
	NETLINK_OBJ_PROXY, /* an address that the host answers for */
	NETLINK_NR_OBJECTS
};

struct netlink_object {
	enum netlink_object_kind kind;
	char what[NET_PREFIX_TEXT]; /* address or destination, for people */
	bool is_on_link;            /* a route without a gateway */
	size_t len;
	uint8_t data[NETLINK_OBJECT_BYTES]; /* ifaddrmsg, rtmsg or ndmsg, and attributes */
};

/* Call @fn for each of @dev's; what is not 0 ends it. -E2BIG: one is too large. */
__must_check int netlink_each_object(struct netlink *nl, enum netlink_object_kind kind,
				     const char *dev,
				     int (*fn)(void *opaque, const struct netlink_object *obj),
				     void *opaque);

/* Make it on @dev; there already: 0. @same: it is the interface it was on. */
__must_check int netlink_put_object(struct netlink *nl, const struct netlink_object *obj,
				    const char *dev, bool same);

#endif
