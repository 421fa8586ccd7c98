/* SPDX-License-Identifier: MIT */
/* The definition of a managed network: what its owner asked for, as a file. */
#ifndef FERRY_NET_MANAGED_NETDEF_H
#define FERRY_NET_MANAGED_NETDEF_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/managed/netlink.h"
#include "util/compiler.h"
#include "util/err.h"

/* A name is part of its interfaces' names: "fy-" and the name. */
#define NETDEF_NAME_MAX     12
#define NETDEF_MAX_FORWARDS 64
#define NETDEF_MAX_PEERS    32

enum net_mode {
	NET_MODE_BRIDGE,
	NET_MODE_NAT,
	NET_MODE_ROUTE,
	NET_MODE_HOSTONLY,
	NET_MODE_INTERNAL,
	NET_NR_MODES
};

/* "tcp:8080=web:80": a port of the host that leads to a guest. */
struct net_forward {
	bool udp;
	uint16_t host_port, guest_port;
	char guest[64]; /* a guest's name, or an address of the network */
};

struct netdef {
	char name[NETDEF_NAME_MAX + 1];
	enum net_mode mode;
	char bridge[IF_NAMESIZE]; /* "fy-NAME" unless given */
	bool foreign_bridge;      /* bridge: it exists, and stays somebody else's */
	char uplink[IF_NAMESIZE]; /* "": none */
	struct net_prefix v4, v6; /* the host's address in it; family 0: none */
	bool dhcp;                /* hand out addresses and (nat, hostonly) names */
	bool nat66;               /* nat: translate IPv6, too; otherwise it is routed */
	bool vlan;                /* nics may have vlan= */
	bool hub;                 /* learns nothing: each frame goes to each port */
	bool isolated;            /* guests reach the host and beyond, not each other */
	bool default_route;       /* bridge: the uplink may have the only one of the host */
	bool unfiltered;          /* guests may send from any address */
	unsigned mtu;             /* of guests, too; 0: the bridge's own */
	uint32_t vni;             /* internal: the number of the VXLAN; 0: this host alone */
	unsigned nr_peers, nr_forwards;
	struct net_prefix peers[NETDEF_MAX_PEERS];
	struct net_forward forwards[NETDEF_MAX_FORWARDS];
};

/* The mode called "nat" and so on; NET_NR_MODES: there is no such mode. */
enum net_mode net_mode_by_name(const char *name);

/* 0, or -EINVAL with the reason: 1 to NETDEF_NAME_MAX of a-z 0-9 _ -, a letter first. */
__must_check int netdef_check_name(const char *name, struct err *e);

/* "tcp:8080=web:80", "udp:53=10.1.0.5:53". 0, or -EINVAL with the reason. */
__must_check int net_forward_parse(const char *text, struct net_forward *ret, struct err *e);
const char *net_forward_format(const struct net_forward *f, char buf[96]);

/*
 * Put the forward @text into @def, or take it out: "tcp:8080" is enough for that.
 * 0, or -EINVAL, -EEXIST (the port leads to somebody already), -ENOENT with the reason.
 */
__must_check int netdef_add_forward(struct netdef *def, const char *text, struct err *e);
__must_check int netdef_del_forward(struct netdef *def, const char *text, struct err *e);

/*
 * A definition from a JSON object whose keys are the options of `ferry net
 * create`; what is left out is derived from the name: the bridge, and for nat,
 * hostonly and route the addresses, which are the same on every host. 0, or
 * -EINVAL with key and reason.
 */
__must_check int netdef_from_json(struct netdef *def, const json_t *json, struct err *e);

/* Everything, derived values included. NULL: no memory. */
json_t *netdef_to_json(const struct netdef *def);

/*
 * Read, write and remove NAME.json in @dir. Write replaces only with @replace;
 * a reader sees the old file or the new one. -ENOENT: no such network, -EEXIST:
 * there is one.
 */
__must_check int netdef_load(struct netdef *def, const char *dir, const char *name, struct err *e);
__must_check int netdef_save(const struct netdef *def, const char *dir, bool replace,
			     struct err *e);
__must_check int netdef_remove(const char *dir, const char *name, struct err *e);

#endif
