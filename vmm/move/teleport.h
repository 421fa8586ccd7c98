/* SPDX-License-Identifier: MIT */
/* A guest on its way to another host, as its own process sees it. */
#ifndef FERRY_VMM_MOVE_TELEPORT_H
#define FERRY_VMM_MOVE_TELEPORT_H

#include <jansson.h>

#include "migration/source.h"
#include "migration/tls.h"
#include "util/compiler.h"
#include "util/err.h"

struct run;

/* What the control command migrate asks for; strings stay the caller's. */
struct teleport_options {
	const char *dest;    /* "tcp:HOST:PORT", "unix:PATH" */
	const char *numbers; /* what HOST stands for; NULL: HOST is a number */
	const char *tls_name;
	struct tls_files tls;
	struct source_options source;
	unsigned timeout_s;    /* of the passes; 0: none */
	bool timeout_switches; /* then: hand over anyway; otherwise give up */
	bool report;           /* collect for ferry-migrate-report */
};

/*
 * Start moving the guest of @run to @o->dest, and come back: the rest is seen by
 * events and query-migrate, see run_mover.h. 0, or -errno with the reason; the
 * guest goes on. Main loop.
 */
__must_check int teleport_start(struct run *run, const struct teleport_options *o, struct err *e);

/* The answer to query-migrate for @st; a new reference. */
json_t *teleport_status_json(const struct source_status *st);

#endif
