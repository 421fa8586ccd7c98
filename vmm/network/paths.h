/* SPDX-License-Identifier: MIT */
/* Where definitions and the state of managed networks are. */
#ifndef FERRY_VMM_NETWORK_PATHS_H
#define FERRY_VMM_NETWORK_PATHS_H

#include "net/managed/network.h"
#include "util/compiler.h"
#include "util/err.h"

struct network_paths {
	char defs[200], state[200];
	struct net_dirs dirs; /* the two */
};

/*
 * $FERRY_NETWORKS, else /etc/ferry/networks for root and ~/.config/ferry/networks
 * for others; and "net" in the runtime directory. 0 or -errno.
 */
__must_check int network_paths_get(struct network_paths *paths, struct err *e);

#endif
