/* SPDX-License-Identifier: MIT */
/* virtio-blk driver (VIRTIO 1.2, section 5.2). */
#ifndef GUEST_BLK_H
#define GUEST_BLK_H

#include "guest.h"
#include "virtio.h"

#define SECTOR_BYTES   512u
#define BLK_MAX_QUEUES 16
#define BLK_MAX_SEGS   (VIRTQ_MAX_SEGS - 2) /* data segments beside header and status */
#define BLK_ID_BYTES   20

enum { /* 5.2.3 */
       BLK_F_SIZE_MAX = 1,
       BLK_F_SEG_MAX = 2,
       BLK_F_RO = 5,
       BLK_F_BLK_SIZE = 6,
       BLK_F_FLUSH = 9,
       BLK_F_TOPOLOGY = 10,
       BLK_F_MQ = 12,
       BLK_F_DISCARD = 13,
       BLK_F_WRITE_ZEROES = 14,
};

enum blk_type { /* 5.2.6 */
		BLK_IN = 0,
		BLK_OUT = 1,
		BLK_FLUSH = 4,
		BLK_GET_ID = 8,
		BLK_DISCARD = 11,
		BLK_WRITE_ZEROES = 13,
};

enum blk_status { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPP = 2, BLK_NO_STATUS = 0xff };

struct blk_config {        /* 5.2.4 */
	uint64_t capacity; /* sectors */
	uint32_t size_max;
	uint32_t seg_max;
	uint8_t geometry[4];
	uint32_t blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors;
	uint32_t max_discard_seg;
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
} __attribute__((packed));

struct blk_range { /* data of DISCARD and WRITE_ZEROES */
	uint64_t sector;
	uint32_t sectors;
	uint32_t unmap;
};

struct blk_req {
	struct { /* what the device reads first */
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} header;
	uint8_t status; /* what it writes last */
	bool in_flight;
	uint16_t queue;
	struct blk_range range;
	void *data;
	uint32_t bytes;      /* of data; not of DISCARD and WRITE_ZEROES */
	uint32_t generation; /* of a write: for the verifier */
	uint64_t start_tsc;
};

struct blk {
	struct virtio_dev dev;
	struct virtio_queue queues[BLK_MAX_QUEUES];
	unsigned int nr_queues;
	unsigned int segs; /* into how many buffers data is split */
	uint16_t queue_size;
	uint64_t wanted;
	enum virtio_irq_mode irq_mode;
	struct blk_config config;
};

/* Finds disk `disk=` and brings it up as the parameters ask. */
void blk_open(struct blk *blk);

/* Resets the device and brings it up again. What was in flight is dropped: in_flight stays set. */
void blk_restart(struct blk *blk);

/* The same by resetting each queue; RING_RESET has been negotiated. */
void blk_restart_queues(struct blk *blk);

/* Fills in a request: of @sectors from @sector on; data has room for them, if the type has data. */
void blk_prepare(struct blk_req *req, enum blk_type type, uint64_t sector, uint32_t sectors);

/* Adds a prepared request to a queue; false if that is full. Needs blk_kick(). */
bool blk_submit(struct blk *blk, struct blk_req *req, unsigned int queue);
void blk_kick(struct blk *blk);

/* One finished request, NULL if there is none now. */
struct blk_req *blk_reap(struct blk *blk);

/* Submits on queue 0 and waits; nothing else is in flight. */
enum blk_status blk_do(struct blk *blk, struct blk_req *req);

/* Sleeps, if the guest uses interrupts, until something is finished or @until_ns. */
void blk_wait(struct blk *blk, uint64_t until_ns);

#endif
