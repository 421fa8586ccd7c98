// SPDX-License-Identifier: MIT
// virtio-balloon: inflate, deflate, statistics, free page reporting.
//
// Theory of operation
//
// The host sets num_pages; the driver gives pages by the inflate queue, takes
// them back by the deflate queue, and writes to `actual` how many are in the
// balloon. Pages in the balloon are punched out of guest memory. A page taken
// back needs no work: it is filled with zeroes when it is touched, which may
// even be before we hear of it, so MUST_TELL_HOST is not offered.
//
// Of the statistics queue's single buffer we are the holder: returning it asks
// for new statistics, and the driver sends them in it (5.5.6.3). A pause puts a
// held buffer back into the ring, where the resume finds it.
#include "virtio/balloon.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "virtio/virtio.h"
#include "virtio/vstate.h"

#define QUEUE_SIZE   64
#define PAGE_BYTES   4096ULL /* 5.5.6: whatever the guest's page size */
#define PFNS_AT_ONCE 256U    /* sorted and given back together */
#define MAX_PFNS     4096U   /* in one request; drivers send 256 to 1024 */

enum { INFLATE, DEFLATE, STATS, NR_QUEUES = 5 };

struct balloon_state {
	uint32_t num_pages; /* to be in the balloon */
	uint32_t actual;    /* in it, says the driver */
};

struct balloon {
	struct virtio_dev dev;

	struct mutex lock; /* protects: state, stats; order: after transport lock, innermost */
	struct balloon_state state;
	struct balloon_stats stats; /* but target and actual */

	/* loop thread only */
	struct iovec iov[QUEUE_SIZE];
	bool stats_held;
	struct vq_chain stats_chain; /* only its head matters: nothing is written to it */
};

static struct balloon *to_balloon(struct virtio_dev *dev)
{
	return container_of(dev, struct balloon, dev);
}

static void count_discarded(struct balloon *b, uint64_t bytes)
{
	mutex_lock(&b->lock);
	b->stats.discarded_bytes += bytes;
	mutex_unlock(&b->lock);
}

/* --- inflate and deflate --------------------------------------------------------- */

static int compare_pfns(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Give @nr pages back, neighbours in one call. */
static int discard_pages(struct balloon *b, uint32_t *pfns, size_t nr)
{
	struct gmem *gm = &b->dev.vm->gmem;
	size_t start = 0;

	qsort(pfns, nr, sizeof(*pfns), compare_pfns);
	for (size_t i = 1; i <= nr; i++) {
		uint64_t bytes = (i - start) * PAGE_BYTES;
		int rc;

		if (i < nr && pfns[i] == pfns[i - 1] + 1)
			continue;
		rc = gmem_discard(gm, pfns[start] * PAGE_BYTES, bytes);
		if (rc < 0)
			return rc;
		count_discarded(b, bytes);
		start = i;
	}
	return 0;
}

static int check_pfns(const struct vq_chain *chain)
{
	if (chain->nr_in || chain->out_bytes % sizeof(uint32_t) ||
	    chain->out_bytes > MAX_PFNS * sizeof(uint32_t))
		return -EPROTO;
	return 0;
}

static int inflate(struct balloon *b, const struct vq_chain *chain)
{
	uint32_t pfns[PFNS_AT_ONCE];
	size_t offset = 0, bytes;

	if (check_pfns(chain) < 0)
		return -EPROTO;
	while ((bytes = vq_read_out(chain, offset, pfns, sizeof(pfns))) > 0) {
		int rc = discard_pages(b, pfns, bytes / sizeof(pfns[0]));

		if (rc < 0)
			return rc;
		offset += bytes;
	}
	return 0;
}

static int deflate(const struct vq_chain *chain)
{
	return check_pfns(chain);
}

/* 5.5.6.7: the buffers are the free pages themselves. */
static int report(struct balloon *b, const struct vq_chain *chain)
{
	if (chain->nr_out)
		return -EPROTO;
	for (unsigned i = 0; i < chain->nr_in; i++) {
		int rc = gmem_discard_hva(&b->dev.vm->gmem, chain->iov[i].iov_base,
					  chain->iov[i].iov_len);

		if (rc < 0)
			return rc;
	}
	count_discarded(b, chain->in_bytes);
	return 0;
}

/* --- statistics ------------------------------------------------------------------- */

static void clear_stats_locked(struct balloon *b)
{
	b->stats.guest_time_ns = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(b->stats.guest); i++)
		b->stats.guest[i] = BALLOON_UNKNOWN;
}

static void take_stats(struct balloon *b, const struct vq_chain *chain)
{
	struct virtio_balloon_stat stats[2 * VIRTIO_BALLOON_S_NR];
	size_t nr = vq_read_out(chain, 0, stats, sizeof(stats)) / sizeof(stats[0]);

	mutex_lock(&b->lock);
	clear_stats_locked(b);
	b->stats.guest_time_ns = clock_now_ns();
	for (size_t i = 0; i < nr; i++) {
		if (stats[i].tag < ARRAY_SIZE(b->stats.guest))
			b->stats.guest[stats[i].tag] = stats[i].val;
	}
	mutex_unlock(&b->lock);
}

