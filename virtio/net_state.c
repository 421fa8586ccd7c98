// SPDX-License-Identifier: MIT
// virtio-net: saved state.
#include <errno.h>
#include <string.h>

#include "util/clock.h"
#include "virtio/net_impl.h"
#include "virtio/vstate.h"

#define MODE_MAX   0x7fU /* all of enum net_filter_mode */
#define STATUS_MAX (VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE)

static const struct vstate_field table_fields[] = {
	VS_U32(1, struct net_filter_table, nr),
	VS_BYTES(2, struct net_filter_table, macs),
};

static const struct vstate_table table_vstate = {
	VSTATE_TABLE("net-mac-table", struct net_filter_table, table_fields),
};

static const struct vstate_field filter_fields[] = {
	VS_U8_MAX(1, struct net_filter, mode, MODE_MAX),
	VS_BYTES(2, struct net_filter, mac),
	VS_STRUCT(3, struct net_filter, unicast, &table_vstate),
	VS_STRUCT(4, struct net_filter, multicast, &table_vstate),
	VS_U32_ARRAY(5, struct net_filter, vlans),
};

static const struct vstate_table filter_vstate = {
	VSTATE_TABLE("net-filter", struct net_filter, filter_fields),
};

static const struct vstate_field state_fields[] = {
	VS_STRUCT(1, struct net_state, filter, &filter_vstate),
	VS_U64(2, struct net_state, guest_offloads),
	VS_U16_MAX(3, struct net_state, nr_pairs, NETDEV_MAX_PAIRS),
	VS_U16_MAX(4, struct net_state, status, STATUS_MAX),
};

static const struct vstate_table state_vstate = {
	VSTATE_TABLE("net-state", struct net_state, state_fields),
};

static const struct vstate_field addrs_fields[] = {
	VS_U32_MAX(1, struct net_addrs, nr_v4, NET_ADDRS),
	VS_U32_MAX(2, struct net_addrs, nr_v6, NET_ADDRS),
	VS_BYTES(3, struct net_addrs, v4),
	VS_BYTES(4, struct net_addrs, v6),
};

static const struct vstate_table addrs_vstate = {
	VSTATE_TABLE("net-addrs", struct net_addrs, addrs_fields),
};

static const struct vstate_field net_fields[] = {
	VS_STRUCT(1, struct net_saved, guest, &state_vstate),
	VS_STRUCT(2, struct net_saved, addrs, &addrs_vstate),
	VS_U64(3, struct net_saved, rx_bits_missing),
	VS_U64(4, struct net_saved, rx_packets_missing),
	VS_U64(5, struct net_saved, tx_bits_missing),
	VS_U64(6, struct net_saved, tx_packets_missing),
	VS_U16(7, struct net_saved, max_pairs),
	VS_U16(8, struct net_saved, mtu),
};

const struct vstate_table net_vstate = {
	VSTATE_TABLE("virtio-net", struct net_saved, net_fields),
};

/* --- save --------------------------------------------------------------------------- */

static void save_limits(struct net *net, struct net_saved *s)
{
	uint64_t now_ns = clock_now_ns();

	s->rx_bits_missing = token_bucket_missing(&net->rx_limit.bits, now_ns);
	s->rx_packets_missing = token_bucket_missing(&net->rx_limit.packets, now_ns);
	s->tx_bits_missing = token_bucket_missing(&net->tx_limit.bits, now_ns);
	s->tx_packets_missing = token_bucket_missing(&net->tx_limit.packets, now_ns);
}

struct backend_call {
	struct netdev *nd;
	struct vstate_writer *w;
	struct vstate_reader *r;
	struct err *e;
	int rc;
};

static void save_backend(void *opaque)
{
	struct backend_call *c = opaque;

	c->nd->ops->save(c->nd, c->w);
}

void net_save(struct virtio_dev *dev, struct vstate_writer *w)
{
	struct net *net = to_net(dev);
	struct net_saved s = { .max_pairs = (uint16_t)net->nr_pairs, .mtu = (uint16_t)net->mtu };
	struct backend_call c = { .nd = net->backend, .w = w };

	mutex_lock(&net->lock);
	s.guest = net->state;
	s.addrs = net->addrs;
	/* A link that is down since the back end failed is not down elsewhere. */
	if (net->failed && !net_is_unplugged(net))
		s.guest.status |= VIRTIO_NET_S_LINK_UP;
	mutex_unlock(&net->lock);
	save_limits(net, &s);
	vstate_put(w, &net_vstate, 0, &s);
	if (net->backend->ops->save)
		loop_call_sync(net->pairs[0].loop, save_backend, &c);
}

