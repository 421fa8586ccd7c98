// SPDX-License-Identifier: MIT
// User networking, with a guest made of hand-written frames.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/netdev.h"
#include "net/user_fwd.h"
#include "net/user_limit.h"
#include "util/clock.h"
#include "util/io.h"

#define FRAME_BYTES 2048
#define DEADLINE_NS (5 * NSEC_PER_SEC)

struct fixture {
	struct loop *loop;
	struct netdev *nd;
	bool readable;
	struct loop_timer deadline;
	uint8_t frame[FRAME_BYTES];     /* the last received, header first */
	size_t bytes;                   /* of it without the header */
	unsigned max_sockets;           /* for open_user() */
	struct netdev_sockets *sockets; /* the same */
};

static const uint8_t guest_mac[6] = { 0x02, 0, 0, 0, 0, 1 };
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static void on_readable(void *opaque)
{
	struct fixture *f = opaque;

	f->readable = true;
	f->nd->ops->watch(f->nd, 0, 0);
}

static void on_writable(void *opaque)
{
	(void)opaque;
}

static void too_late(void *opaque)
{
	(void)opaque;
	fail_msg("nothing came");
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	/* On epoll, a loop can be driven by loop_drain() alone. */
	assert_int_equal(loop_new(&f->loop, LOOP_NO_URING), 0);
	f->deadline = (struct loop_timer){ .fn = too_late };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->nd)
		f->nd->ops->detach(f->nd, 0);
	netdev_close(f->nd);
	loop_free(f->loop);
	test_free(f);
	return 0;
}

