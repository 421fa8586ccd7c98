// SPDX-License-Identifier: MIT
// virtio-net: frames to the guest, merged buffers, too few of them, filters.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/net_rig.h"
#include "util/bitmap.h"

#define RX0  0
#define HDR  NETDEV_HDR_BYTES
#define MRG  NET_BIT(VIRTIO_NET_F_MRG_RXBUF)
#define CSUM NET_BIT(VIRTIO_NET_F_GUEST_CSUM)
#define TSO  (CSUM | NET_BIT(VIRTIO_NET_F_GUEST_TSO4))

static int open_with(void **state, uint64_t features)
{
	struct net_rig *rig = test_calloc(1, sizeof(*rig));

	net_rig_open(rig, features);
	*state = rig;
	return 0;
}

static int setup(void **state)
{
	return open_with(state, MRG | TSO);
}

static int setup_plain(void **state)
{
	return open_with(state, 0);
}

static int teardown(void **state)
{
	net_rig_close(*state);
	test_free(*state);
	return 0;
}

/* @count frames of @bytes wait in the network, for the guest's own address. */
static void wait_frames(struct net_rig *rig, unsigned count, size_t bytes)
{
	struct net_rig_backend *be = rig->be;

	for (size_t i = 0; i < bytes; i++)
		be->waiting[HDR + i] = (uint8_t)(i + i / 256);
	memset(be->waiting, 0, HDR);
	be->waiting[0] = VIRTIO_NET_HDR_F_DATA_VALID;
	memcpy(be->waiting + HDR, rig->net->mac, MAC_BYTES);
	be->nr_waiting = count;
	be->waiting_bytes = HDR + bytes;
}

/* The next used chain must be @head with @len bytes. */
static void used(struct net_rig *rig, uint32_t head, uint32_t len)
{
	struct ring_used u;

	assert_true(ring_take_used(&rig->rings[RX0], &u));
	assert_int_equal(u.id, head);
	assert_int_equal(u.len, len);
}

static void none_used(struct net_rig *rig)
{
	struct ring_used u;

	assert_false(ring_take_used(&rig->rings[RX0], &u));
}

static void offer_many(struct net_rig *rig, uint16_t first, uint16_t count, uint32_t bytes)
{
	for (uint16_t i = 0; i < count; i++)
		net_rig_offer(rig, RX0, (uint16_t)(first + i), bytes, true);
}

static unsigned num_buffers(struct net_rig *rig, uint16_t head)
{
	const uint8_t *b = net_rig_buffer(rig, head);

	return b[10] | (unsigned)b[11] << 8;
}

static void received(struct net_rig *rig, struct net_counters *ret)
{
	struct net_stats stats;

	net_get_stats(&rig->net->dev, &stats);
	*ret = stats.rx;
}

static void test_one_buffer(void **state)
{
	struct net_rig *rig = *state;

	offer_many(rig, 0, 2, 2048);
	wait_frames(rig, 1, 100);
	net_rig_start(rig, RX0);
	used(rig, 0, HDR + 100);
	none_used(rig);
	assert_int_equal(num_buffers(rig, 0), 1);
	assert_int_equal(net_rig_buffer(rig, 0)[0], VIRTIO_NET_HDR_F_DATA_VALID);
	assert_memory_equal(net_rig_buffer(rig, 0) + HDR, rig->be->waiting + HDR, 100);
	assert_int_equal(rig->interrupts[RX0], 1);
}

static void test_no_flags_without_feature(void **state)
{
	struct net_rig *rig = *state;

	offer_many(rig, 0, 1, 2048);
	wait_frames(rig, 1, 60);
	net_rig_start(rig, RX0);
	used(rig, 0, HDR + 60);
	assert_int_equal(net_rig_buffer(rig, 0)[0], 0);
	assert_int_equal(num_buffers(rig, 0), 1);
}

