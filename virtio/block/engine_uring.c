// SPDX-License-Identifier: MIT
// Input and output on the ring of the queue's loop. Files are registered, which
// saves the kernel a reference count per request. Guest memory is not: that
// would pin all of it, and ballooning and overcommitment would be gone.
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/block/engine.h"

enum io_state { IO_WAITING, IO_SUBMITTED };

struct uring_engine {
	struct engine engine;
	struct loop *loop;
	int fds[ENGINE_MAX_FILES];
	bool registered; /* use indices rather than fds */

	/* Where the ring was full: tried again at the end of the turn. */
	STAILQ_HEAD(, block_io) waiting;
	struct loop_work retry;
};

static void complete(struct loop_op *op, int res)
{
	struct block_io *io = container_of(op, struct block_io, op);

	io->done(io, res);
}

static void prep_rw(struct io_uring_sqe *sqe, const struct block_io *io, int fd)
{
	const struct iovec *v = io->iov;
	unsigned len = (unsigned)MIN(v->iov_len, ENGINE_MAX_IO_BYTES);

	/* One buffer is the common case, and spares the kernel the copy of the vector. */
	if (io->niov == 1 && io->kind == ENGINE_READ)
		io_uring_prep_read(sqe, fd, v->iov_base, len, io->offset);
	else if (io->niov == 1)
		io_uring_prep_write(sqe, fd, v->iov_base, len, io->offset);
	else if (io->kind == ENGINE_READ)
		io_uring_prep_readv(sqe, fd, v, io->niov, io->offset);
	else
		io_uring_prep_writev(sqe, fd, v, io->niov, io->offset);
	sqe->rw_flags = io->flags;
}

static bool try_submit(struct uring_engine *u, struct block_io *io)
{
	struct io_uring_sqe *sqe = loop_get_sqe(u->loop, &io->op);
	int fd = u->registered ? (int)io->file : u->fds[io->file];

	if (!sqe)
		return false;
	if (io->kind == ENGINE_SYNC)
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	else if (io->kind == ENGINE_FALLOCATE)
		io_uring_prep_fallocate(sqe, fd, io->flags, (off_t)io->offset, (off_t)io->bytes);
	else
		prep_rw(sqe, io, fd);
	if (u->registered)
		sqe->flags |= IOSQE_FIXED_FILE;
	io->state = IO_SUBMITTED;
	return true;
}

static void retry(void *opaque)
{
	struct uring_engine *u = opaque;
	struct block_io *io;

	while ((io = STAILQ_FIRST(&u->waiting)) && try_submit(u, io))
		STAILQ_REMOVE_HEAD(&u->waiting, link);
	if (io)
		loop_defer(u->loop, &u->retry);
}

static void uring_submit(struct engine *en, struct block_io *io)
{
	struct uring_engine *u = container_of(en, struct uring_engine, engine);

	io->op.done = complete;
	if (STAILQ_EMPTY(&u->waiting) && try_submit(u, io))
		return;
	io->state = IO_WAITING;
	STAILQ_INSERT_TAIL(&u->waiting, io, link);
	loop_defer(u->loop, &u->retry);
}

static void uring_cancel(struct engine *en, struct block_io *io)
{
	struct uring_engine *u = container_of(en, struct uring_engine, engine);

	/* One that waits will be submitted and end as it would: rare, and bounded. */
	if (io->state == IO_SUBMITTED)
		loop_cancel(u->loop, &io->op);
}

static void uring_free(struct engine *en)
{
	struct uring_engine *u = container_of(en, struct uring_engine, engine);

	loop_undefer(u->loop, &u->retry);
	free(u);
}

static const struct engine_ops uring_ops = {
	.submit = uring_submit,
	.cancel = uring_cancel,
	.free = uring_free,
};

int engine_uring_new(struct loop *loop, const struct engine_files *files, struct engine **ret)
{
	struct uring_engine *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->engine.ops = &uring_ops;
	u->loop = loop;
	memcpy(u->fds, files->fds, sizeof(u->fds));
	STAILQ_INIT(&u->waiting);
	u->retry = (struct loop_work){ .fn = retry, .opaque = u };
	u->registered = files->may_pin && !loop_is_shared(loop) &&
			io_uring_register_files(loop_ring(loop), files->fds, files->nr) == 0;
	*ret = &u->engine;
	return 0;
}

int engine_new(struct loop *loop, const struct engine_files *files, struct engine **ret)
{
	if (loop_ring(loop))
		return engine_uring_new(loop, files, ret);
	return engine_threads_new(loop, files, ret);
}
