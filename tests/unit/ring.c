// SPDX-License-Identifier: MIT
// The driver's side of a split virtqueue (VIRTIO 1.2, 2.7), written from the specification.
#include "tests/unit/ring.h"

#include <assert.h>
#include <stdatomic.h>

/*
 * What a device on another thread reads and writes meanwhile. Acquire and release,
 * as a driver's barriers: the other side's pair with these.
 */
static _Atomic uint16_t *shared16(const struct ring *r, gpa_t gpa)
{
	void *p = gmem_ptr(r->gm, gpa, sizeof(uint16_t));

	assert(p);
	return p;
}

static void put16(const struct ring *r, gpa_t gpa, uint16_t value)
{
	atomic_store_explicit(shared16(r, gpa), value, memory_order_release);
}

static uint16_t get16(const struct ring *r, gpa_t gpa)
{
	return atomic_load_explicit(shared16(r, gpa), memory_order_acquire);
}

void ring_init(struct ring *r, struct gmem *gm, gpa_t base, uint16_t size)
{
	int rc = gmem_zero(gm, base, RING_BYTES(size));

	assert(rc == 0);
	(void)rc;
	*r = (struct ring){ .gm = gm, .size = size, .desc = base };
	r->avail = base + size * 16UL;
	r->used = ALIGN_UP(r->avail + 6UL + 2UL * size, 4096);
}

int ring_start_vq(const struct ring *r, struct vq *q)
{
	q->gm = r->gm;
	q->state = (struct vq_state){
		.desc_gpa = r->desc,
		.avail_gpa = r->avail,
		.used_gpa = r->used,
		.size = r->size,
		.last_avail = r->avail_idx,
		.used_idx = r->used_seen,
		.enabled = 1,
	};
	return vq_start(q);
}

void ring_put_desc(const struct ring *r, gpa_t table, unsigned i, struct ring_desc d)
{
	int rc = gmem_write(r->gm, table + i * 16UL, &d, sizeof(d));

	assert(rc == 0);
	(void)rc;
}

void ring_offer(struct ring *r, uint16_t head)
{
	put16(r, r->avail + 4 + 2UL * (r->avail_idx % r->size), head);
	ring_set_avail_idx(r, ++r->avail_idx);
}

void ring_set_avail_idx(const struct ring *r, uint16_t idx)
{
	put16(r, r->avail + 2, idx);
}

void ring_set_avail_flags(const struct ring *r, uint16_t flags)
{
	put16(r, r->avail, flags);
}

void ring_set_used_event(const struct ring *r, uint16_t event)
{
	put16(r, r->avail + 4 + 2UL * r->size, event);
}

uint16_t ring_used_idx(const struct ring *r)
{
	return get16(r, r->used + 2);
}

uint16_t ring_used_flags(const struct ring *r)
{
	return get16(r, r->used);
}

uint16_t ring_avail_event(const struct ring *r)
{
	return get16(r, r->used + 4 + 8UL * r->size);
}

bool ring_take_used(struct ring *r, struct ring_used *ret)
{
	int rc;

	if (ring_used_idx(r) == r->used_seen)
		return false;
	rc = gmem_read(r->gm, r->used + 4 + 8UL * (r->used_seen % r->size), ret, sizeof(*ret));
	assert(rc == 0);
	(void)rc;
	r->used_seen++;
	return true;
}
