// SPDX-License-Identifier: MIT
// virtio-net: the control queue (VIRTIO 1.2, 5.1.6.5).
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "virtio/net_impl.h"

/*
 * A command is one chain: class and command, its data, and one byte for the
 * answer. Commands are rare, so each takes net->lock for as long as it lasts.
 */
struct command {
	const struct vq_chain *chain;
	size_t bytes; /* of data */
};

/* Data from @offset on; false if there is not so much. */
static bool get_data(const struct command *c, size_t offset, void *ret, size_t bytes)
{
	return vq_read_out(c->chain, sizeof(struct virtio_net_ctrl_hdr) + offset, ret, bytes) ==
	       bytes;
}

static void filter_changed(struct net *net)
{
	/* Release: a pair that sees it locks and copies. */
	atomic_fetch_add_explicit(&net->filter_gen, 1, memory_order_release);
}

/* VIRTIO_NET_CTRL_RX: each command switches the mode bit of its number. */
static bool set_rx_mode(struct net *net, uint8_t cmd, const struct command *c)
{
	uint8_t on, bit = (uint8_t)(1U << cmd);

	if (!get_data(c, 0, &on, sizeof(on)) || on > 1)
		return false;
	if (on)
		net->state.filter.mode |= bit;
	else
		net->state.filter.mode &= (uint8_t)~bit;
	filter_changed(net);
	return true;
}

/* One of the two tables at @offset; returns the offset behind it, or 0. */
static size_t get_table(const struct command *c, size_t offset, struct net_filter_table *ret)
{
	uint32_t nr;
	size_t kept;

	if (!get_data(c, offset, &nr, sizeof(nr)))
		return 0;
	ret->nr = le32toh(nr);
	offset += sizeof(nr);
	kept = MIN(ret->nr, NET_FILTER_MACS);
	if (ret->nr > (c->bytes - offset) / MAC_BYTES ||
	    !get_data(c, offset, ret->macs, kept * MAC_BYTES))
		return 0;
	return offset + (size_t)ret->nr * MAC_BYTES;
}

static bool set_mac_table(struct net *net, uint8_t cmd, const struct command *c)
{
	struct net_filter_table unicast = { 0 }, multicast = { 0 };
	size_t end = get_table(c, 0, &unicast);

	(void)cmd;
	if (end)
		end = get_table(c, end, &multicast);
	if (end != c->bytes)
		return false;
	net->state.filter.unicast = unicast;
	net->state.filter.multicast = multicast;
	filter_changed(net);
	return true;
}

static bool set_mac(struct net *net, uint8_t cmd, const struct command *c)
{
	uint8_t mac[MAC_BYTES];

	(void)cmd;
	if (!get_data(c, 0, mac, sizeof(mac)) || mac_is_multicast(mac))
		return false;
	memcpy(net->state.filter.mac, mac, MAC_BYTES);
	filter_changed(net);
	return true;
}

static bool set_vlan(struct net *net, uint8_t cmd, const struct command *c)
{
	uint16_t vid;

	if (!get_data(c, 0, &vid, sizeof(vid)) || le16toh(vid) >= NET_FILTER_VLANS)
		return false;
	net_filter_set_vlan(&net->state.filter, le16toh(vid), cmd == VIRTIO_NET_CTRL_VLAN_ADD);
	filter_changed(net);
	return true;
}

static bool ack_announce(struct net *net, uint8_t cmd, const struct command *c)
{
	bool asked = net->state.status & VIRTIO_NET_S_ANNOUNCE;

	(void)cmd;
	(void)c;
	net->state.status &= (uint16_t)~VIRTIO_NET_S_ANNOUNCE;
	return asked;
}

/* A pair must have left the driver's use before the back end drops it, and back. */
static bool set_pairs(struct net *net, uint8_t cmd, const struct command *c)
{
	unsigned old = atomic_load(&net->nr_active), new;
	uint16_t wanted;

	(void)cmd;
	if (!get_data(c, 0, &wanted, sizeof(wanted)))
		return false;
	new = le16toh(wanted);
	if (new < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || new > net->nr_pairs)
		return false;
	atomic_store_explicit(&net->nr_active, MIN(old, new), memory_order_release);
	if (net->backend->ops->set_pairs && net->backend->ops->set_pairs(net->backend, new) < 0)
		return false;
	atomic_store_explicit(&net->nr_active, new, memory_order_release);
	net->state.nr_pairs = (uint16_t) new;
	for (unsigned i = 0; i < net->nr_pairs; i++)
		loop_post(net->pairs[i].loop, &net->pairs[i].refresh);
	return true;
}

