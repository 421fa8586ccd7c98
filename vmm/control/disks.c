// SPDX-License-Identifier: MIT
// Commands of the control socket about disks: what they are, other sizes and limits.
#include "vmm/control/disks.h"

#include <errno.h>
#include <string.h>

#include "util/io.h"
#include "virtio/virtio.h"
#include "vmm/guest/hotplug.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/machine_disks.h"
#include "vmm/guest/run.h"
#include "vmm/move/run_mover.h"

/* --- what they are --- */

/* A path need not be UTF-8; JSON must be. */
static json_t *path_json(const char *path)
{
	json_t *json = json_string(path);

	return json ? json : json_string("(not UTF-8)");
}

/* BlockDeviceInfo of QMP. */
static json_t *inserted_json(struct virtio_dev *dev, const struct disk_config *disk)
{
	json_t *json =
		json_pack("{s:o, s:s, s:b, s:s, s:i, s:b, s:s, s:i}", "file", path_json(disk->path),
			  "node-name", disk->id, "ro", blk_is_readonly(dev), "drv", "raw",
			  "backing_file_depth", disk->overlay ? 1 : 0, "encrypted", 0,
			  "detect_zeroes", "off", "write_threshold", 0);
	json_t *limits = json_pack("{s:I, s:i, s:i, s:I, s:i, s:i}", "bps",
				   (json_int_t)disk->bytes_per_s, "bps_rd", 0, "bps_wr", 0, "iops",
				   (json_int_t)disk->iops, "iops_rd", 0, "iops_wr", 0);

	(void)json_object_update(json, limits);
	json_decref(limits);
	(void)json_object_set_new(json, "image",
				  json_pack("{s:o, s:s, s:I}", "filename", path_json(disk->path),
					    "format", "raw", "virtual-size",
					    (json_int_t)blk_capacity_bytes(dev)));
	(void)json_object_set_new(json, "cache",
				  json_pack("{s:b, s:b, s:b}", "writeback", 1, "direct",
					    blk_is_direct(dev), "no-flush", disk->overlay));
	return json;
}

static json_t *own_json(struct virtio_dev *dev, const struct disk_config *disk)
{
	char how[64];

	blk_describe(dev, how, sizeof(how));
	return json_pack("{s:i, s:b, s:s, s:i}", "slot", virtio_pci_slot(&dev->device), "overlay",
			 disk->overlay, "how", how, "burst",
			 disk->burst_ms ? disk->burst_ms : BLK_DEFAULT_BURST_MS);
}

int control_cmd_query_block(struct control_call *c)
{
	const struct machine *m = run_machine(c->opaque);
	const struct field_list *disks = &machine_config(m)->disks;

	c->ret = json_array();
	for (size_t i = 0; i < disks->nr; i++) {
		const struct disk_config *disk = (const struct disk_config *)disks->items + i;
		struct virtio_dev *dev = machine_disk(m, i);

		if (dev)
			(void)json_array_append_new(
				c->ret,
				json_pack("{s:s, s:s, s:s, s:b, s:b, s:o, s:o}", "device", disk->id,
					  "qdev", disk->id, "type", "unknown", "removable", 0,
					  "locked", 0, "inserted", inserted_json(dev, disk),
					  "ferry", own_json(dev, disk)));
	}
	return 0;
}

/* --- changes --- */

/* The disk that one of two arguments names, which mean the same to ferry. -errno with @e. */
static int find_disk(const struct control_call *c, const char *a, const char *b)
{
	const char *id = json_string_value(json_object_get(c->args, a));
	const char *other = json_string_value(json_object_get(c->args, b));
	int rc = run_check_idle(c->opaque, c->e);

	if (rc < 0)
		return rc;
	if (!id && !other)
		return err_set(c->e, -EINVAL, "Parameter '%s' is missing", a);
	if (id && other && strcmp(id, other) != 0)
		return err_set(c->e, -EINVAL, "Parameters '%s' and '%s' name different disks", a,
			       b);
	return machine_find_disk(run_machine(c->opaque), id ? id : other, c->e);
}

const struct control_arg control_block_resize_args[] = {
	{ "device", JSON_STRING, true, .help = "its id" },
	{ "node-name", JSON_STRING, true, .help = "the same" },
	{ "size", JSON_INTEGER, true,
	  .help = "bytes, whole sectors of 512, no fewer than it has; without: what the image has "
		  "by now" },
	{ 0 },
};

