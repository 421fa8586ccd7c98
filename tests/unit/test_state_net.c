// SPDX-License-Identifier: MIT
// Saved state of a nic, and what it tells the network of a guest that has moved.
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/net_rig.h"
#include "tests/unit/saved.h"
#include "util/clock.h"

#define CTRL (2 * NET_RIG_PAIRS)
#define ARP  42U
#define NA   86U

#define FEATURES                                                                                   \
	(NET_BIT(VIRTIO_NET_F_CTRL_VQ) | NET_BIT(VIRTIO_NET_F_CTRL_RX) |                           \
	 NET_BIT(VIRTIO_NET_F_CTRL_VLAN) | NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |                   \
	 NET_BIT(VIRTIO_NET_F_MQ) | NET_BIT(VIRTIO_NET_F_GUEST_CSUM) |                             \
	 NET_BIT(VIRTIO_NET_F_GUEST_TSO4) | NET_BIT(VIRTIO_NET_F_STATUS) |                         \
	 NET_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | NET_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))

struct fixture {
	struct net_rig src, dst;
};

/* --- a device around the class: what the transport would do ---------------------------- */

static struct virtio_dev *to_dev(struct device *device)
{
	return container_of(device, struct virtio_dev, device);
}

static void save(struct device *device, struct vstate_writer *w)
{
	struct virtio_dev *dev = to_dev(device);

	dev->cls->save(dev, w);
}

static int load(struct device *device, struct vstate_reader *r, struct err *e)
{
	struct virtio_dev *dev = to_dev(device);

	return dev->cls->load(dev, r, e);
}

static const struct device_ops ops = { .type = "virtio-net", .save = save, .load = load };

static void open_rig(struct net_rig *rig, uint64_t features)
{
	net_rig_open(rig, features);
	memcpy(rig->be->nd.host_if, "rig0", 5);
	TAILQ_INIT(&rig->vm->devices);
	rig->net->dev.device.ops = &ops;
	assert_int_equal(vm_add_device(rig->vm, &rig->net->dev.device), 0);
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	open_rig(&f->src, FEATURES);
	open_rig(&f->dst, FEATURES);
	for (unsigned i = 0; i < NET_RIG_QUEUES; i++)
		net_rig_start(&f->src, i);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	net_rig_close(&f->src);
	net_rig_close(&f->dst);
	test_free(f);
	return 0;
}

/* --- the driver ------------------------------------------------------------------------- */

static void command(struct net_rig *rig, uint8_t class, uint8_t cmd, const void *data,
		    uint32_t bytes)
{
	struct ring *r = &rig->rings[CTRL];
	struct ring_used u;

	net_rig_buffer(rig, 0)[0] = class;
	net_rig_buffer(rig, 0)[1] = cmd;
	memcpy(net_rig_buffer(rig, 0) + 2, data, bytes);
	ring_put_desc(r, r->desc, 0,
		      (struct ring_desc){ NET_RIG_BUFFERS, 2 + bytes, RING_NEXT, 1 });
	ring_put_desc(r, r->desc, 1,
		      (struct ring_desc){ NET_RIG_BUFFERS + 4096, 1, RING_WRITE, 0 });
	ring_offer(r, 0);
	net_rig_kick(rig, CTRL);
	assert_true(ring_take_used(r, &u));
	assert_int_equal(*net_rig_buffer(rig, 1), VIRTIO_NET_OK);
}

static void transmit(struct net_rig *rig, const uint8_t *frame, uint32_t bytes)
{
	struct ring_used u;

	memset(net_rig_buffer(rig, 2), 0, NETDEV_HDR_BYTES);
	memcpy(net_rig_buffer(rig, 2) + NETDEV_HDR_BYTES, frame, bytes);
	net_rig_offer(rig, 1, 2, NETDEV_HDR_BYTES + bytes, false);
	net_rig_kick(rig, 1);
	assert_true(ring_take_used(&rig->rings[1], &u));
}

static const uint8_t new_mac[] = { 2, 0, 0, 0, 0, 9 };

