// SPDX-License-Identifier: MIT
// Tap back end, on the kernel's taps in a network namespace of the test's own.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/netdev.h"
#include "util/io.h"

#define NOBODY 65534

static int enter_namespace(void **state)
{
	*state = NULL;
	if (geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0 &&
	    unshare(CLONE_NEWNET) == 0)
		*state = state;
	return 0;
}

#define NEEDS_NAMESPACE(state)                                                                     \
	do {                                                                                       \
		if (!*(state)) {                                                                   \
			print_message("needs root and /dev/net/tun\n");                            \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static struct netdev *open_tap(const struct netdev_config *cfg)
{
	struct err e = { 0 };
	struct netdev *nd = NULL;

	if (netdev_open(&nd, cfg, &e) < 0)
		fail_msg("%s", e.text);
	return nd;
}

/* Opening must fail with @code, and its text contain @text. */
static void refused(const struct netdev_config *cfg, int code, const char *text)
{
	struct err e = { 0 };
	struct netdev *nd;

	assert_int_equal(netdev_open(&nd, cfg, &e), code);
	if (!strstr(e.text, text))
		fail_msg("'%s' says nothing of '%s'", e.text, text);
}

static bool exists(const char *name)
{
	return if_nametoindex(name) != 0;
}

static int if_flags(const char *name)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct ifreq ifr = { 0 };

	(void)strncpy(ifr.ifr_name, name, IF_NAMESIZE - 1);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	return ifr.ifr_flags;
}

/* An interface of the tun driver, as long as the descriptor is open. */
static int make_tun(const char *name, int flags, bool persist)
{
	struct ifreq ifr = { .ifr_flags = (short)(flags | IFF_NO_PI) };
	int fd = open("/dev/net/tun", O_RDWR);

	(void)strncpy(ifr.ifr_name, name, IF_NAMESIZE - 1);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	if (persist)
		assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	return fd;
}

/* The end of a persistent tap. */
static void remove_tun(const char *name)
{
	int fd = make_tun(name, IFF_TAP, false);

	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
	(void)close(fd);
}

static void test_created_and_gone(void **state)
{
	const struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 1, .tap = "t0" };
	struct netdev *nd;

	NEEDS_NAMESPACE(state);
	nd = open_tap(&cfg);
	assert_string_equal(nd->host_if, "t0");
	assert_true(if_flags("t0") & IFF_UP);
	assert_int_equal(nd->mtu, 1500);
	assert_true(nd->offloads & NETDEV_CSUM);
	netdev_close(nd);
	assert_false(exists("t0"));
}

static void test_name_chosen(void **state)
{
	const struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 3, .mtu = 9000 };
	struct netdev *a, *b;

	NEEDS_NAMESPACE(state);
	a = open_tap(&cfg);
	b = open_tap(&cfg);
	assert_string_equal(a->host_if, "ferry0");
	assert_string_equal(b->host_if, "ferry1");
	assert_int_equal(a->nr_pairs, 3);
	assert_int_equal(a->mtu, 9000);
	netdev_close(a);
	netdev_close(b);
	assert_false(exists("ferry0"));
}

static void test_existing_stays(void **state)
{
	const struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 1, .tap = "t0" };
	struct netdev *nd;

	NEEDS_NAMESPACE(state);
	(void)close(make_tun("t0", IFF_TAP, true));
	nd = open_tap(&cfg);
	refused(&cfg, -EBUSY, "in use");
	netdev_close(nd);
	assert_true(exists("t0"));
	remove_tun("t0");
}

static void test_existing_multi_queue(void **state)
{
	struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 1, .tap = "t0" };
	struct netdev *nd;
	int fd;

	NEEDS_NAMESPACE(state);
	fd = make_tun("t0", IFF_TAP | IFF_MULTI_QUEUE, false);
	nd = open_tap(&cfg); /* one pair will do */
	netdev_close(nd);
	cfg.nr_pairs = 4;
	nd = open_tap(&cfg);
	netdev_close(nd);
	(void)close(fd);
}

static void test_refusals(void **state)
{
	struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 1 };
	int fd;

	NEEDS_NAMESPACE(state);
	cfg.tap = "lo";
	refused(&cfg, -EINVAL, "not a tap");
	fd = make_tun("t0", IFF_TUN, false);
	cfg.tap = "t0";
	refused(&cfg, -EINVAL, "not a tap");
	(void)close(fd);
	cfg.tap = "";
	refused(&cfg, -EINVAL, "not a name");
	cfg.tap = "0123456789abcdef";
	refused(&cfg, -EINVAL, "not a name");
	cfg.tap = "tap%d";
	refused(&cfg, -EINVAL, "not a name");
	cfg.tap = "t1";
	cfg.bridge = "br9";
	refused(&cfg, -ENODEV, "br9");
	cfg.bridge = "lo";
	refused(&cfg, -EOPNOTSUPP, "not a bridge");
	assert_false(exists("t1"));
	cfg.nr_pairs = 0;
	refused(&cfg, -EINVAL, "0 queue pairs");
	cfg.nr_pairs = NETDEV_MAX_PAIRS + 1;
	refused(&cfg, -EINVAL, "queue pairs");
	cfg.nr_pairs = 1;
	cfg.mtu = 67;
	refused(&cfg, -EINVAL, "MTU 67");
}

