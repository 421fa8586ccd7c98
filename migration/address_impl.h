/* SPDX-License-Identifier: MIT */
/* What the files about addresses share. */
#ifndef FERRY_MIGRATION_ADDRESS_IMPL_H
#define FERRY_MIGRATION_ADDRESS_IMPL_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "util/compiler.h"
#include "util/err.h"

/* All addresses of @host; the list is freed by freeaddrinfo(). 0 or -EHOSTUNREACH. */
__must_check int address_look_up(const char *host, uint16_t port, bool to_listen,
				 struct addrinfo **ret, struct err *e);

/* "10.0.0.2:8002" or "[fd00::2]:8002" for an internet address. */
void address_show_sockaddr(const struct sockaddr_storage *ss, char *buf, size_t len);

#endif
