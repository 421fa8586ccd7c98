// SPDX-License-Identifier: MIT
/*
 * Split virtqueue, driver side.
 *
 * Theory of operation: a request takes a chain of descriptors (or one descriptor that points at an
 * indirect table); its head goes into the available ring and comes back in the used ring, in any
 * order. Free descriptors form a list through their next fields. Both rings are indexed by 16-bit
 * counters that run freely. With EVENT_IDX each side tells the other the index at which it wants to
 * be woken; without it there is one flag each way. A queue has one user in the guest, so the only
 * barriers are those against the device, which runs on another CPU.
 */
#include "virtq.h"

#include "memory.h"
#include "text.h"

enum {
	AVAIL_F_NO_INTERRUPT = 1,
	USED_F_NO_NOTIFY = 1,
};

static uint16_t *virtq_used_event(const struct virtq *vq)
{
	return &vq->avail->ring[vq->size];
}

static uint16_t virtq_avail_event(const struct virtq *vq)
{
	return __atomic_load_n((uint16_t *)&vq->used->ring[vq->size], __ATOMIC_RELAXED);
}

/* Sizes with the event index at the end (2.7). */
static size_t virtq_avail_bytes(uint16_t size)
{
	return sizeof(struct virtq_avail) + (size + 1u) * sizeof(uint16_t);
}

static size_t virtq_used_bytes(uint16_t size)
{
	return sizeof(struct virtq_used) + size * sizeof(struct virtq_used_elem) + sizeof(uint16_t);
}

void virtq_init(struct virtq *vq, uint16_t size)
{
	*vq = (struct virtq){ .size = size };
	vq->desc = memory_alloc(size * sizeof(struct virtq_desc));
	vq->avail = memory_alloc(virtq_avail_bytes(size));
	vq->used = memory_alloc(virtq_used_bytes(size));
	vq->tables = memory_alloc((size_t)size * VIRTQ_MAX_SEGS * sizeof(struct virtq_desc));
	vq->tokens = memory_alloc(size * sizeof(void *));
	virtq_reset(vq, false, false);
}

void virtq_reset(struct virtq *vq, bool event_idx, bool indirect)
{
	/* All of them: an old avail_event would make the device look as if it wants no kick. */
	memset(vq->avail, 0, virtq_avail_bytes(vq->size));
	memset(vq->used, 0, virtq_used_bytes(vq->size));
	for (uint16_t i = 0; i < vq->size; i++) {
		vq->desc[i].next = (uint16_t)(i + 1);
		vq->tokens[i] = NULL;
	}
	vq->free_head = 0;
	vq->nr_free = vq->size;
	vq->avail_idx = vq->kicked_idx = vq->used_idx = 0;
	vq->event_idx = event_idx;
	vq->indirect = indirect;
	vq->broken = NULL;
	virtq_set_interrupts(vq, false);
}

/* 2.7.5.3.1: a table of its own, so that the request takes one ring descriptor. */
static void virtq_fill_indirect(struct virtq *vq, const struct virtq_seg *segs, unsigned int out,
				unsigned int n)
{
	uint16_t head = vq->free_head;
	struct virtq_desc *table = &vq->tables[(size_t)head * VIRTQ_MAX_SEGS];

	for (unsigned int i = 0; i < n; i++) {
		table[i] = (struct virtq_desc){
			.addr = segs[i].addr,
			.len = segs[i].len,
			.flags = (i >= out ? VIRTQ_DESC_WRITE : 0) |
				 (i + 1 < n ? VIRTQ_DESC_NEXT : 0),
			.next = (uint16_t)(i + 1),
		};
	}
	vq->free_head = vq->desc[head].next;
	vq->nr_free--;
	vq->desc[head].addr = (uintptr_t)table;
	vq->desc[head].len = n * (uint32_t)sizeof(*table);
	vq->desc[head].flags = VIRTQ_DESC_INDIRECT;
}