/* Open with up to one port forward, on the test's own loop. */
static void open_user(struct fixture *f, const char *hostfwd)
{
	const struct netdev_config cfg = {
		.kind = NETDEV_USER,
		.nr_pairs = 1,
		.hostfwds = &hostfwd,
		.nr_hostfwds = hostfwd ? 1 : 0,
		.max_sockets = f->max_sockets,
		.sockets = f->sockets,
	};
	const struct netdev_client client = { on_readable, on_writable, f };
	struct err e = { 0 };

	if (netdev_open(&f->nd, &cfg, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(f->nd->ops->attach(f->nd, 0, f->loop, &client), 0);
}

static bool is_readable(void *opaque)
{
	const struct fixture *f = opaque;

	return f->readable;
}

/* The next frame, as soon as there is one. */
static void receive(struct fixture *f)
{
	const struct iovec iov = { f->frame, sizeof(f->frame) };
	ssize_t n;

	while ((n = f->nd->ops->receive(f->nd, 0, &iov, 1)) == -EAGAIN) {
		f->readable = false;
		f->nd->ops->watch(f->nd, 0, NETDEV_READABLE);
		loop_arm(f->loop, &f->deadline, clock_now_ns() + DEADLINE_NS);
		loop_drain(f->loop, is_readable, f);
		loop_disarm(f->loop, &f->deadline);
	}
	assert_true(n > (ssize_t)NETDEV_HDR_BYTES);
	for (unsigned i = 0; i < NETDEV_HDR_BYTES; i++)
		assert_int_equal(f->frame[i], 0);
	f->bytes = (size_t)n - NETDEV_HDR_BYTES;
}

/* Send a frame, cut into two buffers in the middle of its Ethernet header. */
static void send_frame(struct fixture *f, const uint8_t *frame, size_t bytes)
{
	uint8_t head[NETDEV_HDR_BYTES + 7];
	uint8_t tail[FRAME_BYTES];
	struct iovec iov[] = { { head, sizeof(head) }, { tail, bytes - 7 } };

	memset(head, 0xee, NETDEV_HDR_BYTES); /* not looked at */
	memcpy(head + NETDEV_HDR_BYTES, frame, 7);
	memcpy(tail, frame + 7, bytes - 7);
	assert_int_equal(f->nd->ops->send(f->nd, 0, iov, 2), bytes + NETDEV_HDR_BYTES);
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

static void put_ip_checksum(uint8_t *ip)
{
	uint32_t sum = 0;

	put16(ip + 10, 0);
	for (int i = 0; i < 20; i += 2)
		sum += get16(ip + i);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
}

/* A UDP datagram with @bytes of payload already at frame + 42. */
static size_t finish_udp(uint8_t *frame, const uint8_t *dst_mac, uint32_t from, uint32_t to,
			 unsigned ports[2], size_t bytes)
{
	uint8_t *ip = frame + 14, *udp = ip + 20;

	memcpy(frame, dst_mac, 6);
	memcpy(frame + 6, guest_mac, 6);
	put16(frame + 12, 0x0800);
	memset(ip, 0, 28);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(28 + bytes));
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	put32(ip + 12, from);
	put32(ip + 16, to);
	put_ip_checksum(ip);
	put16(udp, ports[0]);
	put16(udp + 2, ports[1]);
	put16(udp + 4, (unsigned)(8 + bytes));
	return 42 + bytes;
}

/* Send a DHCP message (RFC 2131) of type @type, asking for @address unless 0. */
static void send_dhcp(struct fixture *f, uint8_t type, uint32_t address)
{
	uint8_t frame[512] = { 0 };
	uint8_t *dhcp = frame + 42, *option = dhcp + 240;

	dhcp[0] = 1; /* request */
	dhcp[1] = 1;
	dhcp[2] = 6;
	put32(dhcp + 4, 0x12345678);
	memcpy(dhcp + 28, guest_mac, 6);
	put32(dhcp + 236, 0x63825363);
	*option++ = 53;
	*option++ = 1;
	*option++ = type;
	if (address) {
		*option++ = 50;
		*option++ = 4;
		put32(option, address);
		option += 4;
	}
	*option++ = 255;
	send_frame(f, frame,
		   finish_udp(frame, broadcast, 0, 0xffffffff, (unsigned[]){ 68, 67 },
			      (size_t)(option - dhcp)));
}

/* The value of DHCP option @code in the frame received. */
static const uint8_t *dhcp_option(const struct fixture *f, uint8_t code)
{
	const uint8_t *at = f->frame + NETDEV_HDR_BYTES + 42 + 240;
	const uint8_t *end = f->frame + NETDEV_HDR_BYTES + f->bytes;

	while (at < end && *at != 255) {
		if (*at == code)
			return at + 2;
		at += *at ? 2 + at[1] : 1;
	}
	return NULL;
}

/* Receive until @wanted says that this is it. */
static void receive_until(struct fixture *f, bool (*wanted)(const uint8_t *frame))
{
	do
		receive(f);
	while (!wanted(f->frame + NETDEV_HDR_BYTES));
}

static bool is_dhcp(const uint8_t *frame)
{
	return get16(frame + 12) == 0x0800 && frame[23] == IPPROTO_UDP && get16(frame + 36) == 68;
}

static void get_lease(struct fixture *f)
{
	const uint8_t *dhcp = f->frame + NETDEV_HDR_BYTES + 42;

	send_dhcp(f, 1, 0);
	receive_until(f, is_dhcp);
	assert_int_equal(*dhcp_option(f, 53), 2); /* offer */
	assert_int_equal(get32(dhcp + 16), 0x0a00020f);
	send_dhcp(f, 3, 0x0a00020f);
	receive_until(f, is_dhcp);
	assert_int_equal(*dhcp_option(f, 53), 5); /* acknowledged */
}

static void test_dhcp(void **state)
{
	struct fixture *f = *state;

	open_user(f, NULL);
	get_lease(f);
	assert_int_equal(get32(f->frame + NETDEV_HDR_BYTES + 42 + 16), 0x0a00020f);
	assert_int_equal(get32(dhcp_option(f, 1)), 0xffffff00);
	assert_int_equal(get32(dhcp_option(f, 3)), 0x0a000202);
	assert_int_equal(get32(dhcp_option(f, 6)), 0x0a000203);
}

static bool is_arp_reply(const uint8_t *frame)
{
	return get16(frame + 12) == 0x0806 && get16(frame + 20) == 2;
}

static void send_arp(struct fixture *f)
{
	uint8_t frame[42] = { 0 };

	memcpy(frame, broadcast, 6);
	memcpy(frame + 6, guest_mac, 6);
	put16(frame + 12, 0x0806);
	put32(frame + 14, 0x00010800);
	put32(frame + 18, 0x06040001);
	memcpy(frame + 22, guest_mac, 6);
	put32(frame + 28, 0x0a00020f);
	put32(frame + 38, 0x0a000202);
	send_frame(f, frame, sizeof(frame));
}

static void test_arp(void **state)
{
	struct fixture *f = *state;

	open_user(f, NULL);
	send_arp(f);
	receive_until(f, is_arp_reply);
	assert_memory_equal(f->frame + NETDEV_HDR_BYTES, guest_mac, 6);
	assert_int_equal(get32(f->frame + NETDEV_HDR_BYTES + 28), 0x0a000202);
}

/* Hostile frames: all lengths of a header, and random-looking ones. */
static void test_short_frames(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[64];

	open_user(f, NULL);
	for (unsigned type = 0; type < 3; type++) {
		memset(frame, 0xff, sizeof(frame));
		put16(frame + 12, (unsigned[]){ 0x0800, 0x0806, 0x86dd }[type]);
		for (size_t bytes = 14; bytes <= sizeof(frame); bytes++)
			send_frame(f, frame, bytes);
	}
	get_lease(f); /* it lives */
}

/* --- port forwards -------------------------------------------------------------- */

/* A socket of the host that the guest can reach. */
static int bind_any(int type, unsigned *ret_port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*ret_port = ntohs(sin.sin_port);
	return fd;
}

/* A port that is free at the moment, by asking the kernel for one. */
static unsigned free_port(int type)
{
	unsigned port;

	(void)close(bind_any(type, &port));
	return port;
}

/* Do not wait for whoever listens where @type says so. */
static int connect_to(unsigned port, int type)
{
	const struct sockaddr_in sin = { .sin_family = AF_INET,
					 .sin_port = htons((uint16_t)port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type, 0);

	if (connect(fd, (const struct sockaddr *)&sin, sizeof(sin)) < 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static bool is_tcp(const uint8_t *frame)
{
	return get16(frame + 12) == 0x0800 && frame[23] == IPPROTO_TCP;
}

static void test_hostfwd_tcp(void **state)
{
	struct fixture *f = *state;
	unsigned port = free_port(SOCK_STREAM);
	const uint8_t *ip = f->frame + NETDEV_HDR_BYTES + 14;
	char text[64];
	int fd;

	(void)snprintf(text, sizeof(text), "tcp:127.0.0.1:%u-:22", port);
	open_user(f, text);
	get_lease(f);
	fd = connect_to(port, SOCK_STREAM);
	receive_until(f, is_tcp);
	assert_int_equal(get32(ip + 16), 0x0a00020f);
	assert_int_equal(get16(ip + 22), 22);
	assert_int_equal(ip[33] & 0x12, 0x02); /* SYN, no ACK */
	(void)close(fd);
}

static bool is_datagram(const uint8_t *frame)
{
	return get16(frame + 12) == 0x0800 && frame[23] == IPPROTO_UDP && get16(frame + 36) == 7;
}

static void open_datagrams(struct fixture *f, int *ret_fd)
{
	unsigned port = free_port(SOCK_DGRAM);
	char text[64];

	(void)snprintf(text, sizeof(text), "udp::%u-10.0.2.15:7", port);
	open_user(f, text);
	get_lease(f);
	*ret_fd = connect_to(port, SOCK_DGRAM);
}

static void test_hostfwd_udp(void **state)
{
	struct fixture *f = *state;
	int fd;

	open_datagrams(f, &fd);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(send(fd, &i, sizeof(i), 0), sizeof(i));
	for (uint32_t i = 0; i < 100; i++) {
		receive_until(f, is_datagram);
		assert_memory_equal(f->frame + NETDEV_HDR_BYTES + 42, &i, sizeof(i));
	}
	(void)close(fd);
}

/*
 * A guest that asks and never listens: the answers kept are bounded, sockets
 * are left alone meanwhile, and all goes on when it listens.
 */
static void test_bounded_queue(void **state)
{
	struct fixture *f = *state;
	unsigned nr_replies = 0;
	int fd;

	open_datagrams(f, &fd);
	for (unsigned i = 0; i < 3000; i++)
		send_arp(f);
	f->readable = false;
	f->nd->ops->watch(f->nd, 0, NETDEV_READABLE);
	loop_drain(f->loop, is_readable, f);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	for (receive(f); !is_datagram(f->frame + NETDEV_HDR_BYTES); receive(f))
		nr_replies += is_arp_reply(f->frame + NETDEV_HDR_BYTES);
	assert_in_range(nr_replies, 512, 1024);
	(void)close(fd);
}

/*
 * While the queue is full, sockets that were ready before it was are not read
 * again: libslirp would block in them for ever.
 */
static void test_full_queue_forgets_readiness(void **state)
{
	struct fixture *f = *state;
	int fd;

	(void)alarm(10); /* a hang is the failure */
	open_datagrams(f, &fd);
	for (unsigned i = 0; i < 250; i++)
		send_arp(f);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(send(fd, &i, sizeof(i), 0), sizeof(i));
	for (unsigned i = 0; i < 100; i++) {
		f->readable = false;
		f->nd->ops->watch(f->nd, 0, NETDEV_READABLE);
		loop_drain(f->loop, is_readable, f);
	}
	for (unsigned i = 0; i < 50; i++) {
		receive_until(f, is_datagram);
		assert_memory_equal(f->frame + NETDEV_HDR_BYTES + 42, &i, sizeof(i));
	}
	(void)alarm(0);
	(void)close(fd);
}

/* --- how many sockets ------------------------------------------------------------ */

#define MAX_SOCKETS 8U

static unsigned nr_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	while (readdir(dir))
		nr++;
	(void)closedir(dir);
	return nr;
}

struct turns {
	struct loop *loop;
	struct loop_work work; /* so that nothing is waited for */
	unsigned nr;
};

static void do_nothing(void *opaque)
{
	(void)opaque;
}

static bool second_turn(void *opaque)
{
	struct turns *t = opaque;

	loop_post(t->loop, &t->work);
	return ++t->nr > 2;
}

/* A turn of the loop, in which libslirp is asked what it has open. */
static void settle(struct fixture *f)
{
	struct turns t = { .loop = f->loop, .work.fn = do_nothing };

	send_arp(f);
	loop_drain(f->loop, second_turn, &t);
	loop_unpost(f->loop, &t.work);
	receive_until(f, is_arp_reply);
}

static void send_datagram(struct fixture *f, unsigned from_port, unsigned to_port)
{
	uint8_t frame[64] = { 0 };

	send_frame(f, frame,
		   finish_udp(frame, broadcast, 0x0a00020f, 0x0a000202,
			      (unsigned[]){ from_port, to_port }, 4));
}

/* From one address and port each: many flows, at once and turn by turn. */
static void test_datagram_sockets_are_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned before, port;
	int fd = bind_any(SOCK_DGRAM, &port);

	f->max_sockets = MAX_SOCKETS;
	open_user(f, NULL);
	settle(f);
	before = nr_fds();
	for (unsigned i = 0; i < 3 * MAX_SOCKETS; i++)
		send_datagram(f, 1000 + i, port);
	assert_in_range(nr_fds() - before, 1, MAX_SOCKETS);
	for (unsigned i = 0; i < 3 * MAX_SOCKETS; i++) {
		settle(f);
		send_datagram(f, 2000 + i, port);
	}
	assert_int_equal(nr_fds() - before, MAX_SOCKETS);
	(void)close(fd);
}

/* Of two networks, the one gets what the other has left. */
static void test_networks_share_sockets(void **state)
{
	struct netdev_sockets sockets = { .max = MAX_SOCKETS, .nr = MAX_SOCKETS - 3 };
	struct fixture *f = *state;
	unsigned before, port;
	int fd = bind_any(SOCK_DGRAM, &port);

	f->max_sockets = MAX_SOCKETS;
	f->sockets = &sockets;
	open_user(f, NULL);
	settle(f);
	before = nr_fds();
	for (unsigned i = 0; i < MAX_SOCKETS; i++) {
		send_datagram(f, 1000 + i, port);
		send_datagram(f, 2000 + i, port);
		settle(f);
	}
	assert_int_equal(nr_fds() - before, 3);
	assert_int_equal(sockets.nr, MAX_SOCKETS);
	sockets.nr -= 2; /* the other closes some */
	for (unsigned i = 0; i < MAX_SOCKETS; i++) {
		send_datagram(f, 3000 + i, port);
		settle(f);
	}
	assert_int_equal(nr_fds() - before, 5);
	f->nd->ops->detach(f->nd, 0);
	netdev_close(take_ptr(f->nd));
	assert_int_equal(sockets.nr, MAX_SOCKETS - 5);
	(void)close(fd);
}

static void put_tcp_checksum(uint8_t *ip)
{
	uint32_t sum = IPPROTO_TCP + 20;

	for (int i = 12; i < 40; i += 2)
		sum += get16(ip + i);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 36, ~(sum + (sum >> 16)) & 0xffff);
}

static void send_tcp(struct fixture *f, unsigned from_port, unsigned to_port, uint8_t flags)
{
	uint8_t frame[64] = { 0 };
	uint8_t *ip = frame + 14, *tcp = ip + 20;

	(void)finish_udp(frame, broadcast, 0x0a00020f, 0x0a000202,
			 (unsigned[]){ from_port, to_port }, 12);
	ip[9] = IPPROTO_TCP;
	put_ip_checksum(ip);
	put32(tcp + 4, 1);
	tcp[12] = 0x50;
	tcp[13] = flags;
	put16(tcp + 14, 8192);
	put_tcp_checksum(ip);
	send_frame(f, frame, 54);
}

/* A slot is free again when the guest resets a connection. */
static void test_connections_are_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned before, port;
	int fd = bind_any(SOCK_STREAM, &port);

	assert_int_equal(listen(fd, 3 * MAX_SOCKETS), 0);
	f->max_sockets = MAX_SOCKETS;
	open_user(f, NULL);
	settle(f);
	before = nr_fds();
	for (unsigned i = 0; i < 3 * MAX_SOCKETS; i++) {
		send_tcp(f, 1000 + i, port, 0x02);
		settle(f);
	}
	assert_int_equal(nr_fds() - before, MAX_SOCKETS);

	/* Connected: a SYN and ACK has come, which RST answers. */
	send_tcp(f, 1000, port, 0x04);
	settle(f);
	assert_int_equal(nr_fds() - before, MAX_SOCKETS - 1);
	send_tcp(f, 3000, port, 0x02);
	send_tcp(f, 3001, port, 0x02);
	assert_int_equal(nr_fds() - before, MAX_SOCKETS);
	(void)close(fd);
}

static void test_forwarded_connections_are_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned port = free_port(SOCK_STREAM), before;
	int fds[2 * MAX_SOCKETS];
	char text[64];

	(void)snprintf(text, sizeof(text), "tcp::%u-:22", port);
	f->max_sockets = MAX_SOCKETS;
	open_user(f, text);
	get_lease(f);
	before = nr_fds();
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_to(port, SOCK_STREAM | SOCK_NONBLOCK);
		settle(f);
	}
	/* The listening socket is one of them. */
	assert_int_equal(nr_fds() - before - ARRAY_SIZE(fds), MAX_SOCKETS - 1);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
}

