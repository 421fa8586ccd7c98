// SPDX-License-Identifier: MIT
// Small JSON files that are whole or not there.
#include "net/managed/jsonfile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static int dump(const json_t *json, const char *path, size_t flags)
{
	errno = 0;
	if (json_dump_file(json, path, flags) == 0)
		return 0;
	return errno ? -errno : -EIO;
}

int jsonfile_save(const char *path, json_t *json, size_t flags, bool replace)
{
	char tmp[PATH_MAX];
	int rc = json ? 0 : -ENOMEM;

	/* Whoever writes the same file at once has a name of its own. */
	if (rc == 0 && snprintf(tmp, sizeof(tmp), "%s.%d.new", path, (int)getpid()) >= PATH_MAX)
		rc = -ENAMETOOLONG;
	if (rc == 0) {
		rc = dump(json, tmp, flags);
		if (rc == 0 && (replace ? rename(tmp, path) < 0 : link(tmp, path) < 0))
			rc = -errno;
		if (rc < 0 || !replace)
			(void)unlink(tmp);
	}
	json_decref(json);
	return rc;
}
