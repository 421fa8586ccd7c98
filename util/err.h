/* SPDX-License-Identifier: MIT */
/* An error with words: what went wrong, why, and the remedy, in one line. */
#ifndef FERRY_UTIL_ERR_H
#define FERRY_UTIL_ERR_H

#include "util/compiler.h"

/*
 * Filled in by set-up code (configuration, images, networks, control), where a
 * person reads the reason. Everywhere else functions return -errno alone.
 */
struct err {
	int code;       /* -errno of the failure, 0 when unset */
	char text[512]; /* one line, no newline */
};

/*
 * Describe a failure and return @code, so that callers can write
 * `return err_set(e, -ENOENT, ...)`. The text of a filled @e is replaced.
 * @e may be NULL: then only the code is passed on. Control characters become '?'.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __printf_like(3, 4);

/* Put "text: " before the description that @e has; returns its code. */
int err_prefix(struct err *e, const char *fmt, ...) __printf_like(2, 3);

#endif
