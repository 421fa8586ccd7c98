// SPDX-License-Identifier: MIT
// Privileges, given up.
#include <cap-ng.h>
#include <errno.h>
#include <sys/prctl.h>

#include "vmm/sandbox/sandbox_impl.h"

int caps_drop_bounds(void)
{
	/* Who may set none cannot leave the bounding set; no_new_privs does as well. */
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 1)
		return 0;
	capng_clear(CAPNG_SELECT_BOUNDS);
	return capng_apply(CAPNG_SELECT_BOUNDS) < 0 ? -EPERM : 0;
}

int caps_drop(void)
{
	capng_clear(CAPNG_SELECT_ALL);
	return capng_apply(CAPNG_SELECT_CAPS) < 0 || capng_apply(CAPNG_SELECT_AMBIENT) < 0 ? -EPERM
											   : 0;
}

int caps_no_new_privs(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}
