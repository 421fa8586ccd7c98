// SPDX-License-Identifier: MIT
// virtio-blk on real images: requests in every framing, malformed ones, limits,
// reset and pause in flight, failures of the storage.
#include <errno.h>
#include <linux/virtio_config.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/ring.h"
#include "tests/unit/tmpdisk.h"
#include "util/clock.h"
#include "virtio/blk_impl.h"

#define SECTOR                 512U
#define SECTORS                256U
#define DISK                   (SECTORS * SECTOR)
#define QSIZE                  64U
#define MEM                    (4 * MIB)
#define RINGS                  0x1000ULL
#define RING_GAP               0x4000ULL
#define HEADERS                0x10000ULL /* 32 bytes for each descriptor */
#define STATUSES               0x20000ULL /* one for each descriptor */
#define DATA                   0x100000ULL
#define PER_QUEUE(base, queue) ((base) + (queue)*0x80000ULL)
#define PENDING                0xee /* a status that the device has not written */

struct fixture {
	struct tmpdisk disk;
	struct vm vm;
	struct blk *blk;
	struct ring rings[2];
	unsigned next_desc;
	sem_t irq;
	_Atomic unsigned nr_irqs, nr_config_irqs;
};

/* --- the transport and the driver -------------------------------------------- */

static void raise_queue(struct virtio_dev *dev, struct virtio_queue *q)
{
	struct fixture *f = dev->transport_priv;

	(void)q;
	atomic_fetch_add(&f->nr_irqs, 1);
	(void)sem_post(&f->irq);
}

static void raise_config(struct virtio_dev *dev)
{
	struct fixture *f = dev->transport_priv;

	atomic_fetch_add(&f->nr_config_irqs, 1);
	(void)sem_post(&f->irq);
}

static const struct virtio_transport_ops transport = {
	.raise_queue = raise_queue,
	.raise_config = raise_config,
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	(void)sem_init(&f->irq, 0, 0);
	f->vm.nr_vcpus = 1;
	assert_int_equal(gmem_init(&f->vm.gmem, MEM, 0, NULL), 0);
	tmpdisk_new(&f->disk, DISK);
	*state = f;
	return 0;
}

static void free_device(struct fixture *f)
{
	if (f->blk)
		f->blk->vdev.cls->free(&f->blk->vdev);
	f->blk = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free_device(f);
	tmpdisk_free(&f->disk);
	gmem_fini(&f->vm.gmem);
	(void)sem_destroy(&f->irq);
	test_free(f);
	return 0;
}

struct queue_call {
	struct fixture *f;
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

static void start_device(struct fixture *f)
{
	for (unsigned i = 0; i < f->blk->nr_queues; i++) {
		struct queue_call c = { .f = f, .i = i };

		ring_init(&f->rings[i], &f->vm.gmem, RINGS + i * RING_GAP, QSIZE);
		loop_call_sync(f->blk->queues[i].loop, start_queue, &c);
	}
}

static void new_device(struct fixture *f, struct blk_config cfg)
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
	start_device(f);
}

static void run_queue(void *opaque)
{
	struct queue_call *c = opaque;
	struct virtio_queue *q = &c->f->blk->vdev.queues[c->i];

	q->dev->cls->run(q);
}

static void kick(struct fixture *f, unsigned queue)
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

static void quiesce(struct fixture *f, bool cancel)
{
	struct queue_call c = { .f = f, .cancel = cancel };

	loop_call_sync(f->blk->queues[0].loop, quiesce_queue, &c);
}

static void wait_irq(struct fixture *f)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	while (sem_timedwait(&f->irq, &until) < 0)
		assert_int_equal(errno, EINTR);
}

static struct ring_used take_used(struct fixture *f, unsigned queue)
{
	struct ring_used used;

	while (!ring_take_used(&f->rings[queue], &used))
		wait_irq(f);
	return used;
}

static void put(struct fixture *f, gpa_t gpa, const void *data, size_t len)
{
	assert_int_equal(gmem_write(&f->vm.gmem, gpa, data, len), 0);
}

static void get(struct fixture *f, gpa_t gpa, void *data, size_t len)
{
	assert_int_equal(gmem_read(&f->vm.gmem, gpa, data, len), 0);
}

/* --- chains ------------------------------------------------------------------ */

struct piece {
	gpa_t gpa;
	uint32_t len;
	bool in; /* the device writes it */
};

