// SPDX-License-Identifier: MIT
// The kinds of operations: how each is done and taken back.
#include "net/managed/netop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "net/mac.h"
#include "net/managed/dhcp.h"
#include "net/managed/netlink.h"
#include "net/managed/nft.h"
#include "net/managed/sysctl.h"
#include "net/managed/uplink.h"
#include "util/io.h"

struct kind {
	const char *name;
	/* Names of thing and action, for the message of a failure that has none. */
	const char *what;
	int (*apply)(const struct netop_env *env, const struct netop *op, const char *text,
		     struct err *e);
	int (*revert)(const struct netop_env *env, const struct netop *op, struct err *e);
};

/* The text of @rc, unless whoever failed has written one. */
static int report(struct err *e, int rc, const struct netop *op, const char *what)
{
	if (rc >= 0 || (e && e->code == rc))
		return rc;
	if (rc == -EPERM)
		return err_set(e, rc, "%s: cannot %s: this needs root or CAP_NET_ADMIN", op->arg[0],
			       what);
	return err_set(e, rc, "%s: cannot %s: %s", op->arg[0], what, strerror(-rc));
}

/* Is the interface there, and ours? 0, -ENODEV, or -EEXIST for somebody else's. */
static int check_ours(const struct netop_env *env, const struct netop *op)
{
	struct netlink_link link;
	int rc = netlink_get_link(env->nl, op->arg[0], &link);

	if (rc < 0)
		return rc;
	return strcmp(link.alias, op->arg[1]) == 0 ? 0 : -EEXIST;
}

/* Name it as ours and bring it up. */
static int finish_link(const struct netop_env *env, const struct netop *op)
{
	int rc = netlink_set_alias(env->nl, op->arg[0], op->arg[1]);

	return rc < 0 ? rc : netlink_set_up(env->nl, op->arg[0], true);
}

static int revert_link(const struct netop_env *env, const struct netop *op, struct err *e)
{
	(void)e;
	return check_ours(env, op) == 0 ? netlink_del_link(env->nl, op->arg[0]) : 0;
}

static int apply_bridge(const struct netop_env *env, const struct netop *op, const char *text,
			struct err *e)
{
	struct netlink_bridge opt = { .vlan_filtering = strstr(op->arg[2], "vlan") != NULL,
				      .hub = strstr(op->arg[2], "hub") != NULL };
	int rc;

	opt.has_mac = mac_parse(op->arg[3], opt.mac) == 0;
	rc = netlink_add_bridge(env->nl, op->arg[0], &opt);

	(void)text;
	if (rc == -EEXIST)
		return err_set(e, rc,
			       "%s: an interface of that name is there, and not ours: choose "
			       "another bridge=, or remove it",
			       op->arg[0]);
	if (rc == -EOPNOTSUPP && opt.vlan_filtering)
		return err_set(e, rc,
			       "%s: this kernel's bridges know no VLANs "
			       "(CONFIG_BRIDGE_VLAN_FILTERING)",
			       op->arg[0]);
	return rc < 0 ? rc : finish_link(env, op);
}

static int apply_vxlan(const struct netop_env *env, const struct netop *op, const char *text,
		       struct err *e)
{
	char *rest;
	struct netlink_vxlan opt = { .vni = (uint32_t)strtoul(op->arg[2], &rest, 10) };
	int rc;

	/* Any address of the host's: it says which IP the tunnel is over. */
	if (strcmp(rest, " ipv6") == 0)
		opt.local.family = AF_INET6;
	rc = netlink_add_vxlan(env->nl, op->arg[0], &opt);

	(void)text;
	(void)e;
	if (rc == 0)
		rc = netlink_set_master(env->nl, op->arg[0], op->arg[3]);
	return rc < 0 ? rc : finish_link(env, op);
}

/* "MODE MAC" */
static int apply_macvtap(const struct netop_env *env, const struct netop *op, const char *text,
			 struct err *e)
{
	const char *mac_text = strchr(op->arg[3], ' ');
	char mode[16];
	uint8_t mac[MAC_BYTES];
	int rc;

