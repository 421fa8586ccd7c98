/* SPDX-License-Identifier: MIT */
/* virtio-blk: a disk image as a block device of the guest (VIRTIO 1.2, 5.2). */
#ifndef FERRY_VIRTIO_BLK_H
#define FERRY_VIRTIO_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "util/counter.h"
#include "util/err.h"
#include "virtio/block/block.h"
#include "virtio/virtio.h"

struct pci_host;

#define BLK_MAX_QUEUES         16U
#define BLK_DEFAULT_QUEUE_SIZE 256U
#define BLK_MIN_QUEUE_SIZE     4U /* header, data and status are three buffers */
#define BLK_SERIAL_BYTES       20U
#define BLK_DEFAULT_BURST_MS   100U

/* Who does the input and output. */
enum blk_engine {
	BLK_ENGINE_AUTO, /* io_uring, threads where the host refuses it */
	BLK_ENGINE_URING,
	BLK_ENGINE_THREADS,
};

/*
 * A disk. Zero means the default everywhere, so that a caller sets what it
 * knows. Nothing is kept of it, strings included, after blk_new().
 */
struct blk_config {
	const char *id;   /* "disk0": unique in the guest, names the threads */
	const char *path; /* raw image or block device */
	bool readonly;
	bool overlay;  /* writes go to a temporary file and vanish */
	bool incoming; /* its guest comes from elsewhere: no lock until blk_take_lock() */
	enum block_direct direct;
	enum blk_engine engine;
	unsigned queues;           /* at most BLK_MAX_QUEUES; 0: one per vCPU, at most 4 */
	uint16_t queue_size;       /* power of two, BLK_MIN_QUEUE_SIZE..VQ_MAX_SIZE */
	const char *serial;        /* at most BLK_SERIAL_BYTES; NULL: the id */
	uint64_t iops, bps;        /* limits of the whole disk per second; 0: none */
	unsigned burst_ms;         /* how much unused allowance may gather */
	uint64_t overlay_bytes;    /* of an overlay: its size; 0: the image's */
	unsigned slot;             /* PCI device number; 0: first free */
	struct block_given *given; /* the image, already open; NULL: @path is opened */
	/* Loops that run, for the queues to share; 0: each queue has one of its own. */
	struct loop *const *loops;
	unsigned nr_loops;
};

/*
 * Open the image, take its lock, make one loop per queue and put the device
 * on @pci. On success the machine owns it (*ret is for reference and may be
 * used until the machine frees it). 0, or -errno with the reason in @e.
 * Main thread.
 */
__must_check int blk_new(struct vm *vm, struct pci_host *pci, const struct blk_config *cfg,
			 struct virtio_dev **ret, struct err *e);

/*
 * Do what blk_new() would, but keep nothing: for --dry-run. A lock that
 * somebody else holds is reported, too.
 */
__must_check int blk_check(const struct blk_config *cfg, struct err *e);

/*
 * Hand-over of a disk between two processes, maybe on two hosts that share its
 * storage; the device is paused. The source releases, so that everything is on
 * stable storage, and then the destination takes; a source that is to go on
 * takes it back. Without the lock requests fail, so that must come before the
 * resume. Readers share theirs.
 *
 * Take: 0; -EBUSY: somebody has it (waits 0.3 s for that to change); -ESTALE: the
 * image has another size than when it was opened; another -errno. Release: 0, or
 * -errno, and the lock is still held. With the disk and the reason in @e. Held
 * already, or not: no-op. Any thread, one at a time.
 */
__must_check int blk_take_lock(struct virtio_dev *dev, struct err *e);
__must_check int blk_release_lock(struct virtio_dev *dev, struct err *e);

/* Limits as in struct blk_config. */
struct blk_limits {
	uint64_t iops, bps;
	unsigned burst_ms;
};

/* Other limits from now on; what is owed to the old ones stays owed. The device is paused. */
void blk_set_limits(struct virtio_dev *dev, const struct blk_limits *limits);

/*
 * As block_resize(); the driver is told of the new capacity by a configuration interrupt.
 * The device is paused, and vCPUs parked. 0, or -errno with the disk and the reason in @e.
 */
__must_check int blk_resize(struct virtio_dev *dev, uint64_t bytes, struct err *e);

/* Counters since the device was made, summed over its queues. */
struct blk_stats {
	uint64_t ops[BLOCK_OP_MAX];
	uint64_t bytes[BLOCK_OP_MAX];
	uint64_t errors[BLOCK_OP_MAX];
	uint64_t latency_ns[BLOCK_OP_MAX];               /* sum over ops */
	uint64_t latency[BLOCK_OP_MAX][COUNTER_BUCKETS]; /* ops, by how long they took */
	uint64_t in_flight;
	uint64_t throttled; /* how often a queue waited for its limit */
};

/* Read the counters; each is exact, but not all of one moment. Any thread. */
void blk_get_stats(struct virtio_dev *dev, struct blk_stats *ret);

/* The same of one queue; how many there are. Any thread. */
void blk_get_queue_stats(struct virtio_dev *dev, unsigned queue, struct blk_stats *ret);
unsigned blk_nr_queues(struct virtio_dev *dev);

/* The disk's size as the guest sees it. */
uint64_t blk_capacity_bytes(struct virtio_dev *dev);

/* Does it bypass the host's page cache? Are writes refused? */
bool blk_is_direct(struct virtio_dev *dev);
bool blk_is_readonly(struct virtio_dev *dev);

/* What became of the choices left to ferry, for people: "io_uring, direct". */
void blk_describe(struct virtio_dev *dev, char *buf, size_t len);

#endif
