// SPDX-License-Identifier: MIT
// virtio-net: frames from the guest.
#include <errno.h>

#include "util/clock.h"
#include "virtio/net_impl.h"

/*
 * Theory of operation
 *
 * Frames go from guest memory to the back end in one call each; only the
 * header is copied, checked and sent from the copy, so that the guest cannot
 * change it in between. The queue is emptied without notifications, in turns
 * of at most TX_TURN frames; used buffers are shown every TX_PUBLISH of them,
 * so that a driver that looks can reuse them, and the interrupt is decided on
 * once a turn.
 *
 *   idle -- kick --> running -- queue empty --> idle
 *                    running -- back end full --> blocked -- writable --> running
 *                    running -- TX_TURN sent --> (other events) --> running
 *                    running -- rate limit --> (timer) --> running
 */
#define TX_TURN    256U
#define TX_PUBLISH 32U

static void go_on(void *opaque)
{
	net_tx_run(opaque);
}

void net_tx_init(struct net_tx *tx, struct net *net, unsigned pair)
{
	tx->net = net;
	tx->pair = pair;
	tx->q = &net->dev.queues[2 * pair + 1];
	tx->go_on = (struct loop_timer){ .fn = go_on, .opaque = tx };
}

static void publish(struct net_tx *tx)
{
	if (tx->nr_filled)
		vq_publish(&tx->q->ring, tx->nr_filled);
	tx->nr_filled = 0;
}

/*
 * Replace the header in front of the chain's buffers by @hdr. tx->iov[0] is
 * free, the chain starts at [1]; the first buffer to send is returned.
 */
static struct iovec *put_header(struct net_tx *tx, struct virtio_net_hdr_v1 *hdr)
{
	struct iovec *iov = tx->iov + 1;
	size_t left = sizeof(*hdr);

	while (left >= iov->iov_len) {
		left -= iov->iov_len;
		iov++;
	}
	iov->iov_base = (uint8_t *)iov->iov_base + left;
	iov->iov_len -= left;
	iov--;
	*iov = (struct iovec){ hdr, sizeof(*hdr) };
	return iov;
}

/*
 * To those who watch: before it is sent, so that no answer is seen earlier on another
 * queue; once, however often it has to be tried.
 */
static void show(struct net_tx *tx, const struct iovec *iov, const struct iovec *end, size_t bytes)
{
	if (!tx->shown)
		net_captures_seen(&tx->net->captures,
				  &(struct net_sight){
					  .kind = CAPTURE_FROM_GUEST,
					  .iov = iov,
					  .nr_iov = (unsigned)(end - iov),
					  .skip = sizeof(struct virtio_net_hdr_v1),
					  .bytes = bytes,
				  });
}

/* 0: done with it, one way or another; -EAGAIN: later. */
static int send_frame(struct net_tx *tx, const struct vq_chain *chain)
{
	struct netdev *nd = tx->net->backend;
	struct iovec *end = tx->iov + 1 + chain->nr_out, *iov;
	size_t bytes = chain->out_bytes - sizeof(struct virtio_net_hdr_v1);
	struct virtio_net_hdr_v1 hdr;
	ssize_t n = -EINVAL;

	if (net_is_unplugged(tx->net)) {
		counter_add(&tx->count.dropped, 1);
		tx->shown = false;
		return 0;
	}
	if (bytes < NET_FRAME_MIN || bytes > NETDEV_FRAME_MAX)
		goto out;
	(void)vq_read_out(chain, 0, &hdr, sizeof(hdr));
	hdr.num_buffers = 0;
	if (!net_offload_header_ok(tx->net->dev.features, &hdr))
		goto out;
	if (net_announce_may_learn(bytes))
		net_announce_learn(tx->net, chain);
	iov = put_header(tx, &hdr);
	show(tx, iov, end, bytes);
	n = nd->ops->send(nd, tx->pair, iov, (unsigned)(end - iov));
	tx->shown = n == -EAGAIN;
	if (n == -EAGAIN)
		return -EAGAIN;
out:
	if (n < 0) {
		counter_add(&tx->count.errors, 1);
		return 0;
	}
	counter_add(&tx->count.packets, 1);
	counter_add(&tx->count.bytes, bytes);
	net_limit_charge(&tx->net->tx_limit, bytes);
	return 0;
}

/* 1: one frame done; 0: none there; -EAGAIN: the back end is full; -EPROTO. */
static int send_next(struct net_tx *tx)
{
	struct vq_chain chain = { .iov = tx->iov + 1, .max_iov = NET_CHAIN_MAX };
	int rc = vq_pop(&tx->q->ring, &chain);

	if (rc <= 0)
		return rc;
	if (chain.nr_in || chain.out_bytes < sizeof(struct virtio_net_hdr_v1))
		return -EPROTO;
	rc = send_frame(tx, &chain);
	if (rc < 0) {
		vq_unpop(&tx->q->ring, 1);
		return rc;
	}
	vq_fill(&tx->q->ring, &chain, 0, tx->nr_filled++);
	if (tx->nr_filled == TX_PUBLISH)
		publish(tx);
	return 1;
}

/*
 * Until the queue is empty and will be kicked, the back end full, or the turn
 * over: then *go_on_ns is when to come back.
 */
static int send_all(struct net_tx *tx, uint64_t *go_on_ns)
{
	int rc = 1;

	for (unsigned n = 0; n < TX_TURN && rc == 1; n++) {
		*go_on_ns = net_limit_wait_until_ns(&tx->net->tx_limit);
		if (*go_on_ns)
			return 1;
		rc = send_next(tx);
		if (rc == 0 && vq_enable_kicks(&tx->q->ring)) {
			vq_disable_kicks(&tx->q->ring);
			rc = 1;
		}
	}
	/* Now, but after what else has happened. */
	*go_on_ns = clock_now_ns() + 1;
	return rc;
}

void net_tx_run(struct net_tx *tx)
{
	struct net *net = tx->net;
	uint64_t go_on_ns;
	int rc;

	if (!tx->q->running || atomic_load(&net->dev.broken))
		return;
	loop_disarm(tx->q->loop, &tx->go_on);
	vq_disable_kicks(&tx->q->ring);
	rc = send_all(tx, &go_on_ns);
	publish(tx);
	virtio_notify(tx->q);
	if (rc == 1)
		loop_arm(tx->q->loop, &tx->go_on, go_on_ns);
	tx->blocked = rc == -EAGAIN;
	net_pair_watch(&net->pairs[tx->pair]);
	if (rc == -EPROTO)
		virtio_broken(&net->dev, "malformed buffer in transmit queue %u", tx->pair);
}

void net_tx_quiesce(struct net_tx *tx)
{
	loop_disarm(tx->q->loop, &tx->go_on);
	tx->blocked = tx->shown = false;
	net_pair_watch(&tx->net->pairs[tx->pair]);
}
