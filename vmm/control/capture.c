// SPDX-License-Identifier: MIT
// ferry-capture: the frames of a nic go to a socket that a client brings.
#include "vmm/control/capture.h"

#include <errno.h>
#include <string.h>

#include "net/capture.h"
#include "util/io.h"
#include "virtio/net.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/machine_nics.h"
#include "vmm/guest/run.h"

const struct control_arg control_capture_args[] = {
	{ .name = "id",
	  .type = JSON_STRING,
	  .optional = true,
	  .help = "the nic; needed where there is more than one" },
	{ .name = "snaplen",
	  .type = JSON_INTEGER,
	  .optional = true,
	  .help = "most bytes of each frame (262144)",
	  .min = CAPTURE_MIN_SNAPLEN,
	  .max = CAPTURE_MAX_SNAPLEN },
	{ 0 },
};

/* Any descriptor can come: only of this kind a write never blocks, and keeps frames apart. */
static int check_socket(int fd, struct err *e)
{
	if (io_is_packet_socket(fd))
		return 0;
	return err_set(e, -EINVAL, "The descriptor must be a connected SOCK_SEQPACKET socket");
}

int control_cmd_capture(struct control_call *c)
{
	const json_t *snaplen = json_object_get(c->args, "snaplen");
	const char *id = json_string_value(json_object_get(c->args, "id"));
	const struct machine *m = run_machine(c->opaque);
	int i = machine_find_nic(m, id, c->e);
	struct virtio_dev *nic;
	const struct netdev *nd;
	int rc = i < 0 ? i : check_socket(c->fd, c->e);

	if (rc < 0)
		return rc;
	nic = machine_nic(m, (size_t)i);
	id = ((const struct nic_config *)machine_config(m)->nics.items)[i].id;
	rc = net_capture(nic, c->fd,
			 snaplen ? (unsigned)json_integer_value(snaplen) : CAPTURE_MAX_SNAPLEN);
	if (rc == -EBUSY)
		return err_set(c->e, rc, "%s is captured %u times already", id, NET_MAX_CAPTURES);
	if (rc < 0)
		return err_set(c->e, rc, "%s: %s", id, strerror(-rc));
	(void)take_fd(&c->fd);
	nd = net_backend(nic);
	c->ret = json_pack("{s:s, s:s, s:s?}", "id", id, "backend", nd->ops->type, "host_interface",
			   *nd->host_if ? nd->host_if : NULL);
	return 0;
}