static void change_everything(struct net_rig *rig)
{
	static const uint8_t macs[] = { 1, 0, 0, 0, 2, 0, 0, 0, 0, 5, /* one unicast */
					1, 0, 0, 0, 1, 0, 0, 0, 0, 6 };
	const uint16_t two = 2, vid = 77;
	const uint64_t csum = NET_BIT(VIRTIO_NET_F_GUEST_CSUM);
	const uint8_t off = 0, on = 1;

	command(rig, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1);
	command(rig, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1);
	command(rig, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, new_mac, 6);
	command(rig, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, macs, sizeof(macs));
	command(rig, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, &vid, 2);
	command(rig, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &two, 2);
	command(rig, VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, &csum, 8);
}

static void stop(struct net_rig *rig)
{
	for (unsigned i = 0; i < NET_RIG_QUEUES; i++)
		virtio_stop_queues(&rig->net->dev.queues[i], 1, false);
}

static struct saved take(struct net_rig *rig)
{
	stop(rig);
	return saved_take(rig->vm, "net0");
}

static void test_goes_on(void **state)
{
	struct fixture *f = *state;
	struct virtio_net_config config;
	const struct net_filter *filter = &f->dst.net->state.filter;
	struct saved s;

	change_everything(&f->src);
	s = take(&f->src);
	assert_int_equal(f->dst.be->offloads, NETDEV_CSUM | NETDEV_TSO4);
	assert_int_equal(f->dst.be->nr_active, 1);
	saved_give(f->dst.vm, "net0", &s);
	assert_int_equal(f->dst.be->offloads, NETDEV_CSUM);
	assert_int_equal(f->dst.be->nr_active, 2);
	assert_true(net_pair_active(f->dst.net, 1));
	assert_int_equal(filter->mode, NET_FILTER_ALLMULTI | NET_FILTER_VLANS_ON);
	assert_int_equal(filter->unicast.nr, 1);
	assert_int_equal(filter->multicast.macs[0][5], 6);
	assert_int_equal(filter->vlans[77 / 32], 1U << (77 % 32));
	f->dst.net->dev.cls->config_read(&f->dst.net->dev, 0, &config,
					 offsetof(struct virtio_net_config, speed));
	assert_memory_equal(config.mac, new_mac, sizeof(new_mac));
	assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
	saved_free(&s);
}

/* A driver that has let go leaves nothing behind that a new one could not have. */
static void test_after_reset(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	change_everything(&f->src);
	stop(&f->src);
	f->src.net->dev.cls->reset(&f->src.net->dev);
	f->src.net->dev.features = f->dst.net->dev.features = 0;
	s = saved_take(f->src.vm, "net0");
	saved_give(f->dst.vm, "net0", &s);
	assert_int_equal(f->dst.net->state.guest_offloads, 0);
	assert_int_equal(f->dst.net->state.nr_pairs, 1);
	saved_free(&s);
}

static void test_refuses(void **state)
{
	static const struct saved_lie lies[] = {
		{ "virtio-net", 0, 7, 5, "queue pairs" },
		{ "virtio-net", 0, 8, 9000, "MTU" },
		{ "virtio-net", 0, SAVED_IN(1, 2), 1ULL << VIRTIO_NET_F_GUEST_TSO6, "offloads" },
		{ "virtio-net", 0, SAVED_IN(1, 3), 0, "nr_pairs" },
		{ "virtio-net", 0, SAVED_IN(1, 3), 3, "nr_pairs" },
		{ "virtio-net", 0, SAVED_IN(1, 3), 999, "nr_pairs" },
		{ "virtio-net", 0, SAVED_IN(1, 4), 4, "status" },
		{ "virtio-net", 0, SAVED_IN(2, 1), 5, "nr_v4" },
		{ "virtio-net", 0, SAVED_IN(2, 2), 5, "nr_v6" },
	};
	struct fixture *f = *state;
	struct saved s = take(&f->src);

	saved_refuses(f->dst.vm, "net0", &s, lies, ARRAY_SIZE(lies));
	saved_survives_damage(f->dst.vm, "net0", &s);
	f->dst.be->fail = -EINVAL;
	assert_int_equal(saved_load(f->dst.vm, "net0", &s, NULL), -EINVAL);
	saved_free(&s);
}

