/* SPDX-License-Identifier: MIT */
/* Interfaces of the host: looked at and set up. */
#ifndef FERRY_NET_HOSTIF_H
#define FERRY_NET_HOSTIF_H

#include <net/if.h>
#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

/* Is @name a tap, as opposed to a tun or anything else? */
bool hostif_is_tap(const char *name);

/* Bring @name up; nothing to do, and no privilege needed, if it is. */
__must_check int hostif_up(const char *name, struct err *e);

/* Its MTU; setting what it has already needs no privilege. */
__must_check int hostif_get_mtu(const char *name, unsigned *ret, struct err *e);
__must_check int hostif_set_mtu(const char *name, unsigned mtu, struct err *e);

/*
 * Give @name the highest address that its own leaves: a bridge without an address of
 * its own takes the lowest of its ports', and whoever knew it would lose sight of it.
 */
__must_check int hostif_raise_mac(const char *name, struct err *e);

/* Make @name a port of @bridge. 1; 0: it is one already; -errno. */
__must_check int hostif_add_to_bridge(const char *name, const char *bridge, struct err *e);

/* How an interface was found. */
struct hostif_before {
	bool up;
	unsigned mtu;             /* 0: unknown, nothing is put back */
	char bridge[IF_NAMESIZE]; /* it was made a port of this one since; "": was not */
};

/* Note how @name is, as far as that can be found out. */
void hostif_note(const char *name, struct hostif_before *ret);

/* Put it back as it was, as far as possible, and the interface is still there. */
void hostif_put_back(const char *name, const struct hostif_before *before);

#endif
