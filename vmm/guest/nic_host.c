// SPDX-License-Identifier: MIT
// What a nic is on the host, besides a device: opened by whoever may do that.
#include "vmm/guest/nic_host.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "net/tap_host.h"

static int set_wish(struct net_prefix *addr, const char *text, struct err *e)
{
	if (!text)
		return 0;
	return net_prefix_parse(text, addr) < 0
		       ? err_set(e, -EINVAL, "'%.60s' is not an address", text)
		       : 0;
}

/* What is asked of ferry-net; config_finish() saw to it that all of it fits. */
static int fill_request(const struct nic_owner *owner, const struct nic_config *nic,
			struct attach_request *req, struct err *e)
{
	static const enum attach_kind kinds[] = {
		[NIC_NETWORK] = ATTACH_NETWORK,
		[NIC_TAP] = ATTACH_TAP,
		[NIC_MACVTAP] = ATTACH_MACVTAP,
	};
	const char *name = nic->kind == NIC_NETWORK ? nic->backend : nic->ifname;
	int rc;

	*req = (struct attach_request){
		.kind = kinds[nic->kind],
		.nic = owner->number,
		.queues = nic->queues,
		.mtu = nic->mtu,
		.vlan = nic->vlan,
		.unfiltered = nic->filter != 0,
		.trial = owner->trial,
	};
	(void)snprintf(req->name, sizeof(req->name), "%s", name);
	(void)snprintf(req->bridge, sizeof(req->bridge), "%s", nic->bridge ? nic->bridge : "");
	(void)snprintf(req->guest, sizeof(req->guest), "%s", owner->guest);
	if (nic->kind == NIC_MACVTAP)
		(void)snprintf(req->mode, sizeof(req->mode), "%s", nic_macvtap_modes[nic->mode]);
	if (mac_parse(nic->mac, req->mac) < 0)
		return err_set(e, -EINVAL, "mac: missing");
	rc = set_wish(&req->v4, nic->ip, e);
	return rc < 0 ? rc : set_wish(&req->v6, nic->ip6, e);
}

bool nic_host_needs_helper(const struct nic_config *nic)
{
	const struct netdev_config tap = {
		.nr_pairs = nic->queues,
		.tap = nic->ifname,
		.bridge = nic->bridge,
		.mtu = nic->mtu,
	};

	if (nic->kind == NIC_NETWORK || nic->kind == NIC_MACVTAP)
		return true;
	return nic->kind == NIC_TAP && geteuid() == 0 && tap_host_changes(&tap);
}

int nic_host_ask(struct net_helper *h, const struct nic_owner *owner, const struct nic_config *nic,
		 struct attach_answer *answer, struct err *e)
{
	struct attach_request req;
	int rc = fill_request(owner, nic, &req, e);

	return rc < 0 ? rc : net_helper_attach(h, &req, answer, e);
}
