/* SPDX-License-Identifier: MIT */
/* Inside vmm/sandbox/: the parts that sandbox.c puts together. */
#ifndef FERRY_VMM_SANDBOX_SANDBOX_IMPL_H
#define FERRY_VMM_SANDBOX_SANDBOX_IMPL_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "util/compiler.h"
#include "util/thread.h"

/* --- caps.c: of the calling thread --- */

/* No capability is to be had again; before caps_drop() and another user. 0 or -errno. */
__must_check int caps_drop_bounds(void);

/* No capability. 0 or -errno. */
__must_check int caps_drop(void);

/* No program that is executed may have more rights than we. 0 or -errno. */
__must_check int caps_no_new_privs(void);

/* --- limits.c: of the process --- */

#define LIMITS_NR 7

/* What they were set to, in the order of its table. */
struct limits {
	rlim_t max[LIMITS_NR];
};

/* No core dump, and none of the limits rises again. 0 or -errno; then @ret is undefined. */
__must_check int limits_enter(struct limits *ret);

/* By their names; null: without bound. */
json_t *limits_json(const struct limits *l);

/* --- landlock.c --- */

/* The rulesets, one for each class of threads; a descriptor is -1 where there is none. */
struct landlock {
	int abi; /* 0: the kernel has none */
	int fds[THREAD_NR_CLASSES];
};

/* Make them, as far as they are known from the start. 0 or -errno. */
__must_check int landlock_init(struct landlock *l);

/* User networking may read the list of name servers in the folder @root, too. 0 or -errno. */
__must_check int landlock_allow_resolver_in(const struct landlock *l, const char *root);

/* The main thread may remove files from the folder @dir. 0 or -errno. */
__must_check int landlock_allow_removal(const struct landlock *l, const char *dir);

/* The main thread may make sockets there, and open the file that @lock_fd is. 0 or -errno. */
__must_check int landlock_allow_rename(const struct landlock *l, const char *dir, int lock_fd);

/* Who dumps the guest may make files there. 0 or -errno. */
__must_check int landlock_allow_cores(const struct landlock *l, const char *dir);

/* The calling thread lives by the rules of @class from now on. 0 or -errno. */
__must_check int landlock_enter(const struct landlock *l, enum thread_class class);

/* --- seccomp.c --- */

/* What a violation does: it prints a line, and the process ends. 0 or -errno. */
__must_check int seccomp_init_handler(void);

/* The calling thread takes the filter of @class; @log: violations are logged only. */
__must_check int seccomp_enter(enum thread_class class, bool log);

#endif
