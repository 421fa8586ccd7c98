/* SPDX-License-Identifier: MIT */
/* The user that a guest's process becomes: --user. */
#ifndef FERRY_VMM_SANDBOX_IDENTITY_H
#define FERRY_VMM_SANDBOX_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

/* Groups are one: whatever a guest needs by its groups was opened before. */
struct identity {
	bool given;
	uid_t uid;
	gid_t gid;
};

/*
 * Parse NAME|UID[:GROUP|:GID] (NULL: no change) and look names up. 0, or -errno with @e: -EINVAL
 * for what is no user, -EPERM where this process cannot become another one.
 */
__must_check int identity_parse(struct identity *ret, const char *text, struct err *e);

/* The calling thread, and it alone, becomes @id. 0 or -errno. */
__must_check int identity_take(const struct identity *id);

#endif
