// SPDX-License-Identifier: MIT
// Interfaces: bridges and their ports, VXLAN, macvtap.
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>

#include "net/managed/netlink_impl.h"

#define VXLAN_PORT 4789U

/* Open IFLA_LINKINFO { kind, IFLA_INFO_DATA {; true: it did not fit. */
struct linkinfo {
	struct nlattr *info, *data;
};

static struct nl_msg *new_link(const char *name, const char *kind, struct linkinfo *nest,
			       bool *failed)
{
	const struct ifinfomsg hdr = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg =
		netlink_new_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &hdr, sizeof(hdr));

	if (!msg)
		return NULL;
	*failed = nla_put_string(msg, IFLA_IFNAME, name) < 0;
	nest->info = nla_nest_start(msg, IFLA_LINKINFO);
	*failed |= !nest->info || nla_put_string(msg, IFLA_INFO_KIND, kind) < 0;
	nest->data = nla_nest_start(msg, IFLA_INFO_DATA);
	*failed |= !nest->data;
	return msg;
}

static int send_new_link(struct netlink *nl, struct nl_msg *msg, const struct linkinfo *nest,
			 bool failed)
{
	if (!msg)
		return -ENOMEM;
	if (!failed) {
		nla_nest_end(msg, nest->data);
		nla_nest_end(msg, nest->info);
	}
	return netlink_request(nl, msg, failed);
}

int netlink_add_bridge(struct netlink *nl, const char *name, const struct netlink_bridge *opt)
{
	struct linkinfo nest;
	bool failed = false;
	struct nl_msg *msg = new_link(name, "bridge", &nest, &failed);

	if (!msg)
		return -ENOMEM;
	/* A guest's frames must not wait for a spanning tree. */
	failed |= nla_put_u32(msg, IFLA_BR_STP_STATE, 0) < 0 ||
		  nla_put_u32(msg, IFLA_BR_FORWARD_DELAY, 0) < 0;
	if (opt->hub)
		failed |= nla_put_u32(msg, IFLA_BR_AGEING_TIME, 0) < 0;
	/* Kernels without VLAN filtering refuse the attribute, even to switch it off. */
	if (opt->vlan_filtering)
		failed |= nla_put_u8(msg, IFLA_BR_VLAN_FILTERING, 1) < 0;
	if (failed || !opt->has_mac)
		return send_new_link(nl, msg, &nest, failed);
	nla_nest_end(msg, nest.data);
	nla_nest_end(msg, nest.info);
	return netlink_request(nl, msg, nla_put(msg, IFLA_ADDRESS, sizeof(opt->mac), opt->mac) < 0);
}

int netlink_add_vxlan(struct netlink *nl, const char *name, const struct netlink_vxlan *opt)
{
	uint16_t port = htons(opt->port ? opt->port : VXLAN_PORT);
	struct linkinfo nest;
	bool failed = false;
	unsigned lower = 0;
	struct nl_msg *msg;

	if (opt->lower && netlink_index(opt->lower, &lower) < 0)
		return -ENODEV;
	msg = new_link(name, "vxlan", &nest, &failed);
	if (!msg)
		return -ENOMEM;
	failed |= nla_put_u32(msg, IFLA_VXLAN_ID, opt->vni) < 0 ||
		  nla_put_u16(msg, IFLA_VXLAN_PORT, port) < 0 ||
		  nla_put_u8(msg, IFLA_VXLAN_LEARNING, 1) < 0;
	if (lower)
		failed |= nla_put_u32(msg, IFLA_VXLAN_LINK, lower) < 0;
	if (opt->local.family)
		failed |=
			nla_put(msg,
				opt->local.family == AF_INET ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6,
				(int)net_addr_bytes(&opt->local), &opt->local.addr) < 0;
	return send_new_link(nl, msg, &nest, failed);
}

/* MACVLAN_MODE_*; 0: there is none of that name. */
static uint32_t macvlan_mode(const char *name)
{
	static const struct {
		const char *name;
		uint32_t mode;
	} modes[] = { { "bridge", MACVLAN_MODE_BRIDGE },
		      { "vepa", MACVLAN_MODE_VEPA },
		      { "private", MACVLAN_MODE_PRIVATE } };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(modes[i].name, name) == 0)
			return modes[i].mode;
	}
	return 0;
}

