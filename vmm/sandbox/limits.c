// SPDX-License-Identifier: MIT
// Limits of the process: what it has may not grow, what it does not use is gone.
#include <assert.h>
#include <errno.h>

#include "util/compiler.h"
#include "vmm/sandbox/sandbox_impl.h"

/*
 * docs/threat-model.md has this table with the reasons. Not there: FSIZE, as a disk may have
 * any size; AS and DATA, which guest memory, its images and threads' stacks come to; NPROC,
 * which counts all processes of the user, while seccomp lets this one make none.
 */
static const struct {
	__rlimit_resource_t what;
	const char *name;
	bool is_none; /* 0; else it stays what it is now */
} table[] = {
	{ RLIMIT_CORE, "core", true },
	{ RLIMIT_MSGQUEUE, "msgqueue", true },
	{ RLIMIT_RTPRIO, "rtprio", true },
	{ RLIMIT_NICE, "nice", true },
	{ RLIMIT_NOFILE, "nofile", false },
	{ RLIMIT_MEMLOCK, "memlock", false },
	{ RLIMIT_SIGPENDING, "sigpending", false },
};

static_assert(ARRAY_SIZE(table) == LIMITS_NR, "struct limits has one for each");

int limits_enter(struct limits *ret)
{
	for (unsigned i = 0; i < LIMITS_NR; i++) {
		struct rlimit rl = { 0, 0 };

		if (!table[i].is_none && getrlimit(table[i].what, &rl) < 0)
			return -errno;
		rl.rlim_max = rl.rlim_cur;
		if (setrlimit(table[i].what, &rl) < 0)
			return -errno;
		ret->max[i] = rl.rlim_max;
	}
	return 0;
}

json_t *limits_json(const struct limits *l)
{
	json_t *json = json_object();

	for (unsigned i = 0; i < LIMITS_NR; i++) {
		json_t *max = l->max[i] == RLIM_INFINITY ? json_null()
							 : json_integer((json_int_t)l->max[i]);

		(void)json_object_set_new(json, table[i].name, max);
	}
	return json;
}
