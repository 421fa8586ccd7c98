// SPDX-License-Identifier: MIT
/* ARP (RFC 826). */
#include "net.h"

#define ARP_RETRY_NS (200 * NS_PER_MS)

static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static struct net_arp_entry *arp_find(struct net *net, uint32_t addr)
{
	for (unsigned int i = 0; i < NET_ARP_ENTRIES; i++) {
		if (net->arp[i].addr == addr)
			return &net->arp[i];
	}
	return NULL;
}

/* A free entry, or the one that was asked for the longest time ago. */
static struct net_arp_entry *arp_new(struct net *net, uint32_t addr)
{
	struct net_arp_entry *entry = &net->arp[0];

	for (unsigned int i = 0; i < NET_ARP_ENTRIES && entry->addr; i++) {
		if (!net->arp[i].addr || net->arp[i].asked_ns < entry->asked_ns)
			entry = &net->arp[i];
	}
	*entry = (struct net_arp_entry){ .addr = addr };
	return entry;
}

static void arp_send(struct net *net, uint16_t op, const uint8_t dst[6], const uint8_t target[6],
		     uint32_t target_ip)
{
	struct nic_buf *buf = nic_alloc(&net->nic, 0);
	struct arp arp = {
		.hardware = be16(1),
		.protocol = be16(ETH_TYPE_IP),
		.hardware_len = 6,
		.protocol_len = 4,
		.op = be16(op),
		.sender_ip = be32(net->addr),
		.target_ip = be32(target_ip),
	};
	struct eth *eth;

	if (!buf)
		return;
	eth = (struct eth *)buf->frame;
	memcpy(eth->dst, dst, 6);
	memcpy(eth->src, net->nic.mac, 6);
	eth->type = be16(ETH_TYPE_ARP);
	memcpy(arp.sender_mac, net->nic.mac, 6);
	memcpy(arp.target_mac, target, 6);
	memcpy(buf->frame + ETH_BYTES, &arp, sizeof(arp));
	buf->bytes = ETH_BYTES + sizeof(arp);
	nic_send(&net->nic, buf);
}

bool arp_resolve(struct net *net, uint32_t addr, uint8_t mac[6])
{
	static const uint8_t nobody[6];
	struct net_arp_entry *entry;

	if (addr == NET_BROADCAST || (net->mask && (addr | net->mask) == NET_BROADCAST)) {
		memcpy(mac, everybody, 6);
		return true;
	}
	if ((addr ^ net->addr) & net->mask)
		addr = net->gateway;
	entry = arp_find(net, addr);
	if (!entry)
		entry = arp_new(net, addr);
	memcpy(mac, entry->mac, 6);
	if (!entry->known && net->now_ns - entry->asked_ns > ARP_RETRY_NS) {
		entry->asked_ns = net->now_ns;
		arp_send(net, ARP_REQUEST, everybody, nobody, addr);
	}
	return entry->known;
}

void arp_announce(struct net *net)
{
	arp_send(net, ARP_REQUEST, everybody, net->nic.mac, net->addr);
}

void arp_input(struct net *net, const struct nic_frame *frame)
{
	struct net_arp_entry *entry;
	uint32_t sender;
	struct arp arp;

	if (frame->bytes < ETH_BYTES + sizeof(arp)) {
		net->bad++;
		return;
	}
	memcpy(&arp, frame->data + ETH_BYTES, sizeof(arp));
	sender = be32(arp.sender_ip);
	if (be16(arp.protocol) != ETH_TYPE_IP || !sender || sender == net->addr)
		return;
	/* Whoever we know may have moved; who asks for us will be talked to soon. */
	entry = arp_find(net, sender);
	if (!entry && be32(arp.target_ip) == net->addr)
		entry = arp_new(net, sender);
	if (entry) {
		memcpy(entry->mac, arp.sender_mac, 6);
		entry->known = true;
		entry->asked_ns = net->now_ns;
	}
	if (be16(arp.op) == ARP_REQUEST && net->addr && be32(arp.target_ip) == net->addr)
		arp_send(net, ARP_REPLY, arp.sender_mac, arp.sender_mac, sender);
}
