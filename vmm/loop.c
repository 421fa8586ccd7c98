// SPDX-License-Identifier: MIT
// Event loop: slots, timers and work, on top of a poller (io_uring or epoll).
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/loop_impl.h"

/* Until the next try where the kernel had no memory or room for a request. */
#define RETRY_NS (10 * NSEC_PER_MSEC)

static void set_late(struct loop *loop, struct loop_slot *s, bool late)
{
	loop->nr_late += (unsigned)late - s->late;
	s->late = late;
}

void loop_arm_slot(struct loop *loop, unsigned slot)
{
	int rc = loop->poller->arm(loop, slot);

	if (rc < 0)
		log_limited(&loop->log, LOG_WARN, "event loop: watching a descriptor: %s: retried",
			    strerror(-rc));
	set_late(loop, &loop->slots[slot], rc < 0);
}

static void arm_late_slots(struct loop *loop)
{
	for (unsigned i = 0; i < loop->nr_slots && loop->nr_late; i++) {
		if (loop->slots[i].late)
			loop_arm_slot(loop, i);
	}
}

static void disarm_slot(struct loop *loop, unsigned slot)
{
	loop->poller->disarm(loop, slot);
	set_late(loop, &loop->slots[slot], false);
}

static int add_slot(struct loop *loop, struct loop_fd *w, bool is_eventfd)
{
	struct loop_slot *s;
	unsigned i = 0;
	int rc = 0;

	while (i < LOOP_MAX_FDS && loop->slots[i].w)
		i++;
	if (i == LOOP_MAX_FDS)
		return -EMFILE;
	s = &loop->slots[i];
	s->w = w;
	s->is_eventfd = is_eventfd;
	w->slot = (int)i;
	loop->nr_slots = MAX(loop->nr_slots, i + 1);
	if (w->events)
		rc = loop->poller->arm(loop, i);
	if (rc < 0) {
		s->w = NULL;
		w->slot = -1;
	}
	return rc;
}

int loop_add_fd(struct loop *loop, struct loop_fd *w)
{
	return add_slot(loop, w, false);
}

int loop_add_eventfd(struct loop *loop, struct loop_fd *w)
{
	w->events = LOOP_READ;
	return add_slot(loop, w, true);
}

/* Is @w in its slot? Watchers that were never added hold 0 or -1. */
static struct loop_slot *slot_of(struct loop *loop, const struct loop_fd *w)
{
	if (w->slot < 0 || w->slot >= LOOP_MAX_FDS || loop->slots[w->slot].w != w)
		return NULL;
	return &loop->slots[w->slot];
}

void loop_del_fd(struct loop *loop, struct loop_fd *w)
{
	struct loop_slot *s = slot_of(loop, w);

	if (!s)
		return;
	disarm_slot(loop, (unsigned)w->slot);
	s->w = NULL;
	s->gen++;
	w->slot = -1;
}

void loop_mod_fd(struct loop *loop, struct loop_fd *w, unsigned events)
{
	struct loop_slot *s = slot_of(loop, w);

	if (!s || w->events == events)
		return;
	disarm_slot(loop, (unsigned)w->slot);
	s->gen++;
	w->events = events;
	if (events)
		loop_arm_slot(loop, (unsigned)w->slot);
}

void loop_dispatch_fd(struct loop *loop, unsigned slot, uint32_t gen, unsigned events)
{
	struct loop_slot *s = &loop->slots[slot];

	if (!s->w || s->gen != gen)
		return;
	s->w->fn(s->w->opaque, events);
}

void loop_arm(struct loop *loop, struct loop_timer *t, uint64_t deadline_ns)
{
	struct loop_timer *at;

	loop_disarm(loop, t);
	t->deadline_ns = deadline_ns;
	t->armed = true;
	TAILQ_FOREACH(at, &loop->timers, link)
	{
		if (at->deadline_ns > deadline_ns) {
			TAILQ_INSERT_BEFORE(at, t, link);
			return;
		}
	}
	TAILQ_INSERT_TAIL(&loop->timers, t, link);
}

void loop_disarm(struct loop *loop, struct loop_timer *t)
{
	if (!t->armed)
		return;
	TAILQ_REMOVE(&loop->timers, t, link);
	t->armed = false;
}

