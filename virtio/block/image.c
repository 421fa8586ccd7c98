// SPDX-License-Identifier: MIT
// Raw images and block devices as disks, with or without an overlay.
//
// Theory of operation
//
// A request becomes one io after another until all its bytes are done: usually
// one for everything. It takes more where
// - the kernel transferred less than asked for: the rest follows, buffer by
//   buffer;
// - with an overlay, a read covers sectors of both files: each run of sectors
//   is read from its own;
// - O_DIRECT is in use and the guest's buffers do not lie or end on sector
//   boundaries: the data goes through a bounce buffer, a piece at a time.
//   (A second, buffered descriptor would not do: the page cache works in whole
//   pages, and writing back a page that also has direct writes under way beside
//   it undoes them.)
//
// A read that hits the end of the file fails. The image has the size it had when
// it was opened, or resized; if somebody makes it shorter, the data is lost, and zeroes in
// its place would be a lie that file systems in the guest act upon.
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"
#include "virtio/block/block.h"
#include "virtio/block/engine.h"
#include "virtio/block/file.h"
#include "virtio/block/overlay.h"

#define BOUNCE_BYTES      (64 * KIB)
#define DIRECT_ALIGN      BLOCK_SECTOR_BYTES
#define PHYSICAL_BYTES    4096U
#define MAX_DISCARD_BYTES GIB

/* Indices into the engine's files. */
enum { FILE_BASE, FILE_OVERLAY };

struct image {
	struct block block;
	struct block_file base;
	struct overlay *overlay; /* NULL: none */
};

struct image_queue {
	struct block_queue queue;
	struct engine *engine;
};

static struct image *image_of(const struct block_request *rq)
{
	return container_of(rq->queue->block, struct image, block);
}

static void start_io(struct block_request *rq, enum engine_kind kind)
{
	struct image_queue *q = container_of(rq->queue, struct image_queue, queue);

	rq->io.kind = kind;
	q->engine->ops->submit(q->engine, &rq->io);
}

static void finish(struct block_request *rq, int res)
{
	struct image *img = image_of(rq);

	if (res == 0 && img->overlay && (rq->op == BLOCK_WRITE || rq->op == BLOCK_WRITE_ZEROES))
		overlay_mark(img->overlay, rq->offset, rq->bytes);
	free(rq->bounce);
	rq->bounce = NULL;
	rq->done(rq, res);
}

/* --- reads and writes ------------------------------------------------------ */

/* Where do the bytes at rq->pos belong, and how many of them belong there? */
static uint64_t pick_file(const struct image *img, struct block_request *rq)
{
	uint64_t left = rq->bytes - rq->pos;
	bool written = true;

	rq->io.file = FILE_BASE;
	if (!img->overlay)
		return left;
	if (rq->op == BLOCK_READ)
		left = overlay_run(img->overlay, rq->offset + rq->pos, left, &written);
	rq->io.file = written ? FILE_OVERLAY : FILE_BASE;
	return left;
}

/* What is left of the buffer that holds byte @pos of the request. */
static struct iovec buffer_at(const struct block_request *rq, uint64_t pos)
{
	const struct iovec *v = rq->iov;

	while (pos >= v->iov_len)
		pos -= v++->iov_len;
	return (struct iovec){ (uint8_t *)v->iov_base + pos, v->iov_len - pos };
}

/* Copy @len bytes between the bounce buffer and the request's at rq->pos. */
static void copy_bounce(struct block_request *rq, uint64_t len, bool to_bounce)
{
	for (uint64_t done = 0; done < len;) {
		struct iovec v = buffer_at(rq, rq->pos + done);
		uint8_t *bounce = (uint8_t *)rq->bounce + done;
		size_t n = MIN(v.iov_len, len - done);

		memcpy(to_bounce ? bounce : v.iov_base, to_bounce ? v.iov_base : bounce, n);
		done += n;
	}
}

static void next_piece(struct block_request *rq)
{
	uint64_t n = pick_file(image_of(rq), rq);
	struct block_io *io = &rq->io;

	io->offset = rq->offset + rq->pos;
	io->iov = &rq->piece;
	io->niov = 1;
	if (rq->bounce) {
		rq->piece = (struct iovec){ rq->bounce, MIN(n, BOUNCE_BYTES) };
		if (rq->op == BLOCK_WRITE)
			copy_bounce(rq, rq->piece.iov_len, true);
	} else if (n == rq->bytes) {
		io->iov = rq->iov;
		io->niov = rq->niov;
	} else {
		rq->piece = buffer_at(rq, rq->pos);
		rq->piece.iov_len = MIN(rq->piece.iov_len, n);
	}
	start_io(rq, rq->op == BLOCK_READ ? ENGINE_READ : ENGINE_WRITE);
}

