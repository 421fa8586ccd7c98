// SPDX-License-Identifier: MIT
// The saved file: its memory by several threads.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migration/file_format.h"
#include "util/thread.h"

/* Chunks that a thread takes at once: below that a second one is not worth its start. */
#define BATCH 16U

struct crew {
	const struct file_work *work;
	_Atomic size_t next;
	_Atomic bool failed;
	struct mutex lock; /* protects: rc, e; order: leaf */
	int rc;
	struct err *e;
};

static void give_up(struct crew *c, int rc, const struct err *why)
{
	MUTEX_SCOPE(&c->lock);
	if (c->rc < 0)
		return;
	c->rc = rc;
	if (c->e)
		*c->e = *why;
	atomic_store(&c->failed, true);
}

static int work_chunk(struct crew *c, size_t chunk, void *scratch, struct err *e)
{
	if (c->work->cancelled && atomic_load(c->work->cancelled))
		return err_set(e, -ECANCELED, "cancelled");
	return c->work->fn(c->work->opaque, chunk, scratch, e);
}

static void *work_batches(void *opaque)
{
	struct crew *c = opaque;
	void *scratch = malloc(c->work->scratch_bytes + 1);
	struct err e = { 0 };
	size_t first;

	if (!scratch) {
		give_up(c, -ENOMEM, &(struct err){ .code = -ENOMEM, .text = "out of memory" });
		return NULL;
	}
	while ((first = atomic_fetch_add(&c->next, BATCH)) < c->work->nr_chunks) {
		size_t end = MIN(first + BATCH, c->work->nr_chunks);
		int rc = 0;

		for (size_t i = first; rc == 0 && i < end && !atomic_load(&c->failed); i++)
			rc = work_chunk(c, i, scratch, &e);
		if (rc < 0)
			give_up(c, rc, &e);
		if (atomic_load(&c->failed))
			break;
	}
	free(scratch);
	return NULL;
}

/* One thread for each processor and batch, this one being the first. */
static unsigned count_helpers(const struct file_work *work)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t batches = (work->nr_chunks + BATCH - 1) / BATCH;
	size_t n = MIN((size_t)MAX(cpus, 1L), batches);

	return (unsigned)MIN(n, (size_t)FILE_MAX_WORKERS) - (n > 0);
}

int file_work_run(const struct file_work *work, struct err *e)
{
	pthread_t threads[FILE_MAX_WORKERS];
	struct crew crew = { .work = work, .e = e };
	unsigned nr = count_helpers(work);
	unsigned started = 0;

	mutex_init(&crew.lock);
	/* Without a helper, the others have more to do. */
	while (started < nr && thread_start(&threads[started], THREAD_MOVE, "save-worker",
					    work_batches, &crew) == 0)
		started++;
	(void)work_batches(&crew);
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	mutex_fini(&crew.lock);
	return crew.rc;
}