	(void)text;
	if (!mac_text || mac_parse(mac_text + 1, mac) < 0)
		return -EINVAL;
	(void)snprintf(mode, sizeof(mode), "%.*s", (int)(mac_text - op->arg[3]), op->arg[3]);
	rc = netlink_add_macvtap(env->nl, op->arg[0], op->arg[2], mode, mac);
	if (rc == -ENODEV)
		return err_set(e, rc, "%s: no such interface", op->arg[2]);
	if (rc == -EOPNOTSUPP)
		return err_set(e, rc, "%s: this kernel has no macvtap: load it (modprobe macvtap)",
			       op->arg[2]);
	if (rc < 0)
		return err_set(e, rc, "%s: cannot make a macvtap on it: %s", op->arg[2],
			       strerror(-rc));
	return finish_link(env, op);
}

static int parse(const struct netop *op, unsigned i, struct net_prefix *ret, struct err *e)
{
	if (net_prefix_parse(op->arg[i], ret) == 0)
		return 0;
	return err_set(e, -EINVAL, "'%s' is not an address", op->arg[i]);
}

static int change_peer(const struct netop_env *env, const struct netop *op, bool add, struct err *e)
{
	struct net_prefix peer;
	int rc = parse(op, 1, &peer, e);

	return rc < 0 ? rc : netlink_vxlan_peer(env->nl, add, op->arg[0], &peer);
}

static int apply_peer(const struct netop_env *env, const struct netop *op, const char *text,
		      struct err *e)
{
	(void)text;
	return change_peer(env, op, true, e);
}

static int revert_peer(const struct netop_env *env, const struct netop *op, struct err *e)
{
	return change_peer(env, op, false, e);
}

static int apply_port(const struct netop_env *env, const struct netop *op, const char *text,
		      struct err *e)
{
	const struct netlink_port port = { .isolated = op->arg[2][0] != '\0',
					   .flood = true,
					   .vlan = (uint16_t)strtoul(op->arg[3], NULL, 10) };
	int rc = netlink_set_master(env->nl, op->arg[0], op->arg[1]);

	(void)text;
	if (rc == -ENODEV)
		return err_set(e, rc, "%s or %s: no such interface", op->arg[0], op->arg[1]);
	if (rc == 0)
		rc = netlink_set_port(env->nl, op->arg[0], &port);
	return rc < 0 ? rc : netlink_set_up(env->nl, op->arg[0], true);
}

static int revert_port(const struct netop_env *env, const struct netop *op, struct err *e)
{
	struct netlink_link port, bridge;

	(void)e;
	if (netlink_get_link(env->nl, op->arg[0], &port) < 0 ||
	    netlink_get_link(env->nl, op->arg[1], &bridge) < 0 || port.master != bridge.index)
		return 0;
	return netlink_set_master(env->nl, op->arg[0], NULL);
}

static int change_addr(const struct netop_env *env, const struct netop *op, bool add, struct err *e)
{
	struct net_prefix addr;
	int rc = parse(op, 1, &addr, e);

	if (rc < 0)
		return rc;
	return netlink_addr(env->nl, add, op->arg[0], &addr, strcmp(op->arg[2], "alone") == 0);
}

static int apply_addr(const struct netop_env *env, const struct netop *op, const char *text,
		      struct err *e)
{
	(void)text;
	return change_addr(env, op, true, e);
}

static int revert_addr(const struct netop_env *env, const struct netop *op, struct err *e)
{
	return change_addr(env, op, false, e);
}

static int change_route(const struct netop_env *env, const struct netop *op, bool add,
			struct err *e)
{
	struct netlink_route route = { 0 };
	int rc = parse(op, 1, &route.dst, e);

	if (rc == 0 && op->arg[2][0])
		rc = parse(op, 2, &route.src, e);
	if (rc < 0)
		return rc;
	(void)snprintf(route.dev, sizeof(route.dev), "%.*s", IF_NAMESIZE - 1, op->arg[0]);
	return netlink_route(env->nl, add, &route);
}

static int apply_route(const struct netop_env *env, const struct netop *op, const char *text,
		       struct err *e)
{
	(void)text;
	return change_route(env, op, true, e);
}

static int revert_route(const struct netop_env *env, const struct netop *op, struct err *e)
{
	return change_route(env, op, false, e);
}

static int change_proxy(const struct netop_env *env, const struct netop *op, bool add,
			struct err *e)
{
	struct net_prefix addr;
	int rc = parse(op, 1, &addr, e);

