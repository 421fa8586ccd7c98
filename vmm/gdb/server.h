/* SPDX-License-Identifier: MIT */
/* Where gdb finds a guest: a socket, one client at a time. */
#ifndef FERRY_VMM_GDB_SERVER_H
#define FERRY_VMM_GDB_SERVER_H

#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

struct gdb_server;
struct run;

struct gdb_server_spec {
	char address[300]; /* of migration/address.h */
	bool wait;         /* the guest does not begin before somebody attaches and goes on */
};

/* "unix:PATH|tcp:LOOPBACK:PORT[,wait]". 0, or -EINVAL with @e. */
__must_check int gdb_parse_spec(struct gdb_server_spec *ret, const char *text, struct err *e);

/*
 * Listen for the guest of @run, whose machine is made and not started. Main loop, as all
 * of it. 0 or -errno with @e; the runner frees it after its machine.
 */
__must_check int gdb_server_new(struct gdb_server **ret, struct run *run,
				const struct gdb_server_spec *spec, struct err *e);

/* The guest has been started. NULL: no-op. */
void gdb_server_started(struct gdb_server *s);

/* Tell a client that the guest has ended with @status, and listen no more. NULL: no-op. */
void gdb_server_close(struct gdb_server *s, int status);
void gdb_server_free(struct gdb_server *s);

#endif