static void test_single_queue_refuses_pairs(void **state)
{
	const struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 2, .tap = "t0" };

	NEEDS_NAMESPACE(state);
	(void)close(make_tun("t0", IFF_TAP, true));
	refused(&cfg, -EINVAL, "single queue");
	remove_tun("t0");
}

/* In a child, because privileges do not come back. */
static void test_without_privilege(void **state)
{
	const struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 1, .tap = "t7" };
	pid_t child;
	int status;

	NEEDS_NAMESPACE(state);
	child = fork();
	if (child == 0) {
		struct err e = { 0 };
		struct netdev *nd;
		int rc = -1;

		if (setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
		    setresuid(NOBODY, NOBODY, NOBODY) == 0)
			rc = netdev_open(&nd, &cfg, &e);
		if (rc == -EACCES) /* nor may others open the device here */
			_exit(strstr(e.text, "/dev/net/tun") ? 0 : 1);
		_exit(rc == -EPERM && strstr(e.text, "ip tuntap add dev t7") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static int if_mtu(const char *name)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct ifreq ifr = { 0 };

	(void)strncpy(ifr.ifr_name, name, IF_NAMESIZE - 1);
	assert_int_equal(ioctl(fd, SIOCGIFMTU, &ifr), 0);
	return ifr.ifr_mtu;
}

/* Is it a port of br0? /sys shows another namespace, so the bridge is asked. */
static bool is_port(const char *name)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	int ports[8] = { 0 };
	unsigned long args[] = { BRCTL_GET_PORT_LIST, (unsigned long)ports, ARRAY_SIZE(ports) };
	struct ifreq ifr = { .ifr_data = (void *)args };
	bool found = false;

	(void)strncpy(ifr.ifr_name, "br0", IF_NAMESIZE - 1);
	assert_true(ioctl(fd, SIOCDEVPRIVATE, &ifr) >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		found |= ports[i] == (int)if_nametoindex(name);
	return found;
}

static void add_port(int control, const char *bridge, const char *name)
{
	struct ifreq ifr = { .ifr_ifindex = (int)if_nametoindex(name) };

	(void)strncpy(ifr.ifr_name, bridge, IF_NAMESIZE - 1);
	assert_int_equal(ioctl(control, SIOCBRADDIF, &ifr), 0);
}

static void bring_up(int control, const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_UP };

	(void)strncpy(ifr.ifr_name, name, IF_NAMESIZE - 1);
	assert_int_equal(ioctl(control, SIOCSIFFLAGS, &ifr), 0);
}

static void test_bridge(void **state)
{
	struct netdev_config cfg = {
		.kind = NETDEV_TAP, .nr_pairs = 1, .tap = "t0", .bridge = "br0"
	};
	_cleanup_close_ int control = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct netdev *nd;

	NEEDS_NAMESPACE(state);
	assert_int_equal(ioctl(control, SIOCBRADDBR, "br0"), 0);
	assert_int_equal(ioctl(control, SIOCBRADDBR, "br1"), 0);
	(void)close(make_tun("t0", IFF_TAP, true));
	cfg.mtu = 1400;
	nd = open_tap(&cfg);
	assert_true(is_port("t0"));
	assert_true(if_flags("t0") & IFF_UP);
	netdev_close(nd);
	assert_false(is_port("t0"));
	assert_false(if_flags("t0") & IFF_UP);
	assert_int_equal(if_mtu("t0"), 1500);

	/* What somebody else has done stays: a port already, up already. */
	add_port(control, "br0", "t0");
	bring_up(control, "t0");
	cfg.mtu = 0;
	netdev_close(open_tap(&cfg));
	assert_true(is_port("t0"));
	assert_true(if_flags("t0") & IFF_UP);
	cfg.bridge = "br1";
	refused(&cfg, -EBUSY, "another bridge");
	assert_true(is_port("t0"));
	remove_tun("t0");
	assert_int_equal(ioctl(control, SIOCBRDELBR, "br0"), 0);
	assert_int_equal(ioctl(control, SIOCBRDELBR, "br1"), 0);
}

