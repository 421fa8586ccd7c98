// SPDX-License-Identifier: MIT
// virtio-net: the host takes the cable out, and changes limits, while frames wait.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/net_rig.h"

#define RX0         0
#define TX0         1
#define HDR         NETDEV_HDR_BYTES
#define FRAME_BYTES 100

static int setup(void **state)
{
	struct net_rig *rig = test_calloc(1, sizeof(*rig));

	net_rig_open(rig, NET_BIT(VIRTIO_NET_F_STATUS) | NET_BIT(VIRTIO_NET_F_MRG_RXBUF));
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	net_rig_close(*state);
	test_free(*state);
	return 0;
}

static struct net_stats stats_of(struct net_rig *rig)
{
	struct net_stats stats;

	net_get_stats(&rig->net->dev, &stats);
	return stats;
}

/* What the driver reads in configuration space (VIRTIO 1.2, 5.1.4). */
static bool link_is_up(struct net_rig *rig)
{
	const unsigned offset = offsetof(struct virtio_net_config, status);
	uint16_t status = 0;

	rig->net->dev.cls->config_read(&rig->net->dev, offset, &status, sizeof(status));
	return status & VIRTIO_NET_S_LINK_UP;
}

static void offer_frame(struct net_rig *rig, uint16_t head)
{
	memset(net_rig_buffer(rig, head), 0, HDR + FRAME_BYTES);
	net_rig_offer(rig, TX0, head, HDR + FRAME_BYTES, false);
}

static void frames_come(struct net_rig *rig, unsigned nr)
{
	memset(rig->be->waiting, 0xff, HDR + FRAME_BYTES); /* broadcast */
	memset(rig->be->waiting, 0, HDR);
	rig->be->waiting_bytes = HDR + FRAME_BYTES;
	rig->be->nr_waiting = nr;
	net_rig_readable(rig, 0);
}

static void test_driver_is_told_of_the_cable(void **state)
{
	struct net_rig *rig = *state;

	assert_true(link_is_up(rig));
	assert_int_equal(net_get_link(&rig->net->dev), NET_LINK_UP);
	net_set_link(&rig->net->dev, false);
	assert_false(link_is_up(rig));
	assert_int_equal(net_get_link(&rig->net->dev), NET_LINK_DOWN);
	assert_int_equal(rig->config_interrupts, 1);
	net_set_link(&rig->net->dev, false);
	assert_int_equal(rig->config_interrupts, 1);
	net_set_link(&rig->net->dev, true);
	assert_true(link_is_up(rig));
	assert_int_equal(rig->config_interrupts, 2);
}

/* A reset is the guest's: the cable is the host's. */
static void test_cable_stays_out_over_a_reset(void **state)
{
	struct net_rig *rig = *state;

	net_set_link(&rig->net->dev, false);
	rig->net->dev.cls->reset(&rig->net->dev);
	assert_false(link_is_up(rig));
	net_set_link(&rig->net->dev, true);
	assert_true(link_is_up(rig));
}

static void test_frames_are_lost_without_cable(void **state)
{
	struct net_rig *rig = *state;
	struct net_stats stats;

	net_set_link(&rig->net->dev, false);
	for (uint16_t head = 0; head < 8; head++)
		net_rig_offer(rig, RX0, head, 2048, true);
	net_rig_start(rig, RX0);
	frames_come(rig, 3);
	offer_frame(rig, 10);
	net_rig_start(rig, TX0);
	stats = stats_of(rig);
	assert_int_equal(rig->be->nr_sent, 0);
	assert_int_equal(rig->be->nr_waiting, 0);
	assert_int_equal(stats.tx.dropped, 1);
	assert_int_equal(stats.rx.dropped, 3);
	assert_int_equal(stats.rx.packets + stats.tx.packets, 0);

	net_set_link(&rig->net->dev, true);
	net_rig_settle(rig, 0);
	frames_come(rig, 2);
	offer_frame(rig, 11);
	net_rig_kick(rig, TX0);
	stats = stats_of(rig);
	assert_int_equal(stats.rx.packets, 2);
	assert_int_equal(stats.tx.packets, 1);
}

/* A frame that waits for room in the back end does not come out of the wall later. */
static void test_a_frame_that_waits_is_lost(void **state)
{
	struct net_rig *rig = *state;

	rig->be->nr_room = 0;
	offer_frame(rig, 0);
	net_rig_start(rig, TX0);
	assert_true(rig->net->pairs[0].tx.blocked);
	net_set_link(&rig->net->dev, false);
	net_rig_settle(rig, 0);
	assert_false(rig->net->pairs[0].tx.blocked);
	assert_int_equal(stats_of(rig).tx.dropped, 1);
}

/* The back end is gone: its link stays down whatever the user says. */
static void test_failed_link_stays_down(void **state)
{
	struct net_rig *rig = *state;

	net_rig_offer(rig, RX0, 0, 2048, true);
	net_rig_start(rig, RX0);
	rig->be->receive_error = -EIO;
	net_rig_readable(rig, 0);
	assert_int_equal(net_get_link(&rig->net->dev), NET_LINK_FAILED);
	net_set_link(&rig->net->dev, false);
	net_set_link(&rig->net->dev, true);
	assert_false(link_is_up(rig));
	assert_int_equal(net_get_link(&rig->net->dev), NET_LINK_FAILED);
}

/* One packet in a thousand seconds: what waits for that goes on when the limit goes. */
static void test_limit_that_goes_lets_frames_pass(void **state)
{
	const struct net_rate none = { 0 }, slow = { .bps = 1, .pps = 0 };
	struct net_rig *rig = *state;

	rig->be->nr_room = 8;
	net_set_rates(&rig->net->dev, &slow, &slow);
	for (uint16_t head = 0; head < 8; head++)
		net_rig_offer(rig, RX0, head, 2048, true);
	net_rig_start(rig, RX0);
	frames_come(rig, 3);
	for (uint16_t head = 10; head < 13; head++)
		offer_frame(rig, head);
	net_rig_start(rig, TX0);
	assert_int_equal(stats_of(rig).rx.packets, 1);
	assert_int_equal(stats_of(rig).tx.packets, 1);

	net_set_rates(&rig->net->dev, &none, &none);
	net_rig_settle(rig, 0);
	assert_int_equal(stats_of(rig).rx.packets, 3);
	assert_int_equal(stats_of(rig).tx.packets, 3);
	assert_int_equal(rig->be->nr_sent, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_driver_is_told_of_the_cable),
		TEST(test_cable_stays_out_over_a_reset),
		TEST(test_frames_are_lost_without_cable),
		TEST(test_a_frame_that_waits_is_lost),
		TEST(test_failed_link_stays_down),
		TEST(test_limit_that_goes_lets_frames_pass),
	};

	return cmocka_run_group_tests_name("net_link", tests, NULL, NULL);
}
