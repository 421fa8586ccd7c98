/* SPDX-License-Identifier: MIT */
/* Who but root may attach guests to which networks: ferry-net-allow(5). */
#ifndef FERRY_VMM_NETWORK_ACCESS_H
#define FERRY_VMM_NETWORK_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

#define ACCESS_FILE      "/etc/ferry/net-allow"
#define ACCESS_MAX_BYTES 65536U

/* Who asks. */
struct access_user {
	const char *name;
	bool (*in_group)(const struct access_user *user, const char *group);
	const gid_t *gids; /* for in_group() */
	size_t nr_gids;
};

/*
 * The verdict of a list (@len bytes of @text) on @user and @network. Lines are
 * "allow|deny USER|@GROUP NETWORK|*"; a deny that fits counts more than any
 * allow, and what no line fits is denied. 0; -EACCES; -EINVAL: a line of it is
 * not understood, so nobody is allowed anything. With the reason in @e.
 */
__must_check int access_judge(const char *text, size_t len, const struct access_user *user,
			      const char *network, struct err *e);

/*
 * The same of the list at @path, which must be root's, as its folder, and writable
 * by nobody else; for user @uid with the groups that it has by name.
 */
__must_check int access_check(const char *path, uid_t uid, const char *network, struct err *e);

/* Only root can change @path, which is a file, or a folder: 0, or -EPERM with the reason. */
__must_check int access_check_trusted(const char *path, bool folder, struct err *e);

#endif
