// SPDX-License-Identifier: MIT
// Which frames a guest wants to receive.
#include <string.h>

#include "virtio/net_filter.h"

#define ETHERTYPE_VLAN 0x8100U
#define VLAN_VID_MASK  0x0fffU

void net_filter_reset(struct net_filter *f, const uint8_t mac[MAC_BYTES], bool vlans)
{
	*f = (struct net_filter){
		.mode = NET_FILTER_PROMISC | (vlans ? NET_FILTER_VLANS_ON : 0),
	};
	memcpy(f->mac, mac, MAC_BYTES);
}

static unsigned get_be16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* Tag 0 carries a priority and no VLAN. */
static bool accepts_vlan(const struct net_filter *f, const uint8_t *frame)
{
	unsigned vid = get_be16(frame + 14) & VLAN_VID_MASK;

	if (!(f->mode & NET_FILTER_VLANS_ON) || get_be16(frame + 12) != ETHERTYPE_VLAN || vid == 0)
		return true;
	return f->vlans[vid / 32] >> (vid % 32) & 1;
}

static bool in_table(const struct net_filter_table *t, const uint8_t *mac)
{
	if (t->nr > NET_FILTER_MACS)
		return true;
	for (unsigned i = 0; i < t->nr; i++) {
		if (memcmp(t->macs[i], mac, MAC_BYTES) == 0)
			return true;
	}
	return false;
}

bool net_filter_accepts(const struct net_filter *f, const uint8_t frame[NET_FILTER_BYTES])
{
	static const uint8_t broadcast[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (f->mode & NET_FILTER_PROMISC)
		return true;
	if (!accepts_vlan(f, frame))
		return false;
	if (memcmp(frame, broadcast, MAC_BYTES) == 0)
		return !(f->mode & NET_FILTER_NOBCAST);
	if (mac_is_multicast(frame)) {
		if (f->mode & (NET_FILTER_NOMULTI | NET_FILTER_ALLMULTI))
			return !(f->mode & NET_FILTER_NOMULTI);
		return in_table(&f->multicast, frame);
	}
	if (f->mode & (NET_FILTER_NOUNI | NET_FILTER_ALLUNI))
		return !(f->mode & NET_FILTER_NOUNI);
	return memcmp(frame, f->mac, MAC_BYTES) == 0 || in_table(&f->unicast, frame);
}

void net_filter_set_vlan(struct net_filter *f, unsigned vid, bool wanted)
{
	uint32_t bit = 1U << (vid % 32);

	if (wanted)
		f->vlans[vid / 32] |= bit;
	else
		f->vlans[vid / 32] &= ~bit;
}
