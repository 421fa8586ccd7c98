/* SPDX-License-Identifier: MIT */
/* A virtio-blk device on a temporary image, and a driver for it, for tests. */
#ifndef FERRY_TESTS_UNIT_BLKDEV_H
#define FERRY_TESTS_UNIT_BLKDEV_H

#include <semaphore.h>
#include <stdatomic.h>

#include "tests/unit/ring.h"
#include "tests/unit/tmpdisk.h"
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

struct blkdev {
	struct tmpdisk disk;
	struct vm vm;
	struct blk *blk;
	struct ring rings[2];
	unsigned next_desc;
	sem_t irq;
	_Atomic unsigned nr_irqs, nr_config_irqs;
};

struct piece {
	gpa_t gpa;
	uint32_t len;
	bool in; /* the device writes it */
};

/* Set-up and teardown of a cmocka test: memory and an image, no device yet. */
int blkdev_setup(void **state);
int blkdev_teardown(void **state);

/* Make the device with all its features negotiated, and start its queues. */
void blkdev_new(struct blkdev *f, struct blk_config cfg);
void blkdev_free(struct blkdev *f);

/* Empty rings, running queues: after blkdev_quiesce(). */
void blkdev_start(struct blkdev *f);
/* Queue 0: pause, or with @cancel as if reset. */
void blkdev_quiesce(struct blkdev *f, bool cancel);

void blkdev_kick(struct blkdev *f, unsigned queue);
/* Wait for the next used element. */
struct ring_used blkdev_take_used(struct blkdev *f, unsigned queue);

/* Guest memory. */
void blkdev_put(struct blkdev *f, gpa_t gpa, const void *data, size_t len);
void blkdev_get(struct blkdev *f, gpa_t gpa, void *data, size_t len);
void blkdev_put_header(struct blkdev *f, gpa_t gpa, uint32_t type, uint64_t sector);

/* Describe a chain in the next free descriptors of a queue; its head. */
uint16_t blkdev_chain(struct blkdev *f, unsigned queue, const struct piece *p, unsigned n);

/* Offer an ordinary request: header, data, status; see blkdev_status(). Its head. */
uint16_t blkdev_offer(struct blkdev *f, unsigned queue, uint32_t type, uint64_t sector,
		      struct piece data);
uint8_t blkdev_status(struct blkdev *f, unsigned queue, unsigned head);

/* Offer, kick, wait: the status. On queue 0. */
uint8_t blkdev_request(struct blkdev *f, uint32_t type, uint64_t sector, struct piece data);
/* Fill a sector with @value. */
uint8_t blkdev_write_byte(struct blkdev *f, uint64_t sector, uint8_t value);
/* Read sectors that must be as tmpdisk_new() made them. */
void blkdev_check_read(struct blkdev *f, uint64_t sector, unsigned count);

#endif