/* Describe a chain in the next free descriptors of a queue; its head. */
static uint16_t chain(struct fixture *f, unsigned queue, const struct piece *p, unsigned n)
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

static void put_header(struct fixture *f, gpa_t gpa, uint32_t type, uint64_t sector)
{
	const struct virtio_blk_outhdr h = { .type = type, .sector = sector };

	put(f, gpa, &h, sizeof(h));
}

/* Offer an ordinary request: header, data, status; see status_of(). */
static uint16_t offer(struct fixture *f, unsigned queue, uint32_t type, uint64_t sector,
		      struct piece data)
{
	const uint8_t pending = PENDING;
	unsigned d = f->next_desc % QSIZE;
	gpa_t status = PER_QUEUE(STATUSES, queue) + d;
	struct piece p[3] = { { PER_QUEUE(HEADERS, queue) + d * 32ULL, 16, false }, data };
	unsigned n = data.len ? 2 : 1;

	put_header(f, p[0].gpa, type, sector);
	put(f, status, &pending, 1);
	p[n++] = (struct piece){ status, 1, true };
	ring_offer(&f->rings[queue], chain(f, queue, p, n));
	return (uint16_t)d;
}

static uint8_t status_of(struct fixture *f, unsigned queue, unsigned head)
{
	uint8_t status;

	get(f, PER_QUEUE(STATUSES, queue) + head, &status, 1);
	return status;
}

static uint8_t request(struct fixture *f, uint32_t type, uint64_t sector, struct piece data)
{
	uint16_t head = offer(f, 0, type, sector, data);
	struct ring_used used;

	kick(f, 0);
	used = take_used(f, 0);
	assert_int_equal(used.id, head);
	assert_int_equal(used.len, 1 + (data.in ? data.len : 0));
	return status_of(f, 0, head);
}

static uint8_t write_byte(struct fixture *f, uint64_t sector, uint8_t value)
{
	uint8_t buf[SECTOR];

	memset(buf, value, sizeof(buf));
	put(f, DATA, buf, sizeof(buf));
	return request(f, VIRTIO_BLK_T_OUT, sector, (struct piece){ DATA, SECTOR, false });
}

static void check_read(struct fixture *f, uint64_t sector, unsigned count)
{
	uint8_t buf[SECTOR];

	assert_int_equal(
		request(f, VIRTIO_BLK_T_IN, sector, (struct piece){ DATA, count * SECTOR, true }),
		VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < count; i++) {
		get(f, DATA + i * SECTOR, buf, SECTOR);
		assert_true(tmpdisk_is_fresh(buf, sector + i));
	}
}

/* --- good requests ----------------------------------------------------------- */

static void test_read_and_write(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[SECTOR];

	new_device(f, (struct blk_config){ 0 });
	check_read(f, 0, SECTORS);
	assert_int_equal(write_byte(f, 7, 0x77), VIRTIO_BLK_S_OK);
	check_read(f, 8, 5);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, (struct piece){ 0 }), VIRTIO_BLK_S_OK);
	tmpdisk_read(&f->disk, 7 * SECTOR, buf, SECTOR);
	assert_int_equal(buf[0], 0x77);
	assert_int_equal(buf[SECTOR - 1], 0x77);
}

/* Descriptor lengths of one request of two sectors: device-readable, then -writable. */
static const struct framing {
	uint32_t out[8], in[8];
} framings[] = {
	{ { 16 }, { 1024, 1 } },
	{ { 16 }, { 1025 } },
	{ { 16 }, { 1000, 25 } },
	{ { 1, 15 }, { 512, 512, 1 } },
	{ { 4, 4, 8 }, { 3, 509, 1, 511, 1 } },
	{ { 15, 1 }, { 1023, 2 } },
};

