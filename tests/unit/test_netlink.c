// SPDX-License-Identifier: MIT
// Managed networks' netlink requests, on the real kernel, in a namespace of their own.
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/managed/netlink.h"

static int enter_namespace(void **state)
{
	struct netlink *nl = NULL;

	if (unshare(CLONE_NEWNET) < 0) {
		print_message("SKIP: no network namespace: %s\n", strerror(errno));
		*state = NULL;
		return 0;
	}
	if (netlink_open(&nl, NULL) < 0 || netlink_set_up(nl, "lo", true) < 0)
		return -1;
	*state = nl;
	return 0;
}

static int leave(void **state)
{
	netlink_close(*state);
	return 0;
}

static struct netlink *need(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static struct net_prefix prefix(const char *text)
{
	struct net_prefix p;

	assert_int_equal(net_prefix_parse(text, &p), 0);
	return p;
}

static void test_prefix_text(void **state)
{
	static const char *const bad[] = { "",
					   "10.0.0.1/33",
					   "10.0.0/24",
					   "fd00::1/129",
					   "10.0.0.1/",
					   "10.0.0.1/-1",
					   "10.0.0.1/a",
					   "x",
					   "10.0.0.1/1/1" };
	char buf[NET_PREFIX_TEXT];
	struct net_prefix p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(net_prefix_parse(bad[i], &p), -EINVAL);
	p = prefix("10.1.2.3/24");
	assert_string_equal(net_prefix_format(&p, buf), "10.1.2.3/24");
	p = net_prefix_nth(&p, 254);
	assert_string_equal(net_prefix_format(&p, buf), "10.1.2.254/24");
	p = prefix("fd00:1::5/64");
	assert_string_equal(net_addr_format(&p, buf), "fd00:1::5");
	p = net_prefix_nth(&p, 1);
	assert_string_equal(net_prefix_format(&p, buf), "fd00:1::1/64");
	p = prefix("10.0.0.1");
	assert_int_equal(p.len, 32);
}

static void test_prefix_overlap(void **state)
{
	struct net_prefix a = prefix("10.1.0.0/16"), b = prefix("10.1.200.0/24"),
			  c = prefix("10.2.0.0/16"), d = prefix("fd00::/8");

	(void)state;
	assert_true(net_prefix_overlap(&a, &b));
	assert_true(net_prefix_overlap(&b, &a));
	assert_false(net_prefix_overlap(&a, &c));
	assert_false(net_prefix_overlap(&a, &d));
}

static void test_bridge(void **state)
{
	struct netlink *nl = need(state);
	const struct netlink_bridge opt = { .has_mac = true, .mac = { 2, 0, 0, 0, 0, 7 } };
	const struct netlink_port port = { .isolated = true };
	const struct net_prefix local = prefix("127.0.0.1"), peer = prefix("127.0.0.2");
	const struct netlink_vxlan vx = { .vni = 7, .local = local };
	struct netlink_link link;
	unsigned bridge;

	assert_int_equal(netlink_add_bridge(nl, "br0", &opt), 0);
	assert_int_equal(netlink_add_bridge(nl, "br0", &opt), -EEXIST);
	assert_int_equal(netlink_set_alias(nl, "br0", "ferry:lab"), 0);
	assert_int_equal(netlink_set_up(nl, "br0", true), 0);
	assert_int_equal(netlink_get_link(nl, "br0", &link), 0);
	assert_string_equal(link.kind, "bridge");
	assert_string_equal(link.alias, "ferry:lab");
	assert_memory_equal(link.mac, opt.mac, sizeof(link.mac));
	assert_true(link.flags & IFF_UP);
	bridge = link.index;

	assert_int_equal(netlink_add_vxlan(nl, "vx0", &vx), 0);
	assert_int_equal(netlink_vxlan_peer(nl, true, "vx0", &peer), 0);
	assert_int_equal(netlink_vxlan_peer(nl, false, "vx0", &peer), 0);
	assert_int_equal(netlink_vxlan_peer(nl, false, "vx0", &peer), 0);
	assert_int_equal(netlink_set_master(nl, "vx0", "br0"), 0);
	assert_int_equal(netlink_set_port(nl, "vx0", &port), 0);
	assert_int_equal(netlink_get_link(nl, "vx0", &link), 0);
	assert_string_equal(link.kind, "vxlan");
	assert_int_equal(link.master, bridge);
	assert_int_equal(netlink_set_master(nl, "vx0", NULL), 0);
	assert_int_equal(netlink_del_link(nl, "vx0"), 0);
	assert_int_equal(netlink_del_link(nl, "vx0"), 0);
	assert_int_equal(netlink_get_link(nl, "vx0", &link), -ENODEV);
	assert_int_equal(netlink_del_link(nl, "br0"), 0);
}

static void test_vlan(void **state)
{
	struct netlink *nl = need(state);
	const struct netlink_bridge opt = { .vlan_filtering = true };
	const struct netlink_port port = { .vlan = 5 };
	const struct netlink_vxlan vx = { .vni = 8 };

	if (netlink_add_bridge(nl, "br2", &opt) == -EOPNOTSUPP) {
		print_message("this kernel has no VLAN filtering\n");
		skip();
	}
	assert_int_equal(netlink_add_vxlan(nl, "vx1", &vx), 0);
	assert_int_equal(netlink_set_master(nl, "vx1", "br2"), 0);
	assert_int_equal(netlink_set_port(nl, "vx1", &port), 0);
	assert_int_equal(netlink_set_port(nl, "vx1", &port), 0);
	assert_int_equal(netlink_del_link(nl, "vx1"), 0);
	assert_int_equal(netlink_del_link(nl, "br2"), 0);
}

static int find_addr(void *opaque, const char *dev, const struct net_prefix *addr, unsigned flags)
{
	const struct net_prefix *want = opaque;

	(void)flags;
	assert_string_equal(dev, "br1");
	return addr->family == want->family && addr->len == want->len &&
	       net_prefix_overlap(addr, want);
}

static int find_route(void *opaque, const struct netlink_route *route)
{
	const struct net_prefix *want = opaque;

	return route->dst.family == want->family && route->dst.len == want->len &&
	       net_prefix_overlap(&route->dst, want);
}

static void check_addr_and_route(struct netlink *nl, const char *addr, const char *dst)
{
	struct net_prefix a = prefix(addr), via = net_prefix_nth(&a, 9);
	struct netlink_route r = { .dst = prefix(dst), .via = via, .dev = "br1" };

	assert_int_equal(netlink_addr(nl, true, "br1", &a, false), 0);
	assert_int_equal(netlink_addr(nl, true, "br1", &a, false), 0);
	assert_int_equal(netlink_each_addr(nl, "br1", find_addr, &a), 1);
	assert_int_equal(netlink_route(nl, true, &r), 0);
	assert_int_equal(netlink_route(nl, true, &r), 0);
	assert_int_equal(netlink_each_route(nl, NULL, find_route, &r.dst), 1);
	assert_int_equal(netlink_route(nl, false, &r), 0);
	assert_int_equal(netlink_route(nl, false, &r), 0);
	assert_int_equal(netlink_each_route(nl, NULL, find_route, &r.dst), 0);
	assert_int_equal(netlink_neigh_proxy(nl, true, "br1", &via), 0);
	assert_int_equal(netlink_neigh_proxy(nl, false, "br1", &via), 0);
	assert_int_equal(netlink_neigh_proxy(nl, false, "br1", &via), 0);
	assert_int_equal(netlink_addr(nl, false, "br1", &a, false), 0);
	assert_int_equal(netlink_addr(nl, false, "br1", &a, false), 0);
	assert_int_equal(netlink_each_addr(nl, "br1", find_addr, &a), 0);
}

static void test_addresses_and_routes(void **state)
{
	struct netlink *nl = need(state);
	const struct netlink_bridge opt = { 0 };

	assert_int_equal(netlink_add_bridge(nl, "br1", &opt), 0);
	assert_int_equal(netlink_set_up(nl, "br1", true), 0);
	check_addr_and_route(nl, "10.9.0.1/24", "192.0.2.0/24");
	check_addr_and_route(nl, "fd00:9::1/64", "2001:db8:1::/48");
	assert_int_equal(netlink_del_link(nl, "br1"), 0);
}

static void test_nothing_there(void **state)
{
	struct netlink *nl = need(state);
	struct net_prefix a = prefix("10.9.0.1/24");
	struct netlink_route r = { .dst = a, .dev = "none0" };

	assert_int_equal(netlink_set_up(nl, "none0", true), -ENODEV);
	assert_int_equal(netlink_set_master(nl, "lo", "none0"), -ENODEV);
	assert_int_equal(netlink_addr(nl, true, "none0", &a, false), -ENODEV);
	assert_int_equal(netlink_addr(nl, false, "none0", &a, false), 0);
	assert_int_equal(netlink_route(nl, true, &r), -ENODEV);
	assert_int_equal(
		netlink_add_macvtap(nl, "mv0", "none0", "vepa", (uint8_t[]){ 2, 0, 0, 0, 0, 1 }),
		-ENODEV);
	assert_int_equal(
		netlink_add_macvtap(nl, "mv0", "lo", "router", (uint8_t[]){ 2, 0, 0, 0, 0, 1 }),
		-EINVAL);
	assert_int_equal(netlink_set_master(nl, "lo", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefix_text),
		cmocka_unit_test(test_prefix_overlap),
		cmocka_unit_test(test_bridge),
		cmocka_unit_test(test_vlan),
		cmocka_unit_test(test_addresses_and_routes),
		cmocka_unit_test(test_nothing_there),
	};

	return cmocka_run_group_tests(tests, enter_namespace, leave);
}
