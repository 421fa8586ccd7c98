// SPDX-License-Identifier: MIT
// virtio-net: what still comes for a guest that has left.
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <string.h>

#include "virtio/net_impl.h"

/*
 * Theory of operation
 *
 * From its pause on nothing was read from the back end, so all that the network brought is
 * in the kernel's queue. Now it is read into the spill buffer, which the queue, being
 * stopped, does not use. Once the network has seen the guest elsewhere it brings no more:
 * the announcement that tells it is a broadcast, and comes here, too.
 */
#define TURN      128U
#define LAST_TURN 1024U /* what a tap keeps: another queue may have brought the announcement */

/* The guest may have given itself another address than we have. */
static bool is_announcement(const struct net_rx *rx, const struct ether_header *eth)
{
	return eth->ether_type == htons(ETHERTYPE_REVARP) &&
	       memcmp(eth->ether_shost, rx->filter.mac, MAC_BYTES) == 0;
}

static void look_at(struct net_pair *pair, const uint8_t *frame, size_t bytes)
{
	const struct net_forward_client *f = pair->forward;
	uint8_t start[NET_FILTER_BYTES] = { 0 };

	if (bytes < NETDEV_HDR_BYTES + NET_FRAME_MIN || bytes > NETDEV_HDR_BYTES + NETDEV_FRAME_MAX)
		return;
	memcpy(start, frame + NETDEV_HDR_BYTES, MIN(bytes - NETDEV_HDR_BYTES, sizeof(start)));
	if (!net_rx_accepts(&pair->rx, start))
		return;
	if (is_announcement(&pair->rx, (const struct ether_header *)start))
		f->announced(f->opaque);
	else if (!mac_is_multicast(start))
		f->frame(f->opaque, frame, bytes);
}

/* 1; -EAGAIN: that was all; another -errno: the back end is gone. */
static int forward_next(struct net_pair *pair)
{
	struct netdev *nd = pair->net->backend;
	const struct iovec iov = { pair->rx.spill, NETDEV_FRAME_MAX + NETDEV_HDR_BYTES };
	ssize_t n = nd->ops->receive(nd, pair->rx.pair, &iov, 1);

	if (n < 0)
		return (int)n;
	look_at(pair, pair->rx.spill, (size_t)n);
	return 1;
}

static void forward_some(struct net_pair *pair, unsigned most)
{
	int rc = 1;

	for (unsigned n = 0; n < most && rc == 1; n++)
		rc = forward_next(pair);
	if (rc == 1 || rc == -EAGAIN)
		return;
	pair->forward = NULL;
	net_pair_watch(pair);
}

void net_forward_readable(struct net_pair *pair)
{
	forward_some(pair, TURN);
}

struct change {
	struct net_pair *pair;
	const struct net_forward_client *client;
};

static void change_pair(void *opaque)
{
	const struct change *c = opaque;

	if (c->pair->forward)
		forward_some(c->pair, LAST_TURN);
	c->pair->forward = c->client;
	net_pair_watch(c->pair);
}

static void change(struct net *net, unsigned nr_pairs, const struct net_forward_client *client)
{
	for (unsigned i = 0; i < nr_pairs; i++) {
		struct change c = { .pair = &net->pairs[i], .client = client };

		loop_call_sync(net->pairs[i].loop, change_pair, &c);
	}
}

bool net_forward_start(struct virtio_dev *dev, const struct net_forward_client *client)
{
	struct net *net = to_net(dev);

	if (!net->backend->host_if[0] || net_is_unplugged(net))
		return false;
	/* Pairs that the driver did not use get no frames. */
	change(net, atomic_load_explicit(&net->nr_active, memory_order_acquire), client);
	return true;
}

void net_forward_stop(struct virtio_dev *dev)
{
	struct net *net = to_net(dev);

	change(net, net->nr_pairs, NULL);
}
