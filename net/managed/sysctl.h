/* SPDX-License-Identifier: MIT */
/* Kernel settings that several networks may need at once. */
#ifndef FERRY_NET_MANAGED_SYSCTL_H
#define FERRY_NET_MANAGED_SYSCTL_H

#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * ip_forward and its like belong to the host, and two networks may both need one.
 * A file in @dir for each setting holds what it was before anybody needed it, and
 * who needs it. The last one that goes writes the old value back, unless somebody
 * else has changed it meanwhile, and those of other settings that the kernel changed
 * along with it. The caller holds the directory's lock.
 */

/* @user needs /proc/sys/@key to be @value. 0, or -errno with the setting in @e. */
__must_check int sysctl_need(const char *dir, const char *key, const char *value, const char *user,
			     struct err *e);

/* Is it @value now? */
bool sysctl_is(const char *key, const char *value);

/* @user no longer needs it; never did: 0. */
__must_check int sysctl_drop(const char *dir, const char *key, const char *user, struct err *e);

#endif
