// SPDX-License-Identifier: MIT
// Threads and mutexes.
#include "util/thread.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "util/clock.h"

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

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	char shown[16];
	int rc;

	/* The new thread inherits the mask of the one that makes it. */
	(void)sigfillset(&all);
	check(pthread_sigmask(SIG_SETMASK, &all, &old));
	rc = pthread_create(ret, NULL, fn, arg);
	check(pthread_sigmask(SIG_SETMASK, &old, NULL));
	if (rc)
		return -rc;
	(void)snprintf(shown, sizeof(shown), "%s", name);
	(void)pthread_setname_np(*ret, shown);
	return 0;
}
