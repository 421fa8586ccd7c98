// SPDX-License-Identifier: MIT
// A virtio-blk device on a temporary image, and a driver for it, for tests.
#include "tests/unit/blkdev.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* --- the transport and the driver -------------------------------------------- */

static void raise_queue(struct virtio_dev *dev, struct virtio_queue *q)
{
	struct blkdev *f = dev->transport_priv;

	(void)q;
	atomic_fetch_add(&f->nr_irqs, 1);
	(void)sem_post(&f->irq);
}

static void raise_config(struct virtio_dev *dev)
{
	struct blkdev *f = dev->transport_priv;

	atomic_fetch_add(&f->nr_config_irqs, 1);
	(void)sem_post(&f->irq);
}

static const struct virtio_transport_ops transport = {
	.raise_queue = raise_queue,
	.raise_config = raise_config,
};

int blkdev_setup(void **state)
{
	struct blkdev *f = test_calloc(1, sizeof(*f));

	(void)sem_init(&f->irq, 0, 0);
	f->vm.nr_vcpus = 1;
	assert_int_equal(gmem_init(&f->vm.gmem, MEM, 0, NULL), 0);
	tmpdisk_new(&f->disk, DISK);
	*state = f;
	return 0;
}

void blkdev_free(struct blkdev *f)
{
	if (f->blk)
		f->blk->vdev.cls->free(&f->blk->vdev);
	f->blk = NULL;
}

int blkdev_teardown(void **state)
{
	struct blkdev *f = *state;

	blkdev_free(f);
	tmpdisk_free(&f->disk);
	gmem_fini(&f->vm.gmem);
	(void)sem_destroy(&f->irq);
	test_free(f);
	return 0;
}

struct queue_call {
	struct blkdev *f;
	unsigned i;
	bool cancel;
};

static void start_queue(void *opaque)
{
	struct queue_call *c = opaque;
	struct virtio_queue *q = &c->f->blk->vdev.queues[c->i];

	assert_int_equal(ring_start_vq(&c->f->rings[c->i], &q->ring), 0);
	q->ring.indirect = true;
	q->dev->cls->run(q);
}

void blkdev_start(struct blkdev *f)
{
	for (unsigned i = 0; i < f->blk->nr_queues; i++) {
		struct queue_call c = { .f = f, .i = i };

		ring_init(&f->rings[i], &f->vm.gmem, RINGS + i * RING_GAP, QSIZE);
		loop_call_sync(f->blk->queues[i].loop, start_queue, &c);
	}
}

void blkdev_new(struct blkdev *f, struct blk_config cfg)
{
	struct err e = { 0 };

	cfg.id = "disk0";
	cfg.path = f->disk.path;
	cfg.queue_size = QSIZE;
	if (blk_dev_new(&f->vm, &cfg, &f->blk, &e) < 0)
		fail_msg("%s", e.text);
	f->blk->vdev.transport = &transport;
	f->blk->vdev.transport_priv = f;
	f->blk->vdev.features = f->blk->vdev.offered;
	blkdev_start(f);
}

static void run_queue(void *opaque)
{
	struct queue_call *c = opaque;
	struct virtio_queue *q = &c->f->blk->vdev.queues[c->i];

	q->dev->cls->run(q);
}

void blkdev_kick(struct blkdev *f, unsigned queue)
{
	struct queue_call c = { .f = f, .i = queue };

	loop_call_sync(f->blk->queues[queue].loop, run_queue, &c);
}

static void quiesce_queue(void *opaque)
{
	struct queue_call *c = opaque;
	struct virtio_queue *q = &c->f->blk->vdev.queues[c->i];

	q->dev->cls->quiesce(q, c->cancel);
}

void blkdev_quiesce(struct blkdev *f, bool cancel)
{
	struct queue_call c = { .f = f, .cancel = cancel };

	loop_call_sync(f->blk->queues[0].loop, quiesce_queue, &c);
}

static void wait_irq(struct blkdev *f)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	while (sem_timedwait(&f->irq, &until) < 0)
		assert_int_equal(errno, EINTR);
}

