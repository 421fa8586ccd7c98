// SPDX-License-Identifier: MIT
// virtio-net: the network device (VIRTIO 1.2, 5.1).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/net_impl.h"

/* Table 5.1.2: receive, transmit, receive, ..., and control behind the last pair. */
static unsigned ctrl_index(const struct net *net)
{
	return virtio_has(&net->dev, VIRTIO_NET_F_MQ) ? 2 * net->nr_pairs : 2;
}

bool net_pair_active(const struct net *net, unsigned pair)
{
	return pair < atomic_load_explicit(&net->nr_active, memory_order_acquire);
}

void net_pair_watch(struct net_pair *pair)
{
	bool wanted = pair->forward || net_rx_wants_frames(&pair->rx);
	unsigned events =
		(wanted ? NETDEV_READABLE : 0U) | (pair->tx.blocked ? NETDEV_WRITABLE : 0U);
	struct netdev *nd = pair->net->backend;

	if (events == pair->events)
		return;
	pair->events = events;
	nd->ops->watch(nd, pair->rx.pair, events);
}

static void pair_readable(void *opaque)
{
	struct net_pair *pair = opaque;

	if (pair->forward)
		net_forward_readable(pair);
	else
		net_rx_readable(&pair->rx);
}

static void pair_writable(void *opaque)
{
	struct net_pair *pair = opaque;

	if (pair->tx.blocked)
		net_tx_run(&pair->tx);
}

/* The number of pairs in use has changed, or a limit, or the cable is in or out. */
static void pair_refresh(void *opaque)
{
	struct net_pair *pair = opaque;

	if (pair->rx.q->running && net_pair_active(pair->net, pair->rx.pair))
		net_rx_refresh(&pair->rx);
	if (pair->tx.go_on.armed || pair->tx.blocked)
		net_tx_run(&pair->tx);
	net_pair_watch(pair);
}

/* --- the class ------------------------------------------------------------------ */

static void net_config_read(struct virtio_dev *dev, unsigned offset, void *data, unsigned len)
{
	struct net *net = to_net(dev);
	struct virtio_net_config config = {
		.max_virtqueue_pairs = (uint16_t)net->nr_pairs,
		.mtu = (uint16_t)net->mtu,
	};

	mutex_lock(&net->lock);
	memcpy(config.mac, net->state.filter.mac, MAC_BYTES);
	config.status = net->state.status;
	mutex_unlock(&net->lock);
	memcpy(data, (uint8_t *)&config + offset, len);
}

/* Power-on state but for the link, which is the host's; @features are the driver's. */
static void reset_state(struct net *net, uint64_t features)
{
	struct net_state *s = &net->state;

	mutex_lock(&net->lock);
	net_filter_reset(&s->filter, net->mac, features >> VIRTIO_NET_F_CTRL_VLAN & 1);
	s->guest_offloads = features & net_offload_guest_mask();
	s->nr_pairs = 1;
	s->status &= VIRTIO_NET_S_LINK_UP;
	mutex_unlock(&net->lock);
	atomic_fetch_add_explicit(&net->filter_gen, 1, memory_order_release);
	atomic_store_explicit(&net->nr_active, 1, memory_order_release);
}

/* The back end was asked for these features before they were offered. */
static void apply_to_backend(struct net *net, unsigned offloads)
{
	struct netdev *nd = net->backend;
	int rc = nd->ops->set_offloads(nd, offloads);

	if (rc == 0 && nd->ops->set_pairs)
		rc = nd->ops->set_pairs(nd, 1);
	if (rc < 0)
		virtio_broken(&net->dev, "%s: cannot set it up: %s", nd->host_if, strerror(-rc));
}

static void net_start(struct virtio_dev *dev)
{
	struct net *net = to_net(dev);

	reset_state(net, dev->features);
	apply_to_backend(net, net_offload_to_guest(dev->features));
}

static void net_reset(struct virtio_dev *dev)
{
	reset_state(to_net(dev), 0);
}

static struct net_pair *pair_of(struct net *net, const struct virtio_queue *q)
{
	return &net->pairs[q->index / 2];
}

static bool is_ctrl(const struct net *net, const struct virtio_queue *q)
{
	return virtio_has(&net->dev, VIRTIO_NET_F_CTRL_VQ) && q->index == ctrl_index(net);
}

static void net_run(struct virtio_queue *q)
{
	struct net *net = to_net(q->dev);

	if (is_ctrl(net, q))
		net_ctrl_run(net, q);
	else if (q->index >= ctrl_index(net))
		return; /* a queue that the driver has not negotiated */
	else if (q->index % 2 == 0)
		net_rx_kick(&pair_of(net, q)->rx);
	else
		net_tx_run(&pair_of(net, q)->tx);
}

static void net_quiesce(struct virtio_queue *q, bool cancel)
{
	struct net *net = to_net(q->dev);

	/* What is to finish and what to drop is the same: nothing outlives ->run. */
	(void)cancel;
	if (q->index >= 2 * net->nr_pairs)
		return;
	if (q->index < 2)
		net_announcer_stop(net);
	if (q->index % 2 == 0)
		net_rx_quiesce(&pair_of(net, q)->rx);
	else
		net_tx_quiesce(&pair_of(net, q)->tx);
}

