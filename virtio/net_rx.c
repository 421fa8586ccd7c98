// SPDX-License-Identifier: MIT
// virtio-net: frames to the guest.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/log.h"
#include "virtio/net_impl.h"

/*
 * Theory of operation
 *
 * A frame is read from the back end straight into buffers of the guest. How
 * long it is shows only afterwards, so enough buffers for the longest are
 * popped beforehand: the window. Each frame takes the chains it needs from its
 * front (several of them with MRG_RXBUF, 5.1.6.3.1), and before the next one
 * the window is filled up again. What is in the window when the queue stops is
 * given back to the ring.
 *
 * Behind the window there is a spill buffer of ours. Where the guest has not
 * enough buffers for a frame, its end lands there, and the frame is pending
 * until the guest has added some; it is dropped only if all buffers of the
 * ring are not enough.
 *
 *   watching -- readable --> reading -- nothing there --> watching
 *                            reading -- no buffers --> starved -- kick --> reading
 *
 * A rate limit stops reading as well, until its timer.
 *
 * What arrived from where the guest was (net_arrive.c) comes before what the back end
 * has, which does not tell of it: after a whole turn the same timer goes on.
 *
 * While starved the back end is not watched: frames wait, or are dropped, in
 * the kernel. Frames that the filter rejects were read into the window too;
 * the next one overwrites them.
 */
#define RX_TURN    128U
#define RX_PUBLISH 16U

/* readv(2) takes 1024; one of them is for the spill. */
#define RX_IOV      1024U
#define RX_WINDOW   (RX_IOV - 1)
#define SPILL_BYTES (NETDEV_FRAME_MAX + NETDEV_HDR_BYTES)

#define FILTER_END (sizeof(struct virtio_net_hdr_v1) + NET_FILTER_BYTES)

static void go_on(void *opaque)
{
	struct net_rx *rx = opaque;

	rx->limited = false;
	net_rx_look_again(rx);
}

int net_rx_init(struct net_rx *rx, struct net *net, unsigned pair)
{
	struct net_window *w = &rx->window;

	rx->net = net;
	rx->pair = pair;
	rx->q = &net->dev.queues[2 * pair];
	rx->go_on = (struct loop_timer){ .fn = go_on, .opaque = rx };
	net_arrivals_init(&rx->arrivals);
	w->max_chains = rx->q->max_size;
	w->iov = calloc(RX_IOV, sizeof(*w->iov));
	w->chains = calloc(w->max_chains, sizeof(*w->chains));
	rx->spill = malloc(SPILL_BYTES);
	return w->iov && w->chains && rx->spill ? 0 : -ENOMEM;
}

void net_rx_fini(struct net_rx *rx)
{
	free(rx->window.iov);
	free(rx->window.chains);
	free(rx->spill);
}

/* --- the window ----------------------------------------------------------------- */

/* Move what is left to the front of the arrays. */
static void window_compact(struct net_window *w)
{
	memmove(w->iov, w->iov + w->first_iov, w->nr_iov * sizeof(*w->iov));
	memmove(w->chains, w->chains + w->first_chain, w->nr_chains * sizeof(*w->chains));
	for (unsigned i = 0; i < w->nr_chains; i++)
		w->chains[i].iov -= w->first_iov;
	w->first_iov = w->first_chain = 0;
}

/* Room for one more chain, of any legal length? */
static bool window_has_room(struct net_window *w)
{
	if (w->nr_chains == w->max_chains || w->nr_iov + NET_CHAIN_MAX > RX_WINDOW)
		return false;
	if (w->first_chain + w->nr_chains == w->max_chains ||
	    w->first_iov + w->nr_iov + NET_CHAIN_MAX > RX_WINDOW)
		window_compact(w);
	return true;
}

/* Pop one chain to the end of the window. 1, 0: none there, -EPROTO. */
static int window_pop(struct net_window *w, struct vq *ring)
{
	struct vq_chain *chain = &w->chains[w->first_chain + w->nr_chains];
	int rc;

	chain->iov = w->iov + w->first_iov + w->nr_iov;
	chain->max_iov = NET_CHAIN_MAX;
	rc = vq_pop(ring, chain);
	if (rc <= 0)
		return rc;
	if (chain->nr_out || chain->in_bytes < sizeof(struct virtio_net_hdr_v1))
		return -EPROTO;
	w->nr_chains++;
	w->nr_iov += chain->nr_in;
	w->bytes += chain->in_bytes;
	return 1;
}

