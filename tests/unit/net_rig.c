// SPDX-License-Identifier: MIT
// A virtio-net device between a driver and a network that are both the test's.
#include "tests/unit/net_rig.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- the network ------------------------------------------------------------------ */

static struct net_rig_backend *to_backend(struct netdev *nd)
{
	return container_of(nd, struct net_rig_backend, nd);
}

static int backend_attach(struct netdev *nd, unsigned pair, struct loop *loop,
			  const struct netdev_client *client)
{
	(void)loop;
	to_backend(nd)->client[pair] = *client;
	return 0;
}

static void backend_detach(struct netdev *nd, unsigned pair)
{
	to_backend(nd)->client[pair] = (struct netdev_client){ 0 };
}

static void backend_watch(struct netdev *nd, unsigned pair, unsigned events)
{
	to_backend(nd)->events[pair] = events;
}

static ssize_t backend_send(struct netdev *nd, unsigned pair, const struct iovec *iov,
			    unsigned nr_iov)
{
	struct net_rig_backend *be = to_backend(nd);
	size_t bytes = 0;

	(void)pair;
	if (be->nr_room == 0)
		return -EAGAIN;
	for (unsigned i = 0; i < nr_iov; i++) {
		assert(iov[i].iov_len <= sizeof(be->sent) - bytes);
		memcpy(be->sent + bytes, iov[i].iov_base, iov[i].iov_len);
		bytes += iov[i].iov_len;
	}
	if (be->nr_sent < NET_RIG_LOG && bytes > NETDEV_HDR_BYTES)
		memcpy(be->log[be->nr_sent], be->sent + NETDEV_HDR_BYTES,
		       MIN(bytes - NETDEV_HDR_BYTES, sizeof(be->log[0])));
	be->nr_room--;
	be->nr_sent++;
	be->sent_bytes = bytes;
	return (ssize_t)bytes;
}

static ssize_t backend_receive(struct netdev *nd, unsigned pair, const struct iovec *iov,
			       unsigned nr_iov)
{
	struct net_rig_backend *be = to_backend(nd);
	size_t done = 0;

	(void)pair;
	if (be->nr_waiting == 0)
		return be->receive_error ? be->receive_error : -EAGAIN;
	be->nr_waiting--;
	for (unsigned i = 0; i < nr_iov && done < be->waiting_bytes; i++) {
		size_t n = MIN(iov[i].iov_len, be->waiting_bytes - done);

		memcpy(iov[i].iov_base, be->waiting + done, n);
		done += n;
	}
	return (ssize_t)be->waiting_bytes;
}

static int backend_set_offloads(struct netdev *nd, unsigned offloads)
{
	to_backend(nd)->offloads = offloads;
	return to_backend(nd)->fail;
}

static int backend_set_pairs(struct netdev *nd, unsigned nr)
{
	to_backend(nd)->nr_active = nr;
	return to_backend(nd)->fail;
}

static void backend_close(struct netdev *nd)
{
	free(to_backend(nd));
}

static const struct netdev_ops backend_ops = {
	.type = "rig",
	.attach = backend_attach,
	.detach = backend_detach,
	.watch = backend_watch,
	.send = backend_send,
	.receive = backend_receive,
	.set_offloads = backend_set_offloads,
	.set_pairs = backend_set_pairs,
	.close = backend_close,
};

/* --- the transport ------------------------------------------------------------------ */

static void raise_queue(struct virtio_dev *dev, struct virtio_queue *q)
{
	struct net_rig *rig = dev->transport_priv;

	rig->interrupts[q->index]++;
}

static void raise_config(struct virtio_dev *dev)
{
	struct net_rig *rig = dev->transport_priv;

	rig->config_interrupts++;
}

static const struct virtio_transport_ops transport_ops = {
	.raise_queue = raise_queue,
	.raise_config = raise_config,
};

void net_rig_start(struct net_rig *rig, unsigned queue)
{
	struct virtio_queue *q = &rig->net->dev.queues[queue];
	const struct ring *r = &rig->rings[queue];

	q->ring.state = (struct vq_state){
		.desc_gpa = r->desc,
		.avail_gpa = r->avail,
		.used_gpa = r->used,
		.size = r->size,
		.last_avail = r->used_seen,
		.used_idx = r->used_seen,
		.enabled = 1,
	};
	virtio_start_queues(q, 1);
}

