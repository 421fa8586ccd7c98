/* SPDX-License-Identifier: MIT */
/* Requests to rtnetlink, for nl_*.c. */
#ifndef FERRY_NET_MANAGED_NETLINK_IMPL_H
#define FERRY_NET_MANAGED_NETLINK_IMPL_H

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "net/managed/netlink.h"

struct netlink {
	struct nl_sock *sock;
};

/*
 * A request of @type with @hdr (@len bytes) at its start. Attributes are put to
 * it by nla_put*(), whose failure netlink_request() reports: a message is never
 * sent half built. NULL: no memory.
 */
struct nl_msg *netlink_new_request(int type, int flags, const void *hdr, size_t len);

/*
 * Send it, free it, wait for the answer. @failed: an attribute did not fit.
 * 0 or -errno of the kernel; -ENOMEM for a NULL message.
 */
__must_check int netlink_request(struct netlink *nl, struct nl_msg *msg, bool failed);

/* The same for a dump or a question; @fn is called for each message. */
__must_check int netlink_query(struct netlink *nl, struct nl_msg *msg, bool failed,
			       int (*fn)(struct nl_msg *msg, void *opaque), void *opaque);

/* Index of an interface, in *@ret. 0, or -ENODEV. */
__must_check int netlink_index(const char *name, unsigned *ret);

/* The raw bytes of an address and how many. */
static inline size_t net_addr_bytes(const struct net_prefix *p)
{
	return p->family == AF_INET ? sizeof(p->addr.v4) : sizeof(p->addr.v6);
}

#endif
