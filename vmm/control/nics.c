// SPDX-License-Identifier: MIT
// Commands of the control socket: the nics of a guest that runs.
#include "vmm/control/nics.h"

#include <errno.h>

#include "virtio/net.h"
#include "virtio/virtio.h"
#include "vmm/control/stats.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/machine_nics.h"
#include "vmm/guest/run.h"
#include "vmm/move/run_mover.h"

/* --- ferry-nics --- */

static json_t *both(const struct net_stats *s)
{
	return json_pack("{s:o, s:o}", "rx", stats_counters(&s->rx), "tx", stats_counters(&s->tx));
}

static json_t *queues_json(struct virtio_dev *dev)
{
	json_t *queues = json_array();
	struct net_stats s;

	for (unsigned i = 0; i < net_nr_pairs(dev); i++) {
		net_get_pair_stats(dev, i, &s);
		(void)json_array_append_new(queues, both(&s));
	}
	return queues;
}

static json_t *limits_json(const struct nic_config *nic)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "rx-bps", (json_int_t)nic->rx_bps, "rx-pps",
			 (json_int_t)nic->rx_pps, "tx-bps", (json_int_t)nic->tx_bps, "tx-pps",
			 (json_int_t)nic->tx_pps);
}

static json_t *nic_json(struct virtio_dev *dev, const struct nic_config *nic)
{
	static const char *const kinds[] = {
		[NIC_NONE] = "none",       [NIC_USER] = "user",       [NIC_TAP] = "tap",
		[NIC_NETWORK] = "network", [NIC_MACVTAP] = "macvtap",
	};
	static const char *const links[] = {
		[NET_LINK_UP] = "up",
		[NET_LINK_DOWN] = "down",
		[NET_LINK_FAILED] = "failed",
	};
	const struct netdev *nd = net_backend(dev);
	struct net_stats s;

	net_get_stats(dev, &s);
	return json_pack("{s:s, s:s, s:s?, s:s, s:s, s:s?, s:s?, s:s, s:i, s:s, s:o, s:o, s:o}",
			 "id", nic->id, "backend", nd->ops->type, "host_interface",
			 *nd->host_if ? nd->host_if : NULL, "net", nic->backend, "kind",
			 kinds[nic->kind], "network",
			 nic->kind == NIC_NETWORK ? nic->backend : NULL, "bridge", nic->bridge,
			 "mac", nic->mac, "slot", (int)virtio_pci_slot(&dev->device), "link",
			 links[net_get_link(dev)], "limits", limits_json(nic), "stats", both(&s),
			 "queues", queues_json(dev));
}

static const struct nic_config *settings_of(const struct machine *m, size_t i)
{
	return (const struct nic_config *)machine_config(m)->nics.items + i;
}

int control_cmd_nics(struct control_call *c)
{
	const struct machine *m = run_machine(c->opaque);

	c->ret = json_array();
	for (size_t i = 0; i < machine_config(m)->nics.nr; i++) {
		if (machine_nic(m, i))
			(void)json_array_append_new(c->ret,
						    nic_json(machine_nic(m, i), settings_of(m, i)));
	}
	return 0;
}

/* --- ferry-nic-limits --- */

#define LIMIT_ARG(arg_name, arg_help)                                                              \
	{                                                                                          \
		.name = (arg_name), .type = JSON_INTEGER, .optional = true, .help = (arg_help),    \
		.max = CONFIG_MAX_RATE                                                             \
	}

const struct control_arg control_nic_limits_args[] = {
	{ .name = "id", .type = JSON_STRING, .help = "the nic" },
	LIMIT_ARG("rx-bps", "most bits a second to the guest; 0: no limit; not given: as before"),
	LIMIT_ARG("rx-pps", "most packets a second to the guest"),
	LIMIT_ARG("tx-bps", "most bits a second from the guest"),
	LIMIT_ARG("tx-pps", "most packets a second from the guest"),
	{ 0 },
};

static uint64_t given_or(const json_t *args, const char *name, uint64_t before)
{
	const json_t *value = json_object_get(args, name);

	return value ? (uint64_t)json_integer_value(value) : before;
}

int control_cmd_nic_limits(struct control_call *c)
{
	struct machine *m = run_machine(c->opaque);
	int i = machine_find_nic(m, json_string_value(json_object_get(c->args, "id")), c->e);
	const struct nic_config *nic;
	struct net_rate rx, tx;
	int rc = i < 0 ? i : run_check_idle(c->opaque, c->e);

	if (rc < 0)
		return rc;
	nic = settings_of(m, (size_t)i);
	rx.bps = given_or(c->args, "rx-bps", nic->rx_bps);
	rx.pps = given_or(c->args, "rx-pps", nic->rx_pps);
	tx.bps = given_or(c->args, "tx-bps", nic->tx_bps);
	tx.pps = given_or(c->args, "tx-pps", nic->tx_pps);
	return machine_set_nic_rates(m, (size_t)i, &rx, &tx, c->e);
}

/* --- set_link --- */

const struct control_arg control_set_link_args[] = {
	{ .name = "name", .type = JSON_STRING, .help = "the nic" },
	{ .name = "up", .type = JSON_TRUE, .help = "the cable is in" },
	{ 0 },
};

int control_cmd_set_link(struct control_call *c)
{
	struct machine *m = run_machine(c->opaque);
	int i = machine_find_nic(m, json_string_value(json_object_get(c->args, "name")), c->e);

	if (i < 0)
		return i;
	return machine_set_nic_link(m, (size_t)i, json_is_true(json_object_get(c->args, "up")),
				    c->e);
}
