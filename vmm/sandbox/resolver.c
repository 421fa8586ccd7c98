// SPDX-License-Identifier: MIT
// The file of name servers, behind its links.
#include "vmm/sandbox/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int resolver_find(char real[PATH_MAX], char tree[PATH_MAX])
{
	char *slash;

	if (!realpath(RESOLVER_PATH, real))
		return -ENOENT;
	memcpy(tree, real, PATH_MAX);
	slash = strrchr(tree, '/');
	if (!strncmp(tree, "/run/", strlen("/run/")) && slash > tree + strlen("/run/"))
		*slash = '\0';
	return 0;
}
