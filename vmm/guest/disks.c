// SPDX-License-Identifier: MIT
// Which images a guest that comes from a peer may have here.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/io.h"
#include "vmm/guest/state.h"

/* @path and @folder have no links and no dots in them. */
static bool is_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	if (len && folder[len - 1] == '/') /* the root */
		len--;
	return !strncmp(path, folder, len) && path[len] == '/';
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
/* Below one of @folders? A folder that is not there has nothing below it. */
static bool is_allowed(const char *real, const struct field_list *folders)
{
	char **texts = folders->items;

	for (size_t i = 0; i < folders->nr; i++) {
		_cleanup_free_ char *folder = realpath(texts[i], NULL);

		if (folder && is_below(real, folder))
			return true;
	}
	return false;
}

/* One text for what is not there and for what is elsewhere: a peer must not find out. */
static int settle_path(struct disk_config *disk, const struct field_list *folders, struct err *e)
{
	_cleanup_free_ char *real = realpath(disk->path, NULL);

	if (!real || !is_allowed(real, folders))
		return err_set(e, -EACCES,
			       "disk %s: no such image in the folders of --disk-dir there",
			       disk->id);
	/* What was judged is what is opened, even if a link is changed meanwhile. */
	free(disk->path);
	disk->path = take_ptr(real);
	return 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

int guest_disks_check(struct config *cfg, const struct guest_changes *changes, struct err *e)
{
	struct disk_config *disks = cfg->disks.items;
	int rc = 0;

	if (!changes->disk_dirs || changes->disk_dirs->nr == 0)
		return 0;
	for (size_t i = 0; rc == 0 && i < cfg->disks.nr; i++) {
		if (!guest_is_mapped(changes, "disk", disks[i].id))
			rc = settle_path(&disks[i], changes->disk_dirs, e);
	}
	return rc;
}