static void test_read_framings(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[1025];

	new_device(f, (struct blk_config){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(framings); i++) {
		struct piece p[16];
		unsigned n = 0;
		gpa_t at = HEADERS;

		put_header(f, HEADERS, VIRTIO_BLK_T_IN, 10 + i);
		memset(buf, PENDING, sizeof(buf));
		put(f, DATA, buf, sizeof(buf));
		for (const uint32_t *l = framings[i].out; *l; at += *l++)
			p[n++] = (struct piece){ at, *l, false };
		at = DATA;
		for (const uint32_t *l = framings[i].in; *l; at += *l++)
			p[n++] = (struct piece){ at, *l, true };
		ring_offer(&f->rings[0], chain(f, 0, p, n));
		kick(f, 0);
		assert_int_equal(take_used(f, 0).len, 1025);
		get(f, DATA, buf, sizeof(buf));
		assert_true(tmpdisk_is_fresh(buf, 10 + i));
		assert_true(tmpdisk_is_fresh(buf + SECTOR, 11 + i));
		assert_int_equal(buf[1024], VIRTIO_BLK_S_OK);
	}
}

static void test_write_framings(void **state)
{
	static const uint32_t lens[][8] = {
		{ 16, 1024 }, { 1040 }, { 20, 1020 }, { 3, 13, 1000, 24 }, { 15, 513, 512 },
	};
	struct fixture *f = *state;
	uint8_t buf[1024];

	new_device(f, (struct blk_config){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct piece p[16];
		unsigned n = 0;
		gpa_t at = DATA;

		put_header(f, DATA, VIRTIO_BLK_T_OUT, 20);
		for (size_t b = 0; b < sizeof(buf); b++)
			buf[b] = (uint8_t)(b * 7 + i);
		put(f, DATA + 16, buf, sizeof(buf));
		for (const uint32_t *l = lens[i]; *l; at += *l++)
			p[n++] = (struct piece){ at, *l, false };
		p[n++] = (struct piece){ STATUSES, 1, true };
		ring_offer(&f->rings[0], chain(f, 0, p, n));
		kick(f, 0);
		assert_int_equal(take_used(f, 0).len, 1);
		assert_int_equal(status_of(f, 0, 0), VIRTIO_BLK_S_OK);
		tmpdisk_read(&f->disk, 20 * SECTOR, buf, sizeof(buf));
		for (size_t b = 0; b < sizeof(buf); b++)
			assert_int_equal(buf[b], (uint8_t)(b * 7 + i));
	}
}

static void test_get_id(void **state)
{
	struct fixture *f = *state;
	char id[21] = { 0 };

	new_device(f, (struct blk_config){ .serial = "0123456789abcdefghij" });
	assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, (struct piece){ DATA, 20, true }),
			 VIRTIO_BLK_S_OK);
	get(f, DATA, id, 20);
	assert_string_equal(id, "0123456789abcdefghij");
}

static uint8_t range_request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t count,
			     uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes seg = {
		.sector = sector,
		.num_sectors = count,
		.flags = flags,
	};

	put(f, DATA, &seg, sizeof(seg));
	return request(f, type, 0, (struct piece){ DATA, sizeof(seg), false });
}

static void test_discard_and_write_zeroes(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[2 * SECTOR];
	static const uint8_t zeroes[SECTOR];

	new_device(f, (struct blk_config){ 0 });
	for (uint32_t flags = 0; flags < 2; flags++) {
		assert_int_equal(
			range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 30 + 10 * flags, 1, flags),
			VIRTIO_BLK_S_OK);
		tmpdisk_read(&f->disk, (30 + 10 * flags) * SECTOR, buf, sizeof(buf));
		assert_memory_equal(buf, zeroes, SECTOR);
		assert_true(tmpdisk_is_fresh(buf + SECTOR, 31 + 10 * flags));
	}
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 64, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 64, 8, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 64, 8, 2),
			 VIRTIO_BLK_S_UNSUPP);
	check_read(f, 72, 2);
}

/* --- requests that break the rules -------------------------------------------- */

