// SPDX-License-Identifier: MIT
// Where definitions and the state of managed networks are.
#include "vmm/network/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/guest/runtime.h"

static int defs_dir(char *buf, size_t room, struct err *e)
{
	const char *given = secure_getenv("FERRY_NETWORKS"),
		   *config = secure_getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int len;

	if (given && *given)
		len = snprintf(buf, room, "%s", given);
	else if (geteuid() == 0)
		len = snprintf(buf, room, "/etc/ferry/networks");
	else if (config && *config)
		len = snprintf(buf, room, "%s/ferry/networks", config);
	else
		len = snprintf(buf, room, "%s/.config/ferry/networks", home ? home : "");
	return len < 0 || (size_t)len >= room
		       ? err_set(e, -ENAMETOOLONG, "the folder of the networks has too long a name")
		       : 0;
}

int network_paths_get(struct network_paths *paths, struct err *e)
{
	char runtime[160];
	int rc = defs_dir(paths->defs, sizeof(paths->defs), e);

	if (rc == 0)
		rc = runtime_dir(runtime, sizeof(runtime), true, e);
	if (rc < 0)
		return rc;
	(void)snprintf(paths->state, sizeof(paths->state), "%s/net", runtime);
	paths->dirs = (struct net_dirs){ .defs = paths->defs, .state = paths->state };
	return 0;
}
