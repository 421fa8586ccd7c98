/* SPDX-License-Identifier: MIT */
/* Event loop: one thread that waits for descriptors, timers, calls and I/O. */
#ifndef FERRY_VMM_LOOP_H
#define FERRY_VMM_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "util/compiler.h"
#include "util/thread.h"

/*
 * Theory of operation
 *
 * The main thread runs one loop, and so does each I/O thread. A loop is built
 * on one io_uring: descriptor polls, eventfd reads and a device's block I/O
 * are all requests on that ring, and one system call a turn submits what the
 * last turn produced and waits for the next event. Where io_uring is refused
 * the same interface runs on epoll, and loop_ring() gives NULL.
 *
 * Unless a function says "any thread" it is called on the loop's own thread,
 * or before the loop runs. Callbacks run on the loop's thread and may add and
 * remove anything, themselves included.
 */
struct loop;
struct io_uring;
struct io_uring_sqe;

enum loop_events {
	LOOP_READ = 1 << 0,
	LOOP_WRITE = 1 << 1,
	/* Hang-up or error; always reported, never asked for. */
	LOOP_HANGUP = 1 << 2,
};

/*
 * A watched descriptor, owned by the caller and unchanged by him while added.
 * Level-triggered: the callback comes again as long as the condition holds.
 */
struct loop_fd {
	void (*fn)(void *opaque, unsigned events);
	void *opaque;
	int fd;
	unsigned events;
	int slot; /* the loop's; -1 when not added */
};

/*
 * A one-shot timer. Zero-initialise, then set @fn and @opaque.
 */
struct loop_timer {
	void (*fn)(void *opaque);
	void *opaque;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
	bool armed;
	TAILQ_ENTRY(loop_timer) link;
};

/*
 * One io_uring request of a device. @done gets the CQE's result. The owner
 * keeps it alive until then.
 */
struct loop_op {
	void (*done)(struct loop_op *op, int res);
};

enum loop_flags {
	LOOP_NO_URING = 1 << 0, /* use epoll though io_uring works */
	LOOP_SHARED = 1 << 1,   /* devices come and go on it while it runs; see loop_is_shared() */
};

/* Create a loop. 0 or -errno. */
__must_check int loop_new(struct loop **ret, unsigned flags);

/* Stop and join its thread if it has one, then free it. NULL: no-op. */
void loop_free(struct loop *loop);

/*
 * In the child of a fork(): part from the parent's loop. What is removed from this
 * one afterwards stays in the parent's, and nothing is watched here. Made with
 * LOOP_NO_URING; not from one of its callbacks. 0 or -errno.
 */
__must_check int loop_forked(struct loop *loop);

/*
 * Run on the calling thread until loop_stop(). 0, or -errno if it cannot start;
 * once it runs it goes on, and retries (and reports) what the kernel refuses for
 * want of memory or room.
 */
__must_check int loop_run(struct loop *loop);

/* Run on a new thread of @class called @name; loop_free() ends it. 0 or -errno. */
__must_check int loop_start(struct loop *loop, enum thread_class class, const char *name);

/* Make loop_run() return after the current turn. Any thread. */
void loop_stop(struct loop *loop);

/* True on the thread that runs the loop, and everywhere before it runs. */
bool loop_is_current(const struct loop *loop);

/* Watch @w->fd for @w->events. 0 or -errno. */
__must_check int loop_add_fd(struct loop *loop, struct loop_fd *w);

/*
 * Watch an eventfd, best one without O_NONBLOCK (some kernels do not wait on
 * others); the loop reads it, so the callback need not. It may come without an
 * event, too. @w->events is not looked at. 0 or -errno.
 */
__must_check int loop_add_eventfd(struct loop *loop, struct loop_fd *w);

/* Stop watching; no callback comes after this. Not added: no-op. */
void loop_del_fd(struct loop *loop, struct loop_fd *w);

/*
 * Change what a watched descriptor waits for; @events 0 pauses it. Where the
 * kernel has no room for it now, it is watched a little later.
 */
void loop_mod_fd(struct loop *loop, struct loop_fd *w, unsigned events);

/* Call @t->fn once at @deadline_ns; replaces an earlier deadline. */
void loop_arm(struct loop *loop, struct loop_timer *t, uint64_t deadline_ns);
void loop_disarm(struct loop *loop, struct loop_timer *t);

/*
 * Something to do on the loop's thread; zero-initialise, set @fn and @opaque.
 * Owned by the caller, who keeps it until it has run.
 */
struct loop_work {
	void (*fn)(void *opaque);
	void *opaque;
	bool queued; /* the loop's; one of post and defer at a time */
	STAILQ_ENTRY(loop_work) link;
};

/*
 * Run @work on the loop's thread soon; posted again before it ran, it still
 * runs once. Any thread. Work keeps its order.
 */
void loop_post(struct loop *loop, struct loop_work *work);

/* Take @work back if it has not run yet. Any thread. */
void loop_unpost(struct loop *loop, struct loop_work *work);

/*
 * Run @work once this turn's events have all been handled, before the loop
 * submits and sleeps: how a device treats a batch of completions as one. Like
 * loop_post() without its system call; the loop's own thread only.
 */
void loop_defer(struct loop *loop, struct loop_work *work);

/* Take deferred @work back if it has not run yet; the loop's own thread only. */
void loop_undefer(struct loop *loop, struct loop_work *work);

/*
 * Call @fn on the loop's thread and wait until it was done; on the loop's own
 * thread, and while it does not run, a plain call. Any thread, but never with
 * a lock that a callback of this loop takes.
 */
void loop_call_sync(struct loop *loop, void (*fn)(void *opaque), void *opaque);

/* Made with LOOP_SHARED: nothing of a single device may be registered with its ring. */
bool loop_is_shared(const struct loop *loop);

/* The loop's ring, for registering files and buffers; NULL on epoll. */
struct io_uring *loop_ring(struct loop *loop);

/*
 * A submission entry whose completion calls @op->done; it is submitted when
 * this turn ends. NULL on epoll, or if the queue is full even after a submit.
 */
struct io_uring_sqe *loop_get_sqe(struct loop *loop, struct loop_op *op);

/*
 * Ask for the cancellation of @op, whose done callback comes in any case
 * (-ECANCELED if the kernel could stop it).
 */
void loop_cancel(struct loop *loop, struct loop_op *op);

/*
 * Handle events until @idle says true: how a device waits for its requests
 * when it is reset or paused. Returns in no other case, since whoever drains
 * frees what the kernel writes to: a request that hangs, hangs its device. Other
 * callbacks of the loop run meanwhile. The loop's own thread only.
 */
void loop_drain(struct loop *loop, bool (*idle)(void *opaque), void *opaque);

#endif
