/* SPDX-License-Identifier: MIT */
/* The options of `ferry net`: ferry knows them too, for its help and to find mistakes. */
#ifndef FERRY_VMM_NETWORK_OPTIONS_H
#define FERRY_VMM_NETWORK_OPTIONS_H

#include <stdbool.h>

#include "vmm/guest/config_field.h"

struct net_options {
	char *mode, *bridge, *uplink, *ipv4, *ipv6;
	bool existing, default_route, vlan, hub, isolated, unfiltered, no_dhcp, routed6;
	unsigned vni, mtu;
	struct field_list peers, forwards; /* of char * */
	bool json;
};

extern const struct field net_fields[];
extern const size_t net_nr_fields;

#endif
