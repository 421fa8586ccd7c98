/* SPDX-License-Identifier: MIT */
/* What is on the wire: Ethernet, ARP, IPv4, ICMP, UDP and TCP headers, byte order, checksum. */
#ifndef GUEST_NET_WIRE_H
#define GUEST_NET_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#define ETH_BYTES  14
#define IP_BYTES   20
#define ICMP_BYTES 8
#define UDP_BYTES  8
#define TCP_BYTES  20
#define MTU        1500

enum {
	ETH_TYPE_IP = 0x0800,
	ETH_TYPE_ARP = 0x0806,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	IP_PROTO_ICMP = 1,
	IP_PROTO_TCP = 6,
	IP_PROTO_UDP = 17,
	IP_DONT_FRAGMENT = 0x4000,
	IP_FRAGMENT_MASK = 0x3fff, /* more fragments, and the offset */
	ICMP_ECHO_REPLY = 0,
	ICMP_ECHO = 8,
};

struct eth {
	uint8_t dst[6];
	uint8_t src[6];
	uint16_t type;
} __attribute__((packed));

struct arp { /* RFC 826, for IPv4 over Ethernet */
	uint16_t hardware;
	uint16_t protocol;
	uint8_t hardware_len;
	uint8_t protocol_len;
	uint16_t op;
	uint8_t sender_mac[6];
	uint32_t sender_ip;
	uint8_t target_mac[6];
	uint32_t target_ip;
} __attribute__((packed));

struct ip { /* RFC 791 */
	uint8_t version_words;
	uint8_t tos;
	uint16_t len;
	uint16_t id;
	uint16_t fragment;
	uint8_t ttl;
	uint8_t proto;
	uint16_t checksum;
	uint32_t src;
	uint32_t dst;
} __attribute__((packed));

struct icmp { /* RFC 792, echo */
	uint8_t type;
	uint8_t code;
	uint16_t checksum;
	uint16_t id;
	uint16_t seq;
} __attribute__((packed));

struct udp { /* RFC 768 */
	uint16_t src;
	uint16_t dst;
	uint16_t len;
	uint16_t checksum;
} __attribute__((packed));

struct tcp { /* RFC 9293 */
	uint16_t src;
	uint16_t dst;
	uint32_t seq;
	uint32_t ack;
	uint8_t words; /* header length in its upper half */
	uint8_t flags;
	uint16_t window;
	uint16_t checksum;
	uint16_t urgent;
} __attribute__((packed));

static inline uint16_t be16(uint16_t v)
{
	return __builtin_bswap16(v);
}

static inline uint32_t be32(uint32_t v)
{
	return __builtin_bswap32(v);
}

/* One's complement sum of @len bytes, added to @sum; not folded (RFC 1071). */
uint64_t checksum_add(uint64_t sum, const void *data, uint32_t len);

/* Folds a sum to 16 bits as it stands on the wire, not complemented. */
uint16_t checksum_fold(uint64_t sum);

/* The sum of the pseudo header that UDP and TCP share. Addresses in host order. */
uint64_t checksum_pseudo(uint32_t src, uint32_t dst, uint8_t proto, uint32_t len);

#endif
