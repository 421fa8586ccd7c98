// SPDX-License-Identifier: MIT
// Commands of the control socket: devices come and go.
#include <errno.h>
#include <string.h>

#include "vmm/control/cmds.h"
#include "vmm/guest/hotplug.h"
#include "vmm/guest/run.h"

static const char *arg(const struct control_call *c, const char *name)
{
	return json_string_value(json_object_get(c->args, name));
}

int control_cmd_device_add(struct control_call *c)
{
	const struct machine_plug plug = { .kind = MACHINE_PLUG_RNG };
	const char *id;

	if (strcmp(arg(c, "id"), "rng") != 0)
		return err_set(c->e, -EINVAL,
			       "Parameter 'id' must be rng: a guest has one of them");
	return machine_plug(run_machine(c->opaque), &plug, &id, c->e);
}

int control_cmd_device_del(struct control_call *c)
{
	bool force = json_is_true(json_object_get(c->args, "force"));

	return machine_unplug(run_machine(c->opaque), arg(c, "id"), force, c->e);
}

static const char *const drivers[] = { "virtio-rng-pci", NULL };

const struct control_arg control_device_add_args[] = {
	{ "driver", JSON_STRING, false, .help = "what it is, as QEMU calls it",
	  .choices = drivers },
	{ "id", JSON_STRING, false, .help = "`rng`" },
	{ 0 },
};

const struct control_arg control_device_del_args[] = {
	{ "id", JSON_STRING, false, .help = "of the device" },
	{ "force", JSON_TRUE, true,
	  .help = "take it away without asking; what the guest was doing with it is lost" },
	{ 0 },
};
