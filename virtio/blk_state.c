// SPDX-License-Identifier: MIT
// virtio-blk: saved state.
#include <errno.h>

#include "util/clock.h"
#include "virtio/blk_impl.h"
#include "virtio/vstate.h"

static const struct vstate_field blk_fields[] = {
	VS_U64(1, struct blk_saved, bytes),       VS_U64(2, struct blk_saved, iops_missing),
	VS_U64(3, struct blk_saved, bps_missing), VS_U8_MAX(4, struct blk_saved, writeback, 1),
	VS_BOOL(5, struct blk_saved, overlay),
};

const struct vstate_table blk_vstate = {
	VSTATE_TABLE("virtio-blk", struct blk_saved, blk_fields),
};

int blk_can_save(struct virtio_dev *dev, struct err *e)
{
	struct block *b = to_blk(dev)->block;

	return b->ops->can_save ? b->ops->can_save(b, e) : 0;
}

void blk_save(struct virtio_dev *dev, struct vstate_writer *w)
{
	struct blk *blk = to_blk(dev);
	struct block *b = blk->block;
	uint64_t now_ns = clock_now_ns();
	const struct blk_saved saved = {
		.bytes = b->bytes,
		.iops_missing = token_bucket_missing(&blk->iops, now_ns),
		.bps_missing = token_bucket_missing(&blk->bps, now_ns),
		.writeback = atomic_load_explicit(&blk->state.writeback, memory_order_relaxed),
		.overlay = b->ops->save != NULL,
	};

	vstate_put(w, &blk_vstate, 0, &saved);
	if (b->ops->save)
		b->ops->save(b, w);
}

/* The features have said by now whether both can discard, or write. */
static int check(const struct block *b, const struct blk_saved *saved, struct err *e)
{
	if (saved->bytes != b->bytes)
		return err_set(e, -EINVAL, "the disk has %llu bytes, but %llu here",
			       (unsigned long long)saved->bytes, (unsigned long long)b->bytes);
	if (saved->overlay != (b->ops->load != NULL))
		return err_set(e, -EINVAL, "the disk has %s overlay, but %s here",
			       saved->overlay ? "an" : "no", saved->overlay ? "none" : "one");
	return 0;
}

int blk_load(struct virtio_dev *dev, struct vstate_reader *r, struct err *e)
{
	struct blk *blk = to_blk(dev);
	struct block *b = blk->block;
	struct blk_saved saved = { 0 };
	uint64_t now_ns = clock_now_ns();
	int rc = vstate_get(r, &blk_vstate, 0, &saved, e);

	if (rc == 0)
		rc = check(b, &saved, e);
	if (rc == 0 && b->ops->load)
		rc = b->ops->load(b, r, e);
	if (rc < 0)
		return rc;
	token_bucket_set_missing(&blk->iops, saved.iops_missing, now_ns);
	token_bucket_set_missing(&blk->bps, saved.bps_missing, now_ns);
	atomic_store_explicit(&blk->state.writeback, saved.writeback, memory_order_relaxed);
	return 0;
}
