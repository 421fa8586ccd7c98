/* SPDX-License-Identifier: MIT */
/* Inside the event loop: what loop.c shares with its two pollers. */
#ifndef FERRY_VMM_LOOP_IMPL_H
#define FERRY_VMM_LOOP_IMPL_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>

#include "util/log.h"
#include "util/thread.h"
#include "vmm/loop.h"

#define LOOP_MAX_FDS 512

/*
 * One watched descriptor. The generation tells late events of a descriptor
 * that was removed from those of the next one in the same slot.
 */
struct loop_slot {
	struct loop_fd *w; /* NULL: free */
	uint32_t gen;
	bool is_eventfd;
	bool armed;     /* a request is with the kernel (io_uring poller) */
	bool late;      /* should be armed, but could not be: tried again each turn */
	uint64_t count; /* where an eventfd read lands */
};

struct loop_poller {
	int (*init)(struct loop *loop);
	void (*fini)(struct loop *loop);
	/* Called once on the loop's thread, before the first wait. */
	int (*enter)(struct loop *loop);
	/*
	 * Make the kernel watch a slot whose w->events are not 0, or stop. Arming
	 * fails where the kernel has no memory or room for it at the moment.
	 */
	int (*arm)(struct loop *loop, unsigned slot);
	void (*disarm)(struct loop *loop, unsigned slot);
	/* Wait for events for at most @timeout_ns (UINT64_MAX: for ever), dispatch them. */
	int (*wait)(struct loop *loop, uint64_t timeout_ns);
};

extern const struct loop_poller loop_uring_poller;
extern const struct loop_poller loop_epoll_poller;

struct loop {
	const struct loop_poller *poller; /* const after loop_new() */
	struct io_uring ring;             /* poller's */
	int epoll_fd;                     /* poller's */
	bool shared;                      /* const after loop_new() */

	/* loop thread only */
	struct loop_slot slots[LOOP_MAX_FDS];
	unsigned nr_slots; /* slots in use lie below it */
	unsigned nr_late;  /* of them */
	struct log_limit log;
	TAILQ_HEAD(, loop_timer) timers; /* by deadline */
	struct loop_fd wake;
	STAILQ_HEAD(, loop_work) deferred;

	struct mutex lock; /* protects: work, queued of each; order: innermost */
	STAILQ_HEAD(, loop_work) work;

	pthread_t thread;         /* valid if started, for the join alone */
	bool started;             /* loop_start() made the thread */
	_Atomic pthread_t runner; /* who runs it, or ran it last: set by itself */
	_Atomic bool running;     /* release in loop_run(), acquire in loop_is_current() */
	_Atomic bool stopping;    /* set by loop_stop(), read by the runner after a wake */
};

/* Arm @slot again after an event; where that fails, later turns try until it works. */
void loop_arm_slot(struct loop *loop, unsigned slot);

/* Give @events to slot's watcher, unless @gen is not the slot's any more. */
void loop_dispatch_fd(struct loop *loop, unsigned slot, uint32_t gen, unsigned events);

#endif
