/* SPDX-License-Identifier: MIT */
/* The host's own interface becomes a port of a bridge, and the bridge the host's interface. */
#ifndef FERRY_NET_MANAGED_UPLINK_H
#define FERRY_NET_MANAGED_UPLINK_H

#include "util/compiler.h"
#include "util/err.h"

struct netlink;

/*
 * As Xen's network-bridge did: @dev enters @bridge, and its addresses and routes
 * move to the bridge, which takes its MAC, so that the host is on its network as
 * before and guests join it there. What @dev had is written to @file first.
 *
 * Moving takes a few milliseconds, in which established connections retransmit.
 * If a step fails, or the bridge has no carrier afterwards although @dev had one,
 * all of it is moved back at once. 0, or -errno with the reason.
 */
__must_check int uplink_move(struct netlink *nl, const char *dev, const char *bridge,
			     const char *file, struct err *e);

/* Back to what @file says, as far as it is not so already; then @file is removed. */
__must_check int uplink_restore(struct netlink *nl, const char *dev, const char *bridge,
				const char *file, struct err *e);

#endif