int control_cmd_block_resize(struct control_call *c)
{
	const json_t *size = json_object_get(c->args, "size");
	struct machine *m = run_machine(c->opaque);
	int i = find_disk(c, "device", "node-name");
	int rc;

	if (i < 0)
		return i;
	if (size && json_integer_value(size) <= 0)
		return err_set(c->e, -EINVAL, "Parameter 'size' must be more than 0");
	rc = machine_resize_disk(m, (size_t)i, (uint64_t)json_integer_value(size), c->e);
	if (rc == 0)
		c->ret = json_pack("{s:I}", "size",
				   (json_int_t)blk_capacity_bytes(machine_disk(m, (size_t)i)));
	return rc;
}

/* Limits of reads or writes alone, which ferry does not have. */
static const char *const one_way[] = { "bps_rd", "bps_wr", "iops_rd", "iops_wr" };

const struct control_arg control_block_limits_args[] = {
	{ "id", JSON_STRING, true, .help = "of the disk" },
	{ "device", JSON_STRING, true, .help = "the same" },
	{ "bps", JSON_INTEGER, true, .help = "most bytes a second; 0: no limit" },
	{ "iops", JSON_INTEGER, true, .help = "most requests a second; 0: no limit" },
	{ "burst", JSON_INTEGER, true,
	  .help = "milliseconds' worth of both that may gather; 0: 100" },
	{ "bps_rd", JSON_INTEGER, true, .help = "0" },
	{ "bps_wr", JSON_INTEGER, true, .help = "0" },
	{ "iops_rd", JSON_INTEGER, true, .help = "0" },
	{ "iops_wr", JSON_INTEGER, true, .help = "0" },
	{ 0 },
};

/* @old, or what the argument says. -1: that cannot be. */
static int64_t get_limit(const struct control_call *c, const char *name, uint64_t old)
{
	const json_t *value = json_object_get(c->args, name);

	return value ? (int64_t)json_integer_value(value) : (int64_t)old;
}

int control_cmd_block_limits(struct control_call *c)
{
	struct machine *m = run_machine(c->opaque);
	int i = find_disk(c, "id", "device");
	const struct disk_config *disk;
	int64_t bps, iops, burst;

	if (i < 0)
		return i;
	for (unsigned n = 0; n < ARRAY_SIZE(one_way); n++) {
		if (get_limit(c, one_way[n], 0) != 0)
			return err_set(
				c->e, -EINVAL,
				"Parameter '%s' must be 0: limits are those of reads and writes "
				"together",
				one_way[n]);
	}
	disk = (const struct disk_config *)machine_config(m)->disks.items + i;
	bps = get_limit(c, "bps", disk->bytes_per_s);
	iops = get_limit(c, "iops", disk->iops);
	/* Without limits there is nothing that could gather. */
	burst = get_limit(c, "burst", bps || iops ? disk->burst_ms : 0);
	if (bps < 0 || iops < 0 || burst < 0 || burst > UINT32_MAX)
		return err_set(c->e, -EINVAL, "A limit must be 0 or more");
	return machine_limit_disk(m, (size_t)i,
				  &(struct blk_limits){ .iops = (uint64_t)iops,
							.bps = (uint64_t)bps,
							.burst_ms = (unsigned)burst },
				  c->e);
}

/* --- one more --- */

/* What getfd left as the argument @name says; -1: it says nothing. 0 or -errno with @e. */
static int take_named(struct control_call *c, const char *name, int *ret)
{
	const char *fdname = json_string_value(json_object_get(c->args, name));
	int fd = fdname ? control_take_fd(c, fdname) : -1;

	if (fdname && fd < 0)
		return fd;
	*ret = fd;
	return 0;
}

int control_add_disk(struct control_call *c)
{
	const char *text = json_string_value(json_object_get(c->args, "disk"));
	struct machine *m = run_machine(c->opaque);
	_cleanup_close_ int fd = -1, overlay_fd = -1;
	struct block_given given;
	struct machine_plug plug = { .kind = MACHINE_PLUG_DISK, .text = text, .disk = &given };
	const char *id = NULL;
	int rc;

	if (!text)
		return err_set(c->e, -EINVAL, "Parameter 'disk' is missing");
	if (json_object_get(c->args, "id"))
		return err_set(c->e, -EINVAL,
			       "Parameter 'id' is not for a disk: give it in 'disk', as id=");
	rc = take_named(c, "fd", &fd);
	if (rc == 0)
		rc = take_named(c, "overlay-fd", &overlay_fd);
	if (rc < 0)
		return rc;
	if (fd < 0)
		return err_set(c->e, -EINVAL,
			       "Parameter 'fd' is missing: the guest's process opens "
			       "nothing any more");
	given = (struct block_given){ .fd = fd, .overlay_fd = overlay_fd };
	rc = machine_plug(m, &plug, &id, c->e);
	fd = given.fd;
	overlay_fd = given.overlay_fd;
	if (rc == 0)
		c->ret = json_pack("{s:s, s:i}", "id", id, "slot", (int)machine_slot(m, id));
	return rc;
}