/* The source's back end had failed: that is not the guest's, nor this host's, affair. */
static void test_failed_link_comes_up(void **state)
{
	struct fixture *f = *state;
	struct saved s;

	f->src.be->receive_error = -EIO;
	net_rig_offer(&f->src, 0, 5, 2048, true);
	net_rig_kick(&f->src, 0);
	assert_int_equal(f->src.net->state.status, 0);
	s = take(&f->src);
	saved_give(f->dst.vm, "net0", &s);
	assert_int_equal(f->dst.net->state.status, VIRTIO_NET_S_LINK_UP);
	saved_free(&s);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct saved s;
	uint64_t missing = 500;
	size_t bytes = 0;

	net_limit_init(&f->dst.net->tx_limit, 1000, 0);
	s = take(&f->src);
	memcpy(saved_field(&s, "virtio-net", 0, 5, &bytes), &missing, sizeof(missing));
	assert_int_equal(saved_load(f->dst.vm, "net0", &s, NULL), 0);
	assert_int_equal(net_limit_wait_until_ns(&f->dst.net->rx_limit), 0);
	assert_true(net_limit_wait_until_ns(&f->dst.net->tx_limit) > 0);
	saved_free(&s);
}

/* --- announcing --------------------------------------------------------------------------- */

static const uint8_t arp[ARP] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0, 0, 0,   0, 1, 8, 6,              /* Ethernet */
	0,    1,    8,    0,    6,    4,    0,  1, 2, 0,   0, 0, 0, 1, 10, 1, 2, 3, /* who says */
	0,    0,    0,    0,    0,    0,    10, 1, 2, 254, /* whom it asks */
};

static const uint8_t na[NA] = {
	0x33, 0x33,     0,           0, 0,        1,           2,        0,
	0,    0,        0,           1, 0x86,     0xdd, /* Ethernet */
	0x60, 0,        0,           0, 0,        32,          58,       255,
	0xfd, [37] = 1, [38] = 0xff, 2, [53] = 1, /* IPv6 */
	136,  0,        0,           0, 0x60,     [62] = 0xfd, [77] = 1, 2,
	1,    2,        0,           0, 0,        0,           1,
};

/* Wait for that many frames altogether. */
static void await_sent(struct net_rig *rig, unsigned nr)
{
	uint64_t end_ns = clock_now_ns() + 10 * NSEC_PER_SEC;

	for (;;) {
		net_rig_settle(rig, 0);
		if (rig->be->nr_sent >= nr)
			return;
		if (clock_now_ns() > end_ns)
			fail_msg("%u frames of %u", rig->be->nr_sent, nr);
		(void)sched_yield();
	}
}

static void check_rarp(const uint8_t *frame)
{
	static const uint8_t want[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x80, 0x35, /* Ethernet */
		0,    1,    8,    0,    6,    4,    0, 3, /* reverse request */
		2,    0,    0,    0,    0,    1,    0, 0, 0, 0, 2, 0, 0,    0,    0, 1, 0, 0, 0, 0,
	};

	assert_memory_equal(frame, want, sizeof(want));
}

