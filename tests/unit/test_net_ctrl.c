// SPDX-License-Identifier: MIT
// virtio-net: every command of the control queue, right and wrong; configuration space.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/net_rig.h"

#define CTRL (NET_RIG_QUEUES - 1)

#define ALL_FEATURES                                                                               \
	(NET_BIT(VIRTIO_NET_F_CTRL_VQ) | NET_BIT(VIRTIO_NET_F_CTRL_RX) |                           \
	 NET_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | NET_BIT(VIRTIO_NET_F_CTRL_VLAN) |                   \
	 NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | NET_BIT(VIRTIO_NET_F_MQ) |                          \
	 NET_BIT(VIRTIO_NET_F_STATUS) | NET_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |                     \
	 NET_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | NET_BIT(VIRTIO_NET_F_GUEST_CSUM) |            \
	 NET_BIT(VIRTIO_NET_F_GUEST_TSO4))

static int open_with(void **state, uint64_t features, unsigned ctrl)
{
	struct net_rig *rig = test_calloc(1, sizeof(*rig));

	net_rig_open(rig, features);
	net_rig_start(rig, ctrl);
	*state = rig;
	return 0;
}

static int setup(void **state)
{
	return open_with(state, ALL_FEATURES, CTRL);
}

/* A driver that knows the control queue and nothing of what it is for. */
static int setup_bare(void **state)
{
	return open_with(state, NET_BIT(VIRTIO_NET_F_CTRL_VQ), 2);
}

static int teardown(void **state)
{
	net_rig_close(*state);
	test_free(*state);
	return 0;
}

/* Offer @bytes of request and one byte for the answer. */
static void offer(struct net_rig *rig, unsigned queue, const void *request, uint32_t bytes)
{
	struct ring *r = &rig->rings[queue];

	memcpy(net_rig_buffer(rig, 0), request, bytes);
	*net_rig_buffer(rig, 1) = 0xee;
	ring_put_desc(r, r->desc, 0, (struct ring_desc){ NET_RIG_BUFFERS, bytes, RING_NEXT, 1 });
	ring_put_desc(r, r->desc, 1,
		      (struct ring_desc){ NET_RIG_BUFFERS + 4096, 1, RING_WRITE, 0 });
	ring_offer(r, 0);
	net_rig_kick(rig, queue);
}

/* A command with @bytes of data; returns the answer. */
static unsigned command(struct net_rig *rig, unsigned queue, unsigned class_cmd, const void *data,
			uint32_t bytes)
{
	uint8_t request[4096] = { (uint8_t)(class_cmd >> 8), (uint8_t)class_cmd };
	struct ring_used u;

	assert_true(bytes + 2 <= sizeof(request));
	memcpy(request + 2, data, bytes);
	offer(rig, queue, request, bytes + 2);
	assert_true(ring_take_used(&rig->rings[queue], &u));
	assert_int_equal(u.len, 1);
	return *net_rig_buffer(rig, 1);
}

#define CMD(class, cmd) ((unsigned)VIRTIO_NET_CTRL_##class << 8 | VIRTIO_NET_CTRL_##class##_##cmd)

