// SPDX-License-Identifier: MIT
// virtio-net: which feature stands for which offload.
#include "virtio/net_impl.h"

/* guest: frames to the guest; host: frames from it. Feature bits. */
static const struct {
	unsigned netdev;
	unsigned guest, host;
} offload_table[] = {
	{ NETDEV_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_CSUM },
	{ NETDEV_TSO4, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4 },
	{ NETDEV_TSO6, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO6 },
	{ NETDEV_ECN, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_ECN },
	{ NETDEV_UFO, VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_HOST_UFO },
	{ NETDEV_USO4, VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_HOST_USO },
	{ NETDEV_USO6, VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_HOST_USO },
};

/* Segmentation types (5.1.6.2) and the feature that allows each. */
static const struct {
	uint8_t type;
	unsigned feature;
} gso_table[] = {
	{ VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_F_HOST_TSO4 },
	{ VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_F_HOST_TSO6 },
	{ VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_F_HOST_UFO },
	{ VIRTIO_NET_HDR_GSO_UDP_L4, VIRTIO_NET_F_HOST_USO },
};

uint64_t net_offload_features(unsigned offloads)
{
	uint64_t features = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offload_table); i++) {
		if (offloads & offload_table[i].netdev)
			features |= 1ULL << offload_table[i].guest | 1ULL << offload_table[i].host;
	}
	return features ? features | 1ULL << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS : 0;
}

uint64_t net_offload_guest_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offload_table); i++)
		mask |= 1ULL << offload_table[i].guest;
	return mask;
}

unsigned net_offload_to_guest(uint64_t features)
{
	unsigned offloads = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offload_table); i++) {
		if (features >> offload_table[i].guest & 1)
			offloads |= offload_table[i].netdev;
	}
	/* 5.1.3.1: all others require checksums. */
	return offloads & NETDEV_CSUM ? offloads : 0;
}

static bool gso_ok(uint64_t features, uint8_t type)
{
	if (type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (type & VIRTIO_NET_HDR_GSO_ECN && !(features >> VIRTIO_NET_F_HOST_ECN & 1))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(gso_table); i++) {
		if ((type & ~VIRTIO_NET_HDR_GSO_ECN) == gso_table[i].type)
			return features >> gso_table[i].feature & 1;
	}
	return false;
}

bool net_offload_header_ok(uint64_t features, const struct virtio_net_hdr_v1 *hdr)
{
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !(features >> VIRTIO_NET_F_CSUM & 1))
		return false;
	return gso_ok(features, hdr->gso_type);
}
