// SPDX-License-Identifier: MIT
// virtio-blk: the device, its configuration, how it is made and freed.
#include "virtio/blk.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "virtio/blk_impl.h"

#define BIT(n)       (1ULL << (n))
#define AUTO_QUEUES  4U
#define CONFIG_BYTES offsetof(struct virtio_blk_config, max_secure_erase_sectors)

/* --- the class's operations ------------------------------------------------ */

static void config_read(struct virtio_dev *dev, unsigned offset, void *data, unsigned len)
{
	struct blk *blk = to_blk(dev);
	struct virtio_blk_config config = blk->config;

	config.wce = atomic_load_explicit(&blk->state.writeback, memory_order_relaxed);
	memcpy(data, (const uint8_t *)&config + offset, len);
}

/* 5.2.5: writeback is the one field that a driver may write. */
static void config_write(struct virtio_dev *dev, unsigned offset, const void *data, unsigned len)
{
	const unsigned wce = offsetof(struct virtio_blk_config, wce);
	uint8_t value;

	if (!virtio_has(dev, VIRTIO_BLK_F_CONFIG_WCE) || wce < offset || wce - offset >= len)
		return;
	value = ((const uint8_t *)data)[wce - offset];
	atomic_store_explicit(&to_blk(dev)->state.writeback, value & 1, memory_order_relaxed);
}

static void start(struct virtio_dev *dev)
{
	(void)dev;
}

static void reset(struct virtio_dev *dev)
{
	atomic_store_explicit(&to_blk(dev)->state.writeback, 1, memory_order_relaxed);
}

static void free_dev(struct virtio_dev *dev)
{
	struct blk *blk = to_blk(dev);

	for (unsigned i = 0; i < blk->nr_queues; i++)
		blk_queue_fini(&blk->queues[i]);
	virtio_dev_fini(dev);
	block_free(blk->block);
	free(blk);
}

static const struct virtio_class blk_class = {
	.type = "virtio-blk",
	.device_id = VIRTIO_ID_BLOCK,
	.pci_class = 0x01, /* mass storage, other */
	.pci_subclass = 0x80,
	.config_bytes = CONFIG_BYTES,
	.config_read = config_read,
	.config_write = config_write,
	.start = start,
	.reset = reset,
	.run = blk_queue_run,
	.quiesce = blk_queue_quiesce,
	.can_save = blk_can_save,
	.save = blk_save,
	.load = blk_load,
	.free = free_dev,
};

/* --- what it offers (5.2.3, 5.2.4) ----------------------------------------- */

static uint64_t features(const struct blk *blk)
{
	uint64_t f = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
		     BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_FLUSH) |
		     BIT(VIRTIO_BLK_F_CONFIG_WCE);

	if (blk->block->readonly)
		f |= BIT(VIRTIO_BLK_F_RO);
	else if (blk->block->can_discard)
		f |= BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	if (blk->nr_queues > 1)
		f |= BIT(VIRTIO_BLK_F_MQ);
	return f;
}

/*
 * Logical blocks are always sectors of 512 bytes, whatever the host's storage
 * prefers: an image keeps its meaning when it moves.
 */
static void fill_config(struct blk *blk, uint16_t queue_size)
{
	const struct block *b = blk->block;
	uint32_t max_discard = (uint32_t)(b->max_discard_bytes / BLOCK_SECTOR_BYTES);

	blk->config = (struct virtio_blk_config){
		.capacity = htole64(b->bytes / BLOCK_SECTOR_BYTES),
		.seg_max = htole32(queue_size - 2U), /* header and status */
		.blk_size = htole32((uint32_t)BLOCK_SECTOR_BYTES),
		.physical_block_exp = (uint8_t)__builtin_ctz(b->physical_bytes / 512),
		.min_io_size = htole16((uint16_t)(b->physical_bytes / 512)),
		.num_queues = htole16((uint16_t)blk->nr_queues),
		.max_discard_sectors = htole32(max_discard),
		.max_discard_seg = htole32(1),
		.discard_sector_alignment = htole32(b->discard_bytes / 512),
		.max_write_zeroes_sectors = htole32(max_discard),
		.max_write_zeroes_seg = htole32(1),
		.write_zeroes_may_unmap = 1,
	};
}

/* --- making it ------------------------------------------------------------- */

static int check_config(const struct blk_config *cfg, struct err *e)
{
	uint16_t size = cfg->queue_size;
	const char *serial = cfg->serial ? cfg->serial : "";

	if (cfg->queues > BLK_MAX_QUEUES)
		return err_set(e, -EINVAL, "%s: queues: at most %u", cfg->id, BLK_MAX_QUEUES);
	if (size && (size < BLK_MIN_QUEUE_SIZE || size > VQ_MAX_SIZE || (size & (size - 1))))
		return err_set(e, -EINVAL, "%s: queue_size: a power of two from %u to %u", cfg->id,
			       BLK_MIN_QUEUE_SIZE, VQ_MAX_SIZE);
	if (strlen(serial) > BLK_SERIAL_BYTES)
		return err_set(e, -EINVAL, "%s: serial: at most %u characters", cfg->id,
			       BLK_SERIAL_BYTES);
	return 0;
}

