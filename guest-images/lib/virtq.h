/* SPDX-License-Identifier: MIT */
/* Split virtqueue, driver side (VIRTIO 1.2, section 2.7). */
#ifndef GUEST_VIRTQ_H
#define GUEST_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>

#define VIRTQ_MAX_SEGS 8 /* buffers of one request */

/* One buffer of a request: guest-physical memory. */
struct virtq_seg {
	uint64_t addr;
	uint32_t len;
};

enum { /* 2.7.5, flags */
       VIRTQ_DESC_NEXT = 1,
       VIRTQ_DESC_WRITE = 2,
       VIRTQ_DESC_INDIRECT = 4,
};

struct virtq_desc { /* 2.7.5 */
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct virtq_avail { /* 2.7.6; used_event follows ring[size] */
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

struct virtq_used_elem {
	uint32_t id;
	uint32_t len;
};

struct virtq_used { /* 2.7.8; avail_event follows ring[size] */
	uint16_t flags;
	uint16_t idx;
	struct virtq_used_elem ring[];
};

struct virtq {
	uint16_t size;      /* entries, a power of two */
	uint16_t free_head; /* first free descriptor, linked by next */
	uint16_t nr_free;
	uint16_t avail_idx;  /* our next avail->idx; published by virtq_publish() */
	uint16_t kicked_idx; /* avail_idx at the last kick decision */
	uint16_t used_idx;   /* the first used entry not yet taken */
	bool event_idx;
	bool indirect;
	bool interrupts; /* wanted now */
	struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	struct virtq_desc *tables; /* indirect tables, VIRTQ_MAX_SEGS per head */
	void **tokens;             /* per head: the request in flight there, or NULL */
	const char *broken;        /* what the device did wrong, or NULL */
};

/* Allocates the rings for @size entries. Memory is never given back, so a queue is made once
 * and reused over device resets by virtq_reset(). */
void virtq_init(struct virtq *vq, uint16_t size);

/* Empties the queue: everything in flight is forgotten. Only while the device does not own it. */
void virtq_reset(struct virtq *vq, bool event_idx, bool indirect);

/* Makes a request of @out device-readable and then @in device-writable buffers available, without
 * telling the device. @token is returned by virtq_pop(). False if there is no room. */
bool virtq_add(struct virtq *vq, const struct virtq_seg *segs, unsigned int out, unsigned int in,
	       void *token);

/* Publishes what was added and says whether the device wants a notification (2.7.13). */
bool virtq_publish(struct virtq *vq);

/* Takes one finished request; NULL if there is none. @ret_len, if not NULL, is set to the number of
 * bytes that the device says it has written. Nonsense from the device sets vq->broken. */
void *virtq_pop(struct virtq *vq, uint32_t *ret_len);

/* Asks for interrupts, or for none. */
void virtq_set_interrupts(struct virtq *vq, bool on);

/* True if a finished request waits. After virtq_set_interrupts(vq, true) a false
 * answer means that an interrupt will come (2.7.7). */
bool virtq_pending(const struct virtq *vq);

#endif
