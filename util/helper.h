/* SPDX-License-Identifier: MIT */
/* Programs beside ferry, which do one thing with libraries that ferry itself does not load. */
#ifndef FERRY_UTIL_HELPER_H
#define FERRY_UTIL_HELPER_H

#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * A guest's process pays for each library it is linked with: with time at its
 * launch, and with memory. What only some commands need is a program of its own,
 * which stands beside the running ferry (as in a build directory) or in
 * ../libexec/ferry of it (installed). It gets its input as a file, all at once, so
 * neither side waits for the other; what it has to say goes to its standard
 * error, one line, and its exit status is 0 only if it did what it was for.
 */
struct helper_call {
	const char *name;        /* "ferry-plot" */
	const char *const *args; /* those after the name, up to NULL; NULL: none */
	const void *in;          /* what it reads on standard input; NULL: nothing */
	size_t in_bytes;
	int out_fd; /* its standard output; -1: nowhere, or collected (helper_run_for()) */
};

/*
 * The path of helper @name into @buf. 0, or -ENOENT with @e, which says where it
 * was looked for. Any thread.
 */
__must_check int helper_find(const char *name, char *buf, size_t len, struct err *e);

/*
 * Run a helper and wait for its end. 0, or -errno with @e: -ENOENT if it is not
 * installed, -EREMOTEIO with its own words if it failed. Any thread.
 */
__must_check int helper_run(const struct helper_call *call, struct err *e);

/*
 * The same, and *@ret gets what it wrote on standard output, a zero after it, for
 * the caller to free, at most @max bytes (-EFBIG).
 */
__must_check int helper_run_for(const struct helper_call *call, char **ret, size_t max,
				struct err *e);

/*
 * Become helper @name, with @args after its name, up to NULL. Returns only if that
 * fails: -errno with @e.
 */
__must_check int helper_exec(const char *name, const char *const *args, struct err *e);

#endif