static void rw_done(struct block_io *io, int res)
{
	struct block_request *rq = container_of(io, struct block_request, io);

	if (res <= 0) {
		finish(rq, res < 0 ? res : -EIO);
		return;
	}
	if (rq->bounce && rq->op == BLOCK_READ)
		copy_bounce(rq, (uint64_t)res, false);
	rq->pos += (uint64_t)res;
	if (rq->pos == rq->bytes)
		finish(rq, 0);
	else if (rq->cancelled)
		finish(rq, -ECANCELED);
	else if (image_of(rq)->base.direct && rq->pos % DIRECT_ALIGN)
		finish(rq, -EIO); /* the file ends inside of a sector */
	else
		next_piece(rq);
}

static bool is_aligned(const struct block_request *rq)
{
	uintptr_t bits = 0;

	for (unsigned i = 0; i < rq->niov; i++)
		bits |= (uintptr_t)rq->iov[i].iov_base | rq->iov[i].iov_len;
	return bits % DIRECT_ALIGN == 0;
}

static void submit_rw(const struct image *img, struct block_request *rq)
{
	rq->io.done = rw_done;
	rq->io.flags =
		rq->op == BLOCK_WRITE && (rq->flags & BLOCK_FUA) && !img->overlay ? RWF_DSYNC : 0;
	if (img->base.direct && !is_aligned(rq)) {
		rq->bounce =
			aligned_alloc(4096, ALIGN_UP(MIN(rq->bytes, (uint64_t)BOUNCE_BYTES), 4096));
		if (!rq->bounce) {
			finish(rq, -ENOMEM);
			return;
		}
	}
	next_piece(rq);
}

/* --- flush, discard, write zeroes ------------------------------------------ */

static void sync_done(struct block_io *io, int res)
{
	finish(container_of(io, struct block_request, io), res);
}

/* What an overlay holds need never reach the disk. */
static void submit_flush(const struct image *img, struct block_request *rq)
{
	if (img->overlay || img->block.readonly) {
		finish(rq, 0);
		return;
	}
	rq->io.file = FILE_BASE;
	rq->io.done = sync_done;
	start_io(rq, ENGINE_SYNC);
}

/* Ways to do it, best first. The end of the list is 0. */
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO  (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)
static const int discard_modes[] = { PUNCH, 0 };
static const int unmap_modes[] = { PUNCH, ZERO, 0 };
static const int zero_modes[] = { ZERO, PUNCH, 0 };

static void next_mode(struct block_request *rq)
{
	rq->io.flags = *rq->modes++;
	start_io(rq, ENGINE_FALLOCATE);
}

/* Where nothing else does it: zeroes, a bounce buffer at a time. */
static void write_zeroes(struct block_request *rq)
{
	size_t bytes = ALIGN_UP(MIN(rq->bytes, (uint64_t)BOUNCE_BYTES), 4096);

	rq->bounce = aligned_alloc(4096, bytes);
	if (!rq->bounce) {
		finish(rq, -ENOMEM);
		return;
	}
	memset(rq->bounce, 0, bytes);
	rq->io.done = rw_done;
	rq->io.flags = rq->flags & BLOCK_FUA ? RWF_DSYNC : 0;
	next_piece(rq);
}

static void fallocate_done(struct block_io *io, int res)
{
	struct block_request *rq = container_of(io, struct block_request, io);

	if (res == -EOPNOTSUPP && *rq->modes && !rq->cancelled)
		next_mode(rq);
	else if (res == -EOPNOTSUPP && rq->op == BLOCK_DISCARD)
		finish(rq, 0); /* it was advice */
	else if (res == -EOPNOTSUPP && !rq->cancelled)
		write_zeroes(rq);
	else if (res == 0 && rq->op == BLOCK_WRITE_ZEROES && (rq->flags & BLOCK_FUA))
		submit_flush(image_of(rq), rq);
	else
		finish(rq, res);
}

