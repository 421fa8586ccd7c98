/* SPDX-License-Identifier: MIT */
/* Who may connect: networks and hosts. */
#ifndef FERRY_MIGRATION_ALLOW_H
#define FERRY_MIGRATION_ALLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "util/compiler.h"
#include "util/err.h"

#define ALLOW_MAX_RULES 64U

/* Const once made. */
struct allow;

/*
 * From @nr rules: "10.1.0.0/16", "fd00::/8", an address, or the name of a host,
 * which is looked up now. None: loopback. 0, or -errno with the rule.
 */
__must_check int allow_new(struct allow **ret, const char *const *rules, size_t nr, struct err *e);
void allow_free(struct allow *allow);

/* May somebody come from this internet address? An IPv4 address in IPv6 is one of IPv4. */
bool allow_address(const struct allow *allow, const struct sockaddr *sa);

/*
 * May the peer of this connection? On a UNIX socket: this user or root may,
 * whatever the rules.
 */
bool allow_peer(const struct allow *allow, int fd);

#endif
