/* SPDX-License-Identifier: MIT */
/* dnsmasq: one for each network that hands out addresses and names. */
#ifndef FERRY_NET_MANAGED_DHCP_H
#define FERRY_NET_MANAGED_DHCP_H

#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * A folder belongs to one dnsmasq: "conf" is given to it, "pid" and "leases" are
 * its own, "hosts.d" has a file for each guest with a fixed address, and is watched. It is a daemon
 * of its own, since a network outlives the process that made it; whose it is, is
 * seen by its command line, so that no other process is ever signalled.
 */

/*
 * Write @conf to the folder, which is made, and start dnsmasq with it. When it
 * returns 0, it listens. -errno, with dnsmasq's own reason in @e.
 */
__must_check int dhcp_start(const char *folder, const char *conf, struct err *e);

/* End it, wait for that, remove the folder. Not there: 0. */
__must_check int dhcp_stop(const char *folder, struct err *e);

/*
 * Give @mac its addresses and its name: "10.0.0.5,[fd00::5],web". @file is what that is
 * noted in. Taking it back also ends the lease that @mac has, or its IPv4 address
 * could be nobody else's until that runs out. 0 or -errno.
 */
__must_check int dhcp_add_host(const char *folder, const char *file, const char *mac,
			       const char *what);
__must_check int dhcp_del_host(const char *folder, const char *file, const char *mac,
			       const char *what);

#define DHCP_ADDR_BYTES 16

/* The IPv4 address that @mac has asked for and got, as text; "" where there is none. */
void dhcp_find_lease(const char *folder, const char *mac, char ret[DHCP_ADDR_BYTES]);

/* Is the dnsmasq of this folder alive? */
bool dhcp_is_running(const char *folder);

#endif