static int open_image(const struct blk_config *cfg, struct block **ret, struct err *e)
{
	const struct block_image_config image = {
		.path = cfg->path,
		.readonly = cfg->readonly,
		.overlay = cfg->overlay,
		.incoming = cfg->incoming,
		.direct = cfg->direct,
		.overlay_bytes = cfg->overlay_bytes,
		.given = cfg->given,
	};
	int rc = block_image_new(ret, &image, e);

	if (rc < 0)
		(void)err_prefix(e, "%s", cfg->id);
	return rc;
}

/* Threads cannot take the place of io_uring on a loop that has a ring. */
static bool shares_loops(const struct blk_config *cfg)
{
	return cfg->nr_loops > 0 && cfg->engine != BLK_ENGINE_THREADS;
}

/* The loop of queue number @i: one of those that are shared, or its own. */
static int make_loop(const struct blk_config *cfg, unsigned i, struct loop **ret, struct err *e)
{
	int rc = 0;

	if (shares_loops(cfg))
		*ret = cfg->loops[i % cfg->nr_loops];
	else
		rc = loop_new(ret, cfg->engine == BLK_ENGINE_THREADS ? LOOP_NO_URING : 0);
	if (rc < 0)
		return err_set(e, rc, "%s: I/O thread: %s", cfg->id, strerror(-rc));
	if (loop_ring(*ret) || cfg->engine == BLK_ENGINE_THREADS)
		return 0;
	if (cfg->engine == BLK_ENGINE_URING)
		return err_set(e, -EOPNOTSUPP,
			       "%s: the host refuses io_uring: leave engine out to use threads",
			       cfg->id);
	return 0;
}

static int make_loops(struct blk *blk, const struct blk_config *cfg, struct err *e)
{
	for (unsigned i = 0; i < blk->nr_queues; i++) {
		int rc = make_loop(cfg, i, &blk->queues[i].loop, e);

		blk->queues[i].shares_loop = shares_loops(cfg);
		if (rc < 0)
			return rc;
	}
	if (cfg->engine == BLK_ENGINE_AUTO && !loop_ring(blk->queues[0].loop))
		log_warn("%s: the host refuses io_uring: using threads", cfg->id);
	return 0;
}

static int init_queues(struct blk *blk, const struct blk_config *cfg, struct err *e)
{
	for (unsigned i = 0; i < blk->nr_queues; i++) {
		int rc = blk_queue_init(&blk->queues[i], blk, &blk->vdev.queues[i]);

		if (rc < 0)
			return err_set(e, rc, "%s: queue %u: %s", cfg->id, i, strerror(-rc));
	}
	return 0;
}

static uint64_t burst_ns(unsigned burst_ms)
{
	return (burst_ms ? burst_ms : BLK_DEFAULT_BURST_MS) * NSEC_PER_MSEC;
}

static void set_up(struct blk *blk, const struct blk_config *cfg, uint16_t queue_size)
{
	const char *serial = cfg->serial ? cfg->serial : cfg->id;

	memcpy(blk->serial, serial, MIN(strlen(serial), BLK_SERIAL_BYTES));
	token_bucket_init(&blk->iops, cfg->iops, burst_ns(cfg->burst_ms));
	token_bucket_init(&blk->bps, cfg->bps, burst_ns(cfg->burst_ms));
	fill_config(blk, queue_size);
	blk->vdev.offered = features(blk);
	reset(&blk->vdev);
}

int blk_dev_new(struct vm *vm, const struct blk_config *cfg, struct blk **ret, struct err *e)
{
	unsigned nr = cfg->queues ? cfg->queues : MIN(vm->nr_vcpus, AUTO_QUEUES);
	uint16_t size = cfg->queue_size ? cfg->queue_size : BLK_DEFAULT_QUEUE_SIZE;
	struct blk *blk;
	int rc;

	rc = check_config(cfg, e);
	if (rc < 0)
		return rc;
	blk = calloc(1, sizeof(*blk) + nr * sizeof(blk->queues[0]));
	if (!blk)
		return err_set(e, -ENOMEM, "%s: %s", cfg->id, strerror(ENOMEM));
	blk->nr_queues = nr;
	rc = open_image(cfg, &blk->block, e);
	if (rc < 0)
		goto err_free;
	rc = make_loops(blk, cfg, e);
	if (rc < 0)
		goto err_loops;
	rc = virtio_dev_init(&blk->vdev, vm, &blk_class, cfg->id,
			     &(struct virtio_layout){ .nr_queues = nr,
						      .queue_size = size,
						      .loop = blk->queues[0].loop });
	if (rc < 0) {
		(void)err_set(e, rc, "%s: %s", cfg->id, strerror(-rc));
		goto err_loops;
	}
	set_up(blk, cfg, size);
	rc = init_queues(blk, cfg, e);
	if (rc < 0) {
		free_dev(&blk->vdev);
		return rc;
	}
	*ret = blk;
	return 0;

err_loops:
	for (unsigned i = 0; i < nr; i++) {
		if (!blk->queues[i].shares_loop)
			loop_free(blk->queues[i].loop);
	}
	block_free(blk->block);
err_free:
	free(blk);
	return rc;
}