/* Only what opens no socket for certain is said to open none. */
static void test_which_frames_open_sockets(void **state)
{
	static const struct {
		unsigned ethertype;
		uint8_t ip[16], flags; /* the last byte: of TCP, or the type of ICMP */
		bool opens;
	} cases[] = {
		{ 0x0806, { 0 }, 0, false },
		{ 0x0800, { 0x45, [9] = IPPROTO_TCP }, 0x02, true },
		{ 0x0800, { 0x45, [9] = IPPROTO_TCP }, 0x12, false },
		{ 0x0800, { 0x45, [9] = IPPROTO_TCP }, 0x10, false },
		{ 0x0800, { 0x45, [6] = 0x40, [9] = IPPROTO_TCP }, 0x10, false }, /* DF */
		{ 0x0800, { 0x45, [6] = 0x20, [9] = IPPROTO_TCP }, 0x10, true },  /* MF */
		{ 0x0800, { 0x45, [7] = 1, [9] = IPPROTO_TCP }, 0x10, true },     /* offset */
		{ 0x0800, { 0x4f, [9] = IPPROTO_TCP }, 0x10, true },              /* too short */
		{ 0x0800, { 0x44, [9] = IPPROTO_TCP }, 0x10, true },              /* nonsense */
		{ 0x0800, { 0x45, [9] = IPPROTO_UDP }, 0, true },
		{ 0x0800, { 0x45, [9] = 99 }, 0, true },
		{ 0x86dd, { 0x60, [6] = IPPROTO_TCP }, 0x02, true },
		{ 0x86dd, { 0x60, [6] = IPPROTO_TCP }, 0x10, false },
		{ 0x86dd, { 0x60, [6] = IPPROTO_UDP }, 0, true },
		{ 0x86dd, { 0x60, [6] = 0 }, 0, true }, /* an extension header */
	};
	uint8_t frame[74];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t header = cases[i].ethertype == 0x86dd ? 40 : 20;

		memset(frame, 0, sizeof(frame));
		put16(frame + 12, cases[i].ethertype);
		memcpy(frame + 14, cases[i].ip, sizeof(cases[i].ip));
		frame[14 + header + 13] = cases[i].flags;
		assert_int_equal(user_may_open_socket(frame, 14 + header + 14), cases[i].opens);
	}
	memset(frame, 0, sizeof(frame));
	put16(frame + 12, 0x0800);
	frame[14] = 0x45;
	frame[23] = IPPROTO_ICMP;
	frame[34] = 8;
	assert_true(user_may_open_socket(frame, 42)); /* echo request */
	frame[34] = 3;
	assert_false(user_may_open_socket(frame, 42));
	assert_false(user_may_open_socket(frame, 13));
	assert_false(user_may_open_socket(frame, 33));
}

