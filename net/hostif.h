/* SPDX-License-Identifier: MIT */
/* Interfaces of the host: looked at and set up. */
#ifndef FERRY_NET_HOSTIF_H
#define FERRY_NET_HOSTIF_H

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

/* Make @name a port of @bridge, unless it is one. */
__must_check int hostif_add_to_bridge(const char *name, const char *bridge, struct err *e);

#endif