int blk_new(struct vm *vm, struct pci_host *pci, const struct blk_config *cfg,
	    struct virtio_dev **ret, struct err *e)
{
	struct blk *blk = NULL;
	int rc = blk_dev_new(vm, cfg, &blk, e);

	if (rc < 0)
		return rc;
	rc = virtio_pci_attach(&blk->vdev, pci, cfg->slot);
	if (rc < 0) {
		free_dev(&blk->vdev);
		return err_set(e, rc, "%s: no place on the PCI bus: %s", cfg->id,
			       rc == -ENOSPC ? "no slot is free" : strerror(-rc));
	}
	*ret = &blk->vdev;
	return 0;
}

int blk_check(const struct blk_config *cfg, struct err *e)
{
	struct block *block;
	int rc = check_config(cfg, e);

	if (rc == 0)
		rc = open_image(cfg, &block, e);
	if (rc == 0)
		block_free(block);
	return rc;
}

/* --- hand-over ------------------------------------------------------------- */

int blk_take_lock(struct virtio_dev *dev, struct err *e)
{
	int rc = block_take_lock(to_blk(dev)->block, e);

	return rc < 0 ? err_prefix(e, "%s", dev->device.id) : 0;
}

int blk_release_lock(struct virtio_dev *dev, struct err *e)
{
	int rc = block_release_lock(to_blk(dev)->block, e);

	return rc < 0 ? err_prefix(e, "%s", dev->device.id) : 0;
}

/* --- changes while the guest runs --------------------------------------------- */

void blk_set_limits(struct virtio_dev *dev, const struct blk_limits *limits)
{
	struct blk *blk = to_blk(dev);
	uint64_t now_ns = clock_now_ns();

	token_bucket_set_burst(&blk->iops, burst_ns(limits->burst_ms));
	token_bucket_set_burst(&blk->bps, burst_ns(limits->burst_ms));
	token_bucket_set_rate(&blk->iops, limits->iops, now_ns);
	token_bucket_set_rate(&blk->bps, limits->bps, now_ns);
}

int blk_resize(struct virtio_dev *dev, uint64_t bytes, struct err *e)
{
	struct blk *blk = to_blk(dev);
	uint64_t before = blk->block->bytes;
	int rc = block_resize(blk->block, bytes, e);

	if (rc < 0)
		return err_prefix(e, "%s", dev->device.id);
	if (blk->block->bytes == before)
		return 0;
	blk->config.capacity = htole64(blk->block->bytes / BLOCK_SECTOR_BYTES);
	virtio_config_changed(dev);
	return 0;
}

/* --- what it tells --------------------------------------------------------- */

static void add_counters(struct blk_stats *sum, const struct blk_counters *c)
{
	for (unsigned op = 0; op < BLOCK_OP_MAX; op++) {
		sum->ops[op] += counter_get(&c->ops[op]);
		sum->bytes[op] += counter_get(&c->bytes[op]);
		sum->errors[op] += counter_get(&c->errors[op]);
		sum->latency_ns[op] += counter_get(&c->latency_ns[op]);
		for (unsigned i = 0; i < COUNTER_BUCKETS; i++)
			sum->latency[op][i] += counter_get(&c->latency[op][i]);
	}
	sum->in_flight += counter_get(&c->in_flight);
	sum->throttled += counter_get(&c->throttled);
}

void blk_get_stats(struct virtio_dev *dev, struct blk_stats *ret)
{
	const struct blk *blk = to_blk(dev);

	*ret = (struct blk_stats){ 0 };
	for (unsigned i = 0; i < blk->nr_queues; i++)
		add_counters(ret, &blk->queues[i].counters);
}

void blk_get_queue_stats(struct virtio_dev *dev, unsigned queue, struct blk_stats *ret)
{
	*ret = (struct blk_stats){ 0 };
	add_counters(ret, &to_blk(dev)->queues[queue].counters);
}

unsigned blk_nr_queues(struct virtio_dev *dev)
{
	return to_blk(dev)->nr_queues;
}

uint64_t blk_capacity_bytes(struct virtio_dev *dev)
{
	return to_blk(dev)->block->bytes;
}

bool blk_is_direct(struct virtio_dev *dev)
{
	return to_blk(dev)->block->direct;
}

bool blk_is_readonly(struct virtio_dev *dev)
{
	return to_blk(dev)->block->readonly;
}

void blk_describe(struct virtio_dev *dev, char *buf, size_t len)
{
	const struct blk *blk = to_blk(dev);

	(void)snprintf(buf, len, "%s, %s, %s, %u queue%s", blk->block->ops->name,
		       loop_ring(blk->queues[0].loop) ? "io_uring" : "threads",
		       blk->block->direct ? "direct" : "cached", blk->nr_queues,
		       blk->nr_queues == 1 ? "" : "s");
}
