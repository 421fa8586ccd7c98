// SPDX-License-Identifier: MIT
// virtio-net: tell the network that the guest is here now.
//
// Theory of operation
//
// Switches learn from a frame's source where a station is, so any broadcast of
// the guest's does; RARP is one that needs no more than its MAC. Neighbours that
// resolved its address to the same MAC need nothing else, but where the other host
// answered for it, or a switch suppresses what it does not understand, gratuitous
// ARP and unsolicited neighbour advertisements help. The addresses for those are
// learned from the guest's own ARP and ND, which every station sends before it is
// reached; they move with it. All this is said several times, since frames are
// lost where bridges are just learning: at once, and 50, 150, 250 and 350 ms
// after the one before, as QEMU does it.
#include <arpa/inet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <string.h>

#include "util/clock.h"
#include "virtio/net_impl.h"

#define ROUNDS     5U
#define INITIAL_NS (50 * NSEC_PER_MSEC)
#define STEP_NS    (100 * NSEC_PER_MSEC)
#define MAX_NS     (550 * NSEC_PER_MSEC)

#define ND_HOP_LIMIT 255U /* RFC 4861, 7.1: or it is not believed */

struct arp_frame {
	struct ether_header eth;
	struct ether_arp arp;
	uint8_t padding[18]; /* to the 60 bytes that Ethernet wants */
} __attribute__((packed));

struct na_frame {
	struct ether_header eth;
	struct ip6_hdr ip;
	struct nd_neighbor_advert na;
	struct nd_opt_hdr opt;
	uint8_t mac[MAC_BYTES];
} __attribute__((packed));

_Static_assert(sizeof(struct arp_frame) == 60 && sizeof(struct na_frame) == 86, "as on the wire");

static const uint8_t broadcast[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t all_nodes_mac[MAC_BYTES] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };

/* --- learning ----------------------------------------------------------------------- */

/* Put @addr into the list, over the oldest if it is full. */
static void remember(uint8_t *list, uint32_t *nr, const uint8_t *addr, size_t bytes)
{
	for (uint32_t i = 0; i < *nr; i++) {
		if (memcmp(list + i * bytes, addr, bytes) == 0)
			return;
	}
	if (*nr == NET_ADDRS)
		memmove(list, list + bytes, (NET_ADDRS - 1) * bytes);
	else
		(*nr)++;
	memcpy(list + (*nr - 1) * bytes, addr, bytes);
}

/* Its own address, not one that it passes on for somebody else. */
static bool is_own(const struct net *net, const uint8_t *mac)
{
	return memcmp(mac, net->state.filter.mac, MAC_BYTES) == 0;
}

static bool all_zero(const uint8_t *p, size_t bytes)
{
	return p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0;
}

static void learn_arp_locked(struct net *net, const struct vq_chain *chain)
{
	struct arp_frame f = { 0 };

	(void)vq_read_out(chain, NETDEV_HDR_BYTES, &f, sizeof(f));
	if (f.arp.ea_hdr.ar_hrd == htons(ARPHRD_ETHER) &&
	    f.arp.ea_hdr.ar_pro == htons(ETHERTYPE_IP) && f.arp.ea_hdr.ar_hln == MAC_BYTES &&
	    f.arp.ea_hdr.ar_pln == 4 && is_own(net, f.arp.arp_sha) && !all_zero(f.arp.arp_spa, 4))
		remember(net->addrs.v4, &net->addrs.nr_v4, f.arp.arp_spa, 4);
}

static void learn_nd_locked(struct net *net, const struct vq_chain *chain)
{
	struct na_frame f = { 0 };
	const uint8_t *target = f.na.nd_na_target.s6_addr;

	(void)vq_read_out(chain, NETDEV_HDR_BYTES, &f, sizeof(f));
	if (f.ip.ip6_nxt == IPPROTO_ICMPV6 && f.ip.ip6_hlim == ND_HOP_LIMIT &&
	    f.na.nd_na_type == ND_NEIGHBOR_ADVERT && is_own(net, f.eth.ether_shost) &&
	    !all_zero(target, 16) && target[0] != 0xff)
		remember(net->addrs.v6, &net->addrs.nr_v6, target, 16);
}

void net_announce_learn(struct net *net, const struct vq_chain *chain)
{
	uint16_t type = 0;

	(void)vq_read_out(chain, NETDEV_HDR_BYTES + offsetof(struct ether_header, ether_type),
			  &type, sizeof(type));
	if (type != htons(ETHERTYPE_ARP) && type != htons(ETHERTYPE_IPV6))
		return;
	MUTEX_SCOPE(&net->lock);
	if (type == htons(ETHERTYPE_ARP))
		learn_arp_locked(net, chain);
	else
		learn_nd_locked(net, chain);
}

/* --- telling ------------------------------------------------------------------------ */

/* One that is lost is no harm: more follow. */
static void send_frame(struct net *net, void *frame, size_t bytes)
{
	uint8_t header[NETDEV_HDR_BYTES] = { 0 };
	const struct iovec iov[] = { { header, sizeof(header) }, { frame, bytes } };

	(void)net->backend->ops->send(net->backend, 0, iov, ARRAY_SIZE(iov));
}

