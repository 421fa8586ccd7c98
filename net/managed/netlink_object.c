// SPDX-License-Identifier: MIT
// Addresses, routes and neighbours moved as they are, with every attribute that the kernel tells.
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>

#include "net/managed/netlink_impl.h"

/* What a message of each kind begins with. */
union header {
	struct ifaddrmsg addr;
	struct rtmsg route;
	struct ndmsg neigh;
};

struct kind {
	int get, new, dst; /* message types, attribute of the destination */
	size_t hdr_bytes;
	uint8_t ndm_flags; /* of neighbours: those that this host answers for are asked for apart */
};

static const struct kind kinds[NETLINK_NR_OBJECTS] = {
	[NETLINK_OBJ_ADDR] = { RTM_GETADDR, RTM_NEWADDR, IFA_ADDRESS, sizeof(struct ifaddrmsg), 0 },
	[NETLINK_OBJ_ROUTE] = { RTM_GETROUTE, RTM_NEWROUTE, RTA_DST, sizeof(struct rtmsg), 0 },
	[NETLINK_OBJ_NEIGH] = { RTM_GETNEIGH, RTM_NEWNEIGH, NDA_DST, sizeof(struct ndmsg), 0 },
	[NETLINK_OBJ_PROXY] = { RTM_GETNEIGH, RTM_NEWNEIGH, NDA_DST, sizeof(struct ndmsg),
				NTF_PROXY },
};

struct listing {
	enum netlink_object_kind kind;
	unsigned dev;
	int (*fn)(void *opaque, const struct netlink_object *obj);
	void *opaque;
};

/* Made by a person: not by the kernel, on every interface, and not learnt. */
static bool is_wanted(enum netlink_object_kind kind, const union header *hdr, struct nlattr *dst)
{
	/* The family is the first byte of all three. */
	uint8_t family = hdr->addr.ifa_family;

	if (family != AF_INET && family != AF_INET6)
		return false;
	if (kind == NETLINK_OBJ_NEIGH)
		return hdr->neigh.ndm_state == NUD_PERMANENT;
	if (kind == NETLINK_OBJ_PROXY)
		return hdr->neigh.ndm_flags & NTF_PROXY;
	if (kind == NETLINK_OBJ_ROUTE &&
	    (hdr->route.rtm_type != RTN_UNICAST || hdr->route.rtm_protocol == RTPROT_KERNEL ||
	     hdr->route.rtm_flags & RTM_F_CLONED))
		return false;
	return family != AF_INET6 || !dst || nla_len(dst) != 16 ||
	       !IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)nla_data(dst));
}

static unsigned dev_of(enum netlink_object_kind kind, const union header *hdr,
		       struct nlattr *const *attr)
{
	if (kind == NETLINK_OBJ_ADDR)
		return hdr->addr.ifa_index;
	if (kind == NETLINK_OBJ_ROUTE)
		return attr[RTA_OIF] ? nla_get_u32(attr[RTA_OIF]) : 0;
	return (unsigned)hdr->neigh.ndm_ifindex;
}

static void describe(struct netlink_object *obj, const union header *hdr,
		     struct nlattr *const *attr)
{
	struct net_prefix p = { .family = hdr->addr.ifa_family };
	struct nlattr *dst = attr[kinds[obj->kind].dst];

	if (obj->kind == NETLINK_OBJ_ADDR && attr[IFA_LOCAL])
		dst = attr[IFA_LOCAL];
	if (dst && (size_t)nla_len(dst) == net_addr_bytes(&p))
		memcpy(&p.addr, nla_data(dst), net_addr_bytes(&p));
	/* The length is the second byte of the two that have one. */
	p.len = obj->kind <= NETLINK_OBJ_ROUTE ? hdr->addr.ifa_prefixlen
					       : 8 * (unsigned)net_addr_bytes(&p);
	(void)net_prefix_format(&p, obj->what);
	obj->is_on_link = obj->kind == NETLINK_OBJ_ROUTE && !attr[RTA_GATEWAY] && !attr[RTA_VIA];
}

