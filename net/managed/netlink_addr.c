// SPDX-License-Identifier: MIT
// Addresses, routes, proxied neighbours.
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>

#include "net/managed/netlink_impl.h"

static bool put_addr(struct nl_msg *msg, int type, const struct net_prefix *p)
{
	return nla_put(msg, type, (int)net_addr_bytes(p), &p->addr) < 0;
}

int netlink_addr(struct netlink *nl, bool add, const char *name, const struct net_prefix *addr,
		 bool alone)
{
	struct ifaddrmsg hdr = { .ifa_family = (uint8_t)addr->family,
				 .ifa_prefixlen = (uint8_t)addr->len };
	struct nl_msg *msg;
	bool failed;
	int rc = netlink_index(name, &hdr.ifa_index);

	if (rc < 0)
		return add ? rc : 0;
	/* Nobody else can have the address of a network that is ours alone. */
	if (addr->family == AF_INET6)
		hdr.ifa_flags = IFA_F_NODAD;
	msg = netlink_new_request(add ? RTM_NEWADDR : RTM_DELADDR,
				  add ? NLM_F_CREATE | NLM_F_EXCL : 0, &hdr, sizeof(hdr));
	if (!msg)
		return -ENOMEM;
	failed = put_addr(msg, IFA_LOCAL, addr) || put_addr(msg, IFA_ADDRESS, addr);
	if (alone)
		failed |= nla_put_u32(msg, IFA_FLAGS, hdr.ifa_flags | IFA_F_NOPREFIXROUTE) < 0;
	if (add && addr->family == AF_INET && addr->len < 31) {
		struct in_addr all = addr->addr.v4;

		all.s_addr |= htonl(UINT32_MAX >> addr->len);
		failed |= nla_put(msg, IFA_BROADCAST, sizeof(all), &all) < 0;
	}
	rc = netlink_request(nl, msg, failed);
	if (add)
		return rc == -EEXIST ? 0 : rc;
	return rc == -EADDRNOTAVAIL ? 0 : rc;
}

int netlink_route(struct netlink *nl, bool add, const struct netlink_route *r)
{
	uint32_t table = r->table ? r->table : RT_TABLE_MAIN;
	struct rtmsg hdr = { .rtm_family = (uint8_t)r->dst.family,
			     .rtm_dst_len = (uint8_t)r->dst.len,
			     .rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC,
			     .rtm_protocol = r->protocol ? r->protocol : RTPROT_STATIC,
			     .rtm_type = RTN_UNICAST };
	struct nl_msg *msg;
	unsigned dev = 0;
	bool failed;
	int rc = netlink_index(r->dev, &dev);

	if (rc < 0)
		return add ? rc : 0;
	hdr.rtm_scope = r->via.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	if (!add)
		hdr.rtm_scope = RT_SCOPE_NOWHERE;
	msg = netlink_new_request(add ? RTM_NEWROUTE : RTM_DELROUTE,
				  add ? NLM_F_CREATE | NLM_F_EXCL : 0, &hdr, sizeof(hdr));
	if (!msg)
		return -ENOMEM;
	failed = nla_put_u32(msg, RTA_TABLE, table) < 0 || nla_put_u32(msg, RTA_OIF, dev) < 0;
	if (r->dst.len > 0)
		failed |= put_addr(msg, RTA_DST, &r->dst);
	if (r->via.family)
		failed |= put_addr(msg, RTA_GATEWAY, &r->via);
	if (r->src.family)
		failed |= put_addr(msg, RTA_PREFSRC, &r->src);
	if (r->metric)
		failed |= nla_put_u32(msg, RTA_PRIORITY, r->metric) < 0;
	rc = netlink_request(nl, msg, failed);
	if (add)
		return rc == -EEXIST ? 0 : rc;
	return rc == -ESRCH ? 0 : rc;
}

int netlink_neigh_proxy(struct netlink *nl, bool add, const char *name,
			const struct net_prefix *addr)
{
	struct ndmsg hdr = { .ndm_family = (uint8_t)addr->family,
			     .ndm_flags = NTF_PROXY,
			     .ndm_state = NUD_PERMANENT };
	struct nl_msg *msg;
	unsigned index = 0;
	int rc = netlink_index(name, &index);

	if (rc < 0)
		return add ? rc : 0;
	hdr.ndm_ifindex = (int)index;
	msg = netlink_new_request(add ? RTM_NEWNEIGH : RTM_DELNEIGH, add ? NLM_F_CREATE : 0, &hdr,
				  sizeof(hdr));
	if (!msg)
		return -ENOMEM;
	rc = netlink_request(nl, msg, put_addr(msg, NDA_DST, addr));
	return !add && rc == -ENOENT ? 0 : rc;
}

/* --- lists --- */

