// SPDX-License-Identifier: MIT
// Saved state of user networking: leases move, damage does no harm.
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "migration/vstate.h"
#include "net/netdev.h"
#include "util/clock.h"

#define FIRST_LEASE 0x0a00020fU
#define DEADLINE_NS (5 * NSEC_PER_SEC)
#define DISCOVER    1
#define REQUEST     3

/* RFC 2131: what comes before the options, in as much detail as it takes. */
struct dhcp {
	uint8_t op, htype, hlen, hops;
	uint32_t xid, flags, ciaddr, yiaddr, siaddr, giaddr;
	uint8_t mac[16], names[192];
	uint32_t magic;
	uint8_t type_code, type_len, type, ip_code, ip_len, ip[4], end;
} __attribute__((packed));

struct frame {
	uint8_t header[NETDEV_HDR_BYTES];
	struct ether_header eth;
	struct iphdr ip;
	struct udphdr udp;
	struct dhcp dhcp;
} __attribute__((packed));

struct side {
	struct loop *loop;
	struct netdev *nd;
	bool readable;
	struct loop_timer deadline;
	union {
		struct frame frame;
		uint8_t bytes[2048];
	} got;
};

static void on_readable(void *opaque)
{
	struct side *s = opaque;

	s->readable = true;
	s->nd->ops->watch(s->nd, 0, 0);
}

static void on_writable(void *opaque)
{
	(void)opaque;
}

static void too_late(void *opaque)
{
	(void)opaque;
	fail_msg("no answer came");
}

