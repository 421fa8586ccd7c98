/* SPDX-License-Identifier: MIT */
/* ferry-net started by somebody who is not root, with file capabilities: what it is when. */
#ifndef FERRY_VMM_NETWORK_PRIVILEGE_H
#define FERRY_VMM_NETWORK_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * With file capabilities (or as a setuid program) this process can do more than
 * whoever started it, who is hostile: it is *guarded*. It starts with no
 * effective capability and an empty environment. What the caller asks is read and
 * judged so; then it becomes root with CAP_NET_ADMIN and CAP_NET_RAW
 * alone, for two reasons: journals and files of networks must not belong to
 * the caller, and he must not be able to stop this process while it holds the lock
 * on all networks. Started by root it is not guarded, nor where it has
 * no more rights than its caller.
 */
struct privilege {
	bool guarded;
	uid_t uid; /* who started it */
};

/* First of all: see what it is, and give everything up for now. 0, or -errno. */
__must_check int privilege_begin(struct privilege *ret);

/* Guarded: be like any other program of the caller from now on. 0, or -errno. */
__must_check int privilege_drop(const struct privilege *p);

/* Guarded: be root with the capabilities that networks need. 0, or -errno with the reason. */
__must_check int privilege_become_root(struct err *e);

#endif
