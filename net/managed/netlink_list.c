// SPDX-License-Identifier: MIT
// What an interface is.
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>

#include "net/managed/netlink_impl.h"

static void copy_text(char *to, size_t room, struct nlattr *attr)
{
	if (attr)
		(void)nla_strlcpy(to, attr, room);
}

static void read_kind(struct netlink_link *ret, struct nlattr *linkinfo)
{
	struct nlattr *info[IFLA_INFO_MAX + 1];

	if (linkinfo && nla_parse_nested(info, IFLA_INFO_MAX, linkinfo, NULL) == 0)
		copy_text(ret->kind, sizeof(ret->kind), info[IFLA_INFO_KIND]);
}

static void read_counters(struct netlink_link *ret, struct nlattr *attr)
{
	struct rtnl_link_stats64 stats = { 0 };

	if (!attr)
		return;
	memcpy(&stats, nla_data(attr), MIN((size_t)nla_len(attr), sizeof(stats)));
	ret->rx_packets = stats.rx_packets;
	ret->tx_packets = stats.tx_packets;
	ret->rx_bytes = stats.rx_bytes;
	ret->tx_bytes = stats.tx_bytes;
}

static int on_link(struct nl_msg *msg, void *opaque)
{
	const struct ifinfomsg *hdr = nlmsg_data(nlmsg_hdr(msg));
	struct nlattr *attr[IFLA_MAX + 1];
	struct netlink_link *ret = opaque, link = { 0 };

	if (nlmsg_hdr(msg)->nlmsg_type != RTM_NEWLINK ||
	    nlmsg_parse(nlmsg_hdr(msg), sizeof(*hdr), attr, IFLA_MAX, NULL) < 0)
		return 0;
	copy_text(link.alias, sizeof(link.alias), attr[IFLA_IFALIAS]);
	link.index = (unsigned)hdr->ifi_index;
	link.flags = hdr->ifi_flags;
	if (attr[IFLA_MASTER])
		link.master = nla_get_u32(attr[IFLA_MASTER]);
	if (attr[IFLA_MTU])
		link.mtu = nla_get_u32(attr[IFLA_MTU]);
	if (attr[IFLA_CARRIER])
		link.carrier = nla_get_u8(attr[IFLA_CARRIER]);
	if (attr[IFLA_ADDRESS])
		memcpy(link.mac, nla_data(attr[IFLA_ADDRESS]),
		       MIN((size_t)nla_len(attr[IFLA_ADDRESS]), sizeof(link.mac)));
	read_kind(&link, attr[IFLA_LINKINFO]);
	read_counters(&link, attr[IFLA_STATS64]);
	*ret = link;
	return 0;
}

int netlink_get_link(struct netlink *nl, const char *name, struct netlink_link *ret)
{
	struct ifinfomsg hdr = { .ifi_family = AF_UNSPEC };
	unsigned index = 0;
	int rc = netlink_index(name, &index);

	if (rc < 0)
		return rc;
	hdr.ifi_index = (int)index;
	return netlink_query(nl, netlink_new_request(RTM_GETLINK, 0, &hdr, sizeof(hdr)), false,
			     on_link, ret);
}
