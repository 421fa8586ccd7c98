/* SPDX-License-Identifier: MIT */
/* A guest's nics on managed networks. */
#ifndef FERRY_VMM_GUEST_MACHINE_NETWORK_H
#define FERRY_VMM_GUEST_MACHINE_NETWORK_H

#include <stddef.h>

#include "net/managed/network.h"
#include "util/compiler.h"
#include "util/err.h"

struct nic_config;

/* Where definitions and the state of networks are, for this user; see net_dirs. */
struct network_paths {
	char defs[200], state[200];
	struct net_dirs dirs; /* the two */
};

/*
 * $FERRY_NETWORKS, else /etc/ferry/networks for root and ~/.config/ferry/networks
 * for others; and "net" in the runtime directory. 0 or -errno.
 */
__must_check int network_paths_get(struct network_paths *paths, struct err *e);

/*
 * Look the nic's network up, make sure that it is there, and choose the nic's
 * addresses: @member, with the guest and the number of the nic, is complete then but for the
 * tap. 0 or -errno with the reason.
 */
__must_check int network_prepare(const struct network_paths *paths, const struct nic_config *nic,
				 struct netdef *def, struct net_member *member, struct err *e);

#endif