static int on_object(struct nl_msg *msg, void *opaque)
{
	struct listing *l = opaque;
	const struct kind *kind = &kinds[l->kind];
	struct netlink_object obj = { .kind = l->kind };
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct nlattr *attr[MAX(RTA_MAX, MAX(IFA_MAX, NDA_MAX)) + 1] = { NULL };
	union header hdr = { { 0 } };

	if (nlh->nlmsg_type != kind->new ||
	    nlmsg_parse(nlh, (int)kind->hdr_bytes, attr, ARRAY_SIZE(attr) - 1, NULL) < 0)
		return 0;
	memcpy(&hdr, nlmsg_data(nlh), kind->hdr_bytes);
	if (dev_of(l->kind, &hdr, attr) != l->dev || !is_wanted(l->kind, &hdr, attr[kind->dst]))
		return 0;
	obj.len = (size_t)nlmsg_datalen(nlh);
	if (obj.len > sizeof(obj.data))
		return -E2BIG;
	memcpy(obj.data, nlmsg_data(nlh), obj.len);
	describe(&obj, &hdr, attr);
	return l->fn(l->opaque, &obj);
}

int netlink_each_object(struct netlink *nl, enum netlink_object_kind kind, const char *dev,
			int (*fn)(void *opaque, const struct netlink_object *obj), void *opaque)
{
	const struct kind *k = &kinds[kind];
	struct listing l = { .kind = kind, .fn = fn, .opaque = opaque };
	union header hdr = { { 0 } };
	int rc = netlink_index(dev, &l.dev);

	if (rc < 0)
		return rc;
	hdr.neigh.ndm_flags = k->ndm_flags;
	return netlink_query(nl, netlink_new_request(k->get, NLM_F_DUMP, &hdr, k->hdr_bytes), false,
			     on_object, &l);
}

/* The interface is another one, and some attributes only report. */
static bool put_attr(struct nl_msg *msg, const struct nlattr *attr, enum netlink_object_kind kind,
		     unsigned dev, bool same)
{
	int type = nla_type(attr);

	if (kind == NETLINK_OBJ_ROUTE && type == RTA_OIF)
		return nla_put_u32(msg, RTA_OIF, dev) < 0;
	if ((kind == NETLINK_OBJ_ROUTE && type == RTA_CACHEINFO) ||
	    (kind == NETLINK_OBJ_ADDR && type == IFA_LABEL && !same) ||
	    (kind >= NETLINK_OBJ_NEIGH && (type == NDA_CACHEINFO || type == NDA_PROBES)))
		return false;
	return nla_put(msg, type, nla_len(attr), nla_data(attr)) < 0;
}

static void set_dev(union header *hdr, enum netlink_object_kind kind, unsigned dev)
{
	if (kind == NETLINK_OBJ_ADDR)
		hdr->addr.ifa_index = dev;
	else if (kind == NETLINK_OBJ_ROUTE)
		hdr->route.rtm_flags &= RTNH_F_ONLINK;
	else
		hdr->neigh.ndm_ifindex = (int)dev;
}

int netlink_put_object(struct netlink *nl, const struct netlink_object *obj, const char *dev,
		       bool same)
{
	const struct kind *kind = &kinds[obj->kind];
	union header hdr;
	struct nlattr *attr;
	struct nl_msg *msg;
	bool failed = false;
	unsigned index = 0;
	int left, rc = netlink_index(dev, &index);

	if (rc < 0 || obj->len < kind->hdr_bytes || obj->len > sizeof(obj->data))
		return rc < 0 ? rc : -EINVAL;
	memcpy(&hdr, obj->data, kind->hdr_bytes);
	set_dev(&hdr, obj->kind, index);
	msg = netlink_new_request(kind->new, NLM_F_CREATE | NLM_F_EXCL, &hdr, kind->hdr_bytes);
	if (!msg)
		return -ENOMEM;
	nla_for_each_attr(attr,
			  (struct nlattr *)(uintptr_t)(obj->data + NLMSG_ALIGN(kind->hdr_bytes)),
			  (int)(obj->len - NLMSG_ALIGN(kind->hdr_bytes)), left) failed |=
		put_attr(msg, attr, obj->kind, index, same);
	rc = netlink_request(nl, msg, failed);
	return rc == -EEXIST ? 0 : rc;
}