static void run_timers(struct loop *loop)
{
	uint64_t now = clock_now_ns();
	struct loop_timer *t;

	while ((t = TAILQ_FIRST(&loop->timers)) && t->deadline_ns <= now) {
		loop_disarm(loop, t);
		t->fn(t->opaque);
	}
}

static uint64_t next_timeout_ns(const struct loop *loop)
{
	const struct loop_timer *t = TAILQ_FIRST(&loop->timers);
	uint64_t timeout_ns = loop->nr_late ? RETRY_NS : UINT64_MAX;
	uint64_t now;

	if (!STAILQ_EMPTY(&loop->deferred))
		return 0;
	if (!t)
		return timeout_ns;
	now = clock_now_ns();
	return t->deadline_ns > now ? MIN(t->deadline_ns - now, timeout_ns) : 0;
}

void loop_post(struct loop *loop, struct loop_work *work)
{
	mutex_lock(&loop->lock);
	if (!work->queued) {
		work->queued = true;
		STAILQ_INSERT_TAIL(&loop->work, work, link);
	}
	mutex_unlock(&loop->lock);
	eventfd_signal(loop->wake.fd);
}

void loop_unpost(struct loop *loop, struct loop_work *work)
{
	mutex_lock(&loop->lock);
	if (work->queued) {
		STAILQ_REMOVE(&loop->work, work, loop_work, link);
		work->queued = false;
	}
	mutex_unlock(&loop->lock);
}

static struct loop_work *take_work(struct loop *loop)
{
	struct loop_work *work;

	mutex_lock(&loop->lock);
	work = STAILQ_FIRST(&loop->work);
	if (work) {
		STAILQ_REMOVE_HEAD(&loop->work, link);
		work->queued = false;
	}
	mutex_unlock(&loop->lock);
	return work;
}

static void run_work(struct loop *loop)
{
	struct loop_work *work;

	while ((work = take_work(loop)))
		work->fn(work->opaque);
}

void loop_defer(struct loop *loop, struct loop_work *work)
{
	if (work->queued)
		return;
	work->queued = true;
	STAILQ_INSERT_TAIL(&loop->deferred, work, link);
}

void loop_undefer(struct loop *loop, struct loop_work *work)
{
	if (!work->queued)
		return;
	STAILQ_REMOVE(&loop->deferred, work, loop_work, link);
	work->queued = false;
}

/*
 * What they defer in turn waits for the next turn, so that events get theirs.
 * Counted, because a callback may drain and so run the rest of the list.
 */
static void run_deferred(struct loop *loop)
{
	struct loop_work *work;
	unsigned n = 0;

	STAILQ_FOREACH(work, &loop->deferred, link)
	n++;
	while (n-- > 0 && (work = STAILQ_FIRST(&loop->deferred))) {
		STAILQ_REMOVE_HEAD(&loop->deferred, link);
		work->queued = false;
		work->fn(work->opaque);
	}
}

static void wake_up(void *opaque, unsigned events)
{
	(void)events;
	run_work(opaque);
}

static int add_wake(struct loop *loop)
{
	int rc;

	loop->wake = (struct loop_fd){
		.fn = wake_up,
		.opaque = loop,
		.fd = eventfd(0, EFD_CLOEXEC),
	};
	if (loop->wake.fd < 0)
		return -errno;
	rc = loop_add_eventfd(loop, &loop->wake);
	if (rc < 0)
		close_fd(&loop->wake.fd);
	return rc;
}

struct sync_call {
	void (*fn)(void *opaque);
	void *opaque;
	sem_t done;
};

static void run_sync_call(void *opaque)
{
	struct sync_call *call = opaque;

	call->fn(call->opaque);
	(void)sem_post(&call->done);
}

void loop_call_sync(struct loop *loop, void (*fn)(void *opaque), void *opaque)
{
	struct sync_call call = { .fn = fn, .opaque = opaque };
	struct loop_work work = { .fn = run_sync_call, .opaque = &call };

	if (loop_is_current(loop)) {
		fn(opaque);
		return;
	}
	(void)sem_init(&call.done, 0, 0);
	loop_post(loop, &work);
	while (sem_wait(&call.done) < 0)
		;
	(void)sem_destroy(&call.done);
}

bool loop_is_current(const struct loop *loop)
{
	return !atomic_load_explicit(&loop->running, memory_order_acquire) ||
	       atomic_load_explicit(&loop->runner, memory_order_relaxed) == pthread_self();
}