static void test_malformed_requests(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		struct piece data;
		uint8_t status;
	} cases[] = {
		{ VIRTIO_BLK_T_IN, SECTORS, { DATA, SECTOR, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, SECTORS - 1, { DATA, 1024, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, UINT64_MAX, { DATA, SECTOR, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, UINT64_MAX / SECTOR + 1, { DATA, SECTOR, true }, 1 },
		{ VIRTIO_BLK_T_IN, 0, { DATA, 511, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, { DATA, 513, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, { DATA, SECTOR, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, { DATA, 3 * MIB, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, { 0 }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, SECTORS, { DATA, SECTOR, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, SECTORS - 1, { DATA, 1024, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, UINT64_MAX, { DATA, SECTOR, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, { DATA, 100, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, { DATA, SECTOR, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, { 0 }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_GET_ID, 0, { DATA, 19, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_GET_ID, 0, { DATA, 20, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, { DATA, 15, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, { DATA, 32, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, { DATA, 16, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_SCSI_CMD, 0, { DATA, SECTOR, true }, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_BARRIER | 1, 0, { DATA, SECTOR, false }, VIRTIO_BLK_S_UNSUPP },
		{ 0xffffffff, 0, { DATA, SECTOR, true }, VIRTIO_BLK_S_UNSUPP },
	};
	struct fixture *f = *state;

	new_device(f, (struct blk_config){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t status = request(f, cases[i].type, cases[i].sector, cases[i].data);

		if (status != cases[i].status)
			fail_msg("case %zu: status %u", i, status);
	}
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, SECTORS, 1, 0), 1);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0), 1);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 0, 0, 0), 1);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, UINT64_MAX, UINT32_MAX, 0), 1);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0), 1);
	check_read(f, 0, SECTORS); /* none of them has done anything */
}

/* Requests without room for an answer: the device wants a reset, and gets it. */
static void test_unanswerable_requests(void **state)
{
	static const struct piece cases[][3] = {
		{ { HEADERS, 15, false }, { STATUSES, 1, true } },
		{ { HEADERS, 16, false } },
		{ { HEADERS, 16, false }, { DATA, SECTOR, false } },
		{ { DATA, SECTOR, true } },
		{ { HEADERS, 16, false }, { MEM, SECTOR, true }, { STATUSES, 1, true } },
	};
	struct fixture *f = *state;

	new_device(f, (struct blk_config){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned n = 0, config_irqs = f->nr_config_irqs;

		while (n < 3 && cases[i][n].len)
			n++;
		put_header(f, HEADERS, VIRTIO_BLK_T_IN, 0);
		ring_offer(&f->rings[0], chain(f, 0, cases[i], n));
		kick(f, 0);
		assert_true(f->blk->vdev.broken);
		assert_int_equal(f->nr_config_irqs, config_irqs + 1);
		quiesce(f, true);
		assert_int_equal(ring_used_idx(&f->rings[0]), 1 - (i == 0));
		atomic_store(&f->blk->vdev.broken, false);
		f->next_desc = 0;
		start_device(f);
		check_read(f, 3, 1);
	}
}

static void test_features_not_negotiated(void **state)
{
	struct fixture *f = *state;

	new_device(f, (struct blk_config){ 0 });
	f->blk->vdev.features = 1ULL << VIRTIO_F_VERSION_1;
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(write_byte(f, 0, 1), VIRTIO_BLK_S_OK); /* write-through */
}

/* --- configuration ------------------------------------------------------------- */

static void test_configuration(void **state)
{
	struct fixture *f = *state;
	const struct virtio_class *cls;
	struct virtio_blk_config c = { 0 };
	uint8_t off = 0;

	new_device(f, (struct blk_config){ .queues = 2 });
	cls = f->blk->vdev.cls;
	assert_int_equal(cls->config_bytes, 60);
	cls->config_read(&f->blk->vdev, 0, &c, cls->config_bytes);
	assert_int_equal(c.capacity, SECTORS);
	assert_int_equal(c.seg_max, QSIZE - 2);
	assert_int_equal(c.blk_size, 512);
	assert_int_equal(c.physical_block_exp, 3);
	assert_int_equal(c.num_queues, 2);
	assert_int_equal(c.wce, 1);
	cls->config_write(&f->blk->vdev, 0, &c, 8); /* read-only: nothing happens */
	cls->config_write(&f->blk->vdev, offsetof(struct virtio_blk_config, wce), &off, 1);
	cls->config_read(&f->blk->vdev, 0, &c, cls->config_bytes);
	assert_int_equal(c.wce, 0);
	assert_int_equal(write_byte(f, 0, 1), VIRTIO_BLK_S_OK);
	cls->reset(&f->blk->vdev);
	cls->config_read(&f->blk->vdev, 0, &c, cls->config_bytes);
	assert_int_equal(c.wce, 1);
}

static void test_offered_features(void **state)
{
	struct fixture *f = *state;
	const uint64_t discard = 1ULL << VIRTIO_BLK_F_DISCARD | 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
	const uint64_t ro = 1ULL << VIRTIO_BLK_F_RO, mq = 1ULL << VIRTIO_BLK_F_MQ;

	new_device(f, (struct blk_config){ .readonly = true });
	assert_int_equal(f->blk->vdev.offered & (discard | ro | mq), ro);
	free_device(f);
	new_device(f, (struct blk_config){ .queues = 2 });
	assert_int_equal(f->blk->vdev.offered & (discard | ro | mq), discard | mq);
}

static void test_readonly(void **state)
{
	struct fixture *f = *state;

	new_device(f, (struct blk_config){ .readonly = true });
	f->blk->vdev.features = ~0ULL; /* a driver that does not care what was offered */
	assert_int_equal(write_byte(f, 3, 9), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 3, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 3, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, (struct piece){ 0 }), VIRTIO_BLK_S_OK);
	check_read(f, 0, SECTORS);
}

static void test_bad_configurations(void **state)
{
	static const struct blk_config cases[] = {
		{ .queues = BLK_MAX_QUEUES + 1 },
		{ .queue_size = 3 },
		{ .queue_size = 2 },
		{ .queue_size = 2048 },
		{ .serial = "012345678901234567890" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct blk_config cfg = cases[i];
		struct err e = { 0 };

		cfg.id = "disk0";
		cfg.path = f->disk.path;
		assert_int_equal(blk_check(&cfg, &e), -EINVAL);
		assert_int_equal(blk_dev_new(&f->vm, &cfg, &f->blk, &e), -EINVAL);
		assert_memory_equal(e.text, "disk0: ", 7);
	}
}

/* --- many at once --------------------------------------------------------------- */

#define DEPTH (QSIZE / 3)

static void offer_reads(struct fixture *f, unsigned queue, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)offer(f, queue, VIRTIO_BLK_T_IN, i,
			    (struct piece){ PER_QUEUE(DATA, queue) + i * 4096ULL, SECTOR, true });
}

static void check_reads(struct fixture *f, unsigned queue, unsigned n)
{
	uint8_t buf[SECTOR];

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(status_of(f, queue, take_used(f, queue).id), VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < n; i++) {
		get(f, PER_QUEUE(DATA, queue) + i * 4096ULL, buf, SECTOR);
		assert_true(tmpdisk_is_fresh(buf, i));
	}
}

static void test_batch(void **state)
{
	struct fixture *f = *state;
	struct blk_stats stats;

	new_device(f, (struct blk_config){ 0 });
	for (unsigned round = 0; round < 10; round++) {
		offer_reads(f, 0, DEPTH);
		kick(f, 0);
		check_reads(f, 0, DEPTH);
	}
	blk_get_stats(&f->blk->vdev, &stats);
	assert_int_equal(stats.ops[BLOCK_READ], 10 * DEPTH);
	assert_int_equal(stats.bytes[BLOCK_READ], 10 * DEPTH * SECTOR);
	assert_int_equal(stats.errors[BLOCK_READ], 0);
	assert_true(stats.latency_ns[BLOCK_READ] > 0);
	assert_int_equal(stats.in_flight, 0);
	/* Page cache or not, they do not all come one by one. */
	assert_true(f->nr_irqs < 10 * DEPTH);
}

static void test_two_queues(void **state)
{
	struct fixture *f = *state;

	new_device(f, (struct blk_config){ .queues = 2 });
	for (unsigned round = 0; round < 10; round++) {
		f->next_desc = 0;
		offer_reads(f, 0, DEPTH);
		f->next_desc = 0;
		offer_reads(f, 1, DEPTH);
		kick(f, 0);
		kick(f, 1);
		check_reads(f, 0, DEPTH);
		check_reads(f, 1, DEPTH);
	}
}

/* A chain that is offered again and again finds all slots taken, and waits. */
static void test_more_than_there_are_slots(void **state)
{
	struct fixture *f = *state;
	uint16_t head;

	new_device(f, (struct blk_config){ 0 });
	head = offer(f, 0, VIRTIO_BLK_T_IN, 0, (struct piece){ DATA, SECTOR, true });
	for (unsigned i = 1; i < QSIZE; i++)
		ring_offer(&f->rings[0], head);
	kick(f, 0);
	for (unsigned i = 0; i < QSIZE; i++)
		assert_int_equal(take_used(f, 0).id, head);
}

static void test_reset_in_flight(void **state)
{
	struct fixture *f = *state;
	uint16_t used;

	new_device(f, (struct blk_config){ 0 });
	for (unsigned round = 0; round < 20; round++) {
		offer_reads(f, 0, DEPTH);
		kick(f, 0);
		quiesce(f, true);
		used = ring_used_idx(&f->rings[0]);
		assert_int_equal(f->blk->queues[0].nr_free, QSIZE);
		assert_true(used <= DEPTH);
		f->next_desc = 0;
		start_device(f);
		assert_int_equal(ring_used_idx(&f->rings[0]), 0);
	}
	check_read(f, 3, 1);
}

static void test_pause_in_flight(void **state)
{
	struct fixture *f = *state;

	new_device(f, (struct blk_config){ 0 });
	for (unsigned round = 0; round < 20; round++) {
		offer_reads(f, 0, DEPTH);
		kick(f, 0);
		quiesce(f, false);
		/* Everything that was taken has been given back. */
		assert_int_equal(ring_used_idx(&f->rings[0]), (round + 1) * DEPTH);
		kick(f, 0);
		check_reads(f, 0, DEPTH);
	}
}

static void test_limits(void **state)
{
	static const struct blk_config limits[] = {
		{ .iops = 500, .burst_ms = 2 },
		{ .bps = 500 * SECTOR, .burst_ms = 2 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		uint64_t start = clock_now_ns();
		struct blk_stats stats;

		f->next_desc = 0;
		new_device(f, limits[i]);
		offer_reads(f, 0, DEPTH);
		kick(f, 0);
		check_reads(f, 0, DEPTH);
		/* One at once, the others each 2 ms later. */
		assert_true(clock_now_ns() - start >= (DEPTH - 2) * 2 * NSEC_PER_MSEC);
		blk_get_stats(&f->blk->vdev, &stats);
		assert_true(stats.throttled > 0);
		/* A reset does not wait for the limit. */
		offer_reads(f, 0, DEPTH);
		kick(f, 0);
		quiesce(f, true);
		free_device(f);
	}
}

/* --- failures of the storage ------------------------------------------------------ */

static void test_truncated_image(void **state)
{
	struct fixture *f = *state;
	struct blk_stats stats;

	new_device(f, (struct blk_config){ 0 });
	assert_int_equal(truncate(f->disk.path, DISK / 2), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS - 1,
					 (struct piece){ DATA, SECTOR, true }),
				 VIRTIO_BLK_S_IOERR);
	blk_get_stats(&f->blk->vdev, &stats);
	assert_int_equal(stats.errors[BLOCK_READ], 20);
	assert_false(f->blk->vdev.broken);
	check_read(f, 0, SECTORS / 2);
}

static void test_full_disk(void **state)
{
	struct fixture *f = *state;
	struct tmpdisk small;
	uint8_t status = VIRTIO_BLK_S_OK;
	unsigned n = 0;

	if (!tmpdisk_new_small(&small, DISK, 32 * KIB))
		skip();
	tmpdisk_free(&f->disk);
	f->disk = small;
	new_device(f, (struct blk_config){ 0 });
	for (; status == VIRTIO_BLK_S_OK && n < SECTORS; n += 8)
		status = write_byte(f, n, 1);
	assert_int_equal(status, VIRTIO_BLK_S_IOERR);
	assert_in_range(n, 8, 80);
	assert_int_equal(write_byte(f, 0, 2), VIRTIO_BLK_S_OK); /* has its place */
}

#define BLK_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLK_TEST(test_read_and_write),
		BLK_TEST(test_read_framings),
		BLK_TEST(test_write_framings),
		BLK_TEST(test_get_id),
		BLK_TEST(test_discard_and_write_zeroes),
		BLK_TEST(test_malformed_requests),
		BLK_TEST(test_unanswerable_requests),
		BLK_TEST(test_features_not_negotiated),
		BLK_TEST(test_configuration),
		BLK_TEST(test_offered_features),
		BLK_TEST(test_readonly),
		BLK_TEST(test_bad_configurations),
		BLK_TEST(test_batch),
		BLK_TEST(test_two_queues),
		BLK_TEST(test_more_than_there_are_slots),
		BLK_TEST(test_reset_in_flight),
		BLK_TEST(test_pause_in_flight),
		BLK_TEST(test_limits),
		BLK_TEST(test_truncated_image),
		BLK_TEST(test_full_disk),
	};

	return cmocka_run_group_tests_name("blk", tests, NULL, NULL);
}
