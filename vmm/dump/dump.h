/* SPDX-License-Identifier: MIT */
/* A core file of a guest: what the control socket's command does. */
#ifndef FERRY_VMM_DUMP_DUMP_H
#define FERRY_VMM_DUMP_DUMP_H

#include <jansson.h>
#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

struct control_session;
struct run;

struct dump_params {
	const char *path; /* absolute; NULL: the file that @fd is open on */
	int fd;           /* stays the caller's, who gives it its name */
	bool force;       /* replace a file that is there */
	bool live;        /* the guest goes on while its memory is written */
	bool paging;      /* with what the first vCPU's page tables map */
	/* Who waits for it: the dump is given up when this client goes. NULL: nobody. */
	const struct control_session *session;
	/* Called once at the end, rc 0 or -errno, after the guest was let go; may be NULL. */
	void (*done)(void *opaque, int rc);
	void *opaque;
};

/*
 * Begin to write the guest of @run, which may have crashed, to a file, on a thread of
 * its own. 0: DUMP_COMPLETED follows. -errno with the reason in @e: nothing was
 * written. Main loop.
 */
__must_check int dump_start(struct run *run, const struct dump_params *params, struct err *e);

/* A client has gone: give up the dump that it waits for, if there is one. Main loop. */
void dump_session_closed(struct run *run, const struct control_session *session);

/* The answer to query-dump: a new reference. Main loop. */
json_t *dump_query(const struct run *run);

#endif