static void test_hostfwd_taken(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct netdev_config cfg = { .kind = NETDEV_USER, .nr_pairs = 1, .nr_hostfwds = 1 };
	char text[64];
	const char *fwd = text;
	struct err e = { 0 };
	struct netdev *nd;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	(void)snprintf(text, sizeof(text), "tcp::%u-:22", ntohs(sin.sin_port));
	cfg.hostfwds = &fwd;
	assert_int_equal(netdev_open(&nd, &cfg, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, text));
}

static void test_hostfwd_syntax(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{ "tcp:127.0.0.1:2222-:22", 0 },
		{ "udp::53-10.0.2.15:53", 0 },
		{ "tcp:[::1]:2222-[fec0::15]:22", 0 },
		{ "", -EINVAL },
		{ "tcp", -EINVAL },
		{ "tcp:", -EINVAL },
		{ "tcp:2222-:22", -EINVAL },
		{ "tcp::2222", -EINVAL },
		{ "tcp::2222-22", -EINVAL },
		{ "tcp::0-:22", -EINVAL },
		{ "tcp::65536-:22", -EINVAL },
		{ "tcp::2222-:", -EINVAL },
		{ "tcp::-:22", -EINVAL },
		{ "tcp:: 22-:22", -EINVAL },
		{ "tcp:localhost:2222-:22", -EINVAL },
		{ "tcp:1.2.3.4.5:2222-:22", -EINVAL },
		{ "tcp:[::1]:2222-:22", -EINVAL }, /* two families */
		{ "tcp:[::1:2222-[fec0::15]:22", -EINVAL },
		{ "sctp::2222-:22", -EINVAL },
		{ "tcp:0000000000000000000000000000000000000000000000000000000:1-:1", -EINVAL },
	};
	struct user_fwd fwd;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(user_fwd_parse(cases[i].text, &fwd, &e), cases[i].rc);
	assert_int_equal(user_fwd_parse("udp::5353-10.0.2.16:53", &fwd, &e), 0);
	assert_true(fwd.udp);
	assert_int_equal(ntohl(fwd.host.in.sin_addr.s_addr), INADDR_LOOPBACK);
	assert_int_equal(ntohs(fwd.host.in.sin_port), 5353);
	assert_int_equal(ntohl(fwd.guest.in.sin_addr.s_addr), 0x0a000210);
	assert_int_equal(ntohs(fwd.guest.in.sin_port), 53);
}

static void test_one_pair_only(void **state)
{
	const struct netdev_config cfg = { .kind = NETDEV_USER, .nr_pairs = 2 };
	struct err e = { 0 };
	struct netdev *nd;

	(void)state;
	assert_int_equal(netdev_open(&nd, &cfg, &e), -EINVAL);
	assert_non_null(strstr(e.text, "use a tap"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dhcp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostfwd_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostfwd_udp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_queue_forgets_readiness, setup, teardown),
		cmocka_unit_test_setup_teardown(test_datagram_sockets_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_networks_share_sockets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connections_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forwarded_connections_are_bounded, setup,
						teardown),
		cmocka_unit_test(test_which_frames_open_sockets),
		cmocka_unit_test(test_hostfwd_taken),
		cmocka_unit_test(test_hostfwd_syntax),
		cmocka_unit_test(test_one_pair_only),
	};

	return cmocka_run_group_tests_name("net_user", tests, NULL, NULL);
}