static void virtq_fill_chain(struct virtq *vq, const struct virtq_seg *segs, unsigned int out,
			     unsigned int n)
{
	uint16_t at = vq->free_head;

	for (unsigned int i = 0; i < n; i++) {
		struct virtq_desc *d = &vq->desc[at];

		d->addr = segs[i].addr;
		d->len = segs[i].len;
		d->flags = (i >= out ? VIRTQ_DESC_WRITE : 0) | (i + 1 < n ? VIRTQ_DESC_NEXT : 0);
		at = d->next;
	}
	vq->free_head = at;
	vq->nr_free = (uint16_t)(vq->nr_free - n);
}

bool virtq_add(struct virtq *vq, const struct virtq_seg *segs, unsigned int out, unsigned int in,
	       void *token)
{
	unsigned int n = out + in;
	uint16_t head = vq->free_head;
	bool indirect = vq->indirect && n > 1 && n <= VIRTQ_MAX_SEGS;

	if (vq->nr_free < (indirect ? 1 : n))
		return false;
	if (indirect)
		virtq_fill_indirect(vq, segs, out, n);
	else
		virtq_fill_chain(vq, segs, out, n);
	vq->tokens[head] = token;
	vq->avail->ring[vq->avail_idx++ & (vq->size - 1)] = head;
	return true;
}

/* 2.7.10: does the step from old to new pass the index event? */
static bool virtq_need_event(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

bool virtq_publish(struct virtq *vq)
{
	uint16_t old = vq->kicked_idx;

	if (vq->avail_idx == old)
		return false;
	__atomic_store_n(&vq->avail->idx, vq->avail_idx, __ATOMIC_RELEASE);
	vq->kicked_idx = vq->avail_idx;
	/* The device publishes its wish and then looks at avail->idx; we do the reverse. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->event_idx)
		return virtq_need_event(virtq_avail_event(vq), vq->avail_idx, old);
	return !(__atomic_load_n(&vq->used->flags, __ATOMIC_RELAXED) & USED_F_NO_NOTIFY);
}

/* Gives the chain at @head back to the free list. */
static void *virtq_free_chain(struct virtq *vq, uint16_t head)
{
	void *token = vq->tokens[head];
	uint16_t last = head;

	vq->nr_free++;
	while (vq->desc[last].flags & VIRTQ_DESC_NEXT) {
		last = vq->desc[last].next;
		vq->nr_free++;
	}
	vq->desc[last].next = vq->free_head;
	vq->free_head = head;
	vq->tokens[head] = NULL;
	return token;
}

void *virtq_pop(struct virtq *vq, uint32_t *ret_len)
{
	struct virtq_used_elem elem;

	if (!virtq_pending(vq) || vq->broken)
		return NULL;
	elem = vq->used->ring[vq->used_idx & (vq->size - 1)];
	if (elem.id >= vq->size || !vq->tokens[elem.id]) {
		vq->broken = "used ring names a request that is not in flight";
		return NULL;
	}
	vq->used_idx++;
	if (vq->event_idx)
		virtq_set_interrupts(vq, vq->interrupts);
	if (ret_len)
		*ret_len = elem.len;
	return virtq_free_chain(vq, (uint16_t)elem.id);
}

void virtq_set_interrupts(struct virtq *vq, bool on)
{
	vq->interrupts = on;
	if (vq->event_idx) {
		/* "None" is an index that the device does not reach before we move it. */
		*virtq_used_event(vq) = (uint16_t)(vq->used_idx + (on ? 0 : 0x8000));
	} else {
		vq->avail->flags = on ? 0 : AVAIL_F_NO_INTERRUPT;
	}
	if (on)
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* before virtq_pending() looks */
}

bool virtq_pending(const struct virtq *vq)
{
	return __atomic_load_n(&vq->used->idx, __ATOMIC_ACQUIRE) != vq->used_idx;
}
