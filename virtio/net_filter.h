/* SPDX-License-Identifier: MIT */
/* Which frames a guest wants to receive (VIRTIO 1.2, 5.1.6.5.1 to 5.1.6.5.3). */
#ifndef FERRY_VIRTIO_NET_FILTER_H
#define FERRY_VIRTIO_NET_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "net/mac.h"

/* Addresses kept; a driver that has more gets all frames of that kind. */
#define NET_FILTER_MACS  64U
#define NET_FILTER_VLANS 4096U

/* As much of a frame as the filter looks at: addresses, type, VLAN tag. */
#define NET_FILTER_BYTES 18U

/* Bits of mode, numbered as the commands of VIRTIO_NET_CTRL_RX. */
enum net_filter_mode {
	NET_FILTER_PROMISC = 1 << 0,
	NET_FILTER_ALLMULTI = 1 << 1,
	NET_FILTER_ALLUNI = 1 << 2,
	NET_FILTER_NOMULTI = 1 << 3,
	NET_FILTER_NOUNI = 1 << 4,
	NET_FILTER_NOBCAST = 1 << 5,
	/* Ours: what the driver has not got. */
	NET_FILTER_VLANS_ON = 1 << 6,
};

/* One of the two address tables of VIRTIO_NET_CTRL_MAC_TABLE_SET. */
struct net_filter_table {
	uint32_t nr; /* as the driver said; above NET_FILTER_MACS all match */
	uint8_t macs[NET_FILTER_MACS][MAC_BYTES];
};

/* Saved state: no pointers. */
struct net_filter {
	uint8_t mode; /* NET_FILTER_* */
	uint8_t mac[MAC_BYTES];
	struct net_filter_table unicast, multicast;
	uint32_t vlans[NET_FILTER_VLANS / 32];
};

/*
 * Power-on state: everything is received, since a driver that knows no
 * filters does not say so. @vlans: the driver will name the VLANs it wants.
 */
void net_filter_reset(struct net_filter *f, const uint8_t mac[MAC_BYTES], bool vlans);

/* Does the guest want the frame that starts with these bytes? */
bool net_filter_accepts(const struct net_filter *f, const uint8_t frame[NET_FILTER_BYTES]);

/* Add or remove a VLAN below NET_FILTER_VLANS. */
void net_filter_set_vlan(struct net_filter *f, unsigned vid, bool wanted);

#endif
