// SPDX-License-Identifier: MIT
// Threads and mutexes.
#include "util/thread.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "util/clock.h"
#include "util/compiler.h"

/* Failure of these calls means corrupted memory or a lock-order bug of ours. */
static void check(int rc)
{
	assert(rc == 0);
	(void)rc;
}

void mutex_init(struct mutex *mu)
{
	pthread_mutexattr_t attr;

	check(pthread_mutexattr_init(&attr));
#ifndef NDEBUG
	check(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK));
#endif
	check(pthread_mutex_init(&mu->m, &attr));
	check(pthread_mutexattr_destroy(&attr));
}

void mutex_fini(struct mutex *mu)
{
	check(pthread_mutex_destroy(&mu->m));
}

void mutex_lock(struct mutex *mu)
{
	check(pthread_mutex_lock(&mu->m));
}

void mutex_unlock(struct mutex *mu)
{
	check(pthread_mutex_unlock(&mu->m));
}

void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	check(pthread_condattr_init(&attr));
	check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	check(pthread_cond_init(cond, &attr));
	check(pthread_condattr_destroy(&attr));
}

int cond_wait_until(pthread_cond_t *cond, struct mutex *mu, uint64_t until_ns)
{
	const struct timespec until = {
		.tv_sec = (time_t)(until_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(until_ns % NSEC_PER_SEC),
	};
	int rc = pthread_cond_timedwait(cond, &mu->m, &until);

	check(rc == ETIMEDOUT ? 0 : rc);
	return -rc;
}

static void (*start_hook)(enum thread_class class, enum thread_class parent);

static _Thread_local enum thread_class own_class = THREAD_FREE;
static _Thread_local char own_name[16] = "main";

/* What a new thread learns; its own to free. */
struct start {
	enum thread_class class, parent;
	char name[16];
	void *(*fn)(void *);
	void *arg;
};

void thread_set_hook(void (*fn)(enum thread_class class, enum thread_class parent))
{
	start_hook = fn;
}

void thread_set_class(enum thread_class class)
{
	own_class = class;
}

const char *thread_own_name(void)
{
	return own_name;
}

static void *begin(void *opaque)
{
	struct start start = *(struct start *)opaque;

	own_class = start.class;
	memcpy(own_name, start.name, sizeof(own_name));
	free(opaque);
	/* By itself: another thread's name is a file in /proc, and those are closed to us. */
	(void)prctl(PR_SET_NAME, own_name);
	if (start_hook)
		start_hook(start.class, start.parent);
	return start.fn(start.arg);
}

/*
 * All but those of a thread's own mistakes. Where one of these is blocked the kernel ends the
 * process without its handler: a sanitizer's, or ours that puts the terminal right.
 */
static void fill_blocked(sigset_t *ret)
{
	static const int never[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS };

	(void)sigfillset(ret);
	for (unsigned i = 0; i < ARRAY_SIZE(never); i++)
		(void)sigdelset(ret, never[i]);
}

/* A thread keeps the confinement of the one that makes it, beside its own. */
static bool may_start(enum thread_class class)
{
	return own_class == THREAD_FREE || own_class == THREAD_MAIN || own_class == class;
}

int thread_start(pthread_t *ret, enum thread_class class, const char *name, void *(*fn)(void *),
		 void *arg)
{
	struct start *start;
	sigset_t blocked, old;
	int rc;

	if (!may_start(class))
		return -EPERM;
	start = malloc(sizeof(*start));
	if (!start)
		return -ENOMEM;
	*start = (struct start){ .class = class, .parent = own_class, .fn = fn, .arg = arg };
	(void)snprintf(start->name, sizeof(start->name), "%s", name);
	/* The new thread inherits the mask of the one that makes it. */
	fill_blocked(&blocked);
	check(pthread_sigmask(SIG_SETMASK, &blocked, &old));
	rc = pthread_create(ret, NULL, begin, start);
	check(pthread_sigmask(SIG_SETMASK, &old, NULL));
	if (rc)
		free(start);
	return -rc;
}
