/* SPDX-License-Identifier: MIT */
/* Signals that a running guest's process gets from outside. */
#ifndef FERRY_VMM_RUN_SIGNALS_H
#define FERRY_VMM_RUN_SIGNALS_H

#include "util/compiler.h"
#include "vmm/loop.h"

struct run_signals {
	struct loop *loop;
	struct loop_fd watch; /* signalfd */
	void (*fn)(void *opaque, int sig);
	void *opaque;
};

/*
 * Call @s->fn on the loop for SIGTERM, SIGINT and SIGHUP (except those that
 * were ignored when ferry was started). Ignored are SIGPIPE, SIGXFSZ, SIGTTIN
 * and SIGTTOU: they show up as errors of the call, and the terminal's job
 * control never stops the guest. Before any other thread is there. 0 or -errno.
 */
__must_check int run_signals_init(struct run_signals *s);
void run_signals_fini(struct run_signals *s);

#endif
