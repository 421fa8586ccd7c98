// SPDX-License-Identifier: MIT
// virtio-net: frames from the guest, good and bad, and a network that is full.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/net_rig.h"

#define TX0 1
#define HDR NETDEV_HDR_BYTES

static int setup(void **state)
{
	struct net_rig *rig = test_calloc(1, sizeof(*rig));

	net_rig_open(rig, NET_BIT(VIRTIO_NET_F_CSUM));
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	net_rig_close(*state);
	test_free(*state);
	return 0;
}

static void sent(struct net_rig *rig, struct net_counters *ret)
{
	struct net_stats stats;

	net_get_stats(&rig->net->dev, &stats);
	*ret = stats.tx;
}

/* All of @count buffers, in order, were given back. */
static void all_used(struct net_rig *rig, uint32_t first, unsigned count)
{
	struct ring_used u;

	for (uint32_t i = first; i < first + count; i++) {
		assert_true(ring_take_used(&rig->rings[TX0], &u));
		assert_int_equal(u.id, i);
		assert_int_equal(u.len, 0);
	}
	assert_false(ring_take_used(&rig->rings[TX0], &u));
}

static void fill(struct net_rig *rig, uint16_t head, size_t bytes)
{
	uint8_t *b = net_rig_buffer(rig, head);

	memset(b, 0, HDR);
	for (size_t i = HDR; i < bytes; i++)
		b[i] = (uint8_t)(i + head);
}

/* Offer a frame of @bytes in one buffer. */
static void offer(struct net_rig *rig, uint16_t head, uint32_t bytes)
{
	fill(rig, head, HDR + bytes);
	net_rig_offer(rig, TX0, head, HDR + bytes, false);
}

static void test_one_frame(void **state)
{
	struct net_rig *rig = *state;
	struct net_counters count;

	offer(rig, 0, 100);
	net_rig_start(rig, TX0);
	assert_int_equal(rig->be->nr_sent, 1);
	assert_int_equal(rig->be->sent_bytes, HDR + 100);
	assert_memory_equal(rig->be->sent, net_rig_buffer(rig, 0), HDR + 100);
	all_used(rig, 0, 1);
	assert_int_equal(rig->interrupts[TX0], 1);
	sent(rig, &count);
	assert_int_equal(count.packets, 1);
	assert_int_equal(count.bytes, 100);
}

