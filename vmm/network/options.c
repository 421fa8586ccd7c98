// SPDX-License-Identifier: MIT
// The options of `ferry net`.
#include "vmm/network/options.h"

#include "net/managed/netdef.h"
#include "util/io.h"

#define OPT(member) offsetof(struct net_options, member)

static const struct field peer_fields[] = {
	{ "peer", &field_string, 0, .arg = "ADDRESS", .help = "another host of the network" },
};

static const struct field forward_fields[] = {
	{ "forward", &field_string, 0, .arg = "RULE", .help = "tcp|udp:HOSTPORT=GUEST:PORT" },
};

static const struct field_record peer_record = {
	.what = "peer",
	.bytes = sizeof(char *),
	.fields = peer_fields,
	.nr_fields = ARRAY_SIZE(peer_fields),
	.max_items = NETDEF_MAX_PEERS,
};

static const struct field_record forward_record = {
	.what = "forward",
	.bytes = sizeof(char *),
	.fields = forward_fields,
	.nr_fields = ARRAY_SIZE(forward_fields),
	.max_items = NETDEF_MAX_FORWARDS,
};

const struct field net_fields[] = {
	{ "mode", &field_string, OPT(mode), .arg = "MODE",
	  .help = "bridge, nat, route, hostonly or internal" },
	{ "bridge", &field_string, OPT(bridge), .arg = "NAME", .help = "its bridge (fy-NAME)" },
	{ "existing", &field_flag, OPT(existing), .help = "bridge: it is there, and not ferry's" },
	{ "uplink", &field_string, OPT(uplink), .arg = "INTERFACE",
	  .help = "the host's interface to the network outside" },
	{ "default-route", &field_flag, OPT(default_route),
	  .help = "bridge: move the uplink even if it has the host's only default route" },
	{ "ipv4", &field_string, OPT(ipv4), .arg = "ADDRESS/LEN",
	  .help = "the host's address in it, or none (derived from the name)" },
	{ "ipv6", &field_string, OPT(ipv6), .arg = "ADDRESS/LEN",
	  .help = "the same for IPv6 (derived from the name)" },
	{ "no-dhcp", &field_flag, OPT(no_dhcp), .help = "hand out no addresses" },
	{ "routed6", &field_flag, OPT(routed6), .help = "nat: leave IPv6 addresses as they are" },
	{ "vlan", &field_flag, OPT(vlan), .help = "nics may have vlan=" },
	{ "hub", &field_flag, OPT(hub), .help = "each frame goes to each nic, see promisc=" },
	{ "isolated", &field_flag, OPT(isolated), .help = "guests do not reach each other" },
	{ "unfiltered", &field_flag, OPT(unfiltered), .help = "guests may send from any address" },
	{ "mtu", &field_uint, OPT(mtu), .arg = "BYTES", .min = 1280, .max = 65521,
	  .help = "largest packet, of guests too (1500, VXLAN 1450)" },
	{ "vni", &field_uint, OPT(vni), .arg = "N", .min = 1, .max = 0xffffff,
	  .help = "internal: number of the VXLAN that joins hosts" },
	{ "peer", &field_texts, OPT(peers), .arg = "ADDRESS", .record = &peer_record,
	  .help = "internal: another host of it; repeatable" },
	{ "forward", &field_texts, OPT(forwards), .arg = "RULE", .record = &forward_record,
	  .help = "nat: tcp|udp:HOSTPORT=GUEST:PORT; repeatable" },
	{ "json", &field_flag, OPT(json), .help = "print JSON" },
};
const size_t net_nr_fields = ARRAY_SIZE(net_fields);
