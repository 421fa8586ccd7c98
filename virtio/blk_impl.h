/* SPDX-License-Identifier: MIT */
/* Inside virtio-blk: what its files share. */
#ifndef FERRY_VIRTIO_BLK_IMPL_H
#define FERRY_VIRTIO_BLK_IMPL_H

#include <linux/virtio_blk.h>
#include <stdatomic.h>

#include "util/token_bucket.h"
#include "virtio/blk.h"

/* What is saved of the device, besides its queues. */
struct blk_state {
	_Atomic uint8_t writeback; /* 5.2.4, wce: writes may stay in a cache until a flush;
				    * relaxed: the driver orders it against its requests */
};

/* What a moment of it looks like in saved state. */
struct blk_saved {
	uint64_t bytes; /* of the disk */
	/* Tokens that the limits' buckets lack. */
	uint64_t iops_missing, bps_missing;
	uint8_t writeback;
	bool overlay; /* its parts follow */
};

/* Written by the queue's loop alone, read by anyone, relaxed. */
struct blk_counters {
	_Atomic uint64_t ops[BLOCK_OP_MAX], bytes[BLOCK_OP_MAX], errors[BLOCK_OP_MAX];
	_Atomic uint64_t latency_ns[BLOCK_OP_MAX];
	_Atomic uint64_t latency[BLOCK_OP_MAX][COUNTER_BUCKETS];
	_Atomic uint64_t in_flight, throttled;
};

struct blk;
struct blk_queue;

/*
 * Buffers may overlap, so the guest's memory does not bound what a request asks for. No
 * driver comes near this; more is refused.
 */
#define BLK_MAX_DATA_BYTES (32 * MIB)

/*
 * Data under way of one queue, from which on no more is taken from the ring: a pause waits
 * for it, and with the pause the control socket.
 */
#define BLK_BUSY_BYTES (64 * MIB)

/* One request of the guest, from the ring and back to it. */
struct blk_slot {
	struct blk_slot *next_free;
	struct blk_queue *q; /* const */
	struct vq_chain chain;
	uint8_t *status;    /* in guest memory: the last byte that we may write */
	bool status_hidden; /* the last buffer is one byte shorter than it is */
	uint64_t start_ns;
	struct block_request rq;
	struct block_request run;        /* this one and those that continue it, as one */
	struct blk_slot *next_in_run;    /* NULL: none */
	struct block_request *submitted; /* what the back end has: rq or run; NULL: nothing */
};

/* Reads or writes that continue each other, held back while the queue is drained. */
struct blk_run {
	struct blk_slot *first, *last; /* first NULL: none */
	uint64_t bytes;
};

/*
 * Everything here belongs to the queue's loop. There is one slot for each entry
 * of the ring: a driver that keeps the rules never finds them used up, and one
 * that does not, has to wait.
 */
struct blk_queue {
	struct blk *blk; /* const */
	struct virtio_queue *vq;
	struct loop *loop;         /* const */
	bool shares_loop;          /* const: it is somebody else's, and runs */
	struct block_queue *block; /* const */
	struct blk_slot *slots;
	struct iovec *iovs; /* max_size for each slot */
	struct blk_slot *free;
	unsigned nr_slots, nr_free;
	uint64_t busy_bytes; /* that requests under way may have to move */

	bool active;              /* may take requests */
	bool dropping;            /* the driver does not want them back (reset) */
	unsigned filled;          /* used ring entries written but not published */
	unsigned look_out_misses; /* looked out for the next request in vain, in a row */
	unsigned look_out_rest;   /* so many more times, do not look out */
	struct blk_run run;
	struct loop_work batch_end;
	bool driver_sleeps;     /* it wanted an interrupt when asked last */
	unsigned settling;      /* not 0: settle is deferred, and kicks are not asked for */
	unsigned patient_turns; /* for so many more, ask for kicks at once */
	struct loop_work settle;
	struct loop_timer limit; /* armed: waits for its allowance */
	struct blk_counters counters;
};

struct blk {
	struct virtio_dev vdev;
	struct block *block;
	struct virtio_blk_config config; /* const, but for capacity and, see state, wce */
	uint8_t serial[BLK_SERIAL_BYTES];
	struct blk_state state;
	struct token_bucket iops, bps;
	struct log_limit io_log; /* failures of the host's storage */
	unsigned nr_queues;
	struct blk_queue queues[];
};

static inline struct blk *to_blk(struct virtio_dev *dev)
{
	return container_of(dev, struct blk, vdev);
}

/* --- blk_request.c --------------------------------------------------------- */

/* blk_request_parse(): neither a virtio status nor an error, but work to do. */
#define BLK_SUBMIT 256

/*
 * Check the request in @s->chain. BLK_SUBMIT: @s->rq says what to do; a virtio
 * status (5.2.6): it is finished, with that; -EPROTO: not even that can be
 * answered. Sets @s->status except in the last case.
 */
__must_check int blk_request_parse(struct blk_slot *s);

/* --- blk_queue.c ----------------------------------------------------------- */

/*
 * Give @q its slots, engine and loop thread; @vq is its ring. 0 or -errno, then
 * blk_queue_fini() is still needed.
 */
__must_check int blk_queue_init(struct blk_queue *q, struct blk *blk, struct virtio_queue *vq);
void blk_queue_fini(struct blk_queue *q);

/* struct virtio_class's run and quiesce. */
void blk_queue_run(struct virtio_queue *vq);
void blk_queue_quiesce(struct virtio_queue *vq, bool cancel);

/* --- blk_state.c ----------------------------------------------------------- */

/* struct virtio_class's. */
int blk_can_save(struct virtio_dev *dev, struct err *e);
void blk_save(struct virtio_dev *dev, struct vstate_writer *w);
int blk_load(struct virtio_dev *dev, struct vstate_reader *r, struct err *e);

/* --- blk_merge.c ----------------------------------------------------------- */

/*
 * Submit @s->rq to the back end, now or with those that continue it, by
 * blk_merge_submit() at the latest, which the caller calls before it returns to
 * the loop. @s->rq.done is called for each of them.
 */
void blk_merge_add(struct blk_slot *s);
void blk_merge_submit(struct blk_queue *q);

/* --- blk.c ----------------------------------------------------------------- */

/* The device without its transport; blk_free() is vdev.cls->free. 0 or -errno. */
__must_check int blk_dev_new(struct vm *vm, const struct blk_config *cfg, struct blk **ret,
			     struct err *e);

#endif
