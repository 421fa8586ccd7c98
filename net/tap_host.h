/* SPDX-License-Identifier: MIT */
/* A tap as the host has it: opened or made, put on a bridge, brought up, and put back. */
#ifndef FERRY_NET_TAP_HOST_H
#define FERRY_NET_TAP_HOST_H

#include "net/hostif.h"
#include "net/netdev.h"

/*
 * One descriptor of /dev/net/tun for each queue pair; the kernel spreads flows
 * over them. They are not made persistent: an interface that was created goes
 * when the last of them is closed, however the process ends. An interface that
 * was there stays, and gets back what was changed: bridge, MTU, up or down. That needs the
 * privilege that the change needed, so whoever is going to give privilege up leaves it to
 * another process (tap_host_changes()).
 */
struct tap_host {
	int fds[NETDEV_MAX_PAIRS];
	unsigned nr_fds;
	char name[IF_NAMESIZE];
	unsigned mtu; /* what it has */
	bool existed; /* the interface, before we came */
	struct hostif_before before;
};

/* Open @cfg's tap: name, bridge, queue pairs and MTU count. 0, or -errno with the reason. */
__must_check int tap_host_open(struct tap_host *tap, const struct netdev_config *cfg,
			       struct err *e);

/* Put back what was changed, and close. Opened in part or not at all ({ 0 }): as far as it is. */
void tap_host_close(struct tap_host *tap);

/* Close the descriptors alone: somebody else has got them. */
void tap_host_forget(struct tap_host *tap);

/* Is @cfg's tap there, and would opening it change what then is to be put back? */
bool tap_host_changes(const struct netdev_config *cfg);

#endif