static void submit_fallocate(const struct image *img, struct block_request *rq)
{
	uint64_t block_bytes = img->overlay ? BLOCK_SECTOR_BYTES : img->base.block_bytes;
	uint64_t end;

	if (rq->op == BLOCK_DISCARD)
		rq->modes = discard_modes;
	else if (img->overlay || (rq->flags & BLOCK_MAY_UNMAP))
		rq->modes = unmap_modes;
	else
		rq->modes = zero_modes;
	rq->io.file = img->overlay ? FILE_OVERLAY : FILE_BASE;
	rq->io.offset = ALIGN_UP(rq->offset, block_bytes);
	end = ALIGN_DOWN(rq->offset + rq->bytes, block_bytes);
	rq->io.bytes = end - MIN(rq->io.offset, end);
	rq->io.done = fallocate_done;
	/* Of a discard, that which cannot be done need not. */
	if (rq->io.bytes == rq->bytes || (rq->op == BLOCK_DISCARD && rq->io.bytes))
		next_mode(rq);
	else if (rq->op == BLOCK_DISCARD)
		finish(rq, 0);
	else
		write_zeroes(rq);
}

/* --- the back end's operations --------------------------------------------- */

static void image_submit(struct block_queue *queue, struct block_request *rq)
{
	const struct image *img = container_of(queue->block, struct image, block);

	rq->queue = queue;
	rq->pos = 0;
	rq->bounce = NULL;
	rq->cancelled = false;
	/* Somebody else may own the image by now. */
	if (!block_file_is_locked(&img->base))
		finish(rq, -ENOLCK);
	else if (img->block.readonly && rq->op != BLOCK_READ && rq->op != BLOCK_FLUSH)
		finish(rq, -EROFS);
	else if (rq->op == BLOCK_READ || rq->op == BLOCK_WRITE)
		submit_rw(img, rq);
	else if (rq->op == BLOCK_FLUSH)
		submit_flush(img, rq);
	else
		submit_fallocate(img, rq);
}

static void image_cancel(struct block_queue *queue, struct block_request *rq)
{
	struct image_queue *q = container_of(queue, struct image_queue, queue);

	rq->cancelled = true;
	q->engine->ops->cancel(q->engine, &rq->io);
}

static int image_attach(struct block *b, struct loop *loop, struct block_queue **ret)
{
	struct image *img = container_of(b, struct image, block);
	const struct engine_files files = {
		.fds = { img->base.fd, img->overlay ? img->overlay->fd : -1 },
		.nr = img->overlay ? 2 : 1,
		/* Of a device the claim goes with the last reference, and others wait for that. */
		.may_pin = !img->base.is_device,
	};
	struct image_queue *q = calloc(1, sizeof(*q));
	int rc;

	if (!q)
		return -ENOMEM;
	rc = engine_new(loop, &files, &q->engine);
	if (rc < 0) {
		free(q);
		return rc;
	}
	q->queue.block = b;
	*ret = &q->queue;
	return 0;
}

static void image_detach(struct block_queue *queue)
{
	struct image_queue *q = container_of(queue, struct image_queue, queue);

	q->engine->ops->free(q->engine);
	free(q);
}

static void image_free(struct block *b)
{
	struct image *img = container_of(b, struct image, block);

	overlay_free(img->overlay);
	block_file_close(&img->base);
	free(img);
}

static int image_take_lock(struct block *b, struct err *e)
{
	return block_file_take_lock(&container_of(b, struct image, block)->base, e);
}

static int image_release_lock(struct block *b, struct err *e)
{
	return block_file_release_lock(&container_of(b, struct image, block)->base, e);
}

/* What is in the image stays there; what is in the overlay goes with the guest. */
static int image_can_save(struct block *b, struct err *e)
{
	return overlay_can_save(container_of(b, struct image, block)->overlay, e);
}

static void image_save(struct block *b, struct vstate_writer *w)
{
	overlay_save(container_of(b, struct image, block)->overlay, w);
}

static int image_load(struct block *b, struct vstate_reader *r, struct err *e)
{
	return overlay_load(container_of(b, struct image, block)->overlay, r, e);
}