/* Commands of fixed size: right, one byte short, one byte long. */
static const struct {
	unsigned cmd;
	uint8_t data[8];
	uint32_t bytes;
	bool ok;
} commands[] = {
	{ CMD(RX, PROMISC), { 0 }, 1, true },
	{ CMD(RX, PROMISC), { 1 }, 1, true },
	{ CMD(RX, PROMISC), { 2 }, 1, false },
	{ CMD(RX, ALLMULTI), { 1 }, 1, true },
	{ CMD(RX, ALLUNI), { 1 }, 1, true },
	{ CMD(RX, NOMULTI), { 1 }, 1, true },
	{ CMD(RX, NOUNI), { 1 }, 1, true },
	{ CMD(RX, NOBCAST), { 1 }, 1, true },
	{ VIRTIO_NET_CTRL_RX << 8 | 6, { 1 }, 1, false },
	{ CMD(MAC, ADDR_SET), { 2, 0, 0, 0, 0, 7 }, 6, true },
	{ CMD(MAC, ADDR_SET), { 3, 0, 0, 0, 0, 7 }, 6, false }, /* multicast */
	{ CMD(VLAN, ADD), { 0xff, 0x0f }, 2, true },
	{ CMD(VLAN, ADD), { 0x00, 0x10 }, 2, false },
	{ CMD(VLAN, DEL), { 0xff, 0x0f }, 2, true },
	{ CMD(VLAN, DEL), { 0xff, 0xff }, 2, false },
	{ CMD(MQ, VQ_PAIRS_SET), { 2, 0 }, 2, true },
	{ CMD(MQ, VQ_PAIRS_SET), { 1, 0 }, 2, true },
	{ CMD(MQ, VQ_PAIRS_SET), { 0, 0 }, 2, false },
	{ CMD(MQ, VQ_PAIRS_SET), { 3, 0 }, 2, false },
	{ CMD(MQ, VQ_PAIRS_SET), { 0, 0x80 }, 2, false },
	{ CMD(GUEST_OFFLOADS, SET), { 0 }, 8, true },
	{ CMD(GUEST_OFFLOADS, SET), { 0x82 }, 8, true },
	{ CMD(GUEST_OFFLOADS, SET), { 0x02, 0x01 }, 8, false }, /* TSO6: not negotiated */
	{ CMD(GUEST_OFFLOADS, SET), { 0x20 }, 8, false },       /* MAC: no offload */
	{ 0x4200, { 1 }, 1, false },
};

static void test_fixed_size(void **state)
{
	struct net_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		uint8_t data[9] = { 0 };
		uint32_t bytes = commands[i].bytes;

		memcpy(data, commands[i].data, 8);
		assert_int_equal(command(rig, CTRL, commands[i].cmd, data, bytes),
				 commands[i].ok ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
		assert_int_equal(command(rig, CTRL, commands[i].cmd, data, bytes - 1),
				 VIRTIO_NET_ERR);
		assert_int_equal(command(rig, CTRL, commands[i].cmd, data, bytes + 1),
				 VIRTIO_NET_ERR);
	}
	assert_false(rig->net->dev.broken);
}

static void test_not_negotiated(void **state)
{
	struct net_rig *rig = *state;

	/* Without MQ the control queue is number 2 (5.1.2). */
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		assert_int_equal(
			command(rig, 2, commands[i].cmd, commands[i].data, commands[i].bytes),
			VIRTIO_NET_ERR);
}

static void test_rx_modes_are_kept(void **state)
{
	struct net_rig *rig = *state;
	const struct net_filter *f = &rig->net->state.filter;
	uint32_t gen = rig->net->filter_gen;

	assert_int_equal(f->mode, NET_FILTER_PROMISC | NET_FILTER_VLANS_ON);
	(void)command(rig, CTRL, CMD(RX, PROMISC), "\0", 1);
	(void)command(rig, CTRL, CMD(RX, NOBCAST), "\1", 1);
	assert_int_equal(f->mode, NET_FILTER_NOBCAST | NET_FILTER_VLANS_ON);
	(void)command(rig, CTRL, CMD(VLAN, ADD), "\x21\x00", 2);
	assert_int_equal(f->vlans[1], 2);
	assert_int_equal(rig->net->filter_gen, gen + 3);
}

