/* SPDX-License-Identifier: MIT */
/* Which frames of the guest may make libslirp open a socket. */
#ifndef FERRY_NET_USER_LIMIT_H
#define FERRY_NET_USER_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Might libslirp open a socket for this frame (Ethernet, any bytes)? Exact for
 * TCP, where only a SYN does; each datagram counts, since which of them start a
 * flow is known to libslirp alone; so does what cannot be judged, fragments
 * among it. Then it opens one at most. Any thread.
 */
bool user_may_open_socket(const uint8_t *frame, size_t bytes);

#endif
