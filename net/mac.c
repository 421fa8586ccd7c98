// SPDX-License-Identifier: MIT
// MAC addresses: derived from names, read and printed.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/mac.h"
#include "util/hash.h"

void mac_derive(const char *name, unsigned index, uint8_t ret[MAC_BYTES])
{
	const uint8_t tail[] = { 0, (uint8_t)index };
	uint64_t hash = fnv1a_add(fnv1a_text(name), tail, sizeof(tail));

	hash ^= hash >> 40;
	ret[0] = 0x02;
	for (int i = 1; i < MAC_BYTES; i++)
		ret[i] = (uint8_t)(hash >> (8 * (MAC_BYTES - 1 - i)));
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;
	int value = at ? (int)(at - digits) : -1;

	return value < 16 ? value : value - 6;
}

int mac_parse(const char *text, uint8_t ret[MAC_BYTES])
{
	static const uint8_t zero[MAC_BYTES];

	if (strlen(text) != MAC_TEXT_BYTES - 1)
		return -EINVAL;
	for (int i = 0; i < MAC_BYTES; i++, text += 3) {
		int high = hex_digit(text[0]), low = hex_digit(text[1]);

		if (high < 0 || low < 0 || text[2] != (i < MAC_BYTES - 1 ? ':' : '\0'))
			return -EINVAL;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return mac_is_multicast(ret) || memcmp(ret, zero, MAC_BYTES) == 0 ? -EINVAL : 0;
}

void mac_format(const uint8_t mac[MAC_BYTES], char ret[MAC_TEXT_BYTES])
{
	(void)snprintf(ret, MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		       mac[3], mac[4], mac[5]);
}
