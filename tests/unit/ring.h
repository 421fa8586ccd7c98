/* SPDX-License-Identifier: MIT */
/* The driver's side of a split virtqueue, for tests of what is on the other side. */
#ifndef FERRY_TESTS_UNIT_RING_H
#define FERRY_TESTS_UNIT_RING_H

#include "virtio/queue.h"

#define RING_NEXT     1U
#define RING_WRITE    2U
#define RING_INDIRECT 4U

/* Room that a ring of @size takes in guest memory. */
#define RING_BYTES(size) ((size)*16UL + ALIGN_UP(6UL + 2UL * (size), 4096) + 6UL + 8UL * (size))

struct ring {
	struct gmem *gm;
	gpa_t desc, avail, used;
	uint16_t size;
	uint16_t avail_idx; /* next entry to make available */
	uint16_t used_seen; /* next used element to look at */
};

struct ring_used {
	uint32_t id, len;
};

struct ring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* Lay out an empty ring of @size entries at @base (page-aligned) of @gm. */
void ring_init(struct ring *r, struct gmem *gm, gpa_t base, uint16_t size);

/* Tell @q where the ring is, and start it; 0 or vq_start()'s error. */
int ring_start_vq(const struct ring *r, struct vq *q);

/* Write one descriptor of the table at @table (r->desc, or an indirect one). */
void ring_put_desc(const struct ring *r, gpa_t table, unsigned i, struct ring_desc d);

/* Offer the chain at @head: ring entry, then index. */
void ring_offer(struct ring *r, uint16_t head);

/* Write the available index as it is given, right or wrong. */
void ring_set_avail_idx(const struct ring *r, uint16_t idx);

/* Fields that the two sides exchange. */
void ring_set_avail_flags(const struct ring *r, uint16_t flags);
void ring_set_used_event(const struct ring *r, uint16_t event);
uint16_t ring_used_idx(const struct ring *r);
uint16_t ring_used_flags(const struct ring *r);
uint16_t ring_avail_event(const struct ring *r);

/* Take the next used element; false where there is none. */
bool ring_take_used(struct ring *r, struct ring_used *ret);

#endif