static void check_garp(const uint8_t *frame)
{
	static const uint8_t want[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0, 0, 0, 0, 1, 8, 6, /* Ethernet */
		0,    1,    8,    0,    6,    4,    0,  1,                   /* request */
		2,    0,    0,    0,    0,    1,    10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 10, 1, 2, 3,
	};

	assert_memory_equal(frame, want, sizeof(want));
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static void check_na(const uint8_t *frame)
{
	uint32_t sum = 32 + 58;

	assert_memory_equal(frame, na, 54);
	assert_int_equal(get16(frame + 54), 136 << 8);
	assert_int_equal(frame[58], 0x20);
	assert_memory_equal(frame + 62, na + 62, 24);
	for (unsigned i = 22; i < NA; i += 2)
		sum += get16(frame + i);
	sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
}

/* What the guest said at the source is announced at the destination. */
static void test_announces(void **state)
{
	struct fixture *f = *state;
	const struct net_rig_backend *be = f->dst.be;
	uint64_t start_ns;
	struct saved s;

	transmit(&f->src, arp, ARP);
	transmit(&f->src, na, NA);
	transmit(&f->src, arp, ARP);
	s = take(&f->src);
	saved_give(f->dst.vm, "net0", &s);
	for (unsigned i = 0; i < NET_RIG_QUEUES; i++)
		net_rig_start(&f->dst, i);
	start_ns = clock_now_ns();
	net_send_announce(&f->dst.net->dev);
	await_sent(&f->dst, 5 * 3);
	assert_in_range(clock_now_ns() - start_ns, 800 * NSEC_PER_MSEC, 10 * NSEC_PER_SEC);
	for (unsigned i = 0; i < 5; i++) {
		check_rarp(be->log[3 * i]);
		check_garp(be->log[3 * i + 1]);
		check_na(be->log[3 * i + 2]);
	}
	/* The driver was asked as well: it can. */
	assert_int_equal(f->dst.config_interrupts, 5);
	assert_int_equal(f->dst.net->state.status, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	saved_free(&s);
}

/* What others said through the guest, and what is no address, is not the guest's. */
static void test_learns_its_own_alone(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[NA];

	memcpy(frame, arp, ARP);
	frame[27] = 7; /* another sender */
	transmit(&f->src, frame, ARP);
	memcpy(frame, arp, ARP);
	memset(frame + 28, 0, 4); /* a probe, RFC 5227 */
	transmit(&f->src, frame, ARP);
	memcpy(frame, na, NA);
	frame[11] = 7;
	transmit(&f->src, frame, NA);
	memcpy(frame, na, NA);
	frame[54] = 135; /* a solicitation */
	transmit(&f->src, frame, NA);
	net_rig_settle(&f->src, 0);
	assert_int_equal(f->src.net->addrs.nr_v4, 0);
	assert_int_equal(f->src.net->addrs.nr_v6, 0);
	/* The latest of many. */
	for (uint8_t i = 0; i < 10; i++) {
		memcpy(frame, arp, ARP);
		frame[31] = i;
		transmit(&f->src, frame, ARP);
	}
	net_rig_settle(&f->src, 0);
	assert_int_equal(f->src.net->addrs.nr_v4, NET_ADDRS);
	assert_int_equal(f->src.net->addrs.v4[3], 10 - NET_ADDRS);
	assert_int_equal(f->src.net->addrs.v4[4 * NET_ADDRS - 1], 9);
}

static void test_pause_ends_it(void **state)
{
	struct fixture *f = *state;
	unsigned nr;

	net_send_announce(&f->src.net->dev);
	await_sent(&f->src, 1);
	stop(&f->src);
	nr = f->src.be->nr_sent;
	net_rig_settle(&f->src, 0);
	assert_false(f->src.net->announcer.timer.armed);
	assert_int_equal(f->src.be->nr_sent, nr);
}

/* A full or an inner network: nothing is sent, nothing breaks. */
static void test_nobody_to_tell(void **state)
{
	struct fixture *f = *state;

	f->src.be->nr_room = 0;
	net_send_announce(&f->src.net->dev);
	net_rig_settle(&f->src, 0);
	assert_int_equal(f->src.be->nr_sent, 0);
	f->dst.be->nd.host_if[0] = '\0';
	net_send_announce(&f->dst.net->dev);
	net_rig_settle(&f->dst, 0);
	assert_int_equal(f->dst.be->nr_sent, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_goes_on),        TEST(test_after_reset),
		TEST(test_refuses),        TEST(test_failed_link_comes_up),
		TEST(test_limits),         TEST(test_announces),
		TEST(test_pause_ends_it),  TEST(test_learns_its_own_alone),
		TEST(test_nobody_to_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