static void test_merged_buffers(void **state)
{
	struct net_rig *rig = *state;

	offer_many(rig, 0, 8, 100);
	wait_frames(rig, 2, 200);
	net_rig_start(rig, RX0);
	for (uint32_t head = 0; head < 6; head += 3) {
		used(rig, head, 100);
		used(rig, head + 1, 100);
		used(rig, head + 2, HDR);
		assert_int_equal(num_buffers(rig, (uint16_t)head), 3);
		assert_memory_equal(net_rig_buffer(rig, (uint16_t)head) + HDR,
				    rig->be->waiting + HDR, 100 - HDR);
		assert_memory_equal(net_rig_buffer(rig, (uint16_t)(head + 1)),
				    rig->be->waiting + 100, 100);
		assert_memory_equal(net_rig_buffer(rig, (uint16_t)(head + 2)),
				    rig->be->waiting + 200, HDR);
	}
	none_used(rig);
	assert_int_equal(rig->interrupts[RX0], 1); /* for the batch */
}

/* A descriptor chain of three for one buffer, the header cut in two. */
static void test_chained_descriptors(void **state)
{
	struct net_rig *rig = *state;
	struct ring *r = &rig->rings[RX0];
	const uint32_t lens[] = { 5, 9, 400 };

	for (uint16_t i = 0; i < 3; i++)
		ring_put_desc(r, r->desc, i,
			      (struct ring_desc){ NET_RIG_BUFFERS + i * 4096ULL, lens[i],
						  RING_WRITE | (i < 2 ? RING_NEXT : 0),
						  (uint16_t)(i + 1) });
	ring_offer(r, 0);
	wait_frames(rig, 1, 300);
	net_rig_start(rig, RX0);
	used(rig, 0, HDR + 300);
	assert_int_equal(net_rig_buffer(rig, 1)[10 - 5], 1); /* num_buffers */
	assert_memory_equal(net_rig_buffer(rig, 1) + 7, rig->be->waiting + HDR, 2);
	assert_memory_equal(net_rig_buffer(rig, 2), rig->be->waiting + 14, 298);
}

static void test_no_buffers(void **state)
{
	struct net_rig *rig = *state;

	wait_frames(rig, 1, 100);
	net_rig_start(rig, RX0);
	assert_int_equal(rig->be->events[0], 0);
	assert_int_equal(rig->be->nr_waiting, 1); /* left where it is */
	offer_many(rig, 0, 1, 2048);
	net_rig_kick(rig, RX0);
	used(rig, 0, HDR + 100);
	assert_int_equal(rig->be->events[0], 0); /* the only one was used */
	offer_many(rig, 1, 1, 2048);
	net_rig_kick(rig, RX0);
	assert_int_equal(rig->be->events[0], NETDEV_READABLE);
	wait_frames(rig, 1, 60);
	net_rig_readable(rig, 0);
	used(rig, 1, HDR + 60);
}

/* Half of a large frame fits: it waits, whole, for more buffers. */
static void test_pending_frame(void **state)
{
	struct net_rig *rig = *state;

	offer_many(rig, 0, 4, 1024);
	wait_frames(rig, 1, 6000);
	net_rig_start(rig, RX0);
	none_used(rig);
	assert_int_equal(rig->be->nr_waiting, 0);
	offer_many(rig, 4, 1, 1024);
	net_rig_kick(rig, RX0);
	none_used(rig);
	offer_many(rig, 5, 3, 1024);
	net_rig_kick(rig, RX0);
	for (uint32_t i = 0; i < 5; i++)
		used(rig, i, 1024);
	used(rig, 5, HDR + 6000 - 5 * 1024);
	none_used(rig);
	assert_int_equal(num_buffers(rig, 0), 6);
	for (uint16_t i = 0; i < 5; i++)
		assert_memory_equal(net_rig_buffer(rig, i) + (i ? 0 : HDR),
				    rig->be->waiting + i * 1024 + (i ? 0 : HDR),
				    1024 - (i ? 0 : HDR));
	assert_memory_equal(net_rig_buffer(rig, 5), rig->be->waiting + 5 * 1024UL,
			    HDR + 6000 - 5 * 1024);
}

/* All buffers that a ring has are too few: nothing to wait for. */
static void test_larger_than_ring(void **state)
{
	struct net_rig *rig = *state;
	struct net_counters count;

	offer_many(rig, 0, NET_RIG_SIZE, 64);
	wait_frames(rig, 1, 64 * NET_RIG_SIZE);
	net_rig_start(rig, RX0);
	none_used(rig);
	received(rig, &count);
	assert_int_equal(count.dropped, 1);
	wait_frames(rig, 1, 64 * NET_RIG_SIZE - HDR); /* just fits */
	net_rig_readable(rig, 0);
	for (uint32_t i = 0; i < NET_RIG_SIZE; i++)
		used(rig, i, 64);
	assert_int_equal(num_buffers(rig, 0), NET_RIG_SIZE);
}