	return rc < 0 ? rc : netlink_neigh_proxy(env->nl, add, op->arg[0], &addr);
}

static int apply_proxy(const struct netop_env *env, const struct netop *op, const char *text,
		       struct err *e)
{
	(void)text;
	return change_proxy(env, op, true, e);
}

static int revert_proxy(const struct netop_env *env, const struct netop *op, struct err *e)
{
	return change_proxy(env, op, false, e);
}

static int apply_sysctl(const struct netop_env *env, const struct netop *op, const char *text,
			struct err *e)
{
	(void)text;
	return sysctl_need(env->dir, op->arg[0], op->arg[1], op->arg[2], e);
}

static int revert_sysctl(const struct netop_env *env, const struct netop *op, struct err *e)
{
	return sysctl_drop(env->dir, op->arg[0], op->arg[2], e);
}

static int apply_nft(const struct netop_env *env, const struct netop *op, const char *text,
		     struct err *e)
{
	(void)env;
	(void)op;
	return nft_run(text, e);
}

/* Something that was never made, or whose table is gone, needs no removal. */
static int nft_remove(const char *command, struct err *e)
{
	struct err reason = { 0 };
	int rc = nft_run(command, &reason);

	return rc == 0 || rc == -ENOENT ? 0 : err_set(e, rc, "%s", reason.text);
}

static int revert_nft(const struct netop_env *env, const struct netop *op, struct err *e)
{
	char command[NETOP_ARG_BYTES + 32];

	(void)env;
	(void)snprintf(command, sizeof(command), "delete table %s", op->arg[0]);
	return nft_remove(command, e);
}

static int change_element(const struct netop *op, const char *verb, struct err *e)
{
	char command[3 * NETOP_ARG_BYTES + 32];

	(void)snprintf(command, sizeof(command), "%s element %s %s { %s }", verb, op->arg[0],
		       op->arg[1], op->arg[2]);
	return *verb == 'a' ? nft_run(command, e) : nft_remove(command, e);
}

static int apply_element(const struct netop_env *env, const struct netop *op, const char *text,
			 struct err *e)
{
	(void)env;
	(void)text;
	return change_element(op, "add", e);
}

static int revert_element(const struct netop_env *env, const struct netop *op, struct err *e)
{
	(void)env;
	return change_element(op, "delete", e);
}

static int apply_dhcp(const struct netop_env *env, const struct netop *op, const char *text,
		      struct err *e)
{
	(void)env;
	return dhcp_start(op->arg[0], text, e);
}

static int revert_dhcp(const struct netop_env *env, const struct netop *op, struct err *e)
{
	(void)env;
	return dhcp_stop(op->arg[0], e);
}

static int apply_uplink(const struct netop_env *env, const struct netop *op, const char *text,
			struct err *e)
{
	(void)text;
	return uplink_move(env->nl, op->arg[0], op->arg[1], op->arg[2], e);
}

static int revert_uplink(const struct netop_env *env, const struct netop *op, struct err *e)
{
	return uplink_restore(env->nl, op->arg[0], op->arg[1], op->arg[2], e);
}

static int apply_trunk(const struct netop_env *env, const struct netop *op, const char *text,
		       struct err *e)
{
	(void)text;
	(void)e;
	return netlink_set_trunk(env->nl, op->arg[0], true);
}

/* It may be in no bridge any more: then it has no VLANs. */
static int revert_trunk(const struct netop_env *env, const struct netop *op, struct err *e)
{
	(void)e;
	(void)!netlink_set_trunk(env->nl, op->arg[0], false);
	return 0;
}