static int check_growth(const struct image *img, uint64_t bytes, struct err *e)
{
	const struct block *b = &img->block;

	if (bytes % BLOCK_SECTOR_BYTES)
		return err_set(e, -EINVAL, "%llu bytes are no whole sectors of 512 bytes",
			       (unsigned long long)bytes);
	if (bytes && bytes < b->bytes)
		return err_set(e, -EINVAL,
			       "a disk of %llu bytes does not shrink to %llu: the guest would lose "
			       "what lies there",
			       (unsigned long long)b->bytes, (unsigned long long)bytes);
	if (bytes > INT64_MAX)
		return err_set(e, -EFBIG, "%llu bytes are too many", (unsigned long long)bytes);
	return 0;
}

static int image_resize(struct block *b, uint64_t bytes, struct err *e)
{
	struct image *img = container_of(b, struct image, block);
	int rc = check_growth(img, bytes, e);

	if (rc < 0)
		return rc;
	if (img->overlay && !bytes)
		return err_set(e, -EINVAL, "the size that the overlay shall have is missing");
	rc = img->overlay ? overlay_resize(img->overlay, bytes, e)
			  : block_file_resize(&img->base, bytes, e);
	if (rc == 0)
		b->bytes = bytes ? bytes : ALIGN_DOWN(img->base.bytes, BLOCK_SECTOR_BYTES);
	return rc;
}

static const struct block_ops raw_ops = {
	.name = "raw",
	.attach = image_attach,
	.detach = image_detach,
	.submit = image_submit,
	.cancel = image_cancel,
	.free = image_free,
	.take_lock = image_take_lock,
	.release_lock = image_release_lock,
	.resize = image_resize,
};

static const struct block_ops overlay_ops = {
	.name = "overlay",
	.attach = image_attach,
	.detach = image_detach,
	.submit = image_submit,
	.cancel = image_cancel,
	.free = image_free,
	.take_lock = image_take_lock,
	.release_lock = image_release_lock,
	.resize = image_resize,
	.can_save = image_can_save,
	.save = image_save,
	.load = image_load,
};

static void describe(struct image *img, const struct block_image_config *cfg)
{
	const struct block_file *f = &img->base;

	img->block = (struct block){
		.ops = img->overlay ? &overlay_ops : &raw_ops,
		.bytes = img->overlay ? img->overlay->bytes
				      : ALIGN_DOWN(f->bytes, BLOCK_SECTOR_BYTES),
		.readonly = cfg->readonly,
		.can_discard = img->overlay || f->can_punch,
		.direct = f->direct,
		.physical_bytes = MAX(PHYSICAL_BYTES, f->block_bytes),
		.discard_bytes = MAX(PHYSICAL_BYTES, f->block_bytes),
		.max_discard_bytes = MAX_DISCARD_BYTES,
	};
}

static int add_overlay(struct image *img, const struct block_image_config *cfg, struct err *e)
{
	uint64_t base_bytes = ALIGN_DOWN(img->base.bytes, BLOCK_SECTOR_BYTES);
	uint64_t bytes = cfg->overlay_bytes ? cfg->overlay_bytes : base_bytes;
	const struct overlay_config overlay = {
		.base_bytes = base_bytes,
		.bytes = bytes,
		.given_fd = cfg->given ? &cfg->given->overlay_fd : NULL,
	};

	if (bytes < base_bytes || bytes % BLOCK_SECTOR_BYTES || bytes > INT64_MAX)
		return err_set(
			e, -EINVAL,
			"%s: size: an overlay has whole sectors, and no fewer than its image's "
			"%llu bytes",
			cfg->path, (unsigned long long)base_bytes);
	return overlay_new(&img->overlay, &overlay, e);
}

int block_image_new(struct block **ret, const struct block_image_config *cfg, struct err *e)
{
	struct image *img = calloc(1, sizeof(*img));
	int rc;

	if (!img)
		return err_set(e, -ENOMEM, "%s: %s", cfg->path, strerror(ENOMEM));
	rc = block_file_open(&img->base, cfg, e);
	if (rc < 0)
		goto err_free;
	if (cfg->overlay) {
		rc = add_overlay(img, cfg, e);
		if (rc < 0)
			goto err_close;
	}
	if (img->base.bytes % BLOCK_SECTOR_BYTES)
		log_warn("%s: not a multiple of 512 bytes: the guest does not see the last %llu",
			 cfg->path, (unsigned long long)(img->base.bytes % BLOCK_SECTOR_BYTES));
	describe(img, cfg);
	*ret = &img->block;
	return 0;

err_close:
	block_file_close(&img->base);
err_free:
	free(img);
	return rc;
}
