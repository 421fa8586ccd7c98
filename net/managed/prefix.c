// SPDX-License-Identifier: MIT
// Addresses with the length of their prefix: text, overlap, numbering.
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/managed/netlink.h"

static unsigned max_len(int family)
{
	return family == AF_INET ? 32 : 128;
}

/* Decimal digits alone, at most @max. */
static int parse_len(const char *text, unsigned max, unsigned *ret)
{
	unsigned value = 0;

	if (*text == '\0' || strlen(text) > 3)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (unsigned)(*text - '0');
	}
	if (value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

int net_prefix_parse(const char *text, struct net_prefix *ret)
{
	char buf[NET_PREFIX_TEXT];
	struct net_prefix p = { 0 };
	char *slash;

	if (strlen(text) >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, text, strlen(text) + 1);
	slash = strchr(buf, '/');
	if (slash)
		*slash = '\0';
	p.family = strchr(buf, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(p.family, buf, &p.addr) != 1)
		return -EINVAL;
	p.len = max_len(p.family);
	if (slash && parse_len(slash + 1, p.len, &p.len) < 0)
		return -EINVAL;
	*ret = p;
	return 0;
}

const char *net_addr_format(const struct net_prefix *p, char buf[NET_PREFIX_TEXT])
{
	if (!inet_ntop(p->family, &p->addr, buf, NET_PREFIX_TEXT))
		buf[0] = '\0';
	return buf;
}

const char *net_prefix_format(const struct net_prefix *p, char buf[NET_PREFIX_TEXT])
{
	size_t used = strlen(net_addr_format(p, buf));

	(void)snprintf(buf + used, NET_PREFIX_TEXT - used, "/%u", p->len);
	return buf;
}

bool net_prefix_overlap(const struct net_prefix *a, const struct net_prefix *b)
{
	const uint8_t *x = (const uint8_t *)&a->addr, *y = (const uint8_t *)&b->addr;
	unsigned bits = MIN(a->len, b->len);

	if (a->family != b->family || a->family == 0)
		return false;
	for (unsigned i = 0; i < bits; i++) {
		if ((x[i / 8] ^ y[i / 8]) >> (7 - i % 8) & 1)
			return false;
	}
	return true;
}

struct net_prefix net_prefix_nth(const struct net_prefix *p, uint32_t n)
{
	struct net_prefix ret = *p;
	uint8_t *bytes = (uint8_t *)&ret.addr;
	size_t size = max_len(p->family) / 8;
	uint32_t low;

	for (unsigned i = p->len; i < max_len(p->family); i++)
		bytes[i / 8] &= (uint8_t) ~(0x80U >> i % 8);
	memcpy(&low, bytes + size - sizeof(low), sizeof(low));
	low = htobe32(be32toh(low) | n);
	memcpy(bytes + size - sizeof(low), &low, sizeof(low));
	return ret;
}
