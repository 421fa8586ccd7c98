// SPDX-License-Identifier: MIT
// `ferry disk attach` and `detach`: disks of a running guest come and go.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/io.h"
#include "virtio/block/file.h"
#include "virtio/block/overlay.h"
#include "vmm/cli/disk.h"
#include "vmm/guest/config.h"

/*
 * Theory of operation
 *
 * The guest's process opens nothing any more: this one does. It opens the image, takes
 * its lock and looks at it as the guest's process does at its start, leaves the
 * descriptors with the guest (getfd), and has it make the device (device_add). The lock belongs
 * to the open file, so that the guest has it from then on, and this process lets go of it
 * without unlocking. Whatever fails before, the lock goes with the last descriptor.
 */

/* --- attach --- */

struct opened {
	int fd, overlay_fd; /* -1: none */
};

static void close_opened(struct opened *o)
{
	close_fd(&o->fd);
	close_fd(&o->overlay_fd);
}

static int open_image(struct opened *o, const struct disk_config *disk, struct err *e)
{
	static const enum block_direct direct[] = {
		[DISK_DIRECT_AUTO] = BLOCK_DIRECT_AUTO,
		[DISK_DIRECT_ON] = BLOCK_DIRECT_ON,
		[DISK_DIRECT_OFF] = BLOCK_DIRECT_OFF,
	};
	const struct block_image_config cfg = {
		.path = disk->path,
		.readonly = disk->readonly,
		.overlay = disk->overlay,
		.direct = direct[disk->direct],
	};
	struct block_file file;
	int rc = block_file_open(&file, &cfg, e);

	if (rc < 0)
		return rc;
	o->fd = block_file_give(&file);
	if (!disk->overlay)
		return 0;
	o->overlay_fd = overlay_open_file(e);
	return o->overlay_fd < 0 ? o->overlay_fd : 0;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
/*
 * @text with its path as the guest understands it, which has another working directory; @path
 * is the one that it has now. The caller frees *@ret. 0 or -errno with @e.
 */
static int with_absolute_path(const char *text, const char *path, char **ret, struct err *e)
{
	_cleanup_free_ char *cwd = *path == '/' ? strdup("") : getcwd(NULL, 0);
	_cleanup_free_ char *absolute = NULL;
	const char *rest = text;
	char *out;

	if (!cwd || asprintf(&absolute, "%s%s%s", cwd, *path == '/' ? "" : "/", path) < 0) {
		absolute = NULL;
		return err_set(e, -ENOMEM, "the current directory is not known: %s",
			       strerror(errno));
	}
	while (*rest && (*rest != ',' || rest[1] == ','))
		rest += *rest == ',' ? 2 : 1;
	/* Each comma of the path is written twice. */
	out = *ret = malloc(2 * strlen(absolute) + strlen(rest) + 1);
	if (!out)
		return err_set(e, -ENOMEM, "out of memory");
	for (const char *in = absolute; *in; in++) {
		if (*in == ',')
			*out++ = ',';
		*out++ = *in;
	}
	memcpy(out, rest, strlen(rest) + 1);
	return 0;
}

static int add_device(const struct device_call *c, const struct disk_config *disk,
		      const struct opened *o, json_t **ret)
{
	_cleanup_free_ char *text = NULL;
	json_t *args;
	int rc = with_absolute_path(c->cli->more[0], disk->path, &text, c->e);

	if (rc == 0)
		rc = client_pass_fd(c->client, "image", o->fd, c->e);
	if (rc == 0 && o->overlay_fd >= 0)
		rc = client_pass_fd(c->client, "overlay", o->overlay_fd, c->e);
	if (rc < 0)
		return rc;
	args = json_pack("{s:s, s:s, s:s}", "driver", "virtio-blk-pci", "disk", text, "fd",
			 "image");
	if (!args)
		return err_set(c->e, -EILSEQ, "%s: the path is not UTF-8", disk->path);
	if (o->overlay_fd >= 0)
		(void)json_object_set_new(args, "overlay-fd", json_string("overlay"));
	return client_execute_with(c->client, "device_add", args, ret, c->e);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

int disk_attach(const struct device_call *c)
{
	struct opened opened = { .fd = -1, .overlay_fd = -1 };
	struct disk_config disk;
	json_t *ret = NULL;
	int rc = config_parse_disk(&disk, c->cli->more[0], c->e);

	if (rc < 0)
		return -EINVAL;
	rc = open_image(&opened, &disk, c->e);
	/* What is wrong with the image is no wrong usage. */
	rc = rc == -EINVAL ? -EIO : rc;
	if (rc == 0)
		rc = add_device(c, &disk, &opened, &ret);
	close_opened(&opened);
	config_free_disk(&disk);
	if (rc < 0)
		return rc;
	return device_print_added(c, ret);
}

/* --- detach --- */

int disk_detach(const struct device_call *c)
{
	static const struct device_kind disks = {
		.query = "query-block",
		.query_id = "device",
		.none = "the guest has no disk",
		.event = "DEVICE_DELETED",
		.event_id = "device",
	};

	return device_leave(c, &disks);
}