/* Take the first @nr chains off. */
static void window_consume(struct net_window *w, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		const struct vq_chain *chain = &w->chains[w->first_chain + i];

		w->first_iov += chain->nr_in;
		w->nr_iov -= chain->nr_in;
		w->bytes -= chain->in_bytes;
	}
	w->first_chain += nr;
	w->nr_chains -= nr;
	if (w->nr_chains == 0)
		w->first_iov = w->first_chain = 0;
}

/* How many chains do the first @bytes reach into? */
static unsigned window_chains(const struct net_window *w, size_t bytes)
{
	unsigned nr = 0;

	for (; bytes > 0 && nr < w->nr_chains; nr++)
		bytes -= MIN(bytes, w->chains[w->first_chain + nr].in_bytes);
	return nr;
}

/* The back end wrote @bytes to its front, and the driver hears of it later, or never. */
static void window_mark_dirty(const struct net_window *w, struct vq *ring, size_t bytes)
{
	unsigned nr = window_chains(w, bytes);

	for (unsigned i = 0; i < nr; i++)
		vq_mark_dirty(ring, &w->chains[w->first_chain + i]);
}

/*
 * Fill up until @bytes fit, or one chain is there if the driver does not take
 * frames in pieces. 1: they fit; 0: no; -EPROTO.
 */
static int window_fill(struct net_rx *rx, size_t bytes)
{
	bool mergeable = virtio_has(&rx->net->dev, VIRTIO_NET_F_MRG_RXBUF);
	struct net_window *w = &rx->window;

	while (mergeable ? w->bytes < bytes : w->nr_chains == 0) {
		int rc = window_has_room(w) ? window_pop(w, &rx->q->ring) : 0;

		if (rc <= 0)
			return rc;
	}
	return w->bytes >= bytes;
}

/* Does the window hold all that there will ever be? */
static bool window_is_all(struct net_rx *rx)
{
	return !virtio_has(&rx->net->dev, VIRTIO_NET_F_MRG_RXBUF) ||
	       !window_has_room(&rx->window) || rx->window.nr_chains == rx->q->ring.state.size;
}

/* --- frames --------------------------------------------------------------------- */

/* The filter may have been changed by another thread. */
static void refresh_filter(struct net_rx *rx)
{
	struct net *net = rx->net;
	uint32_t gen = atomic_load_explicit(&net->filter_gen, memory_order_acquire);

	if (rx->filter_gen == gen)
		return;
	mutex_lock(&net->lock);
	rx->filter = net->state.filter;
	mutex_unlock(&net->lock);
	rx->filter_gen = gen;
}

/* The switch's view, before the guest's: is it for this nic, or for all? */
static bool is_own(const struct net *net, const uint8_t *frame)
{
	return !net->own_only || mac_is_multicast(frame) || memcmp(frame, net->mac, MAC_BYTES) == 0;
}

bool net_rx_accepts(struct net_rx *rx, const uint8_t *start)
{
	refresh_filter(rx);
	return is_own(rx->net, start) && net_filter_accepts(&rx->filter, start);
}

static bool accepted(struct net_rx *rx)
{
	const struct net_window *w = &rx->window;
	const struct iovec *iov = w->iov + w->first_iov;
	uint8_t start[FILTER_END] = { 0 };
	size_t done = 0;

	/* The buffer behind the window is the spill. */
	for (unsigned i = 0; i <= w->nr_iov && done < FILTER_END; i++) {
		size_t n = MIN(iov[i].iov_len, FILTER_END - done);

		memcpy(start + done, iov[i].iov_base, n);
		done += n;
	}
	return net_rx_accepts(rx, start + sizeof(struct virtio_net_hdr_v1));
}

/* Finish the header, which the back end has filled in but for this. */
static void finish_header(struct net_rx *rx, const struct vq_chain *first, unsigned nr_chains)
{
	uint16_t num_buffers = (uint16_t)nr_chains;

	(void)vq_write_in(first, offsetof(struct virtio_net_hdr_v1, num_buffers), &num_buffers,
			  sizeof(num_buffers));
	/* 5.1.6.4.1: no flags without the feature; the kernel sets DATA_VALID anyway. */
	if (!virtio_has(&rx->net->dev, VIRTIO_NET_F_GUEST_CSUM))
		(void)vq_write_in(first, offsetof(struct virtio_net_hdr_v1, flags), "", 1);
}

static void publish(struct net_rx *rx)
{
	if (rx->nr_filled)
		vq_publish(&rx->q->ring, rx->nr_filled);
	rx->nr_filled = 0;
}

