// SPDX-License-Identifier: MIT
/* IPv4 without fragments (RFC 791), and ICMP echo (RFC 792). */
#include "net.h"

#define IP_TTL 64

struct nic_buf *ip_alloc(struct net *net, uint32_t flow)
{
	return nic_alloc(&net->nic, flow);
}

bool ip_send(struct net *net, struct nic_buf *buf, uint32_t dst, uint8_t proto, uint32_t bytes)
{
	struct eth *eth = (struct eth *)buf->frame;
	struct ip *ip = (struct ip *)(buf->frame + ETH_BYTES);

	if (!arp_resolve(net, dst, eth->dst)) {
		nic_free(&net->nic, buf);
		return false;
	}
	memcpy(eth->src, net->nic.mac, 6);
	eth->type = be16(ETH_TYPE_IP);
	*ip = (struct ip){
		.version_words = 0x45,
		.len = be16((uint16_t)(IP_BYTES + bytes)),
		.id = be16(net->ip_id++),
		.fragment = be16(IP_DONT_FRAGMENT),
		.ttl = IP_TTL,
		.proto = proto,
		.src = be32(net->addr),
		.dst = be32(dst),
	};
	ip->checksum = (uint16_t)~checksum_fold(checksum_add(0, ip, IP_BYTES));
	buf->bytes = ETH_BYTES + IP_BYTES + bytes;
	nic_send(&net->nic, buf);
	return true;
}

static void icmp_finish(struct icmp *icmp, uint32_t bytes)
{
	icmp->checksum = 0;
	icmp->checksum = (uint16_t)~checksum_fold(checksum_add(0, icmp, bytes));
}

bool icmp_send_echo(struct net *net, uint32_t dst, uint16_t id, uint16_t seq, uint32_t bytes)
{
	struct nic_buf *buf = ip_alloc(net, 0);
	struct icmp *icmp;

	if (!buf)
		return false;
	icmp = (struct icmp *)ip_payload(buf);
	*icmp = (struct icmp){ .type = ICMP_ECHO, .id = be16(id), .seq = be16(seq) };
	for (uint32_t i = 0; i < bytes; i++)
		ip_payload(buf)[ICMP_BYTES + i] = (uint8_t)i;
	icmp_finish(icmp, ICMP_BYTES + bytes);
	return ip_send(net, buf, dst, IP_PROTO_ICMP, ICMP_BYTES + bytes);
}

static void icmp_answer(struct net *net, uint32_t src, const uint8_t *data, uint32_t bytes)
{
	struct nic_buf *buf = ip_alloc(net, 0);
	struct icmp *icmp;

	if (!buf)
		return;
	icmp = (struct icmp *)ip_payload(buf);
	memcpy(icmp, data, bytes);
	icmp->type = ICMP_ECHO_REPLY;
	icmp_finish(icmp, bytes);
	(void)ip_send(net, buf, src, IP_PROTO_ICMP, bytes);
}

static void icmp_input(struct net *net, const struct ip *ip, const uint8_t *data, uint32_t bytes)
{
	const struct icmp *icmp = (const struct icmp *)data;
	struct net_datagram reply = { .src = be32(ip->src) };

	if (bytes < ICMP_BYTES || bytes > MTU - IP_BYTES ||
	    checksum_fold(checksum_add(0, data, bytes)) != 0xffff) {
		net->bad++;
		return;
	}
	if (icmp->type == ICMP_ECHO)
		icmp_answer(net, reply.src, data, bytes);
	if (icmp->type != ICMP_ECHO_REPLY || !net->echo_reply)
		return;
	reply.src_port = be16(icmp->seq);
	reply.dst_port = be16(icmp->id);
	reply.data = data + ICMP_BYTES;
	reply.bytes = bytes - ICMP_BYTES;
	net->echo_reply(net, net->echo_reply_context, &reply);
}

/* A header as it must be. */
static bool ip_is_sound(const struct ip *ip, uint32_t bytes)
{
	uint32_t header_bytes = (ip->version_words & 15) * 4u;

	return bytes >= IP_BYTES && ip->version_words >> 4 == 4 && header_bytes >= IP_BYTES &&
	       header_bytes <= be16(ip->len) && be16(ip->len) <= bytes &&
	       checksum_fold(checksum_add(0, ip, header_bytes)) == 0xffff;
}

/* Without an address, DHCP's answers come to one that is not ours yet. */
static bool ip_is_for_us(const struct net *net, const struct ip *ip)
{
	uint32_t dst = be32(ip->dst);

	return !net->addr || dst == net->addr || (dst | net->mask) == NET_BROADCAST;
}

void ip_input(struct net *net, const struct nic_frame *frame)
{
	const struct ip *ip = (const struct ip *)(frame->data + ETH_BYTES);
	uint32_t bytes = frame->bytes - ETH_BYTES, header_bytes;
	const uint8_t *data;

	if (!ip_is_sound(ip, bytes)) {
		net->bad++;
		return;
	}
	if (!ip_is_for_us(net, ip) || be16(ip->fragment) & IP_FRAGMENT_MASK)
		return;
	header_bytes = (ip->version_words & 15) * 4u;
	data = (const uint8_t *)ip + header_bytes;
	bytes = be16(ip->len) - header_bytes;
	if (ip->proto == IP_PROTO_ICMP)
		icmp_input(net, ip, data, bytes);
	else if (ip->proto == IP_PROTO_UDP)
		udp_input(net, ip, data, bytes, frame->checksum_good);
	else if (ip->proto == IP_PROTO_TCP)
		tcp_input(net, ip, data, bytes, frame->checksum_good);
}