/* --- frames ----------------------------------------------------------------------- */

#define FRAME_BYTES 60

/* A socket that sees what passes the interface on the host's side. */
static int open_packet(const char *name)
{
	struct sockaddr_ll sll = { .sll_family = AF_PACKET,
				   .sll_protocol = htons(0x88b5), /* for experiments */
				   .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW, sll.sll_protocol);

	assert_int_equal(bind(fd, (struct sockaddr *)&sll, sizeof(sll)), 0);
	return fd;
}

static void make_frame(uint8_t frame[FRAME_BYTES])
{
	for (unsigned i = 0; i < FRAME_BYTES; i++)
		frame[i] = (uint8_t)(i * 2);
	frame[12] = 0x88;
	frame[13] = 0xb5;
}

static void test_send(void **state)
{
	const struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 1, .tap = "t0" };
	uint8_t frame[FRAME_BYTES], seen[FRAME_BYTES + 1];
	struct virtio_net_hdr_v1 hdr = { 0 };
	struct iovec iov[] = { { &hdr, sizeof(hdr) },
			       { frame, 5 },
			       { frame + 5, FRAME_BYTES - 5 } };
	struct netdev *nd;
	int fd;

	NEEDS_NAMESPACE(state);
	nd = open_tap(&cfg);
	fd = open_packet("t0");
	make_frame(frame);
	assert_int_equal(nd->ops->send(nd, 0, iov, 3), sizeof(hdr) + FRAME_BYTES);
	assert_int_equal(recv(fd, seen, sizeof(seen), 0), FRAME_BYTES);
	assert_memory_equal(seen, frame, FRAME_BYTES);
	/* A header that lies is the kernel's to refuse. */
	hdr = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					  .csum_start = 4000,
					  .csum_offset = 2 };
	assert_int_equal(nd->ops->send(nd, 0, iov, 3), -EINVAL);
	(void)close(fd);
	netdev_close(nd);
}

struct receiver {
	struct netdev *nd;
	bool readable;
};

static void on_readable(void *opaque)
{
	struct receiver *r = opaque;

	r->readable = true;
	r->nd->ops->watch(r->nd, 0, 0);
}

static bool is_readable(void *opaque)
{
	return ((struct receiver *)opaque)->readable;
}

/* Receive frames until our own comes: the kernel says things of its own on new interfaces. */
static ssize_t receive_own(struct receiver *r, struct loop *loop, const struct iovec *iov,
			   unsigned nr_iov, const uint8_t *type)
{
	ssize_t n;

	do {
		r->readable = false;
		r->nd->ops->watch(r->nd, 0, NETDEV_READABLE);
		loop_drain(loop, is_readable, r);
		n = r->nd->ops->receive(r->nd, 0, iov, nr_iov);
	} while (n >= 0 && memcmp(type, "\x88\xb5", 2) != 0);
	return n;
}

static void test_receive(void **state)
{
	const struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 1, .tap = "t0" };
	uint8_t frame[FRAME_BYTES], buf[NETDEV_HDR_BYTES + FRAME_BYTES];
	struct iovec iov[] = { { buf, 7 }, { buf + 7, sizeof(buf) - 7 } };
	struct receiver r = { 0 };
	const struct netdev_client client = { .readable = on_readable, .opaque = &r };
	struct loop *loop;
	int fd;

	NEEDS_NAMESPACE(state);
	assert_int_equal(loop_new(&loop, LOOP_NO_URING), 0);
	r.nd = open_tap(&cfg);
	assert_int_equal(r.nd->ops->attach(r.nd, 0, loop, &client), 0);
	fd = open_packet("t0");
	make_frame(frame);
	assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
	assert_int_equal(receive_own(&r, loop, iov, 2, buf + NETDEV_HDR_BYTES + 12), sizeof(buf));
	assert_memory_equal(buf + NETDEV_HDR_BYTES, frame, FRAME_BYTES);
	/* Cut off, it still says how long it was. */
	assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
	iov[1].iov_len = NETDEV_HDR_BYTES + 14 - 7;
	assert_in_range(receive_own(&r, loop, iov, 2, buf + NETDEV_HDR_BYTES + 12),
			iov[0].iov_len + iov[1].iov_len, sizeof(buf));
	r.nd->ops->detach(r.nd, 0);
	(void)close(fd);
	netdev_close(r.nd);
	loop_free(loop);
}

/* Frames of ours that wait in a pair. */
static unsigned count_frames(struct netdev *nd, unsigned pair)
{
	uint8_t buf[2048];
	const struct iovec iov = { buf, sizeof(buf) };
	unsigned nr = 0;

	while (nd->ops->receive(nd, pair, &iov, 1) >= 0)
		nr += memcmp(buf + NETDEV_HDR_BYTES + 12, "\x88\xb5", 2) == 0;
	return nr;
}

