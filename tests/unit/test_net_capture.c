// SPDX-License-Identifier: MIT
// virtio-net: copies of its frames for those who watch.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/capture.h"
#include "tests/unit/net_rig.h"
#include "util/io.h"

#define RX0   0U
#define TX0   1U
#define HDR   NETDEV_HDR_BYTES
#define FRAME 200U

struct message {
	struct capture_record record;
	uint8_t frame[FRAME];
};

static int setup(void **state)
{
	struct net_rig *rig = test_calloc(1, sizeof(*rig));

	net_rig_open(rig, 0);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	net_rig_close(*state);
	test_free(*state);
	return 0;
}

/* Begin to watch; the reader's end. */
static int watch(struct net_rig *rig, unsigned snaplen)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(net_capture(&rig->net->dev, pair[1], snaplen), 0);
	return pair[0];
}

/* The guest sends a frame whose bytes are all @value. */
static void send_frame(struct net_rig *rig, uint8_t value)
{
	uint16_t head = value % NET_RIG_SIZE;

	memset(net_rig_buffer(rig, head), 0, HDR);
	memset(net_rig_buffer(rig, head) + HDR, value, FRAME);
	net_rig_offer(rig, TX0, head, HDR + FRAME, false);
	net_rig_kick(rig, TX0);
}

static void check(int fd, enum capture_kind kind, uint64_t seen, size_t bytes)
{
	struct message m = { 0 };

	assert_int_equal(recv(fd, &m, sizeof(m), 0), (ssize_t)(sizeof(m.record) + bytes));
	assert_int_equal(m.record.kind, kind);
	assert_int_equal(m.record.seen, seen);
	assert_int_equal(m.record.dropped, 0);
	if (bytes)
		assert_int_equal(m.record.frame_bytes, FRAME);
}

static void test_both_directions(void **state)
{
	struct net_rig *rig = *state;
	int fd = watch(rig, CAPTURE_MAX_SNAPLEN), shorter = watch(rig, CAPTURE_MIN_SNAPLEN);

	net_rig_start(rig, TX0);
	send_frame(rig, 1);
	memset(rig->be->waiting, 0xff, HDR + FRAME);
	memset(rig->be->waiting, 0, HDR);
	rig->be->nr_waiting = 1;
	rig->be->waiting_bytes = HDR + FRAME;
	net_rig_offer(rig, RX0, 0, 4096, true);
	net_rig_start(rig, RX0);
	check(fd, CAPTURE_FROM_GUEST, 1, FRAME);
	check(fd, CAPTURE_TO_GUEST, 2, FRAME);
	check(shorter, CAPTURE_FROM_GUEST, 1, CAPTURE_MIN_SNAPLEN);
	check(shorter, CAPTURE_TO_GUEST, 2, CAPTURE_MIN_SNAPLEN);
	(void)close(fd);
	(void)close(shorter);
}

/* Waits for the nic to say so. */
static void check_end(int fd, enum capture_kind kind, uint64_t seen)
{
	int flags = fcntl(fd, F_GETFL);

	assert_int_equal(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 0);
	check(fd, kind, seen, 0);
}

static void test_asked_to_end(void **state)
{
	struct net_rig *rig = *state;
	int fd = watch(rig, CAPTURE_MAX_SNAPLEN);
	char byte;

	net_rig_start(rig, TX0);
	send_frame(rig, 1);
	check(fd, CAPTURE_FROM_GUEST, 1, FRAME);
	assert_int_equal(write(fd, "", 1), 1);
	while (atomic_load(&rig->net->captures.nr_active))
		net_rig_settle(rig, 0);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	check_end(fd, CAPTURE_END, 1);
	send_frame(rig, 2);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	(void)close(fd);
}

static void test_reader_goes(void **state)
{
	struct net_rig *rig = *state;

	net_rig_start(rig, TX0);
	for (unsigned i = 0; i < 2; i++) {
		int fd = watch(rig, CAPTURE_MAX_SNAPLEN);

		(void)close(fd);
		/* The frame or the loop, whoever sees it first. */
		send_frame(rig, (uint8_t)i);
		while (atomic_load(&rig->net->captures.nr_active))
			net_rig_settle(rig, 0);
	}
}

static void test_no_more_than_there_are(void **state)
{
	struct net_rig *rig = *state;
	int fds[NET_MAX_CAPTURES], spare[2];

	for (unsigned i = 0; i < NET_MAX_CAPTURES; i++)
		fds[i] = watch(rig, CAPTURE_MIN_SNAPLEN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, spare), 0);
	assert_int_equal(net_capture(&rig->net->dev, spare[1], CAPTURE_MIN_SNAPLEN), -EBUSY);
	for (unsigned i = 0; i < NET_MAX_CAPTURES; i++)
		(void)close(fds[i]);
	(void)close(spare[0]);
	(void)close(spare[1]);
}

/* What a reader does not take is dropped, and it learns how much. */
static void test_slow_reader(void **state)
{
	struct net_rig *rig = *state;
	int fd = watch(rig, CAPTURE_MAX_SNAPLEN);
	struct message m = { 0 };
	uint64_t sent = 0;

	net_rig_start(rig, TX0);
	while (rig->net->captures.slots[0].dropped == 0)
		send_frame(rig, (uint8_t)(sent++));
	while (recv(fd, &m, sizeof(m), 0) > 0)
		;
	send_frame(rig, (uint8_t)sent);
	assert_true(recv(fd, &m, sizeof(m), 0) > 0);
	assert_int_equal(m.record.seen, sent + 1);
	assert_true(m.record.dropped > 0);
	(void)close(fd);
}

static void test_nic_goes(void **state)
{
	struct net_rig *rig = *state;
	int fd = watch(rig, CAPTURE_MAX_SNAPLEN);

	net_rig_start(rig, TX0);
	send_frame(rig, 1);
	check(fd, CAPTURE_FROM_GUEST, 1, FRAME);
	net_rig_close(rig);
	check_end(fd, CAPTURE_GONE, 1);
	(void)close(fd);
	net_rig_open(rig, 0); /* for the teardown */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_directions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asked_to_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_more_than_there_are, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nic_goes, setup, teardown),
	};

	return cmocka_run_group_tests_name("net_capture", tests, NULL, NULL);
}
