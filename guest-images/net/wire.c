// SPDX-License-Identifier: MIT
/* The Internet checksum (RFC 1071), eight bytes at a time. */
#include "wire.h"

#include "guest.h"

uint64_t checksum_add(uint64_t sum, const void *data, uint32_t len)
{
	const uint8_t *at = data;
	uint64_t word;

	for (; len >= 8; len -= 8, at += 8) {
		memcpy(&word, at, 8);
		sum += word;
		sum += sum < word; /* the carry comes back in at the end */
	}
	if (len) {
		word = 0;
		memcpy(&word, at, len);
		sum += word;
		sum += sum < word;
	}
	return sum;
}

uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint64_t checksum_pseudo(uint32_t src, uint32_t dst, uint8_t proto, uint32_t len)
{
	/* A sum of 16-bit words does not care how they are grouped. */
	return (uint64_t)be32(src) + be32(dst) + be16(proto) + be16((uint16_t)len);
}