static void open_side(struct side *s)
{
	const struct netdev_config cfg = { .kind = NETDEV_USER, .nr_pairs = 1 };
	const struct netdev_client client = { on_readable, on_writable, s };
	struct err e = { 0 };

	*s = (struct side){ .deadline.fn = too_late };
	assert_int_equal(loop_new(&s->loop, LOOP_NO_URING), 0);
	if (netdev_open(&s->nd, &cfg, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(s->nd->ops->attach(s->nd, 0, s->loop, &client), 0);
}

static void close_side(struct side *s)
{
	s->nd->ops->detach(s->nd, 0);
	netdev_close(s->nd);
	loop_free(s->loop);
}

struct fixture {
	struct side src, dst;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	open_side(&f->src);
	open_side(&f->dst);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_side(&f->src);
	close_side(&f->dst);
	test_free(f);
	return 0;
}

static uint16_t ip_checksum(const void *ip)
{
	uint16_t words[sizeof(struct iphdr) / 2];
	uint32_t sum = 0;

	memcpy(words, ip, sizeof(words));
	for (unsigned i = 0; i < sizeof(words) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static void send_dhcp(struct side *s, uint8_t guest, uint8_t type, uint32_t address)
{
	struct frame f = {
		.eth = { .ether_dhost = { 255, 255, 255, 255, 255, 255 },
			 .ether_shost = { 2, 0, 0, 0, 0, guest },
			 .ether_type = htons(ETHERTYPE_IP) },
		.ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP },
		.udp = { .source = htons(68), .dest = htons(67) },
		.dhcp = { .op = 1,
			  .htype = 1,
			  .hlen = 6,
			  .xid = 1,
			  .mac = { 2, 0, 0, 0, 0, guest },
			  .magic = htonl(0x63825363),
			  .type_code = 53,
			  .type_len = 1,
			  .type = type,
			  .ip_code = 50,
			  .ip_len = 4,
			  .end = 255 },
	};
	const struct iovec iov = { &f, sizeof(f) };

	address = htonl(address);
	memcpy(f.dhcp.ip, &address, sizeof(address));
	f.ip.daddr = INADDR_BROADCAST;
	f.ip.tot_len = htons(sizeof(f) - offsetof(struct frame, ip));
	f.ip.check = ip_checksum((const uint8_t *)&f + offsetof(struct frame, ip));
	f.udp.len = htons(sizeof(f) - offsetof(struct frame, udp));
	assert_int_equal(s->nd->ops->send(s->nd, 0, &iov, 1), sizeof(f));
}

static bool is_readable(void *opaque)
{
	const struct side *s = opaque;

	return s->readable;
}

static void receive(struct side *s)
{
	const struct iovec iov = { &s->got, sizeof(s->got) };

	while (s->nd->ops->receive(s->nd, 0, &iov, 1) < 0) {
		s->readable = false;
		s->nd->ops->watch(s->nd, 0, NETDEV_READABLE);
		loop_arm(s->loop, &s->deadline, clock_now_ns() + DEADLINE_NS);
		loop_drain(s->loop, is_readable, s);
		loop_disarm(s->loop, &s->deadline);
	}
}

/* The address that guest number @guest is given. */
static uint32_t ask(struct side *s, uint8_t guest, uint8_t type, uint32_t address)
{
	const struct frame *f = &s->got.frame;

	send_dhcp(s, guest, type, address);
	do
		receive(s);
	while (f->eth.ether_type != htons(ETHERTYPE_IP) || f->udp.dest != htons(68));
	return ntohl(f->dhcp.yiaddr);
}

/* The caller frees the writer, and so the data. */
static struct vstate_writer *save(struct side *s, const void **ret, size_t *ret_len)
{
	struct vstate_writer *w = NULL;

	assert_int_equal(vstate_writer_new(&w), 0);
	s->nd->ops->save(s->nd, w);
	assert_int_equal(vstate_writer_finish(w, ret, ret_len), 0);
	return w;
}

static int load(struct side *s, const void *data, size_t len, struct err *e)
{
	struct vstate_reader *r = NULL;
	int rc = vstate_reader_new(&r, data, len, e);

	if (rc < 0)
		return rc;
	rc = s->nd->ops->load(s->nd, r, e);
	if (rc == 0)
		rc = vstate_reader_finish(r, e);
	vstate_reader_free(r);
	return rc;
}

/* Its owner keeps the address, and another guest gets another. */
static void test_lease_moves(void **state)
{
	struct fixture *f = *state;
	struct vstate_writer *w, *again;
	const void *data, *same;
	struct err e = { 0 };
	size_t len, same_len;

	assert_int_equal(ask(&f->src, 1, DISCOVER, FIRST_LEASE), FIRST_LEASE);
	assert_int_equal(ask(&f->src, 1, REQUEST, FIRST_LEASE), FIRST_LEASE);
	w = save(&f->src, &data, &len);
	if (load(&f->dst, data, len, &e) < 0)
		fail_msg("%s", e.text);
	again = save(&f->dst, &same, &same_len);
	assert_int_equal(same_len, len);
	assert_memory_equal(same, data, len);
	assert_int_equal(ask(&f->dst, 2, DISCOVER, 0), FIRST_LEASE + 1);
	assert_int_equal(ask(&f->dst, 1, REQUEST, FIRST_LEASE), FIRST_LEASE);
	vstate_writer_free(again);
	vstate_writer_free(w);
}

/* Cut anywhere: refused. Any bit wrong: refused or harmless. */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	struct vstate_writer *w;
	uint8_t copy[8192];
	const void *data;
	size_t len;

	assert_int_equal(ask(&f->src, 1, REQUEST, FIRST_LEASE), FIRST_LEASE);
	w = save(&f->src, &data, &len);
	assert_true(len <= sizeof(copy));
	for (size_t i = 0; i < len; i++) {
		struct err e = { 0 };

		assert_true(load(&f->dst, data, i, &e) < 0);
		assert_int_not_equal(e.text[0], '\0');
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(copy, data, len);
			copy[i] ^= (uint8_t)(1U << bit);
			(void)load(&f->dst, copy, len, NULL);
		}
	}
	assert_int_equal(load(&f->dst, data, len, NULL), 0);
	assert_int_equal(ask(&f->dst, 1, REQUEST, FIRST_LEASE), FIRST_LEASE);
	vstate_writer_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lease_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