static void test_unmerged_too_small(void **state)
{
	struct net_rig *rig = *state;
	struct net_counters count;

	offer_many(rig, 0, 4, 100);
	wait_frames(rig, 2, 89);
	net_rig_start(rig, RX0);
	none_used(rig);
	received(rig, &count);
	assert_int_equal(count.dropped, 2);
	wait_frames(rig, 2, 88);
	net_rig_readable(rig, 0);
	used(rig, 0, 100);
	used(rig, 1, 100);
}

static void test_largest_segment(void **state)
{
	struct net_rig *rig = *state;

	offer_many(rig, 0, 20, 4096);
	wait_frames(rig, 1, NETDEV_FRAME_MAX);
	net_rig_start(rig, RX0);
	for (uint32_t i = 0; i < 16; i++)
		used(rig, i, 4096);
	used(rig, 16, NETDEV_FRAME_MAX + HDR - 16 * 4096);
}

static void test_runt(void **state)
{
	struct net_rig *rig = *state;
	struct net_counters count;

	offer_many(rig, 0, 1, 2048);
	wait_frames(rig, 1, 13);
	net_rig_start(rig, RX0);
	none_used(rig);
	received(rig, &count);
	assert_int_equal(count.errors, 1);
}

static void test_filtered(void **state)
{
	struct net_rig *rig = *state;
	struct net_counters count;

	mutex_lock(&rig->net->lock);
	rig->net->state.filter.mode = 0;
	mutex_unlock(&rig->net->lock);
	atomic_fetch_add(&rig->net->filter_gen, 1);
	offer_many(rig, 0, 2, 20); /* the addresses are spread over two buffers */
	offer_many(rig, 2, 2, 2048);
	wait_frames(rig, 3, 100);
	rig->be->waiting[HDR + 5] ^= 1;
	net_rig_start(rig, RX0);
	none_used(rig);
	assert_int_equal(rig->interrupts[RX0], 0);
	wait_frames(rig, 1, 20);
	net_rig_readable(rig, 0);
	used(rig, 0, 20);
	used(rig, 1, HDR);
	received(rig, &count);
	assert_int_equal(count.dropped, 3);
	assert_int_equal(count.packets, 1);
	assert_int_equal(count.bytes, 20);
}

static bool is_dirty(struct net_rig *rig, uint16_t head)
{
	return bitmap_test(atomic_load(&rig->vm->gmem.dirty),
			   NET_RIG_BUFFERS / GMEM_PAGE_BYTES + head);
}

/* Guest memory has changed, though the driver is told of nothing. */
static void test_unwanted_frames_mark_dirty(void **state)
{
	struct net_rig *rig = *state;

	assert_int_equal(gmem_log_start(&rig->vm->gmem), 0);
	mutex_lock(&rig->net->lock);
	rig->net->state.filter.mode = 0;
	mutex_unlock(&rig->net->lock);
	atomic_fetch_add(&rig->net->filter_gen, 1);
	offer_many(rig, 0, 4, 64);
	wait_frames(rig, 1, 100);
	rig->be->waiting[HDR + 5] ^= 1;
	net_rig_start(rig, RX0);
	none_used(rig);
	for (uint16_t i = 0; i < 4; i++)
		assert_int_equal(is_dirty(rig, i), i < 2);
}

static void test_pending_frame_marks_dirty(void **state)
{
	struct net_rig *rig = *state;

	assert_int_equal(gmem_log_start(&rig->vm->gmem), 0);
	offer_many(rig, 0, 4, 1024);
	wait_frames(rig, 1, 6000);
	net_rig_start(rig, RX0);
	none_used(rig);
	for (uint16_t i = 0; i < 5; i++)
		assert_int_equal(is_dirty(rig, i), i < 4);
}

