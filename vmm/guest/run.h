/* SPDX-License-Identifier: MIT */
/* `ferry run`: one guest from start to end. */
#ifndef FERRY_VMM_GUEST_RUN_H
#define FERRY_VMM_GUEST_RUN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

struct config;
struct loop;
struct machine;
struct machine_incoming;
struct run;

/*
 * Exit statuses of `ferry run`, besides those of the debug-exit port, which
 * are odd: (v << 1) | 1. 1 and 2 are those of every command.
 */
enum run_status {
	RUN_STATUS_POWEROFF = 0, /* also: reset with --on-reboot destroy, ended on request */
	RUN_STATUS_TIMEOUT = 124,
	RUN_STATUS_CRASH = 125,
	RUN_STATUS_SIGNAL = 128, /* + the signal that killed a guest which did not listen */
};

/* Run the guest to its end. Returns the exit status, or -errno with @e. */
__must_check int run_guest(struct config *cfg, struct err *e);

/*
 * The same in steps, for a guest whose state comes from elsewhere. run_new():
 * the loop, the name, the machine (@in NULL: as run_guest()), control socket and
 * console; run_start(): let the guest run; run_wait(): the main loop, until the
 * guest has ended, then the exit status. Between them the main thread is the
 * caller's; run_wait() may come first if what the loop runs calls run_start(). @cfg
 * (@in's, if given) outlives it, and its name may change. 0 or -errno with @e. Main thread.
 */
__must_check int run_new(struct run **ret, struct config *cfg, const struct machine_incoming *in,
			 struct err *e);
__must_check int run_start(struct run *run, struct err *e);
__must_check int run_wait(struct run *run, struct err *e);

/* End the guest if it is there, and release everything. NULL: no-op. */
void run_free(struct run *run);

/*
 * Do everything that run_guest() does before the guest starts, and undo it: no
 * file, socket or interface is left, or seen by others. 0, or -errno with @e.
 */
__must_check int run_check(const struct config *cfg, struct err *e);

/* --- for the control socket's commands, on the main loop --- */

/* The guest; NULL once it has moved elsewhere. */
struct machine *run_machine(const struct run *run);

/* The main loop. */
struct loop *run_loop(const struct run *run);

/* Tell the control socket's clients; takes over @data (NULL: none). */
void run_event(struct run *run, const char *name, json_t *data);

/* Memory of the guest's process that is in RAM now; 0: unknown. */
uint64_t run_resident_bytes(const struct run *run);

/* The pty's device or the console's socket; NULL: neither. */
const char *run_console_path(const struct run *run);

/*
 * Give the guest another name, and its control socket that address; clients stay. 0, or
 * -errno with @e: it has the old one. -EBUSY where something else bears the name: a link to
 * its pty, a managed network.
 */
__must_check int run_rename(struct run *run, const char *name, struct err *e);

/* End the guest at once, with status 0; @reason as in QMP's SHUTDOWN event. */
void run_quit(struct run *run, const char *reason);

/*
 * The same for a guest that is elsewhere from now on: @how, a literal, is what
 * --json tells: "saved", "migrated".
 */
void run_leave(struct run *run, const char *how);

#endif
