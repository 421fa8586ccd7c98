// SPDX-License-Identifier: MIT
// Split virtqueues (VIRTIO 1.2, 2.7).
//
// Theory of operation
//
// Two indices are shared with the driver, which runs on the guest's vCPUs
// while we run. avail.idx is the driver's: our acquire load of it pairs with the
// barrier the driver has between filling in ring entry and descriptors and
// storing the index. used.idx is ours: our release store pairs with the
// driver's read barrier after loading it. Where each side first writes its own
// index and then reads the other's wish (used_event, avail_event, flags), both
// need a full barrier in between, or both could miss the other's write.
#include "virtio/queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define DESC_F_NEXT     1U
#define DESC_F_WRITE    2U
#define DESC_F_INDIRECT 4U

#define AVAIL_F_NO_INTERRUPT 1U
#define USED_F_NO_NOTIFY     1U

/* 2.7.5.1: a chain describes at most 2^32 bytes. */
#define CHAIN_MAX_BYTES (1ULL << 32)

struct vring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct vring_avail {
	_Atomic uint16_t flags;
	_Atomic uint16_t idx;
	_Atomic uint16_t ring[]; /* entry [size] is used_event */
};

struct vring_used_elem {
	uint32_t id;
	uint32_t len;
};

struct vring_used {
	_Atomic uint16_t flags;
	_Atomic uint16_t idx;
	struct vring_used_elem ring[]; /* followed by avail_event */
};

static size_t avail_bytes(uint16_t size)
{
	return sizeof(struct vring_avail) + ((size_t)size + 1) * sizeof(uint16_t);
}

static size_t used_bytes(uint16_t size)
{
	return sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) + sizeof(uint16_t);
}

static _Atomic uint16_t *used_event(const struct vq *q)
{
	struct vring_avail *avail = q->avail;

	return &avail->ring[q->state.size];
}

static _Atomic uint16_t *avail_event(const struct vq *q)
{
	struct vring_used *used = q->used;

	return (_Atomic uint16_t *)(void *)&used->ring[q->state.size];
}

int vq_start(struct vq *q)
{
	const struct vq_state *s = &q->state;

	if (s->size == 0 || s->size > VQ_MAX_SIZE || (s->size & (s->size - 1)))
		return -EPROTO;
	/* Table 2.7: alignment of the three parts. */
	if (s->desc_gpa % 16 || s->avail_gpa % 2 || s->used_gpa % 4)
		return -EPROTO;
	q->desc = gmem_ptr(q->gm, s->desc_gpa, s->size * sizeof(struct vring_desc));
	q->avail = gmem_ptr(q->gm, s->avail_gpa, avail_bytes(s->size));
	q->used = gmem_ptr(q->gm, s->used_gpa, used_bytes(s->size));
	if (!q->desc || !q->avail || !q->used)
		return -EPROTO;
	q->avail_idx = s->last_avail;
	q->nr_unsignaled = 0;
	return 0;
}

/* Acquire: the entries below the index are the driver's finished work. */
static uint16_t load_avail_idx(const struct vq *q)
{
	struct vring_avail *avail = q->avail;

	return atomic_load_explicit(&avail->idx, memory_order_acquire);
}

/* The one read of a descriptor: the fence keeps the compiler from reading it again. */
static struct vring_desc load_desc(const struct vring_desc *table, unsigned i)
{
	struct vring_desc d;

	memcpy(&d, (const uint8_t *)table + i * sizeof(d), sizeof(d));
	atomic_signal_fence(memory_order_acq_rel);
	return d;
}