static void send_many(int fd, unsigned count)
{
	uint8_t frame[FRAME_BYTES];

	make_frame(frame);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
}

/* A pair that is not in use gets no frames, and keeps none. */
static void test_pairs(void **state)
{
	const struct netdev_config cfg = { .kind = NETDEV_TAP, .nr_pairs = 2, .tap = "t0" };
	struct netdev *nd;
	int fd;

	NEEDS_NAMESPACE(state);
	nd = open_tap(&cfg);
	fd = open_packet("t0");
	assert_int_equal(nd->ops->set_pairs(nd, 1), 0);
	assert_int_equal(nd->ops->set_pairs(nd, 1), 0);
	send_many(fd, 64);
	assert_int_equal(count_frames(nd, 0), 64);
	assert_int_equal(count_frames(nd, 1), 0);
	assert_int_equal(nd->ops->set_pairs(nd, 2), 0);
	send_many(fd, 64);
	assert_int_equal(count_frames(nd, 0) + count_frames(nd, 1), 64);
	(void)close(fd);
	netdev_close(nd);
}

/* Queues that somebody else has opened are used, and are still his. */
static void test_given_queues(void **state)
{
	const int flags = IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	int fds[] = { -1, -1 };
	const struct netdev_config cfg = {
		.kind = NETDEV_TAP, .nr_pairs = 2, .fds = fds, .host_mtu = 1400
	};
	struct netdev *nd;

	NEEDS_NAMESPACE(state);
	fds[0] = make_tun("t0", flags, false);
	fds[1] = make_tun("t0", flags, false);
	nd = open_tap(&cfg);
	assert_string_equal(nd->host_if, "t0");
	assert_int_equal(nd->mtu, 1400);
	assert_true(nd->offloads & NETDEV_CSUM);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	netdev_close(nd);
	assert_true(exists("t0"));
	(void)close(fds[0]);
	(void)close(fds[1]);
	assert_false(exists("t0"));
}

/* Any descriptor can come. */
static void test_given_queues_that_do_not_fit(void **state)
{
	int pair[2], fds[] = { -1, -1 };
	struct netdev_config cfg = {
		.kind = NETDEV_TAP, .nr_pairs = 1, .fds = fds, .host_mtu = 1500
	};
	static const struct {
		int flags;
		const char *text;
	} bad[] = { { IFF_TAP, "IFF_VNET_HDR" }, { IFF_TUN | IFF_VNET_HDR, "IFF_VNET_HDR" } };

	NEEDS_NAMESPACE(state);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fds[0] = make_tun("t0", bad[i].flags, false);
		refused(&cfg, -EINVAL, bad[i].text);
		(void)close(fds[0]);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fds[0] = pair[0];
	refused(&cfg, -EINVAL, "not the queue of a tap");
	(void)close(pair[0]);
	(void)close(pair[1]);
	/* cppcheck-suppress redundantAssignment; cfg has looked at the one before */
	fds[0] = open("/dev/net/tun", O_RDWR); /* of no interface yet */
	refused(&cfg, -EINVAL, "not the queue of a tap");
	(void)close(fds[0]);
	fds[0] = open("/dev/null", O_RDWR);
	refused(&cfg, -EINVAL, "not the queue of a tap");
	(void)close(fds[0]);

	fds[0] = make_tun("t0", IFF_TAP | IFF_VNET_HDR, false);
	cfg.host_mtu = 0;
	refused(&cfg, -EINVAL, "MTU 0");
	cfg.host_mtu = NETDEV_MAX_MTU + 1;
	refused(&cfg, -EINVAL, "MTU 65522");
	cfg.host_mtu = 1500;
	cfg.nr_pairs = 2;
	refused(&cfg, -EINVAL, "IFF_MULTI_QUEUE");
	(void)close(fds[0]);
	fds[0] = make_tun("t0", IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE, false);
	fds[1] = make_tun("t1", IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE, false);
	refused(&cfg, -EINVAL, "two interfaces, t0 and t1");
	(void)close(fds[0]);
	(void)close(fds[1]);
	assert_false(exists("t0") || exists("t1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_created_and_gone),
		cmocka_unit_test(test_name_chosen),
		cmocka_unit_test(test_existing_stays),
		cmocka_unit_test(test_existing_multi_queue),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_single_queue_refuses_pairs),
		cmocka_unit_test(test_without_privilege),
		cmocka_unit_test(test_bridge),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_given_queues),
		cmocka_unit_test(test_given_queues_that_do_not_fit),
	};

	return cmocka_run_group_tests_name("net_tap", tests, enter_namespace, NULL);
}