static void end_captures(void *opaque)
{
	net_captures_end(opaque);
}

static void detach_pair(void *opaque)
{
	struct net_pair *pair = opaque;

	pair->net->backend->ops->detach(pair->net->backend, pair->rx.pair);
}

/* Works on whatever net_new() has got done; the queues are quiet. */
static void net_free(struct virtio_dev *dev)
{
	struct net *net = to_net(dev);

	if (net->captures.loop)
		loop_call_sync(net->captures.loop, end_captures, &net->captures);
	for (unsigned i = 0; i < net->nr_pairs; i++) {
		struct net_pair *pair = &net->pairs[i];

		if (pair->loop)
			loop_call_sync(pair->loop, detach_pair, pair);
		loop_free(pair->loop);
		net_rx_fini(&pair->rx);
	}
	netdev_close(net->backend);
	virtio_dev_fini(dev);
	mutex_fini(&net->lock);
	free(net);
}

static const struct virtio_class net_class = {
	.type = "virtio-net",
	.device_id = 1,
	.pci_class = 0x02, /* network controller, Ethernet */
	.pci_subclass = 0x00,
	.config_bytes = offsetof(struct virtio_net_config, speed),
	.config_read = net_config_read,
	.start = net_start,
	.reset = net_reset,
	.run = net_run,
	.quiesce = net_quiesce,
	.save = net_save,
	.load = net_load,
	.free = net_free,
};

/* --- set-up --------------------------------------------------------------------- */

static uint64_t features_of(const struct net *net, const struct net_config *cfg)
{
	uint64_t features = 1ULL << VIRTIO_NET_F_MAC | 1ULL << VIRTIO_NET_F_STATUS |
			    1ULL << VIRTIO_NET_F_MRG_RXBUF | 1ULL << VIRTIO_NET_F_CTRL_VQ |
			    1ULL << VIRTIO_NET_F_CTRL_RX | 1ULL << VIRTIO_NET_F_CTRL_RX_EXTRA |
			    1ULL << VIRTIO_NET_F_CTRL_VLAN | 1ULL << VIRTIO_NET_F_CTRL_MAC_ADDR |
			    1ULL << VIRTIO_NET_F_GUEST_ANNOUNCE;

	if (!cfg->no_offloads)
		features |= net_offload_features(net->backend->offloads);
	if (net->mtu)
		features |= 1ULL << VIRTIO_NET_F_MTU;
	if (net->nr_pairs > 1)
		features |= 1ULL << VIRTIO_NET_F_MQ;
	return features;
}

static int start_loop(struct net *net, unsigned i, struct loop **ret)
{
	char name[48];
	int rc = loop_new(ret, 0);

	if (rc < 0)
		return rc;
	(void)snprintf(name, sizeof(name), "%s/%u", net->dev.device.id, i);
	return loop_start(*ret, net->backend->ops->thread_class, name);
}

struct attach {
	struct net_pair *pair;
	int rc;
};

static void attach_pair(void *opaque)
{
	struct attach *a = opaque;
	struct net_pair *pair = a->pair;
	struct netdev *nd = pair->net->backend;
	const struct netdev_client client = {
		.readable = pair_readable,
		.writable = pair_writable,
		.opaque = pair,
	};

	a->rc = nd->ops->attach(nd, pair->rx.pair, pair->loop, &client);
}

static int init_pair(struct net *net, unsigned i)
{
	struct net_pair *pair = &net->pairs[i];
	struct attach attach = { .pair = pair };
	int rc;

	pair->net = net;
	pair->refresh = (struct loop_work){ .fn = pair_refresh, .opaque = pair };
	net_tx_init(&pair->tx, net, i);
	rc = net_rx_init(&pair->rx, net, i);
	if (rc == 0)
		rc = start_loop(net, i, &pair->loop);
	if (rc < 0)
		return rc;
	net->dev.queues[2 * i].loop = net->dev.queues[2 * i + 1].loop = pair->loop;
	loop_call_sync(pair->loop, attach_pair, &attach);
	return attach.rc;
}

static int init_pairs(struct net *net)
{
	int rc = 0;

	for (unsigned i = 0; i < net->nr_pairs && rc == 0; i++)
		rc = init_pair(net, i);
	if (rc == 0) {
		net->dev.queues[2 * net->nr_pairs].loop = net->pairs[0].loop;
		net_captures_init(&net->captures, net->pairs[0].loop);
	}
	return rc;
}

/* Takes @nd over in any case. */
static int alloc_net(struct net **ret, struct vm *vm, const struct net_config *cfg,
		     struct netdev *nd)
{
	unsigned size = cfg->queue_size ? cfg->queue_size : NET_DEFAULT_QUEUE_SIZE;
	struct net *net = calloc(1, sizeof(*net) + nd->nr_pairs * sizeof(net->pairs[0]));
	int rc = -ENOMEM;