struct ring_used blkdev_take_used(struct blkdev *f, unsigned queue)
{
	struct ring_used used;

	while (!ring_take_used(&f->rings[queue], &used))
		wait_irq(f);
	return used;
}

void blkdev_put(struct blkdev *f, gpa_t gpa, const void *data, size_t len)
{
	assert_int_equal(gmem_write(&f->vm.gmem, gpa, data, len), 0);
}

void blkdev_get(struct blkdev *f, gpa_t gpa, void *data, size_t len)
{
	assert_int_equal(gmem_read(&f->vm.gmem, gpa, data, len), 0);
}

/* --- chains ------------------------------------------------------------------ */

/* Describe a chain in the next free descriptors of a queue; its head. */
uint16_t blkdev_chain(struct blkdev *f, unsigned queue, const struct piece *p, unsigned n)
{
	const struct ring *r = &f->rings[queue];
	unsigned head = f->next_desc % QSIZE;

	for (unsigned i = 0; i < n; i++, f->next_desc++)
		ring_put_desc(
			r, r->desc, f->next_desc % QSIZE,
			(struct ring_desc){
				.addr = p[i].gpa,
				.len = p[i].len,
				.flags = (p[i].in ? RING_WRITE : 0U) | (i + 1 < n ? RING_NEXT : 0U),
				.next = (uint16_t)((f->next_desc + 1) % QSIZE),
			});
	return (uint16_t)head;
}

void blkdev_put_header(struct blkdev *f, gpa_t gpa, uint32_t type, uint64_t sector)
{
	const struct virtio_blk_outhdr h = { .type = type, .sector = sector };

	blkdev_put(f, gpa, &h, sizeof(h));
}

/* Offer an ordinary request: header, data, status; see blkdev_status(). */
uint16_t blkdev_offer(struct blkdev *f, unsigned queue, uint32_t type, uint64_t sector,
		      struct piece data)
{
	const uint8_t pending = PENDING;
	unsigned d = f->next_desc % QSIZE;
	gpa_t status = PER_QUEUE(STATUSES, queue) + d;
	struct piece p[3] = { { PER_QUEUE(HEADERS, queue) + d * 32ULL, 16, false }, data };
	unsigned n = data.len ? 2 : 1;

	blkdev_put_header(f, p[0].gpa, type, sector);
	blkdev_put(f, status, &pending, 1);
	p[n++] = (struct piece){ status, 1, true };
	ring_offer(&f->rings[queue], blkdev_chain(f, queue, p, n));
	return (uint16_t)d;
}

uint8_t blkdev_status(struct blkdev *f, unsigned queue, unsigned head)
{
	uint8_t status;

	blkdev_get(f, PER_QUEUE(STATUSES, queue) + head, &status, 1);
	return status;
}

uint8_t blkdev_request(struct blkdev *f, uint32_t type, uint64_t sector, struct piece data)
{
	uint16_t head = blkdev_offer(f, 0, type, sector, data);
	struct ring_used used;

	blkdev_kick(f, 0);
	used = blkdev_take_used(f, 0);
	assert_int_equal(used.id, head);
	assert_int_equal(used.len, 1 + (data.in ? data.len : 0));
	return blkdev_status(f, 0, head);
}

uint8_t blkdev_write_byte(struct blkdev *f, uint64_t sector, uint8_t value)
{
	uint8_t buf[SECTOR];

	memset(buf, value, sizeof(buf));
	blkdev_put(f, DATA, buf, sizeof(buf));
	return blkdev_request(f, VIRTIO_BLK_T_OUT, sector, (struct piece){ DATA, SECTOR, false });
}

void blkdev_check_read(struct blkdev *f, uint64_t sector, unsigned count)
{
	uint8_t buf[SECTOR];

	assert_int_equal(blkdev_request(f, VIRTIO_BLK_T_IN, sector,
					(struct piece){ DATA, count * SECTOR, true }),
			 VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < count; i++) {
		blkdev_get(f, DATA + i * SECTOR, buf, SECTOR);
		assert_true(tmpdisk_is_fresh(buf, sector + i));
	}
}
