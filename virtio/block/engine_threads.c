// SPDX-License-Identifier: MIT
// Input and output by threads that may wait, for hosts that refuse io_uring.
//
// Theory of operation
//
// An io goes to the list of things to do; a worker takes it, makes the system
// call, puts it on the list of finished ones and posts work to the queue's loop,
// which calls back. Workers are started as they are needed. The post is made
// under the lock: the loop therefore cannot have seen the last io finished, and
// be freed, while a worker is still about to use it.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/thread.h"
#include "virtio/block/engine.h"

#define MAX_WORKERS 8U

enum io_state { IO_QUEUED, IO_RUNNING };

STAILQ_HEAD(io_list, block_io);

struct threads_engine {
	struct engine engine;
	struct loop *loop;            /* const */
	int fds[ENGINE_MAX_FILES];    /* const */
	struct loop_work finished_fn; /* loop_post()ed */

	/* loop thread only */
	pthread_t workers[MAX_WORKERS];
	unsigned nr_workers;

	struct mutex lock;      /* protects: the group below, state and res of every
				 * io in it; order: before loop.lock */
	pthread_cond_t changed; /* todo grew, or quit */
	struct io_list todo, finished;
	unsigned nr_todo, nr_idle;
	bool quit;
};

static ssize_t call(const struct threads_engine *t, const struct block_io *io)
{
	int fd = t->fds[io->file];

	switch ((enum engine_kind)io->kind) {
	case ENGINE_READ:
		return preadv2(fd, io->iov, (int)io->niov, (off_t)io->offset, 0);
	case ENGINE_WRITE:
		return pwritev2(fd, io->iov, (int)io->niov, (off_t)io->offset, io->flags);
	case ENGINE_SYNC:
		return fdatasync(fd);
	case ENGINE_FALLOCATE:
		return fallocate(fd, io->flags, (off_t)io->offset, (off_t)io->bytes);
	}
	errno = EINVAL;
	return -1;
}

static int perform(const struct threads_engine *t, const struct block_io *io)
{
	ssize_t n;

	do {
		n = call(t, io);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static void finish_locked(struct threads_engine *t, struct block_io *io, int res)
{
	io->res = res;
	STAILQ_INSERT_TAIL(&t->finished, io, link);
	loop_post(t->loop, &t->finished_fn);
}

static struct block_io *take_locked(struct threads_engine *t)
{
	struct block_io *io;

	t->nr_idle++;
	while (STAILQ_EMPTY(&t->todo) && !t->quit)
		(void)pthread_cond_wait(&t->changed, &t->lock.m);
	t->nr_idle--;
	io = STAILQ_FIRST(&t->todo);
	if (io) {
		STAILQ_REMOVE_HEAD(&t->todo, link);
		t->nr_todo--;
		io->state = IO_RUNNING;
	}
	return io;
}

static void *worker(void *opaque)
{
	struct threads_engine *t = opaque;
	struct block_io *io;

	mutex_lock(&t->lock);
	while ((io = take_locked(t))) {
		int res;

		mutex_unlock(&t->lock);
		res = perform(t, io);
		mutex_lock(&t->lock);
		finish_locked(t, io, res);
	}
	mutex_unlock(&t->lock);
	return NULL;
}

static void call_back(void *opaque)
{
	struct threads_engine *t = opaque;
	struct io_list list = STAILQ_HEAD_INITIALIZER(list);
	struct block_io *io;

	mutex_lock(&t->lock);
	STAILQ_CONCAT(&list, &t->finished);
	mutex_unlock(&t->lock);
	while ((io = STAILQ_FIRST(&list))) {
		STAILQ_REMOVE_HEAD(&list, link);
		io->done(io, io->res);
	}
}

static int add_worker(struct threads_engine *t)
{
	int rc = thread_start(&t->workers[t->nr_workers], THREAD_IO, "disk-worker", worker, t);

	if (rc == 0)
		t->nr_workers++;
	return rc;
}

static void threads_submit(struct engine *en, struct block_io *io)
{
	struct threads_engine *t = container_of(en, struct threads_engine, engine);
	bool busy;

	mutex_lock(&t->lock);
	io->state = IO_QUEUED;
	STAILQ_INSERT_TAIL(&t->todo, io, link);
	busy = ++t->nr_todo > t->nr_idle;
	(void)pthread_cond_signal(&t->changed);
	mutex_unlock(&t->lock);
	/* If no more are to be had, those there are do it all. */
	if (busy && t->nr_workers < MAX_WORKERS)
		(void)!add_worker(t);
}

static void threads_cancel(struct engine *en, struct block_io *io)
{
	struct threads_engine *t = container_of(en, struct threads_engine, engine);

	MUTEX_SCOPE(&t->lock);
	if (io->state != IO_QUEUED)
		return;
	STAILQ_REMOVE(&t->todo, io, block_io, link);
	t->nr_todo--;
	io->state = IO_RUNNING;
	finish_locked(t, io, -ECANCELED);
}

static void threads_free(struct engine *en)
{
	struct threads_engine *t = container_of(en, struct threads_engine, engine);

	mutex_lock(&t->lock);
	t->quit = true;
	(void)pthread_cond_broadcast(&t->changed);
	mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->nr_workers; i++)
		(void)pthread_join(t->workers[i], NULL);
	loop_unpost(t->loop, &t->finished_fn);
	(void)pthread_cond_destroy(&t->changed);
	mutex_fini(&t->lock);
	free(t);
}

static const struct engine_ops threads_ops = {
	.submit = threads_submit,
	.cancel = threads_cancel,
	.free = threads_free,
};

int engine_threads_new(struct loop *loop, const struct engine_files *files, struct engine **ret)
{
	struct threads_engine *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	t->engine.ops = &threads_ops;
	t->loop = loop;
	memcpy(t->fds, files->fds, sizeof(t->fds));
	t->finished_fn = (struct loop_work){ .fn = call_back, .opaque = t };
	STAILQ_INIT(&t->todo);
	STAILQ_INIT(&t->finished);
	mutex_init(&t->lock);
	(void)pthread_cond_init(&t->changed, NULL);
	rc = add_worker(t); /* one at least, so that every io ends */
	if (rc < 0) {
		threads_free(&t->engine);
		return rc;
	}
	*ret = &t->engine;
	return 0;
}