static void send_arp(struct net *net, const uint8_t *mac, uint16_t ethertype, uint16_t op,
		     const uint8_t *ip)
{
	struct arp_frame f = {
		.eth.ether_type = htons(ethertype),
		.arp.ea_hdr = {
			.ar_hrd = htons(ARPHRD_ETHER),
			.ar_pro = htons(ETHERTYPE_IP),
			.ar_hln = MAC_BYTES,
			.ar_pln = 4,
			.ar_op = htons(op),
		},
	};

	memcpy(f.eth.ether_dhost, broadcast, MAC_BYTES);
	memcpy(f.eth.ether_shost, mac, MAC_BYTES);
	memcpy(f.arp.arp_sha, mac, MAC_BYTES);
	memcpy(f.arp.arp_spa, ip, 4);
	/* RARP asks for its own address by its MAC; a request for oneself has none. */
	if (op == ARPOP_RREQUEST)
		memcpy(f.arp.arp_tha, mac, MAC_BYTES);
	memcpy(f.arp.arp_tpa, ip, 4);
	send_frame(net, &f, sizeof(f));
}

static uint32_t add_words(uint32_t sum, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < bytes; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

/* RFC 4443, 2.3: over addresses, length, next header, and the message. */
static uint16_t icmp6_checksum(const struct na_frame *f)
{
	const size_t bytes = sizeof(*f) - offsetof(struct na_frame, na);
	uint32_t sum = (uint32_t)bytes + IPPROTO_ICMPV6;

	sum = add_words(sum, &f->ip.ip6_src, 32);
	sum = add_words(sum, &f->na, bytes);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* RFC 4861, 7.2.6. */
static void send_na(struct net *net, const uint8_t *mac, const uint8_t *ip)
{
	struct na_frame f = {
		.eth.ether_type = htons(ETHERTYPE_IPV6),
		.ip.ip6_flow = htonl(6U << 28),
		.ip.ip6_plen = htons(sizeof(f) - offsetof(struct na_frame, na)),
		.ip.ip6_nxt = IPPROTO_ICMPV6,
		.ip.ip6_hlim = ND_HOP_LIMIT,
		.na.nd_na_type = ND_NEIGHBOR_ADVERT,
		.na.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE,
		.opt = { .nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1 },
	};

	memcpy(f.eth.ether_dhost, all_nodes_mac, MAC_BYTES);
	memcpy(f.eth.ether_shost, mac, MAC_BYTES);
	memcpy(&f.ip.ip6_src, ip, 16);
	memcpy(&f.ip.ip6_dst, all_nodes, 16);
	memcpy(&f.na.nd_na_target, ip, 16);
	memcpy(f.mac, mac, MAC_BYTES);
	f.na.nd_na_cksum = icmp6_checksum(&f);
	send_frame(net, &f, sizeof(f));
}

static void send_round(struct net *net)
{
	static const uint8_t no_ip[4];
	uint8_t mac[MAC_BYTES];
	struct net_addrs addrs;

	mutex_lock(&net->lock);
	memcpy(mac, net->state.filter.mac, MAC_BYTES);
	addrs = net->addrs;
	mutex_unlock(&net->lock);
	send_arp(net, mac, ETHERTYPE_REVARP, ARPOP_RREQUEST, no_ip);
	for (uint32_t i = 0; i < addrs.nr_v4; i++)
		send_arp(net, mac, ETHERTYPE_ARP, ARPOP_REQUEST, addrs.v4 + 4UL * i);
	for (uint32_t i = 0; i < addrs.nr_v6; i++)
		send_na(net, mac, addrs.v6 + 16UL * i);
}

static void next_round(void *opaque)
{
	struct net *net = opaque;
	struct net_announcer *a = &net->announcer;
	unsigned done;

	if (!net_is_unplugged(net))
		send_round(net);
	/* One that has answered is asked again: what it sent may have been lost, too. */
	if (!net_announce(&net->dev) && a->rounds_left == ROUNDS)
		virtio_config_changed(&net->dev);
	done = ROUNDS - a->rounds_left--;
	if (a->rounds_left > 0)
		loop_arm(net->pairs[0].loop, &a->timer,
			 clock_now_ns() + MIN(INITIAL_NS + done * STEP_NS, MAX_NS));
}

static void start(void *opaque)
{
	struct net *net = opaque;

	net->announcer.rounds_left = ROUNDS;
	next_round(net);
}

void net_announcer_init(struct net *net)
{
	net->announcer = (struct net_announcer){
		.start = { .fn = start, .opaque = net },
		.timer = { .fn = next_round, .opaque = net },
	};
}

void net_announcer_stop(struct net *net)
{
	loop_unpost(net->pairs[0].loop, &net->announcer.start);
	loop_disarm(net->pairs[0].loop, &net->announcer.timer);
}

void net_send_announce(struct virtio_dev *dev)
{
	struct net *net = to_net(dev);

	/* A network inside this process has nobody who could look elsewhere. */
	if (!net->backend->host_if[0])
		return;
	loop_post(net->pairs[0].loop, &net->announcer.start);
}
