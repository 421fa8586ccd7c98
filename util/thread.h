/* SPDX-License-Identifier: MIT */
/* Threads and mutexes, wrapped so that ownership can be asserted. */
#ifndef FERRY_UTIL_THREAD_H
#define FERRY_UTIL_THREAD_H

#include <pthread.h>
#include <stdint.h>

#include "util/compiler.h"

/*
 * A mutex. Every declaration says what it protects and where it stands in the
 * lock order of docs/locking.md.
 */
struct mutex {
	pthread_mutex_t m;
};

/* None of these can fail but by a mistake of ours, which they assert against. */
void mutex_init(struct mutex *mu);
void mutex_fini(struct mutex *mu);
void mutex_lock(struct mutex *mu);
void mutex_unlock(struct mutex *mu);

static inline void cleanup_unlockp(struct mutex **mu)
{
	if (*mu)
		mutex_unlock(*mu);
}

static inline struct mutex *mutex_lock_scope(struct mutex *mu)
{
	mutex_lock(mu);
	return mu;
}

/* Hold @mu until the end of the block. */
#define MUTEX_SCOPE(mu)                                                                            \
	__attribute__((cleanup(cleanup_unlockp), unused)) struct mutex *_scope =                   \
		mutex_lock_scope(mu)

/* A condition whose waits may have an end by the clock of util/clock.h. Never fails. */
void cond_init(pthread_cond_t *cond);

/* Wait on it, with @mu held, until clock_now_ns() is @until_ns. 0 or -ETIMEDOUT. */
int cond_wait_until(pthread_cond_t *cond, struct mutex *mu, uint64_t until_ns);

/* What a thread does, and so what it may ask of the kernel; see vmm/sandbox/filters.c. */
enum thread_class {
	THREAD_MAIN, /* life cycle, control socket, signals: whatever the others may, too */
	THREAD_VCPU,
	THREAD_IO,   /* loops of devices, and workers of disks */
	THREAD_NET,  /* loops of user networks */
	THREAD_MOVE, /* save, restore, teleport */
	THREAD_NR_CLASSES,
	THREAD_FREE = THREAD_NR_CLASSES /* the process's first, until it has confined itself */
};

/*
 * Call @fn first in each thread that is started from now on, with its class and
 * the one that its parent had when it started it, whose confinement it inherited. One
 * for the process, as confinement is. Before there are threads.
 */
void thread_set_hook(void (*fn)(enum thread_class class, enum thread_class parent));

/* The calling thread is of @class from now on. */
void thread_set_class(enum thread_class class);

/* The name of the calling thread; "main" where thread_start() did not start it. */
const char *thread_own_name(void);

/*
 * Start a thread called @name (at most 15 characters are kept). Signals for the process
 * reach the main thread alone: this one blocks all but those by which the kernel tells of
 * its own mistakes (SIGSEGV, SIGSYS ...): their handlers say why all ends. A thread that
 * is confined starts others of its own class only, the main one all: what it may not do
 * they could not do either. 0 or -errno (EPERM: of another class).
 */
__must_check int thread_start(pthread_t *ret, enum thread_class class, const char *name,
			      void *(*fn)(void *), void *arg);

#endif
