// SPDX-License-Identifier: MIT
/* UDP (RFC 768). */
#include "net.h"

void udp_listen(struct net *net, uint16_t port, net_handler handler, void *context)
{
	for (unsigned int i = 0; i < NET_UDP_PORTS; i++) {
		if (net->udp[i].port)
			continue;
		net->udp[i] = (struct net_udp_port){ port, handler, context };
		return;
	}
	panic("net: too many UDP ports");
}

bool udp_send(struct net *net, struct nic_buf *buf, uint16_t src_port, uint32_t dst,
	      uint16_t dst_port, uint32_t bytes)
{
	struct udp *udp = (struct udp *)ip_payload(buf);

	bytes += UDP_BYTES;
	udp->src = be16(src_port);
	udp->dst = be16(dst_port);
	udp->len = be16((uint16_t)bytes);
	udp->checksum = checksum_fold(checksum_pseudo(net->addr, dst, IP_PROTO_UDP, bytes));
	buf->csum_start = ETH_BYTES + IP_BYTES;
	buf->csum_offset = offsetof(struct udp, checksum);
	return ip_send(net, buf, dst, IP_PROTO_UDP, bytes);
}

/* With the checksum in it, everything adds up to ones. Zero: the sender has not computed one. */
static bool udp_checksum_good(const struct ip *ip, const struct udp *udp, uint32_t bytes)
{
	uint64_t sum = checksum_pseudo(be32(ip->src), be32(ip->dst), IP_PROTO_UDP, bytes);

	return !udp->checksum || checksum_fold(checksum_add(sum, udp, bytes)) == 0xffff;
}

void udp_input(struct net *net, const struct ip *ip, const uint8_t *data, uint32_t bytes,
	       bool checksum_good)
{
	const struct udp *udp = (const struct udp *)data;
	struct net_datagram dgram = { .src = be32(ip->src), .data = data + UDP_BYTES };
	uint32_t udp_bytes = bytes < UDP_BYTES ? 0 : be16(udp->len);

	if (udp_bytes < UDP_BYTES || udp_bytes > bytes ||
	    (!checksum_good && !udp_checksum_good(ip, udp, udp_bytes))) {
		net->bad++;
		return;
	}
	dgram.bytes = udp_bytes - UDP_BYTES;
	dgram.src_port = be16(udp->src);
	dgram.dst_port = be16(udp->dst);
	for (unsigned int i = 0; i < NET_UDP_PORTS; i++) {
		if (net->udp[i].port && net->udp[i].port == dgram.dst_port)
			net->udp[i].handler(net, net->udp[i].context, &dgram);
	}
}
