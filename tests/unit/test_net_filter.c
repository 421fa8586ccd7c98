// SPDX-License-Identifier: MIT
// virtio-net: receive filters, and which offload belongs to which feature.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio/net_impl.h"

#define OWN   0x02, 0, 0, 0, 0, 1
#define OTHER 0x02, 0, 0, 0, 0, 2
#define GROUP 0x01, 0, 0x5e, 0, 0, 1
#define ALL   0xff, 0xff, 0xff, 0xff, 0xff, 0xff
#define FROM  0x02, 0, 0, 0, 0, 9
#define IPV4  0x08, 0x00, 0x45, 0, 0, 0
#define VLAN5 0x81, 0x00, 0xe0, 5, 0x08, 0x00
#define VLAN0 0x81, 0x00, 0xe0, 0, 0x08, 0x00

static const uint8_t own[MAC_BYTES] = { OWN };

static const uint8_t to_own[] = { OWN, FROM, IPV4 };
static const uint8_t to_other[] = { OTHER, FROM, IPV4 };
static const uint8_t to_group[] = { GROUP, FROM, IPV4 };
static const uint8_t to_all[] = { ALL, FROM, IPV4 };
static const uint8_t tagged5[] = { OWN, FROM, VLAN5 };
static const uint8_t tagged0[] = { OWN, FROM, VLAN0 };

static struct net_filter strict(unsigned mode)
{
	struct net_filter f;

	net_filter_reset(&f, own, false);
	f.mode = (uint8_t)mode;
	return f;
}

static void test_power_on_takes_all(void **state)
{
	struct net_filter f;

	(void)state;
	net_filter_reset(&f, own, true);
	assert_true(net_filter_accepts(&f, to_own));
	assert_true(net_filter_accepts(&f, to_other));
	assert_true(net_filter_accepts(&f, to_group));
	assert_true(net_filter_accepts(&f, tagged5));
}

static void test_modes(void **state)
{
	static const struct {
		unsigned mode;
		bool own, other, group, all;
	} cases[] = {
		{ 0, true, false, false, true },
		{ NET_FILTER_PROMISC, true, true, true, true },
		{ NET_FILTER_ALLMULTI, true, false, true, true },
		{ NET_FILTER_ALLUNI, true, true, false, true },
		{ NET_FILTER_NOMULTI | NET_FILTER_ALLMULTI, true, false, false, true },
		{ NET_FILTER_NOUNI | NET_FILTER_ALLUNI, false, false, false, true },
		{ NET_FILTER_NOBCAST, true, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct net_filter f = strict(cases[i].mode);

		assert_int_equal(net_filter_accepts(&f, to_own), cases[i].own);
		assert_int_equal(net_filter_accepts(&f, to_other), cases[i].other);
		assert_int_equal(net_filter_accepts(&f, to_group), cases[i].group);
		assert_int_equal(net_filter_accepts(&f, to_all), cases[i].all);
	}
}

static void test_tables(void **state)
{
	struct net_filter f = strict(0);

	(void)state;
	f.unicast.nr = 2;
	memcpy(f.unicast.macs[1], to_other, MAC_BYTES);
	assert_true(net_filter_accepts(&f, to_other));
	assert_false(net_filter_accepts(&f, to_group));
	f.multicast.nr = 1;
	memcpy(f.multicast.macs[0], to_group, MAC_BYTES);
	assert_true(net_filter_accepts(&f, to_group));
	f.multicast.macs[0][5] ^= 1;
	assert_false(net_filter_accepts(&f, to_group));
	f.multicast.nr = NET_FILTER_MACS + 1; /* more than are kept: all */
	assert_true(net_filter_accepts(&f, to_group));
}

static void test_vlans(void **state)
{
	struct net_filter f = strict(NET_FILTER_VLANS_ON);

	(void)state;
	assert_false(net_filter_accepts(&f, tagged5));
	assert_true(net_filter_accepts(&f, tagged0));
	assert_true(net_filter_accepts(&f, to_own));
	net_filter_set_vlan(&f, 5, true);
	net_filter_set_vlan(&f, 4095, true);
	assert_true(net_filter_accepts(&f, tagged5));
	net_filter_set_vlan(&f, 5, false);
	assert_false(net_filter_accepts(&f, tagged5));
	f.mode = 0; /* a driver that has not negotiated them */
	assert_true(net_filter_accepts(&f, tagged5));
}

#define BIT(n) (1ULL << (n))

static void test_features_of_offloads(void **state)
{
	(void)state;
	assert_int_equal(net_offload_features(0), 0);
	assert_int_equal(net_offload_features(NETDEV_CSUM | NETDEV_TSO4),
			 BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) |
				 BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
				 BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
}

static void test_offloads_of_features(void **state)
{
	(void)state;
	assert_int_equal(
		net_offload_to_guest(BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO6)),
		NETDEV_CSUM | NETDEV_TSO6);
	/* Segmentation without checksums is not allowed: nothing. */
	assert_int_equal(net_offload_to_guest(BIT(VIRTIO_NET_F_GUEST_TSO4)), 0);
	/* What the host may get says nothing about what the guest gets. */
	assert_int_equal(net_offload_to_guest(BIT(VIRTIO_NET_F_CSUM)), 0);
}

static void test_headers(void **state)
{
	static const struct {
		uint64_t features;
		uint8_t flags, gso;
		bool ok;
	} cases[] = {
		{ 0, 0, VIRTIO_NET_HDR_GSO_NONE, true },
		{ 0, VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, false },
		{ BIT(VIRTIO_NET_F_CSUM), VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, true },
		{ 0, 0, VIRTIO_NET_HDR_GSO_TCPV4, false },
		{ BIT(VIRTIO_NET_F_HOST_TSO4), 0, VIRTIO_NET_HDR_GSO_TCPV4, true },
		{ BIT(VIRTIO_NET_F_HOST_TSO4), 0, VIRTIO_NET_HDR_GSO_TCPV6, false },
		{ BIT(VIRTIO_NET_F_HOST_TSO4), 0, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
		  false },
		{ BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_ECN), 0,
		  VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, true },
		{ BIT(VIRTIO_NET_F_HOST_USO), 0, VIRTIO_NET_HDR_GSO_UDP_L4, true },
		{ BIT(VIRTIO_NET_F_HOST_USO), 0, VIRTIO_NET_HDR_GSO_UDP, false },
		{ UINT64_MAX, 0, 2, false }, /* no such type */
		{ UINT64_MAX, 0, VIRTIO_NET_HDR_GSO_ECN, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct virtio_net_hdr_v1 hdr = { .flags = cases[i].flags,
						 .gso_type = cases[i].gso };

		assert_int_equal(net_offload_header_ok(cases[i].features, &hdr), cases[i].ok);
	}
}

static void test_header_size(void **state)
{
	(void)state;
	/* 5.1.6: with VERSION_1 the long header is used whatever was negotiated. */
	assert_int_equal(sizeof(struct virtio_net_hdr_v1), NETDEV_HDR_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_on_takes_all),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_vlans),
		cmocka_unit_test(test_features_of_offloads),
		cmocka_unit_test(test_offloads_of_features),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_header_size),
	};

	return cmocka_run_group_tests_name("net_filter", tests, NULL, NULL);
}