static int run_stats(struct balloon *b, struct virtio_queue *q)
{
	struct vq_chain chain = { .iov = b->iov, .max_iov = QUEUE_SIZE };
	int rc;

	if (b->stats_held)
		return 0;
	rc = vq_pop(&q->ring, &chain);
	if (rc <= 0)
		return rc;
	if (chain.nr_in)
		return -EPROTO;
	take_stats(b, &chain);
	b->stats_chain = chain;
	b->stats_held = true;
	return 0;
}

static void return_stats_buffer(void *opaque)
{
	struct balloon *b = opaque;
	struct virtio_queue *q = &b->dev.queues[STATS];

	if (!q->running || !b->stats_held)
		return;
	b->stats_held = false;
	vq_push(&q->ring, &b->stats_chain, 0);
	virtio_notify(q);
}

/* --- the class --------------------------------------------------------------------- */

/*
 * Which queue is for reports? The specification says 4 (5.5.2), but Linux and
 * QEMU leave out the numbers of queues whose feature is not there, so that it
 * may be 2 or 3. We have all of them, and none is anything else.
 */
static bool is_stats(const struct virtio_queue *q)
{
	return q->index == STATS && virtio_has(q->dev, VIRTIO_BALLOON_F_STATS_VQ);
}

static int serve_chain(struct balloon *b, struct virtio_queue *q, const struct vq_chain *chain)
{
	if (q->index == INFLATE)
		return inflate(b, chain);
	if (q->index == DEFLATE)
		return deflate(chain);
	return report(b, chain);
}

/* One ringful at most: the loop has others to serve. */
static int serve(struct balloon *b, struct virtio_queue *q)
{
	struct vq_chain chain = { .iov = b->iov, .max_iov = QUEUE_SIZE };

	if (is_stats(q))
		return run_stats(b, q);
	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		int rc = vq_pop(&q->ring, &chain);

		if (rc <= 0)
			return rc;
		rc = serve_chain(b, q, &chain);
		if (rc < 0)
			return rc;
		vq_push(&q->ring, &chain, 0);
	}
	return 0;
}

static void balloon_run(struct virtio_queue *q)
{
	struct balloon *b = to_balloon(q->dev);
	int rc = serve(b, q);

	if (rc < 0) {
		virtio_broken(q->dev, "bad request in queue %u: %s", q->index, strerror(-rc));
		return;
	}
	virtio_notify(q);
	if (vq_enable_kicks(&q->ring) && !(is_stats(q) && b->stats_held))
		virtio_run_again(q);
}

static void balloon_quiesce(struct virtio_queue *q, bool cancel)
{
	struct balloon *b = to_balloon(q->dev);

	if (!is_stats(q) || !b->stats_held)
		return;
	b->stats_held = false;
	if (!cancel)
		vq_unpop(&q->ring, 1);
}

static void balloon_config_read(struct virtio_dev *dev, unsigned offset, void *data, unsigned len)
{
	struct balloon *b = to_balloon(dev);

	mutex_lock(&b->lock);
	memcpy(data, (const uint8_t *)&b->state + offset, len);
	mutex_unlock(&b->lock);
}

static void balloon_config_write(struct virtio_dev *dev, unsigned offset, const void *data,
				 unsigned len)
{
	struct balloon *b = to_balloon(dev);

	/* 5.5.4: only `actual` is the driver's to write. */
	if (offset != offsetof(struct balloon_state, actual) || len != sizeof(b->state.actual))
		return;
	mutex_lock(&b->lock);
	memcpy(&b->state.actual, data, len);
	mutex_unlock(&b->lock);
}

/* What the host asks for stays: the next driver finds it. */
static void balloon_reset(struct virtio_dev *dev)
{
	struct balloon *b = to_balloon(dev);

	mutex_lock(&b->lock);
	b->state.actual = 0;
	clear_stats_locked(b);
	mutex_unlock(&b->lock);
}

/* --- saved state --------------------------------------------------------------------- */

/* Statistics that saved state has room for; kernel headers have had ever more. */
#define SAVED_STATS 16U

_Static_assert(VIRTIO_BALLOON_S_NR <= SAVED_STATS, "all of them travel");

/* Which pages are in the balloon needs no record: they are not there. */
struct balloon_saved {
	struct balloon_state state;
	uint64_t discarded_bytes;
	uint64_t stats_age_ns;
	bool has_stats;
	uint64_t guest[SAVED_STATS];
};

static const struct vstate_field state_fields[] = {
	VS_U32(1, struct balloon_state, num_pages),
	VS_U32(2, struct balloon_state, actual),
};

static const struct vstate_table state_vstate = {
	VSTATE_TABLE("balloon-state", struct balloon_state, state_fields),
};