int netlink_add_macvtap(struct netlink *nl, const char *name, const char *lower, const char *mode,
			const uint8_t mac[6])
{
	uint32_t number = macvlan_mode(mode);
	const struct ifinfomsg hdr = { .ifi_family = AF_UNSPEC };
	struct nlattr *info, *data;
	struct nl_msg *msg;
	unsigned index = 0;
	bool failed;

	if (number == 0)
		return -EINVAL;
	if (netlink_index(lower, &index) < 0)
		return -ENODEV;
	msg = netlink_new_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &hdr, sizeof(hdr));
	if (!msg)
		return -ENOMEM;
	failed = nla_put_string(msg, IFLA_IFNAME, name) < 0 ||
		 nla_put_u32(msg, IFLA_LINK, index) < 0 || nla_put(msg, IFLA_ADDRESS, 6, mac) < 0;
	info = nla_nest_start(msg, IFLA_LINKINFO);
	failed |= !info || nla_put_string(msg, IFLA_INFO_KIND, "macvtap") < 0;
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	failed |= !data || nla_put_u32(msg, IFLA_MACVLAN_MODE, number) < 0;
	if (!failed) {
		nla_nest_end(msg, data);
		nla_nest_end(msg, info);
	}
	return netlink_request(nl, msg, failed);
}

/* A change of one interface, to which attributes are put. */
static struct nl_msg *change_link(int type, const char *name, struct ifinfomsg hdr, int *rc)
{
	unsigned index = 0;
	struct nl_msg *msg;

	*rc = netlink_index(name, &index);
	if (*rc < 0)
		return NULL;
	hdr.ifi_index = (int)index;
	msg = netlink_new_request(type, 0, &hdr, sizeof(hdr));
	if (!msg)
		*rc = -ENOMEM;
	return msg;
}

int netlink_del_link(struct netlink *nl, const char *name)
{
	int rc;
	struct nl_msg *msg = change_link(RTM_DELLINK, name, (struct ifinfomsg){ 0 }, &rc);

	if (msg)
		rc = netlink_request(nl, msg, false);
	return rc == -ENODEV ? 0 : rc;
}

int netlink_set_up(struct netlink *nl, const char *name, bool up)
{
	const struct ifinfomsg hdr = { .ifi_change = IFF_UP, .ifi_flags = up ? IFF_UP : 0 };
	int rc;
	struct nl_msg *msg = change_link(RTM_NEWLINK, name, hdr, &rc);

	return msg ? netlink_request(nl, msg, false) : rc;
}

int netlink_set_mac(struct netlink *nl, const char *name, const uint8_t mac[6])
{
	int rc;
	struct nl_msg *msg = change_link(RTM_NEWLINK, name, (struct ifinfomsg){ 0 }, &rc);

	return msg ? netlink_request(nl, msg, nla_put(msg, IFLA_ADDRESS, 6, mac) < 0) : rc;
}

int netlink_set_alias(struct netlink *nl, const char *name, const char *alias)
{
	int rc;
	struct nl_msg *msg = change_link(RTM_NEWLINK, name, (struct ifinfomsg){ 0 }, &rc);

	return msg ? netlink_request(nl, msg, nla_put_string(msg, IFLA_IFALIAS, alias) < 0) : rc;
}

int netlink_set_mtu(struct netlink *nl, const char *name, unsigned mtu)
{
	int rc;
	struct nl_msg *msg = change_link(RTM_NEWLINK, name, (struct ifinfomsg){ 0 }, &rc);

	return msg ? netlink_request(nl, msg, nla_put_u32(msg, IFLA_MTU, mtu) < 0) : rc;
}

int netlink_set_master(struct netlink *nl, const char *name, const char *bridge)
{
	unsigned master = 0;
	struct nl_msg *msg;
	int rc;

	if (bridge && netlink_index(bridge, &master) < 0)
		return -ENODEV;
	msg = change_link(RTM_NEWLINK, name, (struct ifinfomsg){ 0 }, &rc);
	return msg ? netlink_request(nl, msg, nla_put_u32(msg, IFLA_MASTER, master) < 0) : rc;
}

