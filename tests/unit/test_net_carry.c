// SPDX-License-Identifier: MIT
// virtio-net: frames that come for a guest which has left, and for one which has just come.
#include <errno.h>
#include <net/ethernet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/net_rig.h"

#define RX0   0
#define HDR   NETDEV_HDR_BYTES
#define BYTES 100U /* of a frame */
#define TURNS 1000

static int setup(void **state)
{
	struct net_rig *rig = test_calloc(1, sizeof(*rig));

	net_rig_open(rig, NET_BIT(VIRTIO_NET_F_MRG_RXBUF));
	(void)snprintf(rig->be->nd.host_if, sizeof(rig->be->nd.host_if), "tap0");
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	net_rig_close(*state);
	test_free(*state);
	return 0;
}

static const uint8_t other_mac[MAC_BYTES] = { 2, 0, 0, 0, 0, 0x99 };
static const uint8_t everybody[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

struct frame {
	uint8_t header[HDR];
	uint8_t dst[MAC_BYTES], src[MAC_BYTES];
	uint8_t type[2];
	uint8_t data[BYTES - NET_FRAME_MIN];
};

static struct frame frame_to(const uint8_t *dst, uint8_t mark)
{
	struct frame f = { .type = { 8, 0 } };

	memcpy(f.dst, dst, MAC_BYTES);
	memcpy(f.src, other_mac, MAC_BYTES);
	memset(f.data, mark, sizeof(f.data));
	return f;
}

static uint64_t dropped(struct net_rig *rig)
{
	struct net_stats stats;

	net_get_stats(&rig->net->dev, &stats);
	return stats.rx.dropped;
}

/* --- arriving --- */

static void arrive(struct net_rig *rig, const struct frame *f, size_t bytes)
{
	struct frame copy = *f;
	const struct iovec iov = { &copy, bytes };

	net_arrive(&rig->net->dev, &iov, 1);
	memset(&copy, 0, sizeof(copy)); /* it must not be needed any more */
}

/* The next chain that the driver gets back holds a frame with this mark. */
static void got(struct net_rig *rig, uint8_t mark)
{
	struct ring_used u;
	bool any = false;

	for (unsigned i = 0; i < TURNS && !any; i++) {
		net_rig_settle(rig, 0);
		any = ring_take_used(&rig->rings[RX0], &u);
	}
	assert_true(any);
	assert_int_equal(u.len, HDR + BYTES);
	assert_int_equal(net_rig_buffer(rig, (uint16_t)u.id)[HDR + BYTES - 1], mark);
}

static void got_nothing(struct net_rig *rig)
{
	struct ring_used u;

	assert_false(ring_take_used(&rig->rings[RX0], &u));
}

static void offer(struct net_rig *rig, uint16_t first, uint16_t nr)
{
	for (uint16_t i = 0; i < nr; i++)
		net_rig_offer(rig, RX0, (uint16_t)(first + i), 2048, true);
}

/* In order, and before what the network has. */
static void test_arrivals_come_first(void **state)
{
	struct net_rig *rig = *state;
	struct frame fresh = frame_to(rig->net->mac, 9);

	net_rig_start(rig, RX0);
	for (uint8_t mark = 1; mark <= 3; mark++) {
		struct frame f = frame_to(rig->net->mac, mark);

		arrive(rig, &f, sizeof(f)); /* no buffers yet */
	}
	memcpy(rig->be->waiting, &fresh, sizeof(fresh));
	rig->be->waiting_bytes = sizeof(fresh);
	rig->be->nr_waiting = 1;
	got_nothing(rig);
	offer(rig, 0, 2);
	net_rig_kick(rig, RX0);
	got(rig, 1);
	got(rig, 2);
	offer(rig, 2, 4);
	net_rig_kick(rig, RX0);
	got(rig, 3);
	got(rig, 9);
	assert_int_equal(dropped(rig), 0);
}

/* More than a turn of them, of which the last alone is for this guest. */
static void test_many_arrivals(void **state)
{
	struct net_rig *rig = *state;
	struct frame other = frame_to(other_mac, 1), own = frame_to(rig->net->mac, 2);

	rig->net->own_only = true;
	net_rig_start(rig, RX0);
	for (unsigned i = 0; i < 500; i++)
		arrive(rig, &other, sizeof(other));
	arrive(rig, &own, sizeof(own));
	offer(rig, 0, 2);
	net_rig_kick(rig, RX0);
	got(rig, 2);
	got_nothing(rig);
	assert_int_equal(dropped(rig), 500);
}

static void test_no_frames(void **state)
{
	struct net_rig *rig = *state;
	static uint8_t large[HDR + NETDEV_FRAME_MAX + 1];
	struct iovec iov = { large, sizeof(large) };
	struct frame f = frame_to(rig->net->mac, 1);

	offer(rig, 0, 2);
	net_rig_start(rig, RX0);
	net_rig_kick(rig, RX0);
	net_arrive(&rig->net->dev, &iov, 1);
	arrive(rig, &f, HDR + NET_FRAME_MIN - 1);
	arrive(rig, &f, 0);
	net_arrive(&rig->net->dev, NULL, 0);
	got_nothing(rig);
	assert_int_equal(dropped(rig), 3);
	arrive(rig, &f, sizeof(f));
	got(rig, 1);
}

/* Without a driver that receives, and when it stops, they are not kept. */
static void test_nobody_receives(void **state)
{
	struct net_rig *rig = *state;
	struct frame f = frame_to(rig->net->mac, 1);

	arrive(rig, &f, sizeof(f));
	assert_int_equal(dropped(rig), 1);
	net_rig_start(rig, RX0);
	arrive(rig, &f, sizeof(f));
	net_rig_stop(rig, RX0);
	offer(rig, 0, 2);
	net_rig_start(rig, RX0);
	net_rig_kick(rig, RX0);
	got_nothing(rig);
}

/* Nobody can make us keep more than so much. */
static void test_bounded(void **state)
{
	struct net_rig *rig = *state;
	static uint8_t large[HDR + NETDEV_FRAME_MAX];
	const struct iovec iov = { large, sizeof(large) };
	const unsigned nr = 16 * MIB / sizeof(large) + 3;

	net_rig_start(rig, RX0);
	for (unsigned i = 0; i < nr; i++)
		net_arrive(&rig->net->dev, &iov, 1);
	assert_int_equal(dropped(rig), 3);
}

/* --- leaving --- */

struct seen {
	_Atomic unsigned nr_frames, nr_announced;
	uint8_t last;
};

static void on_frame(void *opaque, const void *frame, size_t bytes)
{
	struct seen *seen = opaque;

	seen->nr_frames++;
	seen->last = ((const uint8_t *)frame)[bytes - 1];
}

static void on_announced(void *opaque)
{
	((struct seen *)opaque)->nr_announced++;
}

static void comes(struct net_rig *rig, const struct frame *f)
{
	memcpy(rig->be->waiting, f, sizeof(*f));
	rig->be->waiting_bytes = sizeof(*f);
	rig->be->nr_waiting = 1;
	net_rig_readable(rig, 0);
}

static struct frame announcement(struct net_rig *rig)
{
	struct frame f = frame_to(everybody, 0);

	memcpy(f.src, rig->net->mac, MAC_BYTES);
	f.type[0] = ETHERTYPE_REVARP >> 8;
	f.type[1] = ETHERTYPE_REVARP & 0xff;
	return f;
}

static void test_forward(void **state)
{
	struct net_rig *rig = *state;
	struct seen seen = { 0 };
	const struct net_forward_client client = { on_frame, on_announced, &seen };
	struct frame own = frame_to(rig->net->mac, 1), late = frame_to(rig->net->mac, 2);
	struct frame other = frame_to(other_mac, 3), all = frame_to(everybody, 4);
	struct frame rarp = announcement(rig), strange = rarp;

	rig->net->own_only = true;
	comes(rig, &own); /* the guest stands: nobody reads it */
	assert_true(net_forward_start(&rig->net->dev, &client));
	net_rig_readable(rig, 0);
	assert_int_equal(seen.nr_frames, 1);
	assert_int_equal(seen.last, 1);
	comes(rig, &other);
	comes(rig, &all);
	memcpy(strange.src, other_mac, MAC_BYTES);
	comes(rig, &strange);
	assert_int_equal(seen.nr_frames, 1);
	assert_int_equal(seen.nr_announced, 0);
	comes(rig, &rarp);
	assert_int_equal(seen.nr_announced, 1);

	/* The last moment counts, too; after it nothing is read. */
	memcpy(rig->be->waiting, &late, sizeof(late));
	rig->be->nr_waiting = 1;
	net_forward_stop(&rig->net->dev);
	assert_int_equal(seen.nr_frames, 2);
	assert_int_equal(seen.last, 2);
	assert_int_equal(rig->be->events[0], 0);
	assert_int_equal(rig->be->events[1], 0);
}

/* Whatever a back end says is a frame. */
static void test_forward_no_frames(void **state)
{
	struct net_rig *rig = *state;
	struct seen seen = { 0 };
	const struct net_forward_client client = { on_frame, on_announced, &seen };
	struct frame own = frame_to(rig->net->mac, 1);

	assert_true(net_forward_start(&rig->net->dev, &client));
	memcpy(rig->be->waiting, &own, sizeof(own));
	rig->be->nr_waiting = 1;
	rig->be->waiting_bytes = HDR + NET_FRAME_MIN - 1;
	net_rig_readable(rig, 0);
	rig->be->nr_waiting = 1;
	rig->be->waiting_bytes = HDR + NETDEV_FRAME_MAX + 1;
	net_rig_readable(rig, 0);
	assert_int_equal(seen.nr_frames, 0);
	rig->be->nr_waiting = 1;
	rig->be->waiting_bytes = HDR + NET_FRAME_MIN;
	net_rig_readable(rig, 0);
	assert_int_equal(seen.nr_frames, 1);
	net_forward_stop(&rig->net->dev);
}

/* The tap was removed: it would be readable for ever. */
static void test_forward_ends(void **state)
{
	struct net_rig *rig = *state;
	struct seen seen = { 0 };
	const struct net_forward_client client = { on_frame, on_announced, &seen };

	assert_true(net_forward_start(&rig->net->dev, &client));
	assert_int_equal(rig->be->events[0], NETDEV_READABLE);
	assert_int_equal(rig->be->events[1], 0); /* the driver uses one pair */
	rig->be->receive_error = -EBADFD;
	net_rig_readable(rig, 0);
	assert_int_equal(rig->be->events[0], 0);
	net_forward_stop(&rig->net->dev);
	assert_int_equal(seen.nr_frames, 0);
}

static void test_nothing_can_come(void **state)
{
	struct net_rig *rig = *state;
	struct seen seen = { 0 };
	const struct net_forward_client client = { on_frame, on_announced, &seen };

	net_set_link(&rig->net->dev, false);
	assert_false(net_forward_start(&rig->net->dev, &client));
	net_set_link(&rig->net->dev, true);
	rig->be->nd.host_if[0] = '\0';
	assert_false(net_forward_start(&rig->net->dev, &client));
	net_forward_stop(&rig->net->dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_arrivals_come_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_arrivals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_receives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forward, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forward_no_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forward_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_can_come, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
