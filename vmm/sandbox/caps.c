// SPDX-License-Identifier: MIT
// Privileges and limits, given up.
#include <cap-ng.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "vmm/sandbox/sandbox_impl.h"

int caps_drop(void)
{
	/* Who may set none cannot leave the bounding set; no_new_privs does as well. */
	bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) == 1;

	capng_clear(CAPNG_SELECT_ALL);
	return capng_apply(bounds ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}

int caps_no_new_privs(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* What is there stays, and does not grow. */
static int freeze(__rlimit_resource_t what)
{
	struct rlimit rl;

	if (getrlimit(what, &rl) < 0)
		return -errno;
	rl.rlim_max = rl.rlim_cur;
	return setrlimit(what, &rl) < 0 ? -errno : 0;
}

int caps_limits(void)
{
	const struct rlimit none = { 0, 0 };
	int rc;

	/* A guest's memory may hold secrets: it belongs in no core dump of the host's. */
	if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_MSGQUEUE, &none) < 0)
		return -errno;
	rc = freeze(RLIMIT_NOFILE);
	if (rc == 0)
		rc = freeze(RLIMIT_MEMLOCK);
	return rc;
}
