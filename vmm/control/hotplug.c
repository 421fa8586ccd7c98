// SPDX-License-Identifier: MIT
// Commands of the control socket: devices come and go.
#include <errno.h>
#include <string.h>

#include "net/netdev.h"
#include "vmm/control/cmds.h"
#include "vmm/control/disks.h"
#include "vmm/control/nics.h"
#include "vmm/guest/config.h"
#include "vmm/guest/hotplug.h"
#include "vmm/guest/run.h"

static const char *arg(const struct control_call *c, const char *name)
{
	return json_string_value(json_object_get(c->args, name));
}

static int add_rng(struct control_call *c)
{
	const struct machine_plug plug = { .kind = MACHINE_PLUG_RNG };
	const char *id = arg(c, "id");

	if (id && strcmp(id, "rng") != 0)
		return err_set(c->e, -EINVAL,
			       "Parameter 'id' must be rng: a guest has one of them");
	return machine_plug(run_machine(c->opaque), &plug, &id, c->e);
}

static const char *const drivers[] = { "virtio-rng-pci", "virtio-net-pci", "virtio-blk-pci", NULL };

/* In their order: what each does, and which arguments besides driver and id it has. */
static const struct {
	int (*fn)(struct control_call *c);
	const char *args[8];
} kinds[] = {
	{ add_rng, { NULL } },
	{ control_add_nic, { "net", "mac", "fds", "host-mtu", "ferry-net", "lock", "number" } },
	{ control_add_disk, { "disk", "fd", "overlay-fd" } },
};

/* The table knows the arguments of all of them. */
static int check_args(const struct control_call *c, const char *const *allowed)
{
	const char *name;
	json_t *value;

	json_object_foreach(c->args, name, value)
	{
		size_t i = 0;

		while (allowed[i] && strcmp(allowed[i], name) != 0)
			i++;
		if (!allowed[i] && strcmp(name, "driver") != 0 && strcmp(name, "id") != 0)
			return err_set(c->e, -EINVAL, "Parameter '%s' is not for %s", name,
				       arg(c, "driver"));
	}
	return 0;
}

int control_cmd_device_add(struct control_call *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(drivers[i], arg(c, "driver")) == 0)
			return check_args(c, kinds[i].args) < 0 ? -EINVAL : kinds[i].fn(c);
	}
	return -EINVAL; /* the table has the choices */
}

int control_cmd_device_del(struct control_call *c)
{
	bool force = json_is_true(json_object_get(c->args, "force"));

	return machine_unplug(run_machine(c->opaque), arg(c, "id"), force, c->e);
}

const struct control_arg control_device_add_args[] = {
	{ "driver", JSON_STRING, false, .help = "what it is, as QEMU calls it",
	  .choices = drivers },
	{ "id", JSON_STRING, true, .help = "its name; of an entropy device `rng`" },
	{ "net", JSON_STRING, true, .help = "nic: what `--net` says of it; required" },
	{ "mac", JSON_STRING, true, .help = "nic: its address, if not in `net`" },
	{ "fds", JSON_STRING, true,
	  .help = "nic: queues of its tap, descriptors that `getfd` has left: their names, with "
		  "colons between; not for `user`" },
	{ "host-mtu", JSON_INTEGER, true, .help = "nic: of the tap (1500)", .min = NETDEV_MIN_MTU,
	  .max = NETDEV_MAX_MTU },
	{ "ferry-net", JSON_STRING, true,
	  .help = "nic: name of the socket whose other end takes back what the nic is on the host, "
		  "when this one is closed" },
	{ "lock", JSON_STRING, true,
	  .help = "nic: name of a file that is held open as long as there is the nic" },
	{ "number", JSON_INTEGER, true, .help = "nic: as `ferry-nic-check` has chosen it",
	  .max = CONFIG_MAX_NICS - 1 },
	{ "disk", JSON_STRING, true,
	  .help = "disk: what `--disk` says of it, its id too; required" },
	{ "fd", JSON_STRING, true,
	  .help = "disk: its image, which `getfd` has left, open for writing only if the disk is "
		  "written to; required" },
	{ "overlay-fd", JSON_STRING, true,
	  .help = "disk with `overlay`: an empty file for it, the same" },
	{ 0 },
};

const struct control_arg control_device_del_args[] = {
	{ "id", JSON_STRING, false, .help = "of the device" },
	{ "force", JSON_TRUE, true,
	  .help = "take it away without asking; what the guest was doing with it is lost" },
	{ 0 },
};
