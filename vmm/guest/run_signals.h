/* SPDX-License-Identifier: MIT */
/* Signals from outside, and an end in time even if the main thread hangs. */
#ifndef FERRY_VMM_GUEST_RUN_SIGNALS_H
#define FERRY_VMM_GUEST_RUN_SIGNALS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/thread.h"
#include "vmm/loop.h"

/*
 * Theory of operation
 *
 * Reset, pause and the end of a guest wait for requests that are in flight, for
 * the kernel writes to what would be freed. Storage that never answers so hangs
 * the main thread, directly or through a vCPU that does not park. Therefore
 * signals are received by a thread of their own, which waits for nothing else
 * and takes no lock that is held while anything is waited for. It passes them
 * on to the main loop, and sets a deadline by which the process will be gone:
 * if it is not, ->give_up cleans up what must not stay, and the process ends
 * with requests in flight, which are the kernel's business then.
 */
struct run_signals {
	/* const, the user's */
	struct loop *loop;
	void (*fn)(void *opaque, int sig); /* main loop */
	void (*give_up)(void *opaque);     /* the signals' thread; returns */
	void *opaque;

	/* const after init */
	int signal_fd, wake_fd;
	pthread_t thread;
	bool started;

	struct loop_work deliver;
	_Atomic unsigned pending[3]; /* by signal: thread adds, main loop takes */

	struct mutex lock; /* protects: below; order: innermost */
	bool quit;
	struct {
		uint64_t ns; /* UINT64_MAX: none */
		int status;  /* the process's, at the deadline */
	} set, by_signal;    /* the sooner one holds */
	unsigned nr_signals;
};

/* How long the orderly end may take from when it was asked for. */
#define RUN_GRACE_S 5
/* How long a guest has to switch itself off after the first signal. */
#define RUN_SHUTDOWN_S 10

/*
 * Call @s->fn on the loop for SIGTERM, SIGINT and SIGHUP (except those that
 * were ignored when ferry was started). The first brings the deadline forward to
 * RUN_SHUTDOWN_S and RUN_GRACE_S from now, the next ones to RUN_GRACE_S, with the
 * status 128 + signal.
 * Ignored are SIGPIPE, SIGXFSZ, SIGTTIN and SIGTTOU: they show up as errors of
 * the call, and the terminal's job control never stops the guest. Before any
 * other thread is there. 0 or -errno.
 */
__must_check int run_signals_init(struct run_signals *s);

/* No signal is handled and no deadline holds after this. Zeroed: no-op. */
void run_signals_fini(struct run_signals *s);

/*
 * The signals that came so far changed nothing, and whoever sent them was told so: no deadline of
 * theirs holds any more, and the next one is the first. On the loop.
 */
void run_signals_refused(struct run_signals *s);

/*
 * The process is to be gone within @seconds, or else ends with @status; replaces
 * an earlier deadline. Any thread; not initialised: no-op.
 */
void run_signals_end_within(struct run_signals *s, uint64_t seconds, int status);

#endif