/* A frame of @bytes, header included, lies in the window: hand it over. */
static void deliver(struct net_rx *rx, size_t bytes)
{
	struct net_window *w = &rx->window;
	const struct vq_chain *first = &w->chains[w->first_chain];
	unsigned nr = window_chains(w, bytes);
	size_t left = bytes;

	net_captures_seen(&rx->net->captures,
			  &(struct net_sight){
				  .kind = CAPTURE_TO_GUEST,
				  .iov = w->iov + w->first_iov,
				  .nr_iov = w->nr_iov,
				  .skip = sizeof(struct virtio_net_hdr_v1),
				  .bytes = bytes - sizeof(struct virtio_net_hdr_v1),
			  });
	/* Before vq_fill(), which marks what has been written. */
	finish_header(rx, first, nr);
	for (unsigned i = 0; i < nr; i++) {
		size_t n = MIN(left, first[i].in_bytes);

		vq_fill(&rx->q->ring, &first[i], (uint32_t)n, rx->nr_filled + i);
		left -= n;
	}
	window_consume(w, nr);
	rx->nr_filled += nr;
	if (rx->nr_filled >= RX_PUBLISH)
		publish(rx);
	counter_add(&rx->count.packets, 1);
	counter_add(&rx->count.bytes, bytes - sizeof(struct virtio_net_hdr_v1));
	net_limit_charge(&rx->net->rx_limit, bytes - sizeof(struct virtio_net_hdr_v1));
}

/* Copy the end of the pending frame from the spill to where it belongs. */
static void unspill(struct net_rx *rx)
{
	const struct net_window *w = &rx->window;
	const struct iovec *iov = w->iov + w->first_iov;
	size_t skip = rx->pending_room, left = rx->pending - rx->pending_room;
	const uint8_t *at = rx->spill;

	for (; left; iov++) {
		size_t skipped = MIN(skip, iov->iov_len), n = MIN(left, iov->iov_len - skipped);

		memcpy((uint8_t *)iov->iov_base + skipped, at, n);
		at += n;
		left -= n;
		skip -= skipped;
	}
}

/* 1: the pending frame is out of the way; -ENOBUFS: not yet; -EPROTO. */
static int retry_pending(struct net_rx *rx)
{
	int rc = window_fill(rx, rx->pending);

	if (rc < 0)
		return rc;
	if (rc == 1) {
		unspill(rx);
		deliver(rx, rx->pending);
	} else if (window_is_all(rx)) {
		counter_add(&rx->count.dropped, 1);
	} else {
		return -ENOBUFS;
	}
	rx->pending = 0;
	return 1;
}

/* Is it one, and for us? */
static bool wanted(struct net_rx *rx, size_t bytes)
{
	if (bytes < sizeof(struct virtio_net_hdr_v1) + NET_FRAME_MIN ||
	    bytes > rx->window.bytes + SPILL_BYTES) {
		counter_add(&rx->count.errors, 1);
		return false;
	}
	if (net_is_unplugged(rx->net) || !accepted(rx)) {
		counter_add(&rx->count.dropped, 1);
		return false;
	}
	return true;
}

/* The back end has put @bytes into window and spill. 1 or -ENOBUFS or -EPROTO. */
static int take_frame(struct net_rx *rx, size_t bytes)
{
	bool frame = wanted(rx, bytes);

	if (frame && bytes <= rx->window.bytes) {
		deliver(rx, bytes);
		return 1;
	}
	window_mark_dirty(&rx->window, &rx->q->ring, bytes);
	if (!frame)
		return 1;
	rx->pending = bytes;
	rx->pending_room = rx->window.bytes;
	return retry_pending(rx);
}

/*
 * 1: one frame done; -EAGAIN: none there; -ENOBUFS: no room for it; -EPROTO:
 * the driver's mistake; otherwise the back end's error.
 */
static int receive_next(struct net_rx *rx)
{
	struct netdev *nd = rx->net->backend;
	struct net_window *w = &rx->window;
	ssize_t n;
	int rc;

	if (rx->pending)
		return retry_pending(rx);
	rc = window_fill(rx, rx->frame_bytes);
	if (rc < 0)
		return rc;
	if (w->nr_chains == 0)
		return -ENOBUFS;
	w->iov[w->first_iov + w->nr_iov] = (struct iovec){ rx->spill, SPILL_BYTES };
	n = net_arrivals_receive(&rx->arrivals, w->iov + w->first_iov, w->nr_iov + 1);
	if (n == -EAGAIN)
		n = nd->ops->receive(nd, rx->pair, w->iov + w->first_iov, w->nr_iov + 1);
	if (n >= 0)
		return take_frame(rx, (size_t)n);
	if (n != -EAGAIN) /* it may have failed half way */
		window_mark_dirty(w, &rx->q->ring, w->bytes);
	return (int)n;
}

