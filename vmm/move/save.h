/* SPDX-License-Identifier: MIT */
/* Saving a running guest to a file: what the control socket's command does. */
#ifndef FERRY_VMM_MOVE_SAVE_H
#define FERRY_VMM_MOVE_SAVE_H

#include <stdbool.h>

#include "migration/file.h"
#include "util/compiler.h"
#include "util/err.h"

struct control_session;
struct run;

struct save_params {
	struct file_options file; /* as for file_writer_new() */
	bool keep_running;        /* the guest goes on afterwards; otherwise it ends */
	/* Who waits for it: the save is given up when this client goes. NULL: nobody. */
	const struct control_session *session;
};

/*
 * Begin to save the guest of @run, on a thread of its own. 0: SAVE_COMPLETED or
 * SAVE_FAILED follows, and until then the guest is there, whatever happens.
 * -errno with the reason in @e: it cannot be saved, and nothing was written. Main loop.
 */
__must_check int save_start(struct run *run, const struct save_params *params, struct err *e);

/*
 * The file has its name: the guest, which has been saved for @session, may end. 0, or
 * -errno with @e: it does not wait for that. Main loop.
 */
__must_check int save_finish(struct run *run, const struct control_session *session, struct err *e);

/* A client has gone: give up the save that it waits for, if there is one. Main loop. */
void save_session_closed(struct run *run, const struct control_session *session);

#endif