/* What was popped and not used goes back, so that a pause loses no buffer. */
static void test_stop_gives_back(void **state)
{
	struct net_rig *rig = *state;
	struct virtio_queue *q = &rig->net->dev.queues[RX0];

	offer_many(rig, 0, 40, 1024);
	wait_frames(rig, 3, 100);
	net_rig_start(rig, RX0);
	net_rig_stop(rig, RX0);
	assert_int_equal(q->ring.state.last_avail, 3);
	assert_int_equal(q->ring.state.used_idx, 3);
	assert_int_equal(rig->be->events[0], 0);
	virtio_start_queues(q, 1);
	assert_int_equal(rig->be->events[0], NETDEV_READABLE);
	for (uint32_t i = 0; i < 3; i++)
		used(rig, i, HDR + 100);
	wait_frames(rig, 1, 60);
	net_rig_readable(rig, 0);
	used(rig, 3, HDR + 60);
}

static void test_many_frames_few_interrupts(void **state)
{
	struct net_rig *rig = *state;

	offer_many(rig, 0, NET_RIG_SIZE, 2048);
	wait_frames(rig, 1000, 100);
	net_rig_start(rig, RX0);
	for (uint16_t i = 0; i < NET_RIG_SIZE; i++)
		used(rig, i, HDR + 100);
	none_used(rig);
	assert_int_equal(rig->interrupts[RX0], 1);
	assert_int_equal(rig->be->nr_waiting, 1000 - NET_RIG_SIZE);
}

/* 800 bits a second: a frame of 100 bytes uses up the first second. */
static void test_rate_limit(void **state)
{
	struct net_rig *rig = *state;

	net_limit_init(&rig->net->rx_limit, 800, 0);
	offer_many(rig, 0, 8, 2048);
	wait_frames(rig, 3, 100);
	net_rig_start(rig, RX0);
	net_rig_readable(rig, 0);
	used(rig, 0, HDR + 100);
	none_used(rig);
	assert_int_equal(rig->be->nr_waiting, 2);
	assert_int_equal(rig->be->events[0], 0);
}

static void broken_by(struct net_rig *rig, uint32_t bytes, bool write)
{
	net_rig_offer(rig, RX0, 0, bytes, write);
	wait_frames(rig, 1, 100);
	net_rig_start(rig, RX0);
	assert_true(rig->net->dev.broken);
	assert_int_equal(rig->config_interrupts, 1);
	assert_int_equal(rig->be->events[0], 0);
	none_used(rig);
}

static void test_broken_by_readable_buffer(void **state)
{
	broken_by(*state, 2048, false);
}

static void test_broken_by_tiny_buffer(void **state)
{
	broken_by(*state, HDR - 1, true);
}

/* The interface behind has been deleted. */
static void test_back_end_fails(void **state)
{
	struct net_rig *rig = *state;
	uint16_t status = 0;

	offer_many(rig, 0, 4, 2048);
	rig->be->receive_error = -EBADFD;
	net_rig_start(rig, RX0);
	assert_int_equal(rig->be->events[0], 0);
	rig->net->dev.cls->config_read(&rig->net->dev, MAC_BYTES, &status, sizeof(status));
	assert_int_equal(status & VIRTIO_NET_S_LINK_UP, 0);
	assert_false(rig->net->dev.broken);
}

#define TEST(name, how) cmocka_unit_test_setup_teardown(name, how, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_buffer, setup),
		TEST(test_no_flags_without_feature, setup_plain),
		TEST(test_merged_buffers, setup),
		TEST(test_chained_descriptors, setup),
		TEST(test_no_buffers, setup),
		TEST(test_pending_frame, setup),
		TEST(test_larger_than_ring, setup),
		TEST(test_unmerged_too_small, setup_plain),
		TEST(test_largest_segment, setup),
		TEST(test_runt, setup),
		TEST(test_filtered, setup),
		TEST(test_unwanted_frames_mark_dirty, setup),
		TEST(test_pending_frame_marks_dirty, setup),
		TEST(test_stop_gives_back, setup),
		TEST(test_many_frames_few_interrupts, setup),
		TEST(test_broken_by_readable_buffer, setup),
		TEST(test_broken_by_tiny_buffer, setup),
		TEST(test_back_end_fails, setup),
		TEST(test_rate_limit, setup),
	};

	return cmocka_run_group_tests_name("net_rx", tests, NULL, NULL);
}