/* Counts of unicast and multicast addresses, and how much data comes with them. */
static void test_mac_table(void **state)
{
	static const struct {
		uint32_t nr_uni, nr_multi;
		uint32_t bytes; /* of data; 0: as many as belong there */
		bool ok;
	} cases[] = {
		{ 0, 0, 0, true },
		{ 1, 2, 0, true },
		{ 64, 64, 0, true },
		{ 65, 300, 0, true }, /* more than are kept */
		{ 0, 0, 7, false },
		{ 0, 0, 4, false },
		{ 1, 1, 19, false },
		{ 1, 1, 21, false },
		{ 1000, 0, 100, false },
		{ 0xffffffff, 0, 100, false },
		{ 0x2aaaaaab, 0, 10, false }, /* times six overflows 32 bits to 2 */
		{ 0, 0xffffffff, 100, false },
	};
	struct net_rig *rig = *state;
	const struct net_filter *f = &rig->net->state.filter;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t data[4000] = { 0 };
		uint32_t uni = cases[i].nr_uni, multi = cases[i].nr_multi;
		uint32_t bytes = cases[i].bytes ? cases[i].bytes : 8 + 6 * (uni + multi);
		uint32_t at = uni <= 600 ? 4 + 6 * uni : 4;

		memcpy(data, &uni, 4);
		if (uni)
			data[4 + 5] = 0x77;
		memcpy(data + at, &multi, 4);
		assert_int_equal(command(rig, CTRL, CMD(MAC, TABLE_SET), data, bytes),
				 cases[i].ok ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
		if (!cases[i].ok)
			continue;
		assert_int_equal(f->unicast.nr, uni);
		assert_int_equal(f->multicast.nr, multi);
		assert_int_equal(f->unicast.macs[0][5], uni ? 0x77 : 0);
	}
	assert_int_equal(f->unicast.nr, 65); /* the bad ones changed nothing */
}

static void test_mac_in_config(void **state)
{
	struct net_rig *rig = *state;
	struct virtio_dev *dev = &rig->net->dev;
	uint8_t mac[MAC_BYTES];

	dev->cls->config_read(dev, 0, mac, sizeof(mac));
	assert_memory_equal(mac, "\x02\0\0\0\0\x01", MAC_BYTES);
	(void)command(rig, CTRL, CMD(MAC, ADDR_SET), "\x02\0\0\0\0\x09", MAC_BYTES);
	dev->cls->config_read(dev, 0, mac, sizeof(mac));
	assert_memory_equal(mac, "\x02\0\0\0\0\x09", MAC_BYTES);
	dev->cls->reset(dev);
	dev->cls->config_read(dev, 0, mac, sizeof(mac));
	assert_memory_equal(mac, "\x02\0\0\0\0\x01", MAC_BYTES);
}

static void test_config_fields(void **state)
{
	struct net_rig *rig = *state;
	struct virtio_dev *dev = &rig->net->dev;
	struct virtio_net_config config;

	assert_int_equal(dev->cls->config_bytes, 12);
	dev->cls->config_read(dev, 0, &config, dev->cls->config_bytes);
	assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(config.max_virtqueue_pairs, NET_RIG_PAIRS);
	net_set_link(dev, false);
	dev->cls->config_read(dev, 0, &config, dev->cls->config_bytes);
	assert_int_equal(config.status, 0);
	assert_int_equal(rig->config_interrupts, 1);
}

