// SPDX-License-Identifier: MIT
// What all virtio devices share: queues on their loops, interrupts, broken drivers.
#include "virtio/virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "util/counter.h"
#include "util/io.h"

static void on_kick(void *opaque, unsigned events)
{
	struct virtio_queue *q = opaque;

	(void)events;
	counter_add(&q->kicks, 1);
	if (q->running && !atomic_load(&q->dev->broken))
		q->dev->cls->run(q);
}

static int init_queue(struct virtio_queue *q)
{
	struct virtio_dev *dev = q->dev;

	q->ring = (struct vq){ .gm = &dev->vm->gmem };
	q->kick = (struct loop_fd){
		.fn = on_kick,
		.opaque = q,
		.fd = eventfd(0, EFD_CLOEXEC),
		.slot = -1,
	};
	return q->kick.fd < 0 ? -errno : 0;
}

int virtio_dev_init(struct virtio_dev *dev, struct vm *vm, const struct virtio_class *cls,
		    const char *id, const struct virtio_layout *layout)
{
	*dev = (struct virtio_dev){ .cls = cls, .vm = vm };
	if ((size_t)snprintf(dev->device.id, sizeof(dev->device.id), "%s", id) >=
	    sizeof(dev->device.id))
		return -ENAMETOOLONG;
	dev->queues = calloc(layout->nr_queues, sizeof(*dev->queues));
	if (!dev->queues)
		return -ENOMEM;
	for (unsigned i = 0; i < layout->nr_queues; i++) {
		struct virtio_queue *q = &dev->queues[i];
		int rc;

		*q = (struct virtio_queue){
			.dev = dev,
			.index = i,
			.max_size = layout->queue_size,
			.loop = layout->loop,
		};
		rc = init_queue(q);
		if (rc < 0) {
			virtio_dev_fini(dev);
			return rc;
		}
		dev->nr_queues++;
	}
	return 0;
}

void virtio_dev_fini(struct virtio_dev *dev)
{
	for (unsigned i = 0; i < dev->nr_queues; i++)
		close_fd(&dev->queues[i].kick.fd);
	free(dev->queues);
	dev->queues = NULL;
	dev->nr_queues = 0;
}

static void start_on_loop(struct virtio_queue *q, bool cancel)
{
	struct virtio_dev *dev = q->dev;

	(void)cancel;
	q->ring.event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX);
	q->ring.indirect = virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
	if (vq_start(&q->ring) < 0) {
		virtio_broken(dev, "queue %u: the ring is not in memory", q->index);
		return;
	}
	if (loop_add_eventfd(q->loop, &q->kick) < 0) {
		virtio_broken(dev, "queue %u: no room in the event loop", q->index);
		return;
	}
	q->running = true;
	/* Another queue of the device may be what breaks it. */
	if (!atomic_load(&dev->broken))
		dev->cls->run(q);
}

static void stop_on_loop(struct virtio_queue *q, bool cancel)
{
	if (!q->running)
		return;
	loop_del_fd(q->loop, &q->kick);
	q->running = false;
	if (q->dev->cls->quiesce)
		q->dev->cls->quiesce(q, cancel);
}

struct change {
	struct virtio_queue *first;
	unsigned nr;
	void (*fn)(struct virtio_queue *q, bool cancel);
	bool cancel;
};

static void change_on_loop(void *opaque)
{
	const struct change *c = opaque;

	for (unsigned i = 0; i < c->nr; i++) {
		if (c->first[i].picked)
			c->fn(&c->first[i], c->cancel);
	}
}

/* Call @fn for those that are picked; queues side by side on one loop share its two wake-ups. */
static void change_picked(struct virtio_queue *first, unsigned nr,
			  void (*fn)(struct virtio_queue *q, bool cancel), bool cancel)
{
	while (nr) {
		struct change c = { .first = first, .fn = fn, .cancel = cancel };
		bool any = false;

		for (; c.nr < nr && first[c.nr].loop == first->loop; c.nr++)
			any |= first[c.nr].picked;
		if (any)
			loop_call_sync(first->loop, change_on_loop, &c);
		first += c.nr;
		nr -= c.nr;
	}
}

void virtio_start_queues(struct virtio_queue *first, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		first[i].picked = first[i].ring.state.enabled && !first[i].started;
		first[i].started |= first[i].picked;
	}
	change_picked(first, nr, start_on_loop, false);
}

void virtio_stop_queues(struct virtio_queue *first, unsigned nr, bool cancel)
{
	for (unsigned i = 0; i < nr; i++) {
		first[i].picked = first[i].started;
		first[i].started = false;
	}
	change_picked(first, nr, stop_on_loop, cancel);
}

void virtio_run_again(struct virtio_queue *q)
{
	eventfd_signal(q->kick.fd);
}

bool virtio_notify(struct virtio_queue *q)
{
	bool wanted = vq_wants_interrupt(&q->ring);

	if (wanted) {
		counter_add(&q->interrupts, 1);
		q->dev->transport->raise_queue(q->dev, q);
	}
	return wanted;
}

/* "13, 54": the bits of @features. */
static const char *name_bits(uint64_t features, char *buf, size_t room)
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned bit = 0; bit < 64 && len < room; bit++) {
		if (features >> bit & 1)
			len += (size_t)snprintf(buf + len, room - len, "%s%u", len ? ", " : "",
						bit);
	}
	return buf;
}

int virtio_check_features(const struct virtio_dev *dev, uint64_t features, struct err *e)
{
	uint64_t missing = features & ~dev->offered;
	char bits[256];

	if (!missing)
		return 0;
	return err_set(
		e, -ENOTSUP,
		"the guest uses virtio features that the device cannot have on this host: %s",
		name_bits(missing, bits, sizeof(bits)));
}

void virtio_broken(struct virtio_dev *dev, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_limited(&dev->log, LOG_WARN, "%s: stopped until the guest resets it: %s",
		    dev->device.id, text);
	/* Seen by on_kick() of every queue, and in the status register. */
	if (!atomic_exchange(&dev->broken, true))
		dev->transport->raise_config(dev);
}

void virtio_config_changed(struct virtio_dev *dev)
{
	atomic_fetch_add(&dev->config_generation, 1);
	dev->transport->raise_config(dev);
}