static const struct vstate_field balloon_fields[] = {
	VS_STRUCT(1, struct balloon_saved, state, &state_vstate),
	VS_U64(2, struct balloon_saved, discarded_bytes),
	VS_BOOL(3, struct balloon_saved, has_stats),
	VS_U64(4, struct balloon_saved, stats_age_ns),
	VS_U64_ARRAY(5, struct balloon_saved, guest),
};

const struct vstate_table balloon_vstate = {
	VSTATE_TABLE("virtio-balloon", struct balloon_saved, balloon_fields),
};

static void balloon_save(struct virtio_dev *dev, struct vstate_writer *w)
{
	struct balloon *b = to_balloon(dev);
	struct balloon_saved saved = { 0 };

	memset(saved.guest, 0xff, sizeof(saved.guest)); /* BALLOON_UNKNOWN */
	mutex_lock(&b->lock);
	saved.state = b->state;
	saved.discarded_bytes = b->stats.discarded_bytes;
	saved.has_stats = b->stats.guest_time_ns != 0;
	if (saved.has_stats)
		saved.stats_age_ns = clock_now_ns() - b->stats.guest_time_ns;
	memcpy(saved.guest, b->stats.guest, sizeof(b->stats.guest));
	mutex_unlock(&b->lock);
	vstate_put(w, &balloon_vstate, 0, &saved);
}

static int balloon_load(struct virtio_dev *dev, struct vstate_reader *r, struct err *e)
{
	struct balloon *b = to_balloon(dev);
	uint64_t now_ns = clock_now_ns();
	struct balloon_saved saved = { 0 };
	int rc = vstate_get(r, &balloon_vstate, 0, &saved, e);

	if (rc < 0)
		return rc;
	if (saved.state.num_pages > dev->vm->gmem.bytes / PAGE_BYTES)
		return err_set(e, -EINVAL, "num_pages: %u are more than the guest has",
			       saved.state.num_pages);
	MUTEX_SCOPE(&b->lock);
	b->state = saved.state;
	b->stats.discarded_bytes = saved.discarded_bytes;
	/* Never 0, which says that there are none; older than this host is as old as it. */
	b->stats.guest_time_ns = saved.has_stats ? now_ns - MIN(saved.stats_age_ns, now_ns - 1) : 0;
	memcpy(b->stats.guest, saved.guest, sizeof(b->stats.guest));
	return 0;
}

static void balloon_free(struct virtio_dev *dev)
{
	struct balloon *b = to_balloon(dev);

	virtio_dev_fini(dev);
	mutex_fini(&b->lock);
	free(b);
}

static const struct virtio_class balloon_class = {
	.type = "virtio-balloon",
	.device_id = VIRTIO_ID_BALLOON,
	.pci_class = 0xff, /* no class fits: other */
	.config_bytes = sizeof(struct balloon_state),
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.reset = balloon_reset,
	.run = balloon_run,
	.quiesce = balloon_quiesce,
	.save = balloon_save,
	.load = balloon_load,
	.free = balloon_free,
};

int balloon_new(struct vm *vm, struct pci_host *pci, const char *id, struct loop *loop,
		struct virtio_dev **ret)
{
	struct balloon *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return -ENOMEM;
	mutex_init(&b->lock);
	clear_stats_locked(b);
	rc = virtio_dev_init(&b->dev, vm, &balloon_class, id,
			     &(struct virtio_layout){ .nr_queues = NR_QUEUES,
						      .queue_size = QUEUE_SIZE,
						      .loop = loop });
	if (rc < 0)
		goto err_free;
	b->dev.offered = 1ULL << VIRTIO_BALLOON_F_STATS_VQ |
			 1ULL << VIRTIO_BALLOON_F_DEFLATE_ON_OOM |
			 1ULL << VIRTIO_BALLOON_F_REPORTING;
	rc = virtio_pci_attach(&b->dev, pci, 0);
	if (rc < 0)
		goto err_fini;
	*ret = &b->dev;
	return 0;

err_fini:
	virtio_dev_fini(&b->dev);
err_free:
	mutex_fini(&b->lock);
	free(b);
	return rc;
}

int balloon_set_target(struct virtio_dev *dev, uint64_t bytes)
{
	struct balloon *b = to_balloon(dev);

	if (bytes > dev->vm->gmem.bytes)
		return -EINVAL;
	mutex_lock(&b->lock);
	b->state.num_pages = (uint32_t)((dev->vm->gmem.bytes - bytes) / PAGE_BYTES);
	mutex_unlock(&b->lock);
	virtio_config_changed(dev);
	return 0;
}

void balloon_get_stats(struct virtio_dev *dev, struct balloon_stats *ret)
{
	struct balloon *b = to_balloon(dev);

	mutex_lock(&b->lock);
	*ret = b->stats;
	ret->target_bytes = dev->vm->gmem.bytes - b->state.num_pages * PAGE_BYTES;
	ret->actual_bytes =
		dev->vm->gmem.bytes - MIN(dev->vm->gmem.bytes, b->state.actual * PAGE_BYTES);
	mutex_unlock(&b->lock);
	loop_call_sync(dev->queues[STATS].loop, return_stats_buffer, b);
}