/* The header in a buffer of its own, cut in two, or with the frame's beginning. */
static void test_header_layouts(void **state)
{
	static const uint32_t layouts[][3] = {
		{ HDR, 50, 50 },
		{ 5, HDR - 5, 100 },
		{ 5, 60, 47 },
		{ 1, 1, HDR + 98 },
	};
	struct net_rig *rig = *state;
	struct ring *r = &rig->rings[TX0];

	net_rig_start(rig, TX0);
	for (uint32_t n = 0; n < ARRAY_SIZE(layouts); n++) {
		uint64_t at = NET_RIG_BUFFERS;

		fill(rig, 0, HDR + 100);
		net_rig_buffer(rig, 0)[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		for (uint16_t i = 0; i < 3; i++) {
			ring_put_desc(r, r->desc, i,
				      (struct ring_desc){ at, layouts[n][i], i < 2 ? RING_NEXT : 0,
							  (uint16_t)(i + 1) });
			at += layouts[n][i];
		}
		ring_offer(r, 0);
		net_rig_kick(rig, TX0);
		assert_int_equal(rig->be->nr_sent, n + 1);
		assert_int_equal(rig->be->sent_bytes, HDR + 100);
		assert_memory_equal(rig->be->sent, net_rig_buffer(rig, 0), HDR + 100);
	}
}

static void test_batch(void **state)
{
	struct net_rig *rig = *state;

	for (uint16_t i = 0; i < NET_RIG_SIZE; i++)
		offer(rig, i, 60);
	net_rig_start(rig, TX0);
	assert_int_equal(rig->be->nr_sent, NET_RIG_SIZE);
	all_used(rig, 0, NET_RIG_SIZE);
	assert_int_equal(rig->interrupts[TX0], 1);
}

/* A full network: nothing is lost, nothing is sent twice. */
static void test_blocked(void **state)
{
	struct net_rig *rig = *state;

	rig->be->nr_room = 2;
	for (uint16_t i = 0; i < 5; i++)
		offer(rig, i, 60);
	net_rig_start(rig, TX0);
	all_used(rig, 0, 2);
	assert_int_equal(rig->be->events[0], NETDEV_WRITABLE);
	net_rig_writable(rig, 0); /* a false alarm */
	all_used(rig, 2, 0);
	rig->be->nr_room = 10;
	net_rig_writable(rig, 0);
	all_used(rig, 2, 3);
	assert_int_equal(rig->be->nr_sent, 5);
	assert_memory_equal(rig->be->sent, net_rig_buffer(rig, 4), HDR + 60);
	assert_int_equal(rig->be->events[0], 0);
}

static void test_stop_while_blocked(void **state)
{
	struct net_rig *rig = *state;
	struct virtio_queue *q = &rig->net->dev.queues[TX0];

	rig->be->nr_room = 0;
	offer(rig, 0, 60);
	net_rig_start(rig, TX0);
	net_rig_stop(rig, TX0);
	assert_int_equal(rig->be->events[0], 0);
	assert_int_equal(q->ring.state.last_avail, 0);
	rig->be->nr_room = 1;
	virtio_start_queues(q, 1);
	all_used(rig, 0, 1);
}

/* Frames that cannot be sent are given back like others, and counted. */
static void test_bad_frames(void **state)
{
	struct net_rig *rig = *state;
	struct net_counters count;

	offer(rig, 0, 13);
	offer(rig, 1, 60);
	net_rig_buffer(rig, 1)[1] = VIRTIO_NET_HDR_GSO_TCPV4; /* not negotiated */
	offer(rig, 2, 60);
	net_rig_start(rig, TX0);
	all_used(rig, 0, 3);
	assert_int_equal(rig->be->nr_sent, 1);
	sent(rig, &count);
	assert_int_equal(count.errors, 2);
	assert_int_equal(count.packets, 1);
	assert_false(rig->net->dev.broken);
}

static void test_too_long(void **state)
{
	struct net_rig *rig = *state;
	struct ring *r = &rig->rings[TX0];

	/* One descriptor over many pages. */
	ring_put_desc(r, r->desc, 0,
		      (struct ring_desc){ NET_RIG_BUFFERS, NETDEV_FRAME_MAX + HDR + 1, 0, 0 });
	ring_put_desc(r, r->desc, 1,
		      (struct ring_desc){ NET_RIG_BUFFERS, NETDEV_FRAME_MAX + HDR, 0, 0 });
	ring_offer(r, 0);
	ring_offer(r, 1);
	net_rig_start(rig, TX0);
	all_used(rig, 0, 2);
	assert_int_equal(rig->be->nr_sent, 1);
	assert_int_equal(rig->be->sent_bytes, NETDEV_FRAME_MAX + HDR);
}

/* One frame a second: the others stay in the ring. */
static void test_rate_limit(void **state)
{
	struct net_rig *rig = *state;
	struct virtio_queue *q = &rig->net->dev.queues[TX0];

	net_limit_init(&rig->net->tx_limit, 0, 1);
	for (uint16_t i = 0; i < 3; i++)
		offer(rig, i, 60);
	net_rig_start(rig, TX0);
	net_rig_kick(rig, TX0);
	all_used(rig, 0, 1);
	net_rig_stop(rig, TX0);
	assert_int_equal(q->ring.state.last_avail, 1);
	assert_int_equal(rig->be->nr_sent, 1);
}

static void broken_by(struct net_rig *rig, uint32_t bytes, bool write)
{
	struct ring_used u;

	net_rig_offer(rig, TX0, 0, bytes, write);
	net_rig_start(rig, TX0);
	assert_true(rig->net->dev.broken);
	assert_false(ring_take_used(&rig->rings[TX0], &u));
	assert_int_equal(rig->be->nr_sent, 0);
}

static void test_broken_by_writable_buffer(void **state)
{
	broken_by(*state, 100, true);
}

static void test_broken_by_no_header(void **state)
{
	broken_by(*state, HDR - 1, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_frame),
		TEST(test_header_layouts),
		TEST(test_batch),
		TEST(test_blocked),
		TEST(test_stop_while_blocked),
		TEST(test_bad_frames),
		TEST(test_too_long),
		TEST(test_rate_limit),
		TEST(test_broken_by_writable_buffer),
		TEST(test_broken_by_no_header),
	};

	return cmocka_run_group_tests_name("net_tx", tests, NULL, NULL);
}
