/* SPDX-License-Identifier: MIT */
/* Port forwards of user networking: from a port of the host to the guest. */
#ifndef FERRY_NET_USER_FWD_H
#define FERRY_NET_USER_FWD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "util/compiler.h"
#include "util/err.h"

/* One end: an IPv4 or IPv6 address and a port. */
union user_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct user_fwd {
	bool udp;
	union user_addr host, guest; /* of one family */
};

/*
 * Read "tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:PORT", as QEMU writes it:
 * "tcp:127.0.0.1:2222-:22" takes connections to port 2222 of the loopback
 * address to port 22 of the guest. IPv6 addresses stand in brackets.
 * HOSTADDR left out: 127.0.0.1, since a port open to everyone should be asked
 * for (0.0.0.0). GUESTADDR left out: 0.0.0.0, for the first address that DHCP gives.
 * An IPv6 guest chooses its address itself, so there it must be given.
 * 0 or -EINVAL.
 */
__must_check int user_fwd_parse(const char *text, struct user_fwd *ret, struct err *e);

/* Length of the address in @a. */
socklen_t user_addr_bytes(const union user_addr *a);

#endif