static bool get_addr(struct nlattr *attr, int family, struct net_prefix *ret)
{
	ret->family = family;
	if (!attr || (size_t)nla_len(attr) != net_addr_bytes(ret))
		return false;
	memcpy(&ret->addr, nla_data(attr), net_addr_bytes(ret));
	ret->len = family == AF_INET ? 32 : 128;
	return true;
}

struct addr_list {
	unsigned index; /* 0: all */
	int (*fn)(void *opaque, const char *dev, const struct net_prefix *addr, unsigned flags);
	void *opaque;
};

static int on_addr(struct nl_msg *msg, void *opaque)
{
	const struct ifaddrmsg *hdr = nlmsg_data(nlmsg_hdr(msg));
	struct nlattr *attr[IFA_MAX + 1];
	struct addr_list *list = opaque;
	struct net_prefix p = { 0 };
	char dev[IF_NAMESIZE];
	uint32_t flags;

	if (nlmsg_hdr(msg)->nlmsg_type != RTM_NEWADDR ||
	    (list->index && hdr->ifa_index != list->index) ||
	    (hdr->ifa_family != AF_INET && hdr->ifa_family != AF_INET6) ||
	    nlmsg_parse(nlmsg_hdr(msg), sizeof(*hdr), attr, IFA_MAX, NULL) < 0)
		return 0;
	if (!get_addr(attr[IFA_LOCAL] ? attr[IFA_LOCAL] : attr[IFA_ADDRESS], hdr->ifa_family, &p) ||
	    !if_indextoname(hdr->ifa_index, dev))
		return 0;
	p.len = hdr->ifa_prefixlen;
	flags = attr[IFA_FLAGS] ? nla_get_u32(attr[IFA_FLAGS]) : hdr->ifa_flags;
	return list->fn(list->opaque, dev, &p, flags);
}

int netlink_each_addr(struct netlink *nl, const char *name,
		      int (*fn)(void *opaque, const char *dev, const struct net_prefix *addr,
				unsigned flags),
		      void *opaque)
{
	const struct ifaddrmsg hdr = { .ifa_family = AF_UNSPEC };
	struct addr_list list = { .fn = fn, .opaque = opaque };
	int rc = name ? netlink_index(name, &list.index) : 0;

	if (rc < 0)
		return rc;
	return netlink_query(nl, netlink_new_request(RTM_GETADDR, NLM_F_DUMP, &hdr, sizeof(hdr)),
			     false, on_addr, &list);
}

struct route_list {
	unsigned index; /* 0: all */
	int (*fn)(void *opaque, const struct netlink_route *route);
	void *opaque;
};

static int on_route(struct nl_msg *msg, void *opaque)
{
	const struct rtmsg *hdr = nlmsg_data(nlmsg_hdr(msg));
	struct nlattr *attr[RTA_MAX + 1];
	struct route_list *list = opaque;
	struct netlink_route r = { 0 };
	unsigned dev;

	if (nlmsg_hdr(msg)->nlmsg_type != RTM_NEWROUTE || hdr->rtm_type != RTN_UNICAST ||
	    (hdr->rtm_family != AF_INET && hdr->rtm_family != AF_INET6) ||
	    nlmsg_parse(nlmsg_hdr(msg), sizeof(*hdr), attr, RTA_MAX, NULL) < 0 || !attr[RTA_OIF])
		return 0;
	dev = nla_get_u32(attr[RTA_OIF]);
	if ((list->index && dev != list->index) || !if_indextoname(dev, r.dev))
		return 0;
	if (!get_addr(attr[RTA_DST], hdr->rtm_family, &r.dst))
		r.dst = (struct net_prefix){ .family = hdr->rtm_family };
	r.dst.len = hdr->rtm_dst_len;
	if (!get_addr(attr[RTA_GATEWAY], hdr->rtm_family, &r.via))
		r.via.family = 0;
	if (!get_addr(attr[RTA_PREFSRC], hdr->rtm_family, &r.src))
		r.src.family = 0;
	r.metric = attr[RTA_PRIORITY] ? nla_get_u32(attr[RTA_PRIORITY]) : 0;
	r.table = attr[RTA_TABLE] ? nla_get_u32(attr[RTA_TABLE]) : hdr->rtm_table;
	r.protocol = hdr->rtm_protocol;
	r.scope = hdr->rtm_scope;
	return list->fn(list->opaque, &r);
}

int netlink_each_route(struct netlink *nl, const char *name,
		       int (*fn)(void *opaque, const struct netlink_route *route), void *opaque)
{
	const struct rtmsg hdr = { .rtm_family = AF_UNSPEC };
	struct route_list list = { .fn = fn, .opaque = opaque };
	int rc = name ? netlink_index(name, &list.index) : 0;

	if (rc < 0)
		return rc;
	return netlink_query(nl, netlink_new_request(RTM_GETROUTE, NLM_F_DUMP, &hdr, sizeof(hdr)),
			     false, on_route, &list);
}