/* --- load --------------------------------------------------------------------------- */

static int check(const struct net *net, const struct net_saved *s, struct err *e)
{
	uint64_t allowed = net->dev.features & net_offload_guest_mask();
	unsigned max_pairs = virtio_has(&net->dev, VIRTIO_NET_F_MQ) ? net->nr_pairs : 1;

	if (s->max_pairs != net->nr_pairs)
		return err_set(e, -EINVAL, "the nic has %u queue pairs, but %u here", s->max_pairs,
			       net->nr_pairs);
	if (s->mtu != net->mtu)
		return err_set(e, -EINVAL, "the nic has an MTU of %u, but of %u here (0: 1500)",
			       s->mtu, net->mtu);
	if (s->guest.nr_pairs == 0 || s->guest.nr_pairs > max_pairs)
		return err_set(e, -EINVAL, "nr_pairs: %u in use of %u", s->guest.nr_pairs,
			       max_pairs);
	if (s->guest.guest_offloads & ~allowed)
		return err_set(e, -EINVAL, "guest_offloads: %#llx, negotiated were %#llx",
			       (unsigned long long)s->guest.guest_offloads,
			       (unsigned long long)allowed);
	if (mac_is_multicast(s->guest.filter.mac))
		return err_set(e, -EINVAL, "mac: is that of a group");
	return 0;
}

/* What ->start does when a driver is ready, and its commands afterwards. */
static int apply_to_backend(struct net *net, const struct net_state *s, struct err *e)
{
	struct netdev *nd = net->backend;
	int rc;

	if (net->dev.features == 0)
		return 0;
	rc = nd->ops->set_offloads(nd, net_offload_to_guest(s->guest_offloads));
	if (rc == 0 && nd->ops->set_pairs)
		rc = nd->ops->set_pairs(nd, s->nr_pairs);
	return rc < 0 ? err_set(e, rc, "%s: cannot set it up: %s", nd->host_if, strerror(-rc)) : 0;
}

static void load_limits(struct net *net, const struct net_saved *s)
{
	uint64_t now_ns = clock_now_ns();

	token_bucket_set_missing(&net->rx_limit.bits, s->rx_bits_missing, now_ns);
	token_bucket_set_missing(&net->rx_limit.packets, s->rx_packets_missing, now_ns);
	token_bucket_set_missing(&net->tx_limit.bits, s->tx_bits_missing, now_ns);
	token_bucket_set_missing(&net->tx_limit.packets, s->tx_packets_missing, now_ns);
}

static void load_backend(void *opaque)
{
	struct backend_call *c = opaque;

	c->rc = c->nd->ops->load(c->nd, c->r, c->e);
}

int net_load(struct virtio_dev *dev, struct vstate_reader *r, struct err *e)
{
	struct net *net = to_net(dev);
	struct net_saved s = { 0 };
	struct backend_call c = { .nd = net->backend, .r = r, .e = e };
	int rc = vstate_get(r, &net_vstate, 0, &s, e);

	if (rc == 0)
		rc = check(net, &s, e);
	if (rc == 0)
		rc = apply_to_backend(net, &s.guest, e);
	if (rc < 0)
		return rc;
	mutex_lock(&net->lock);
	net->state = s.guest;
	net->addrs = s.addrs;
	atomic_store_explicit(&net->unplugged, !(s.guest.status & VIRTIO_NET_S_LINK_UP),
			      memory_order_relaxed);
	mutex_unlock(&net->lock);
	load_limits(net, &s);
	/* Release: the pairs copy the filter when they see it. */
	atomic_fetch_add_explicit(&net->filter_gen, 1, memory_order_release);
	atomic_store_explicit(&net->nr_active, s.guest.nr_pairs, memory_order_release);
	if (net->backend->ops->load)
		loop_call_sync(net->pairs[0].loop, load_backend, &c);
	return c.rc;
}