bool loop_is_shared(const struct loop *loop)
{
	return loop->shared;
}

/*
 * Without memory in the kernel, say. A loop goes on whatever happens: requests
 * may be in flight, and nobody else will ever learn of their end.
 */
static void wait_failed(struct loop *loop, int rc)
{
	const struct timespec pause = { .tv_nsec = (long)RETRY_NS };

	log_limited(&loop->log, LOG_ERROR, "event loop: waiting: %s: retried", strerror(-rc));
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static void turn(struct loop *loop)
{
	int rc;

	arm_late_slots(loop);
	rc = loop->poller->wait(loop, next_timeout_ns(loop));
	if (rc < 0)
		wait_failed(loop, rc);
	run_timers(loop);
	run_deferred(loop);
}

/* This thread is the loop's from now on. */
static int enter(struct loop *loop)
{
	int rc;

	atomic_store_explicit(&loop->runner, pthread_self(), memory_order_relaxed);
	atomic_store_explicit(&loop->running, true, memory_order_release);
	rc = loop->poller->enter(loop);
	if (rc < 0)
		atomic_store_explicit(&loop->running, false, memory_order_release);
	return rc;
}

static void run_until_stopped(struct loop *loop)
{
	while (!atomic_load(&loop->stopping))
		turn(loop);
	/* What was posted before the stop is still done: somebody may wait for it. */
	run_work(loop);
	atomic_store_explicit(&loop->running, false, memory_order_release);
}

int loop_run(struct loop *loop)
{
	int rc = enter(loop);

	if (rc == 0)
		run_until_stopped(loop);
	return rc;
}

void loop_drain(struct loop *loop, bool (*idle)(void *opaque), void *opaque)
{
	/*
	 * Called from posted work, say: what was posted behind it had its wake-up together
	 * with it, and gets no other.
	 */
	if (!idle(opaque))
		run_work(loop);
	while (!idle(opaque))
		turn(loop);
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopping, true);
	eventfd_signal(loop->wake.fd);
}

/* What loop_start() learns of its thread. */
struct start {
	struct loop *loop;
	sem_t entered;
	int rc;
};

static void *thread_main(void *opaque)
{
	struct start *start = opaque;
	struct loop *loop = start->loop;
	int rc = enter(loop);

	start->rc = rc;
	(void)sem_post(&start->entered); /* *start is gone after this */
	if (rc == 0)
		run_until_stopped(loop);
	return NULL;
}

int loop_start(struct loop *loop, enum thread_class class, const char *name)
{
	struct start start = { .loop = loop };
	int rc;

	(void)sem_init(&start.entered, 0, 0);
	rc = thread_start(&loop->thread, class, name, thread_main, &start);
	if (rc == 0) {
		while (sem_wait(&start.entered) < 0)
			;
		rc = start.rc;
		loop->started = rc == 0;
		if (rc < 0)
			(void)pthread_join(loop->thread, NULL);
	}
	(void)sem_destroy(&start.entered);
	return rc;
}

int loop_new(struct loop **ret, unsigned flags)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int rc;

	if (!loop)
		return -ENOMEM;
	TAILQ_INIT(&loop->timers);
	STAILQ_INIT(&loop->work);
	STAILQ_INIT(&loop->deferred);
	mutex_init(&loop->lock);
	loop->epoll_fd = -1;
	loop->shared = flags & LOOP_SHARED;
	loop->poller = flags & LOOP_NO_URING ? &loop_epoll_poller : &loop_uring_poller;
	rc = loop->poller->init(loop);
	if (rc < 0 && loop->poller == &loop_uring_poller) {
		loop->poller = &loop_epoll_poller;
		rc = loop->poller->init(loop);
	}
	if (rc < 0)
		goto err_free;
	rc = add_wake(loop);
	if (rc < 0)
		goto err_poller;
	*ret = loop;
	return 0;

err_poller:
	loop->poller->fini(loop);
err_free:
	mutex_fini(&loop->lock);
	free(loop);
	return rc;
}

int loop_forked(struct loop *loop)
{
	/* The instance is the parent's too; the descriptor is not. */
	loop->poller->fini(loop);
	return loop->poller->init(loop);
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->started) {
		loop_stop(loop);
		(void)pthread_join(loop->thread, NULL);
	}
	loop->poller->fini(loop);
	close_fd(&loop->wake.fd);
	mutex_fini(&loop->lock);
	free(loop);
}