	if (net)
		rc = virtio_dev_init(&net->dev, vm, &net_class, cfg->id,
				     &(struct virtio_layout){ .nr_queues = 2 * nd->nr_pairs + 1,
							      .queue_size = (uint16_t)size });
	if (rc < 0) {
		netdev_close(nd);
		free(net);
		return rc;
	}
	mutex_init(&net->lock);
	net->backend = nd;
	net->nr_pairs = nd->nr_pairs;
	memcpy(net->mac, cfg->mac, MAC_BYTES);
	net->state.status = VIRTIO_NET_S_LINK_UP;
	*ret = net;
	return 0;
}

int net_create(struct net **ret, struct vm *vm, const struct net_config *cfg, struct netdev *nd)
{
	struct net *net;
	int rc = alloc_net(&net, vm, cfg, nd);

	if (rc < 0)
		return rc;
	/* Worth telling when it is not what every driver assumes. */
	if (cfg->backend.mtu || nd->mtu != NETDEV_DEFAULT_MTU)
		net->mtu = nd->mtu;
	net->own_only = cfg->own_only;
	net->dev.offered = features_of(net, cfg);
	net_limit_init(&net->rx_limit, cfg->rx_rate.bps, cfg->rx_rate.pps);
	net_limit_init(&net->tx_limit, cfg->tx_rate.bps, cfg->tx_rate.pps);
	reset_state(net, 0);
	net_announcer_init(net);
	rc = init_pairs(net);
	if (rc < 0) {
		net_free(&net->dev);
		return rc;
	}
	*ret = net;
	return 0;
}

int net_new(struct vm *vm, struct pci_host *pci, const struct net_config *cfg,
	    struct virtio_dev **ret, struct err *e)
{
	struct netdev *nd;
	struct net *net;
	int rc;

	if (cfg->queue_size & (cfg->queue_size - 1) || cfg->queue_size > VQ_MAX_SIZE)
		return err_set(e, -EINVAL, "queue size %u: must be a power of two up to %u",
			       cfg->queue_size, VQ_MAX_SIZE);
	rc = netdev_open(&nd, &cfg->backend, e);
	if (rc < 0)
		return rc;
	rc = net_create(&net, vm, cfg, nd);
	if (rc < 0)
		return err_set(e, rc, "%s", strerror(-rc));
	rc = virtio_pci_attach(&net->dev, pci, 0);
	if (rc < 0) {
		net_free(&net->dev);
		return err_set(e, rc, "%s", rc == -ENOSPC ? "no PCI slot is free" : strerror(-rc));
	}
	*ret = &net->dev;
	return 0;
}

/* --- for the rest of ferry --------------------------------------------------------- */

bool net_announce(struct virtio_dev *dev)
{
	struct net *net = to_net(dev);

	if (!virtio_has(dev, VIRTIO_NET_F_GUEST_ANNOUNCE) || !virtio_has(dev, VIRTIO_NET_F_STATUS))
		return false;
	mutex_lock(&net->lock);
	net->state.status |= VIRTIO_NET_S_ANNOUNCE;
	mutex_unlock(&net->lock);
	virtio_config_changed(dev);
	return true;
}

struct capture_call {
	struct net *net;
	int fd;
	unsigned snaplen;
	int rc;
};

static void add_capture(void *opaque)
{
	struct capture_call *call = opaque;

	call->rc = net_captures_add(&call->net->captures, call->fd, call->snaplen);
}

int net_capture(struct virtio_dev *dev, int fd, unsigned snaplen)
{
	struct net *net = to_net(dev);
	struct capture_call call = { .net = net, .fd = fd, .snaplen = snaplen };

	loop_call_sync(net->captures.loop, add_capture, &call);
	return call.rc;
}

static void add_counters(struct net_counters *sum, const struct net_count *c)
{
	sum->packets += counter_get(&c->packets);
	sum->bytes += counter_get(&c->bytes);
	sum->dropped += counter_get(&c->dropped);
	sum->errors += counter_get(&c->errors);
}

static void add_pair(struct net_stats *sum, const struct net_pair *pair)
{
	add_counters(&sum->rx, &pair->rx.count);
	add_counters(&sum->tx, &pair->tx.count);
}

void net_get_stats(struct virtio_dev *dev, struct net_stats *ret)
{
	const struct net *net = to_net(dev);

	*ret = (struct net_stats){ 0 };
	for (unsigned i = 0; i < net->nr_pairs; i++)
		add_pair(ret, &net->pairs[i]);
}

void net_get_pair_stats(struct virtio_dev *dev, unsigned pair, struct net_stats *ret)
{
	*ret = (struct net_stats){ 0 };
	add_pair(ret, &to_net(dev)->pairs[pair]);
}

unsigned net_nr_pairs(struct virtio_dev *dev)
{
	return to_net(dev)->nr_pairs;
}

const struct netdev *net_backend(struct virtio_dev *dev)
{
	return to_net(dev)->backend;
}
