// SPDX-License-Identifier: MIT
// Whether what was done is still so.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/managed/dhcp.h"
#include "net/managed/netlink.h"
#include "net/managed/netop.h"
#include "net/managed/nft.h"
#include "net/managed/sysctl.h"
#include "util/io.h"

static int link_holds(const struct netop_env *env, const struct netop *op)
{
	struct netlink_link link;

	return netlink_get_link(env->nl, op->arg[0], &link) == 0 &&
	       strcmp(link.alias, op->arg[1]) == 0;
}

static int port_holds(const struct netop_env *env, const struct netop *op)
{
	struct netlink_link port, bridge;

	return netlink_get_link(env->nl, op->arg[0], &port) == 0 &&
	       netlink_get_link(env->nl, op->arg[1], &bridge) == 0 && port.master == bridge.index;
}

static int same_addr(void *opaque, const char *dev, const struct net_prefix *addr, unsigned flags)
{
	char text[NET_PREFIX_TEXT];

	(void)dev;
	(void)flags;
	return strcmp(net_prefix_format(addr, text), opaque) == 0;
}

static int addr_holds(const struct netop_env *env, const struct netop *op)
{
	char wanted[NET_PREFIX_TEXT];
	struct net_prefix p;

	if (net_prefix_parse(op->arg[1], &p) < 0)
		return 0;
	(void)net_prefix_format(&p, wanted);
	return netlink_each_addr(env->nl, op->arg[0], same_addr, wanted) == 1;
}

static int same_route(void *opaque, const struct netlink_route *route)
{
	char text[NET_PREFIX_TEXT];

	return strcmp(net_prefix_format(&route->dst, text), opaque) == 0;
}

static int route_holds(const struct netop_env *env, const struct netop *op)
{
	char wanted[NET_PREFIX_TEXT];
	struct net_prefix p;

	if (net_prefix_parse(op->arg[1], &p) < 0)
		return 0;
	(void)net_prefix_format(&p, wanted);
	return netlink_each_route(env->nl, op->arg[0], same_route, wanted) == 1;
}

static int sysctl_holds(const struct netop_env *env, const struct netop *op)
{
	(void)env;
	return sysctl_is(op->arg[0], op->arg[1]);
}

/* Only the names are asked for: a table may have thousands of elements. */
static int nft_holds(const struct netop_env *env, const struct netop *op)
{
	char command[32], line[NETOP_ARG_BYTES + 16];
	_cleanup_free_ char *tables = NULL;

	(void)env;
	(void)snprintf(command, sizeof(command), "list tables %.*s", (int)strcspn(op->arg[0], " "),
		       op->arg[0]);
	(void)snprintf(line, sizeof(line), "table %s\n", op->arg[0]);
	return nft_list(command, &tables, NULL) == 0 && strstr(tables, line) != NULL;
}

static int element_holds(const struct netop_env *env, const struct netop *op)
{
	char command[3 * NETOP_ARG_BYTES + 32];

	(void)env;
	(void)snprintf(command, sizeof(command), "get element %s %s { %s }", op->arg[0], op->arg[1],
		       op->arg[2]);
	return nft_run(command, NULL) == 0;
}

static int dhcp_holds(const struct netop_env *env, const struct netop *op)
{
	(void)env;
	return dhcp_is_running(op->arg[0]);
}

static int file_holds(const struct netop_env *env, const struct netop *op)
{
	(void)env;
	return access(op->arg[0], F_OK) == 0;
}

static int (*const holds[NETOP_MAX])(const struct netop_env *env, const struct netop *op) = {
	[NETOP_BRIDGE] = link_holds, [NETOP_VXLAN] = link_holds,      [NETOP_PORT] = port_holds,
	[NETOP_ADDR] = addr_holds,   [NETOP_ROUTE] = route_holds,     [NETOP_SYSCTL] = sysctl_holds,
	[NETOP_NFT] = nft_holds,     [NETOP_ELEMENT] = element_holds, [NETOP_DHCP] = dhcp_holds,
	[NETOP_UPLINK] = port_holds, [NETOP_FILE] = file_holds,       [NETOP_MACVTAP] = link_holds,
};

int netop_holds(const struct netop_env *env, const struct netop *op)
{
	return holds[op->kind] ? holds[op->kind](env, op) : -ENOTSUP;
}