static bool set_offloads(struct net *net, uint8_t cmd, const struct command *c)
{
	uint64_t wanted;

	(void)cmd;
	if (!get_data(c, 0, &wanted, sizeof(wanted)))
		return false;
	wanted = le64toh(wanted);
	if (wanted & ~(net->dev.features & net_offload_guest_mask()))
		return false;
	if (net->backend->ops->set_offloads(net->backend, net_offload_to_guest(wanted)) < 0)
		return false;
	net->state.guest_offloads = wanted;
	return true;
}

#define ANY_SIZE SIZE_MAX

static const struct {
	uint8_t class, cmd;
	uint8_t feature; /* that must have been negotiated */
	size_t bytes;    /* of data */
	bool (*run)(struct net *net, uint8_t cmd, const struct command *c);
} command_table[] = {
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX, 1, set_rx_mode },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_F_CTRL_RX, 1, set_rx_mode },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, VIRTIO_NET_F_CTRL_RX_EXTRA, 1,
	  set_rx_mode },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOMULTI, VIRTIO_NET_F_CTRL_RX_EXTRA, 1,
	  set_rx_mode },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOUNI, VIRTIO_NET_F_CTRL_RX_EXTRA, 1,
	  set_rx_mode },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, VIRTIO_NET_F_CTRL_RX_EXTRA, 1,
	  set_rx_mode },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_F_CTRL_RX, ANY_SIZE,
	  set_mac_table },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_F_CTRL_MAC_ADDR, MAC_BYTES,
	  set_mac },
	{ VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, VIRTIO_NET_F_CTRL_VLAN, 2, set_vlan },
	{ VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, VIRTIO_NET_F_CTRL_VLAN, 2, set_vlan },
	{ VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, VIRTIO_NET_F_GUEST_ANNOUNCE, 0,
	  ack_announce },
	{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_F_MQ, 2, set_pairs },
	{ VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
	  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, 8, set_offloads },
};

static bool run_command(struct net *net, const struct virtio_net_ctrl_hdr *hdr,
			const struct command *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(command_table); i++) {
		if (hdr->class != command_table[i].class || hdr->cmd != command_table[i].cmd)
			continue;
		if (!virtio_has(&net->dev, command_table[i].feature))
			return false;
		if (command_table[i].bytes != ANY_SIZE && command_table[i].bytes != c->bytes)
			return false;
		return command_table[i].run(net, hdr->cmd, c);
	}
	return false;
}

/* 1: one command done; 0: none there; -EPROTO. */
static int run_next(struct net *net, struct virtio_queue *q)
{
	struct iovec iov[NET_CHAIN_MAX];
	struct vq_chain chain = { .iov = iov, .max_iov = ARRAY_SIZE(iov) };
	struct command c = { .chain = &chain };
	struct virtio_net_ctrl_hdr hdr;
	virtio_net_ctrl_ack ack = VIRTIO_NET_ERR;
	int rc = vq_pop(&q->ring, &chain);

	if (rc <= 0)
		return rc;
	if (chain.in_bytes < sizeof(ack) ||
	    vq_read_out(&chain, 0, &hdr, sizeof(hdr)) != sizeof(hdr))
		return -EPROTO;
	c.bytes = chain.out_bytes - sizeof(hdr);
	mutex_lock(&net->lock);
	if (run_command(net, &hdr, &c))
		ack = VIRTIO_NET_OK;
	mutex_unlock(&net->lock);
	(void)vq_write_in(&chain, 0, &ack, sizeof(ack));
	vq_push(&q->ring, &chain, sizeof(ack));
	return 1;
}

void net_ctrl_run(struct net *net, struct virtio_queue *q)
{
	/* A ringful at a time: a driver that never stops must not keep the loop. */
	unsigned budget = q->ring.state.size;
	int rc = 1;

	vq_disable_kicks(&q->ring);
	while (rc == 1 && budget-- > 0)
		rc = run_next(net, q);
	virtio_notify(q);
	if (rc < 0)
		virtio_broken(&net->dev, "malformed buffer in control queue");
	else if (rc == 1 || vq_enable_kicks(&q->ring))
		virtio_run_again(q);
}
