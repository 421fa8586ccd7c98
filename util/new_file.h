/* SPDX-License-Identifier: MIT */
/* A file that has its name only when it is complete. */
#ifndef FERRY_UTIL_NEW_FILE_H
#define FERRY_UTIL_NEW_FILE_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Written without a name where the file system can do that, so that nothing is left
 * whoever dies, else under a name of its own (".ferry-..."). Mode 0600. One thread
 * at a time; @cancelled from anywhere.
 */
struct new_file {
	/* const after new_file_open() or new_file_adopt() */
	char path[PATH_MAX];
	char dir[PATH_MAX]; /* empty: it is for somebody else to name it */
	bool force;         /* replace a file that is there */
	int fd;

	char temp[PATH_MAX + 64]; /* a name that it has for the time being; empty: none */
	_Atomic bool cancelled;
};

/* Not open, so that new_file_drop() is fine. */
void new_file_init(struct new_file *f);

/*
 * Begin the file @path. 0, or -errno with @e: -EEXIST where
 * something is there that is no regular file, or is one without @force.
 */
__must_check int new_file_open(struct new_file *f, const char *path, bool force, struct err *e);

/*
 * Write to what @fd is open on, which stays the caller's: he gives it its name. 0, or
 * -errno with @e: no regular file, not open for writing, or one that is appended to.
 */
__must_check int new_file_adopt(struct new_file *f, int fd, struct err *e);

/*
 * Make it durable and give it its name, unless it was adopted. 0 or -errno with @e, then
 * there is no such file, or still the one that was there; -ECANCELED after
 * new_file_cancel().
 */
__must_check int new_file_commit(struct new_file *f, struct err *e);

/* No commit that has not begun will succeed. Any thread. */
void new_file_cancel(struct new_file *f);

/* Close it; what was not committed is gone. */
void new_file_drop(struct new_file *f);

/* "PATH: reason of @rc"; returns @rc. */
int new_file_fail(const struct new_file *f, int rc, struct err *e);

#endif