/* The rate limit is reached: come back when a frame may pass. */
static bool is_limited(struct net_rx *rx)
{
	uint64_t go_on_ns = net_limit_wait_until_ns(&rx->net->rx_limit);

	rx->limited = go_on_ns != 0;
	if (rx->limited)
		loop_arm(rx->q->loop, &rx->go_on, go_on_ns);
	return rx->limited;
}

static int receive_all(struct net_rx *rx)
{
	int rc = 1;

	for (unsigned n = 0; n < RX_TURN && rc == 1 && !is_limited(rx); n++) {
		rc = receive_next(rx);
		if (rc == -ENOBUFS && vq_enable_kicks(&rx->q->ring)) {
			vq_disable_kicks(&rx->q->ring);
			rc = 1;
		}
	}
	return rc;
}

static void back_end_failed(struct net_rx *rx, int code)
{
	rx->failed = true;
	log_limited(&rx->net->dev.log, LOG_ERROR, "%s: receiving from %s: %s: the link is down",
		    rx->net->dev.device.id, rx->net->backend->host_if, strerror(-code));
	net_fail_link(rx->net);
}

static void run(struct net_rx *rx)
{
	struct net *net = rx->net;
	int rc;

	if (!rx->q->running || rx->failed || atomic_load(&net->dev.broken) ||
	    !net_pair_active(net, rx->pair))
		return;
	rc = receive_all(rx);
	/* What the back end has keeps it readable; this does not. */
	if (rc == 1 && !rx->limited && rx->arrivals.bytes)
		loop_arm(rx->q->loop, &rx->go_on, clock_now_ns());
	publish(rx);
	virtio_notify(rx->q);
	rx->starved = rc == -ENOBUFS;
	if (rc == -EPROTO)
		virtio_broken(&net->dev, "malformed buffer in receive queue %u", rx->pair);
	else if (rc < 0 && rc != -EAGAIN && rc != -ENOBUFS && net_pair_active(net, rx->pair))
		back_end_failed(rx, rc);
}

/* What the longest frame needs: a segment, or what fits the network behind. */
static size_t expected_bytes(const struct net *net)
{
	const size_t vlan_tag = 4;
	unsigned guest = net_offload_to_guest(net->dev.features);

	if (guest & ~(unsigned)NETDEV_CSUM)
		return NETDEV_FRAME_MAX + NETDEV_HDR_BYTES;
	return MAX(net->backend->mtu, NETDEV_DEFAULT_MTU) + NET_FRAME_MIN + vlan_tag +
	       NETDEV_HDR_BYTES;
}

void net_rx_kick(struct net_rx *rx)
{
	if (rx->frame_bytes == 0) { /* the first one since the queue was started */
		rx->frame_bytes = expected_bytes(rx->net);
		rx->starved = true;
	}
	if (rx->starved) {
		vq_disable_kicks(&rx->q->ring);
		run(rx);
	}
	net_pair_watch(&rx->net->pairs[rx->pair]);
}

void net_rx_readable(struct net_rx *rx)
{
	run(rx);
	net_pair_watch(&rx->net->pairs[rx->pair]);
}

void net_rx_look_again(struct net_rx *rx)
{
	if (rx->starved)
		net_rx_kick(rx);
	else
		net_rx_readable(rx);
}

void net_rx_refresh(struct net_rx *rx)
{
	if (!rx->limited) {
		net_rx_kick(rx);
		return;
	}
	loop_disarm(rx->q->loop, &rx->go_on);
	go_on(rx);
}

void net_rx_quiesce(struct net_rx *rx)
{
	struct net_window *w = &rx->window;

	vq_unpop(&rx->q->ring, w->nr_chains);
	w->nr_chains = w->nr_iov = w->first_chain = w->first_iov = 0;
	w->bytes = 0;
	if (rx->pending) /* its beginning was in the window */
		counter_add(&rx->count.dropped, 1);
	rx->pending = 0;
	counter_add(&rx->count.dropped, net_arrivals_drop(&rx->arrivals));
	rx->frame_bytes = 0;
	rx->starved = rx->limited = false;
	loop_disarm(rx->q->loop, &rx->go_on);
	net_pair_watch(&rx->net->pairs[rx->pair]);
}

bool net_rx_wants_frames(const struct net_rx *rx)
{
	return rx->q->running && rx->frame_bytes && !rx->starved && !rx->limited && !rx->failed &&
	       !atomic_load(&rx->net->dev.broken) && net_pair_active(rx->net, rx->pair);
}