static int add_buffer(const struct vq *q, struct vq_chain *chain, const struct vring_desc *d)
{
	unsigned n = chain->nr_out + chain->nr_in;
	bool write = d->flags & DESC_F_WRITE;
	void *base = gmem_ptr(q->gm, d->addr, d->len); /* NULL for length 0, too */

	if (!base || n >= chain->max_iov)
		return -EPROTO;
	/* 2.7.4.2: what we write comes after all that we read. */
	if (!write && chain->nr_in)
		return -EPROTO;
	if (chain->out_bytes + chain->in_bytes + d->len > CHAIN_MAX_BYTES)
		return -EPROTO;
	chain->iov[n] = (struct iovec){ base, d->len };
	if (write) {
		chain->nr_in++;
		chain->in_bytes += d->len;
	} else {
		chain->nr_out++;
		chain->out_bytes += d->len;
	}
	return 0;
}

/* A descriptor table: the queue's own, or an indirect one. */
struct table {
	const struct vring_desc *desc;
	unsigned nr;
	bool indirect;
};

/* 2.7.5.3: go on in the table that @d refers to; its write flag means nothing. */
static int enter_indirect(const struct vq *q, struct table *t, const struct vring_desc *d)
{
	if (!q->indirect || t->indirect || (d->flags & DESC_F_NEXT))
		return -EPROTO;
	if (d->len % sizeof(*d) || d->len / sizeof(*d) > q->state.size)
		return -EPROTO;
	t->desc = gmem_ptr(q->gm, d->addr, d->len);
	t->nr = d->len / sizeof(*d);
	t->indirect = true;
	return t->desc ? 0 : -EPROTO;
}

static int walk(const struct vq *q, struct vq_chain *chain)
{
	struct table t = { .desc = q->desc, .nr = q->state.size };
	unsigned next = chain->head;

	for (unsigned n = 0; n < q->state.size && next < t.nr;) {
		struct vring_desc d = load_desc(t.desc, next);
		int rc;

		if (d.flags & DESC_F_INDIRECT) {
			rc = enter_indirect(q, &t, &d);
			next = 0;
		} else {
			rc = add_buffer(q, chain, &d);
			next = d.next;
			n++;
		}
		if (rc < 0)
			return rc;
		if (!(d.flags & (DESC_F_INDIRECT | DESC_F_NEXT)))
			return 0;
	}
	return -EPROTO;
}

/*
 * How many chains wait? The driver's index is in a cache line that it writes:
 * it is looked at only when all that was seen there is taken.
 */
static int count_available(struct vq *q)
{
	uint16_t seen;

	if (q->avail_idx == q->state.last_avail) {
		seen = load_avail_idx(q);
		if ((uint16_t)(seen - q->state.last_avail) > q->state.size)
			return -EPROTO;
		q->avail_idx = seen;
	}
	return (uint16_t)(q->avail_idx - q->state.last_avail);
}

int vq_pop(struct vq *q, struct vq_chain *chain)
{
	struct vring_avail *avail = q->avail;
	unsigned at = q->state.last_avail & (q->state.size - 1U);
	int rc = count_available(q);

	if (rc <= 0)
		return rc;
	chain->head = atomic_load_explicit(&avail->ring[at], memory_order_relaxed);
	chain->nr_out = chain->nr_in = 0;
	chain->out_bytes = chain->in_bytes = 0;
	rc = walk(q, chain);
	if (rc < 0)
		return rc;
	q->state.last_avail++;
	return 1;
}

void vq_unpop(struct vq *q, unsigned count)
{
	q->state.last_avail = (uint16_t)(q->state.last_avail - count);
}

bool vq_has_work(const struct vq *q)
{
	return load_avail_idx(q) != q->state.last_avail;
}

void vq_mark_dirty(struct vq *q, const struct vq_chain *chain)
{
	const struct iovec *iov = chain->iov + chain->nr_out;

	for (unsigned i = 0; i < chain->nr_in; i++)
		gmem_mark_dirty_hva(q->gm, iov[i].iov_base, iov[i].iov_len);
}

