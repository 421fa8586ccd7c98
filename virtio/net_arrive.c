// SPDX-License-Identifier: MIT
// virtio-net: frames that came for the guest where it was before it came here.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/net_impl.h"

/*
 * Theory of operation
 *
 * They wait in a list of pair 0, from which net_rx.c takes them as it takes frames from the
 * back end, and before those: filter, limits and the want of buffers are the same. A
 * header is passed on as it is: whoever sent the guest here has had all of its memory.
 */

/* As much as a tap's queue of large frames may be at a time; more are dropped. */
#define MAX_BYTES (16 * MIB)

struct net_arrival {
	STAILQ_ENTRY(net_arrival) link;
	size_t bytes;
	uint8_t frame[];
};

void net_arrivals_init(struct net_arrivals *a)
{
	STAILQ_INIT(&a->list);
	a->bytes = 0;
}

static void free_first(struct net_arrivals *a)
{
	struct net_arrival *first = STAILQ_FIRST(&a->list);

	STAILQ_REMOVE_HEAD(&a->list, link);
	a->bytes -= sizeof(*first) + first->bytes;
	free(first);
}

unsigned net_arrivals_drop(struct net_arrivals *a)
{
	unsigned nr = 0;

	for (; !STAILQ_EMPTY(&a->list); nr++)
		free_first(a);
	return nr;
}

ssize_t net_arrivals_receive(struct net_arrivals *a, const struct iovec *iov, unsigned nr_iov)
{
	const struct net_arrival *first = STAILQ_FIRST(&a->list);
	size_t done = 0;
	ssize_t bytes;

	if (!first)
		return -EAGAIN;
	for (unsigned i = 0; i < nr_iov && done < first->bytes; i++) {
		size_t n = MIN(iov[i].iov_len, first->bytes - done);

		memcpy(iov[i].iov_base, first->frame + done, n);
		done += n;
	}
	bytes = (ssize_t)first->bytes;
	free_first(a);
	return bytes;
}

/* False: there is no room for it, or it is none. */
static bool append(struct net_arrivals *a, const struct iovec *frame)
{
	size_t bytes = frame->iov_len;
	struct net_arrival *new;

	if (bytes < NETDEV_HDR_BYTES + NET_FRAME_MIN ||
	    bytes > NETDEV_HDR_BYTES + NETDEV_FRAME_MAX ||
	    sizeof(*new) + bytes > MAX_BYTES - a->bytes)
		return false;
	new = malloc(sizeof(*new) + bytes);
	if (!new)
		return false;
	new->bytes = bytes;
	memcpy(new->frame, frame->iov_base, bytes);
	STAILQ_INSERT_TAIL(&a->list, new, link);
	a->bytes += sizeof(*new) + bytes;
	return true;
}

struct arrive {
	struct net_rx *rx;
	const struct iovec *frames;
	unsigned nr;
};

static void arrive(void *opaque)
{
	const struct arrive *a = opaque;
	struct net_rx *rx = a->rx;
	unsigned nr = 0;

	/* Without a driver that receives they would wait for one for ever. */
	for (unsigned i = 0; i < a->nr && rx->q->running; i++)
		nr += append(&rx->arrivals, &a->frames[i]);
	counter_add(&rx->count.dropped, a->nr - nr);
	if (rx->frame_bytes) /* else the first kick does it */
		net_rx_look_again(rx);
}

void net_arrive(struct virtio_dev *dev, const struct iovec *frames, unsigned nr)
{
	struct net *net = to_net(dev);
	struct arrive a = { .rx = &net->pairs[0].rx, .frames = frames, .nr = nr };

	loop_call_sync(net->pairs[0].loop, arrive, &a);
}