/* Instead of VLAN 1, which a new port has, @vlan is what the port is in. */
static int set_port_vlan(struct netlink *nl, const char *name, int type, uint16_t vlan)
{
	const struct ifinfomsg hdr = { .ifi_family = AF_BRIDGE };
	struct bridge_vlan_info info = { .vid = vlan };
	struct nlattr *spec;
	struct nl_msg *msg;
	bool failed;
	int rc;

	if (type == RTM_SETLINK)
		info.flags = BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED;
	msg = change_link(type, name, hdr, &rc);
	if (!msg)
		return rc;
	spec = nla_nest_start(msg, IFLA_AF_SPEC);
	failed = !spec || nla_put(msg, IFLA_BRIDGE_VLAN_INFO, sizeof(info), &info) < 0;
	if (!failed)
		nla_nest_end(msg, spec);
	return netlink_request(nl, msg, failed);
}

static bool put_vlan(struct nl_msg *msg, uint16_t vlan, uint16_t flags)
{
	const struct bridge_vlan_info info = { .vid = vlan, .flags = flags };

	return nla_put(msg, IFLA_BRIDGE_VLAN_INFO, sizeof(info), &info) < 0;
}

int netlink_set_trunk(struct netlink *nl, const char *name, bool on)
{
	const struct ifinfomsg hdr = { .ifi_family = AF_BRIDGE };
	struct nlattr *spec;
	struct nl_msg *msg;
	bool failed;
	int rc;

	msg = change_link(on ? RTM_SETLINK : RTM_DELLINK, name, hdr, &rc);
	if (!msg)
		return rc;
	spec = nla_nest_start(msg, IFLA_AF_SPEC);
	failed = !spec || put_vlan(msg, 2, BRIDGE_VLAN_INFO_RANGE_BEGIN) ||
		 put_vlan(msg, 4094, BRIDGE_VLAN_INFO_RANGE_END);
	if (!failed)
		nla_nest_end(msg, spec);
	return netlink_request(nl, msg, failed);
}

int netlink_set_port(struct netlink *nl, const char *name, const struct netlink_port *opt)
{
	const struct ifinfomsg hdr = { .ifi_family = AF_BRIDGE };
	struct nlattr *info;
	struct nl_msg *msg;
	bool failed;
	int rc;

	msg = change_link(RTM_SETLINK, name, hdr, &rc);
	if (!msg)
		return rc;
	info = nla_nest_start(msg, IFLA_PROTINFO | NLA_F_NESTED);
	failed = !info || nla_put_u8(msg, IFLA_BRPORT_LEARNING, !opt->no_learning) < 0 ||
		 nla_put_u8(msg, IFLA_BRPORT_UNICAST_FLOOD, opt->flood) < 0 ||
		 nla_put_u8(msg, IFLA_BRPORT_ISOLATED, opt->isolated) < 0;
	if (!failed)
		nla_nest_end(msg, info);
	rc = netlink_request(nl, msg, failed);
	if (rc < 0 || opt->vlan == 0)
		return rc;
	rc = set_port_vlan(nl, name, RTM_SETLINK, opt->vlan);
	if (rc == 0 && opt->vlan != 1)
		rc = set_port_vlan(nl, name, RTM_DELLINK, 1);
	return rc == -ENOENT ? 0 : rc;
}

int netlink_vxlan_peer(struct netlink *nl, bool add, const char *name,
		       const struct net_prefix *peer)
{
	static const uint8_t everybody[6];
	struct ndmsg hdr = { .ndm_family = AF_BRIDGE,
			     .ndm_state = NUD_NOARP | NUD_PERMANENT,
			     .ndm_flags = NTF_SELF };
	unsigned index = 0;
	struct nl_msg *msg;
	bool failed;
	int rc = netlink_index(name, &index);

	if (rc < 0)
		return add ? rc : 0;
	hdr.ndm_ifindex = (int)index;
	msg = netlink_new_request(add ? RTM_NEWNEIGH : RTM_DELNEIGH,
				  add ? NLM_F_CREATE | NLM_F_APPEND : 0, &hdr, sizeof(hdr));
	if (!msg)
		return -ENOMEM;
	failed = nla_put(msg, NDA_LLADDR, sizeof(everybody), everybody) < 0 ||
		 nla_put(msg, NDA_DST, (int)net_addr_bytes(peer), &peer->addr) < 0;
	rc = netlink_request(nl, msg, failed);
	return !add && rc == -ENOENT ? 0 : rc;
}