void vq_fill(struct vq *q, const struct vq_chain *chain, uint32_t written, unsigned ahead)
{
	struct vring_used *used = q->used;
	struct vring_used_elem *elem =
		&used->ring[(uint16_t)(q->state.used_idx + ahead) & (q->state.size - 1)];

	vq_mark_dirty(q, chain);
	*elem = (struct vring_used_elem){ .id = chain->head, .len = written };
	gmem_mark_dirty_hva(q->gm, elem, sizeof(*elem));
}

void vq_publish(struct vq *q, unsigned count)
{
	struct vring_used *used = q->used;

	q->state.used_idx = (uint16_t)(q->state.used_idx + count);
	/* Release: the driver reads the index, then the elements and buffers. */
	atomic_store_explicit(&used->idx, q->state.used_idx, memory_order_release);
	gmem_mark_dirty_hva(q->gm, &used->idx, sizeof(used->idx));
	q->nr_unsignaled = MIN(q->nr_unsignaled + count, UINT16_MAX + 1U);
}

void vq_push(struct vq *q, const struct vq_chain *chain, uint32_t written)
{
	vq_fill(q, chain, written, 0);
	vq_publish(q, 1);
}

bool vq_wants_interrupt(struct vq *q)
{
	struct vring_avail *avail = q->avail;
	uint32_t nr_new = q->nr_unsignaled;
	uint16_t event;

	if (nr_new == 0)
		return false;
	q->nr_unsignaled = 0;
	/*
	 * Full: our used.idx is out before we read the driver's wish. Pairs with
	 * the driver's barrier between writing its wish and looking at used.idx
	 * once more before it waits.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (!q->event_idx)
		return !(atomic_load_explicit(&avail->flags, memory_order_relaxed) &
			 AVAIL_F_NO_INTERRUPT);
	/* 2.7.7.2: is entry used_event among the new ones? */
	event = atomic_load_explicit(used_event(q), memory_order_relaxed);
	return (uint16_t)(q->state.used_idx - event - 1) < nr_new;
}

static void set_used_flags(struct vq *q, uint16_t flags)
{
	struct vring_used *used = q->used;

	atomic_store_explicit(&used->flags, flags, memory_order_relaxed);
	gmem_mark_dirty_hva(q->gm, &used->flags, sizeof(used->flags));
}

bool vq_enable_kicks(struct vq *q)
{
	if (q->event_idx) {
		/* 2.7.10: notify me about the entry that I look at next. */
		atomic_store_explicit(avail_event(q), q->state.last_avail, memory_order_relaxed);
		gmem_mark_dirty_hva(q->gm, avail_event(q), sizeof(uint16_t));
	} else {
		set_used_flags(q, 0);
	}
	/*
	 * Full: our wish is out before we look once more. Pairs with the driver's
	 * barrier between storing avail.idx and reading avail_event or flags.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	return vq_has_work(q);
}

void vq_disable_kicks(struct vq *q)
{
	/* With EVENT_IDX the old avail_event does it: it has been passed. */
	if (!q->event_idx)
		set_used_flags(q, USED_F_NO_NOTIFY);
}

size_t vq_read_out(const struct vq_chain *chain, size_t offset, void *buf, size_t len)
{
	const struct iovec *iov = chain->iov;
	size_t done = 0;

	for (unsigned i = 0; i < chain->nr_out && done < len; i++) {
		size_t n;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		n = MIN(len - done, iov[i].iov_len - offset);
		memcpy((uint8_t *)buf + done, (const uint8_t *)iov[i].iov_base + offset, n);
		done += n;
		offset = 0;
	}
	return done;
}

size_t vq_write_in(const struct vq_chain *chain, size_t offset, const void *buf, size_t len)
{
	const struct iovec *iov = chain->iov + chain->nr_out;
	size_t done = 0;

	for (unsigned i = 0; i < chain->nr_in && done < len; i++) {
		size_t n;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		n = MIN(len - done, iov[i].iov_len - offset);
		memcpy((uint8_t *)iov[i].iov_base + offset, (const uint8_t *)buf + done, n);
		done += n;
		offset = 0;
	}
	return done;
}