static void test_announce(void **state)
{
	struct net_rig *rig = *state;
	struct virtio_dev *dev = &rig->net->dev;
	uint16_t status;

	assert_int_equal(command(rig, CTRL, CMD(ANNOUNCE, ACK), "", 0), VIRTIO_NET_ERR);
	assert_true(net_announce(dev));
	assert_int_equal(rig->config_interrupts, 1);
	dev->cls->config_read(dev, MAC_BYTES, &status, sizeof(status));
	assert_int_equal(status, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_int_equal(command(rig, CTRL, CMD(ANNOUNCE, ACK), "", 0), VIRTIO_NET_OK);
	dev->cls->config_read(dev, MAC_BYTES, &status, sizeof(status));
	assert_int_equal(status, VIRTIO_NET_S_LINK_UP);
}

static void test_announce_unknown_to_driver(void **state)
{
	struct net_rig *rig = *state;

	assert_false(net_announce(&rig->net->dev));
	assert_int_equal(rig->config_interrupts, 0);
}

static void test_offloads_reach_back_end(void **state)
{
	struct net_rig *rig = *state;
	const uint64_t csum = NET_BIT(VIRTIO_NET_F_GUEST_CSUM);

	assert_int_equal(rig->be->offloads, NETDEV_CSUM | NETDEV_TSO4);
	(void)command(rig, CTRL, CMD(GUEST_OFFLOADS, SET), &csum, 8);
	assert_int_equal(rig->be->offloads, NETDEV_CSUM);
	rig->be->fail = -EINVAL;
	assert_int_equal(command(rig, CTRL, CMD(GUEST_OFFLOADS, SET), "\0\0\0\0\0\0\0", 8),
			 VIRTIO_NET_ERR);
	assert_int_equal(rig->net->state.guest_offloads, csum);
}

/* The second pair gets frames when it is in use, and only then. */
static void test_pairs(void **state)
{
	struct net_rig *rig = *state;

	net_rig_offer(rig, 2, 8, 2048, true);
	net_rig_start(rig, 2);
	assert_int_equal(rig->be->nr_active, 1);
	assert_int_equal(rig->be->events[1], 0);
	(void)command(rig, CTRL, CMD(MQ, VQ_PAIRS_SET), "\2\0", 2);
	net_rig_settle(rig, 1);
	assert_int_equal(rig->be->nr_active, 2);
	assert_int_equal(rig->be->events[1], NETDEV_READABLE);
	(void)command(rig, CTRL, CMD(MQ, VQ_PAIRS_SET), "\1\0", 2);
	net_rig_settle(rig, 1);
	assert_int_equal(rig->be->nr_active, 1);
	assert_int_equal(rig->be->events[1], 0);
}

static void test_several_at_once(void **state)
{
	struct net_rig *rig = *state;
	struct ring *r = &rig->rings[CTRL];
	struct ring_used u;

	net_rig_stop(rig, CTRL);
	memcpy(net_rig_buffer(rig, 0), "\0\1\1", 3);
	for (uint16_t i = 0; i < 8; i += 2) {
		ring_put_desc(
			r, r->desc, i,
			(struct ring_desc){ NET_RIG_BUFFERS, 3, RING_NEXT, (uint16_t)(i + 1) });
		ring_put_desc(r, r->desc, i + 1U,
			      (struct ring_desc){ NET_RIG_BUFFERS + 4096, 1, RING_WRITE, 0 });
		ring_offer(r, i);
	}
	net_rig_start(rig, CTRL);
	for (uint32_t i = 0; i < 8; i += 2) {
		assert_true(ring_take_used(r, &u));
		assert_int_equal(u.id, i);
	}
	assert_int_equal(rig->interrupts[CTRL], 1);
}

static void test_broken_by_no_answer(void **state)
{
	struct net_rig *rig = *state;

	net_rig_offer(rig, CTRL, 0, 3, false);
	net_rig_kick(rig, CTRL);
	assert_true(rig->net->dev.broken);
}

static void test_broken_by_no_command(void **state)
{
	struct net_rig *rig = *state;

	offer(rig, CTRL, "\0", 1);
	assert_true(rig->net->dev.broken);
}

#define TEST(name, how) cmocka_unit_test_setup_teardown(name, how, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fixed_size, setup),
		TEST(test_not_negotiated, setup_bare),
		TEST(test_rx_modes_are_kept, setup),
		TEST(test_mac_table, setup),
		TEST(test_mac_in_config, setup),
		TEST(test_config_fields, setup),
		TEST(test_announce, setup),
		TEST(test_announce_unknown_to_driver, setup_bare),
		TEST(test_offloads_reach_back_end, setup),
		TEST(test_pairs, setup),
		TEST(test_several_at_once, setup),
		TEST(test_broken_by_no_answer, setup),
		TEST(test_broken_by_no_command, setup),
	};

	return cmocka_run_group_tests_name("net_ctrl", tests, NULL, NULL);
}