void net_rig_stop(struct net_rig *rig, unsigned queue)
{
	virtio_stop_queues(&rig->net->dev.queues[queue], 1, true);
}

static void run_queue(void *opaque)
{
	struct virtio_queue *q = opaque;

	if (q->running && !atomic_load(&q->dev->broken))
		q->dev->cls->run(q);
}

void net_rig_kick(struct net_rig *rig, unsigned queue)
{
	struct virtio_queue *q = &rig->net->dev.queues[queue];

	loop_call_sync(q->loop, run_queue, q);
}

/* --- events ----------------------------------------------------------------------- */

static void nothing(void *opaque)
{
	(void)opaque;
}

void net_rig_settle(struct net_rig *rig, unsigned pair)
{
	loop_call_sync(rig->net->pairs[pair].loop, nothing, NULL);
}

void net_rig_readable(struct net_rig *rig, unsigned pair)
{
	const struct netdev_client *c = &rig->be->client[pair];

	if (rig->be->events[pair] & NETDEV_READABLE)
		loop_call_sync(rig->net->pairs[pair].loop, c->readable, c->opaque);
}

void net_rig_writable(struct net_rig *rig, unsigned pair)
{
	const struct netdev_client *c = &rig->be->client[pair];

	if (rig->be->events[pair] & NETDEV_WRITABLE)
		loop_call_sync(rig->net->pairs[pair].loop, c->writable, c->opaque);
}

/* --- the driver --------------------------------------------------------------------- */

uint8_t *net_rig_buffer(struct net_rig *rig, uint16_t head)
{
	return gmem_ptr(&rig->vm->gmem, NET_RIG_BUFFERS + head * 4096ULL, 4096);
}

void net_rig_offer(struct net_rig *rig, unsigned queue, uint16_t head, uint32_t bytes, bool write)
{
	struct ring *r = &rig->rings[queue];

	ring_put_desc(r, r->desc, head,
		      (struct ring_desc){ NET_RIG_BUFFERS + head * 4096ULL, bytes,
					  write ? RING_WRITE : 0, 0 });
	ring_offer(r, head);
}

/* --- all of it ------------------------------------------------------------------------ */

static struct net_rig_backend *new_backend(void)
{
	struct net_rig_backend *be = calloc(1, sizeof(*be));

	assert(be);
	be->nd = (struct netdev){
		.ops = &backend_ops,
		.nr_pairs = NET_RIG_PAIRS,
		.offloads = NETDEV_CSUM | NETDEV_TSO4 | NETDEV_TSO6,
		.mtu = NETDEV_DEFAULT_MTU,
	};
	be->nr_room = UINT32_MAX;
	return be;
}

void net_rig_open(struct net_rig *rig, uint64_t features)
{
	const struct net_config cfg = { .id = "net0",
					.mac = { 0x02, 0, 0, 0, 0, 1 },
					.queue_size = NET_RIG_SIZE };
	int rc;

	*rig = (struct net_rig){ .vm = calloc(1, sizeof(*rig->vm)), .be = new_backend() };
	assert(rig->vm);
	rc = gmem_init(&rig->vm->gmem, NET_RIG_MEM, 0, NULL);
	assert(rc == 0);
	rc = net_create(&rig->net, rig->vm, &cfg, &rig->be->nd);
	assert(rc == 0);
	rig->net->dev.transport = &transport_ops;
	rig->net->dev.transport_priv = rig;
	for (unsigned i = 0; i < NET_RIG_QUEUES; i++)
		ring_init(&rig->rings[i], &rig->vm->gmem, NET_RIG_RINGS + i * 0x4000ULL,
			  NET_RIG_SIZE);
	rig->net->dev.features = features;
	rig->net->dev.cls->start(&rig->net->dev);
}

void net_rig_close(struct net_rig *rig)
{
	for (unsigned i = 0; i < NET_RIG_QUEUES; i++)
		net_rig_stop(rig, i);
	rig->net->dev.cls->free(&rig->net->dev);
	gmem_fini(&rig->vm->gmem);
	free(rig->vm);
}