static int apply_file(const struct netop_env *env, const struct netop *op, const char *text,
		      struct err *e)
{
	_cleanup_close_ int fd =
		open(op->arg[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	(void)env;
	(void)e;
	if (fd < 0)
		return -errno;
	return io_write_full(fd, text, strlen(text));
}

static int revert_file(const struct netop_env *env, const struct netop *op, struct err *e)
{
	(void)env;
	(void)e;
	return unlink(op->arg[0]) < 0 && errno != ENOENT ? -errno : 0;
}

static int apply_lease(const struct netop_env *env, const struct netop *op, const char *text,
		       struct err *e)
{
	(void)env;
	(void)text;
	(void)e;
	return dhcp_add_host(op->arg[0], op->arg[1], op->arg[2], op->arg[3]);
}

static int revert_lease(const struct netop_env *env, const struct netop *op, struct err *e)
{
	(void)env;
	(void)e;
	return dhcp_del_host(op->arg[0], op->arg[1], op->arg[2], op->arg[3]);
}

static int apply_mtu(const struct netop_env *env, const struct netop *op, const char *text,
		     struct err *e)
{
	(void)text;
	(void)e;
	return netlink_set_mtu(env->nl, op->arg[0], (unsigned)strtoul(op->arg[1], NULL, 10));
}

static int apply_nothing(const struct netop_env *env, const struct netop *op, const char *text,
			 struct err *e)
{
	(void)env;
	(void)op;
	(void)text;
	(void)e;
	return 0;
}

static int revert_nothing(const struct netop_env *env, const struct netop *op, struct err *e)
{
	(void)env;
	(void)op;
	(void)e;
	return 0;
}

static const struct kind kinds[NETOP_MAX] = {
	[NETOP_BRIDGE] = { "bridge", "make a bridge of it", apply_bridge, revert_link },
	[NETOP_VXLAN] = { "vxlan", "make a VXLAN port of it", apply_vxlan, revert_link },
	[NETOP_PEER] = { "peer", "change its peers", apply_peer, revert_peer },
	[NETOP_PORT] = { "port", "change its bridge", apply_port, revert_port },
	[NETOP_ADDR] = { "addr", "change its addresses", apply_addr, revert_addr },
	[NETOP_ROUTE] = { "route", "change its routes", apply_route, revert_route },
	[NETOP_PROXY] = { "proxy", "change whom it answers for", apply_proxy, revert_proxy },
	[NETOP_SYSCTL] = { "sysctl", "set it", apply_sysctl, revert_sysctl },
	[NETOP_NFT] = { "nft", "change its rules", apply_nft, revert_nft },
	[NETOP_ELEMENT] = { "element", "change its sets", apply_element, revert_element },
	[NETOP_DHCP] = { "dhcp", "serve addresses", apply_dhcp, revert_dhcp },
	[NETOP_UPLINK] = { "uplink", "move it to the bridge", apply_uplink, revert_uplink },
	[NETOP_MTU] = { "mtu", "set its MTU", apply_mtu, revert_nothing },
	[NETOP_TRUNK] = { "trunk", "let VLANs through", apply_trunk, revert_trunk },
	[NETOP_FILE] = { "file", "write it", apply_file, revert_file },
	[NETOP_LEASE] = { "lease", "reserve its address", apply_lease, revert_lease },
	[NETOP_NIC] = { "nic", "note it", apply_nothing, revert_nothing },
	[NETOP_MACVTAP] = { "macvtap", "make a macvtap of it", apply_macvtap, revert_link },
};

const char *netop_name(enum netop_kind kind)
{
	return kinds[kind].name;
}

enum netop_kind netop_by_name(const char *name)
{
	unsigned kind = 0;

	while (kind < NETOP_MAX && strcmp(kinds[kind].name, name) != 0)
		kind++;
	return (enum netop_kind)kind;
}

int netop_set(struct netop *op, enum netop_kind kind, const char *a, const char *b, const char *c,
	      const char *d)
{
	const char *const args[NETOP_ARGS] = { a, b, c, d };

	*op = (struct netop){ .kind = kind };
	for (unsigned i = 0; i < NETOP_ARGS; i++) {
		size_t len = args[i] ? strlen(args[i]) : 0;

		if (len >= NETOP_ARG_BYTES)
			return -ENAMETOOLONG;
		if (len)
			memcpy(op->arg[i], args[i], len);
	}
	return 0;
}

int netop_apply(const struct netop_env *env, const struct netop *op, const char *text,
		struct err *e)
{
	const struct kind *k = &kinds[op->kind];

	return report(e, k->apply(env, op, text ? text : "", e), op, k->what);
}

int netop_revert(const struct netop_env *env, const struct netop *op, struct err *e)
{
	const struct kind *k = &kinds[op->kind];

	return report(e, k->revert(env, op, e), op, k->what);
}
