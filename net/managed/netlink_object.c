// SPDX-License-Identifier: MIT
// Addresses and routes moved as they are: every attribute that the kernel tells is kept.
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>

#include "net/managed/netlink_impl.h"

struct kind {
	int get, new, dst; /* message types, attribute of the destination */
	size_t hdr_bytes;
};

static const struct kind kinds[] = {
	{ RTM_GETADDR, RTM_NEWADDR, IFA_ADDRESS, sizeof(struct ifaddrmsg) },
	{ RTM_GETROUTE, RTM_NEWROUTE, RTA_DST, sizeof(struct rtmsg) },
};

struct listing {
	const struct kind *kind;
	unsigned dev;
	int (*fn)(void *opaque, const struct netlink_object *obj);
	void *opaque;
};

/* What the kernel makes by itself, on every interface. */
static bool is_own(const void *hdr, bool is_route, struct nlattr *dst)
{
	const struct ifaddrmsg *addr = hdr;
	const struct rtmsg *route = hdr;
	uint8_t family = is_route ? route->rtm_family : addr->ifa_family;

	if (family != AF_INET && family != AF_INET6)
		return true;
	if (is_route && (route->rtm_type != RTN_UNICAST || route->rtm_protocol == RTPROT_KERNEL ||
			 route->rtm_flags & RTM_F_CLONED))
		return true;
	return family == AF_INET6 && dst && nla_len(dst) == 16 &&
	       IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)nla_data(dst));
}

static unsigned dev_of(const void *hdr, struct nlattr *const *attr, bool is_route)
{
	if (!is_route)
		return ((const struct ifaddrmsg *)hdr)->ifa_index;
	return attr[RTA_OIF] ? nla_get_u32(attr[RTA_OIF]) : 0;
}

static void describe(struct netlink_object *obj, const void *hdr, struct nlattr *const *attr)
{
	const struct ifaddrmsg *addr = hdr;
	const struct rtmsg *route = hdr;
	struct nlattr *dst = attr[obj->is_route ? RTA_DST : IFA_LOCAL];
	struct net_prefix p = { .family = obj->is_route ? route->rtm_family : addr->ifa_family };

	if (!dst && !obj->is_route)
		dst = attr[IFA_ADDRESS];
	if (dst && (size_t)nla_len(dst) == net_addr_bytes(&p))
		memcpy(&p.addr, nla_data(dst), net_addr_bytes(&p));
	p.len = obj->is_route ? route->rtm_dst_len : addr->ifa_prefixlen;
	(void)net_prefix_format(&p, obj->what);
	obj->is_on_link = obj->is_route && !attr[RTA_GATEWAY] && !attr[RTA_VIA];
}

static int on_object(struct nl_msg *msg, void *opaque)
{
	struct listing *l = opaque;
	struct netlink_object obj = { .is_route = l->kind->get == RTM_GETROUTE };
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct nlattr *attr[MAX(RTA_MAX, IFA_MAX) + 1] = { NULL };
	const void *hdr = nlmsg_data(nlh);

	if (nlh->nlmsg_type != l->kind->new ||
	    nlmsg_parse(nlh, (int)l->kind->hdr_bytes, attr, obj.is_route ? RTA_MAX : IFA_MAX,
			NULL) < 0 ||
	    dev_of(hdr, attr, obj.is_route) != l->dev ||
	    is_own(hdr, obj.is_route, attr[l->kind->dst]))
		return 0;
	obj.len = (size_t)nlmsg_datalen(nlh);
	if (obj.len > sizeof(obj.data))
		return -E2BIG;
	memcpy(obj.data, hdr, obj.len);
	describe(&obj, hdr, attr);
	return l->fn(l->opaque, &obj);
}

int netlink_each_object(struct netlink *nl, bool routes, const char *dev,
			int (*fn)(void *opaque, const struct netlink_object *obj), void *opaque)
{
	const union {
		struct ifaddrmsg addr;
		struct rtmsg route;
	} hdr = { { 0 } };
	const struct kind *kind = &kinds[routes];
	struct listing l = { .kind = kind, .fn = fn, .opaque = opaque };
	int rc = netlink_index(dev, &l.dev);

	if (rc < 0)
		return rc;
	return netlink_query(nl, netlink_new_request(kind->get, NLM_F_DUMP, &hdr, kind->hdr_bytes),
			     false, on_object, &l);
}

/* The interface is another one, and some attributes only report. */
static bool put_attr(struct nl_msg *msg, const struct nlattr *attr, bool is_route, unsigned dev,
		     bool same)
{
	int type = nla_type(attr);

	if (is_route && type == RTA_OIF)
		return nla_put_u32(msg, RTA_OIF, dev) < 0;
	if (is_route ? type == RTA_CACHEINFO : type == IFA_LABEL && !same)
		return false;
	return nla_put(msg, type, nla_len(attr), nla_data(attr)) < 0;
}

int netlink_put_object(struct netlink *nl, const struct netlink_object *obj, const char *dev,
		       bool same)
{
	const struct kind *kind = &kinds[obj->is_route];
	union {
		struct ifaddrmsg addr;
		struct rtmsg route;
	} hdr;
	struct nlattr *attr;
	struct nl_msg *msg;
	bool failed = false;
	unsigned index = 0;
	int left, rc = netlink_index(dev, &index);

	if (rc < 0 || obj->len < kind->hdr_bytes || obj->len > sizeof(obj->data))
		return rc < 0 ? rc : -EINVAL;
	memcpy(&hdr, obj->data, kind->hdr_bytes);
	if (obj->is_route)
		hdr.route.rtm_flags &= RTNH_F_ONLINK;
	else
		hdr.addr.ifa_index = index;
	msg = netlink_new_request(kind->new, NLM_F_CREATE | NLM_F_EXCL, &hdr, kind->hdr_bytes);
	if (!msg)
		return -ENOMEM;
	nla_for_each_attr(attr,
			  (struct nlattr *)(uintptr_t)(obj->data + NLMSG_ALIGN(kind->hdr_bytes)),
			  (int)(obj->len - NLMSG_ALIGN(kind->hdr_bytes)), left) failed |=
		put_attr(msg, attr, obj->is_route, index, same);
	rc = netlink_request(nl, msg, failed);
	return rc == -EEXIST ? 0 : rc;
}
