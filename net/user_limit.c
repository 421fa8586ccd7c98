// SPDX-License-Identifier: MIT
// Which frames of the guest may make libslirp open a socket.
#include "net/user_limit.h"

#include <endian.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <string.h>

/* What follows the IP header; @bytes of it are there. */
static bool transport_may_open(uint8_t protocol, const uint8_t *at, size_t bytes)
{
	const size_t flags = offsetof(struct tcphdr, th_flags);

	switch (protocol) {
	case IPPROTO_TCP:
		return bytes <= flags || (at[flags] & (TH_SYN | TH_ACK)) == TH_SYN;
	case IPPROTO_ICMP:
		return bytes == 0 || at[0] == ICMP_ECHO;
	case IPPROTO_ICMPV6:
		return bytes == 0 || at[0] == ICMP6_ECHO_REQUEST;
	default:
		return true;
	}
}

static bool ipv4_may_open(const uint8_t *at, size_t bytes)
{
	struct iphdr ip;
	size_t header;

	if (bytes < sizeof(ip))
		return false;
	memcpy(&ip, at, sizeof(ip));
	header = ip.ihl * 4U;
	if (be16toh(ip.frag_off) & (IP_MF | IP_OFFMASK) || header < sizeof(ip) || header > bytes)
		return true;
	return transport_may_open(ip.protocol, at + header, bytes - header);
}

/* libslirp knows no extension headers. */
static bool ipv6_may_open(const uint8_t *at, size_t bytes)
{
	struct ip6_hdr ip;

	if (bytes < sizeof(ip))
		return false;
	memcpy(&ip, at, sizeof(ip));
	return transport_may_open(ip.ip6_nxt, at + sizeof(ip), bytes - sizeof(ip));
}

bool user_may_open_socket(const uint8_t *frame, size_t bytes)
{
	struct ether_header eth;

	if (bytes < sizeof(eth))
		return false;
	memcpy(&eth, frame, sizeof(eth));
	frame += sizeof(eth);
	bytes -= sizeof(eth);
	switch (be16toh(eth.ether_type)) {
	case ETHERTYPE_IP:
		return ipv4_may_open(frame, bytes);
	case ETHERTYPE_IPV6:
		return ipv6_may_open(frame, bytes);
	default:
		return false;
	}
}
