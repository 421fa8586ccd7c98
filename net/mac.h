/* SPDX-License-Identifier: MIT */
/* MAC addresses: derived from names, read and printed. */
#ifndef FERRY_NET_MAC_H
#define FERRY_NET_MAC_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"

#define MAC_BYTES      6
#define MAC_TEXT_BYTES 18 /* "02:00:00:00:00:01" and its NUL */

/*
 * The address of the guest's nic number @index: locally administered, unicast,
 * 02:xx:xx:xx:xx:xx, where xx are the low 40 bits of the 64-bit FNV-1a hash of
 * @name, a zero byte and @index (one byte), its high 24 bits folded in. Part of
 * ferry's interface: it must never change, since guests know their network by it.
 */
void mac_derive(const char *name, unsigned index, uint8_t ret[MAC_BYTES]);

/*
 * Read "xx:xx:xx:xx:xx:xx". 0, or -EINVAL if it is anything else or not an
 * address for a nic (multicast, all zero).
 */
__must_check int mac_parse(const char *text, uint8_t ret[MAC_BYTES]);

/* Print lower-case, with colons. */
void mac_format(const uint8_t mac[MAC_BYTES], char ret[MAC_TEXT_BYTES]);

static inline bool mac_is_multicast(const uint8_t mac[MAC_BYTES])
{
	return mac[0] & 1;
}

#endif
