// SPDX-License-Identifier: MIT
// virtio-net: what the host changes while the guest runs: its cable, and how fast it may be.
#include "virtio/net_impl.h"

/* What the guest is told of its link follows from the reasons for it to be down. */
static void settle_status_locked(struct net *net)
{
	if (net->failed || net_is_unplugged(net))
		net->state.status &= (uint16_t)~VIRTIO_NET_S_LINK_UP;
	else
		net->state.status |= VIRTIO_NET_S_LINK_UP;
}

static void refresh_pairs(struct net *net)
{
	for (unsigned i = 0; i < net->nr_pairs; i++)
		loop_post(net->pairs[i].loop, &net->pairs[i].refresh);
}

void net_set_link(struct virtio_dev *dev, bool up)
{
	struct net *net = to_net(dev);
	uint16_t before;
	bool changed;

	mutex_lock(&net->lock);
	before = net->state.status;
	atomic_store_explicit(&net->unplugged, !up, memory_order_relaxed);
	settle_status_locked(net);
	changed = net->state.status != before;
	mutex_unlock(&net->lock);
	if (changed)
		virtio_config_changed(dev);
	/* A frame that waits for room in the back end is lost, too. */
	refresh_pairs(net);
}

void net_fail_link(struct net *net)
{
	mutex_lock(&net->lock);
	net->failed = true;
	settle_status_locked(net);
	mutex_unlock(&net->lock);
	virtio_config_changed(&net->dev);
}

enum net_link net_get_link(struct virtio_dev *dev)
{
	struct net *net = to_net(dev);

	MUTEX_SCOPE(&net->lock);
	if (net->failed)
		return NET_LINK_FAILED;
	return net_is_unplugged(net) ? NET_LINK_DOWN : NET_LINK_UP;
}

void net_set_rates(struct virtio_dev *dev, const struct net_rate *rx, const struct net_rate *tx)
{
	struct net *net = to_net(dev);

	net_limit_set(&net->rx_limit, rx->bps, rx->pps);
	net_limit_set(&net->tx_limit, tx->bps, tx->pps);
	refresh_pairs(net);
}
