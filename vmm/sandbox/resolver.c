// SPDX-License-Identifier: MIT
// The file of name servers, behind its links.
#include "vmm/sandbox/resolver.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/log.h"

/* More are not looked at: then it is no folder for name servers. */
#define MAX_FILES 512

/* May everybody read it? Links lead to what is judged where it is; sockets are not read. */
static bool is_public(const FTSENT *entry)
{
	mode_t mode = entry->fts_statp->st_mode;

	switch (entry->fts_info) {
	case FTS_D:
		return (mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH);
	case FTS_F:
		return mode & S_IROTH;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		return false;
	default:
		return true;
	}
}

static bool is_all_public(char *dir)
{
	char *const roots[] = { dir, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	bool ok = tree != NULL;
	const FTSENT *entry;
	unsigned nr = 0;

	while (ok && (entry = fts_read(tree)))
		ok = nr++ < MAX_FILES && is_public(entry);
	if (tree)
		(void)fts_close(tree);
	return ok;
}

int resolver_find(char real[PATH_MAX], char tree[PATH_MAX])
{
	char dir[PATH_MAX], *slash;

	if (!realpath(RESOLVER_PATH, real))
		return -ENOENT;
	memcpy(tree, real, PATH_MAX);
	memcpy(dir, real, PATH_MAX);
	slash = strrchr(dir, '/');
	if (strncmp(dir, "/run/", strlen("/run/")) != 0 || slash <= dir + strlen("/run/"))
		return 0;
	*slash = '\0';
	if (is_all_public(dir))
		memcpy(tree, dir, PATH_MAX);
	else
		log_debug("%s has files that are not for everybody: name servers that %s gets "
			  "later are not seen",
			  dir, real);
	return 0;
}
