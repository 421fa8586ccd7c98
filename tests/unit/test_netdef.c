// SPDX-License-Identifier: MIT
// Definitions of networks: what is refused and why, what is derived, and files.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/managed/netdef.h"
#include "util/io.h"

static int read_text(const char *text, struct netdef *def, struct err *e)
{
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	int rc;

	assert_non_null(json);
	rc = netdef_from_json(def, json, e);
	json_decref(json);
	return rc;
}

static void refused(const char *text, const char *reason)
{
	struct netdef def;
	struct err e = { 0 };

	assert_int_equal(read_text(text, &def, &e), -EINVAL);
	if (!strstr(e.text, reason) || strchr(e.text, '\n'))
		fail_msg("%s: '%s' has no '%s', or several lines", text, e.text, reason);
}

static struct netdef accepted(const char *text)
{
	struct netdef def, again;
	struct err e = { 0 };
	json_t *json;

	if (read_text(text, &def, &e) < 0)
		fail_msg("%s: refused: %s", text, e.text);
	/* Written and read, it is the same. */
	json = netdef_to_json(&def);
	assert_int_equal(netdef_from_json(&again, json, &e), 0);
	json_decref(json);
	assert_memory_equal(&def, &again, sizeof(def));
	return def;
}

/* What is not even an object with the two keys that all have. */
static void test_shape(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"7",
		"null",
		"\"lab\"",
		"{\"mode\":\"nat\"}",
		"{\"name\":7,\"mode\":\"nat\"}",
		"{\"name\":null,\"mode\":\"nat\"}",
		"{\"name\":[\"lab\"],\"mode\":\"nat\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		refused(texts[i], "a name is 1 to 12");
	refused("{\"name\":\"lab\"}", "mode ''");
	refused("{\"name\":\"lab\",\"mode\":7}", "mode ''");
	refused("{\"name\":\"lab\",\"mode\":\"NAT\"}", "mode 'NAT'");
	refused("{\"name\":\"lab\",\"mode\":\"a\\n\\u001b[2Jb\"}", "mode 'a??[2Jb'");
	refused("{\"name\":\"lab\",\"mode\":\"nat\",\"speed\":1}", "nat networks have no 'speed'");
}

static void test_names(void **state)
{
	static const char *const bad[] = { "",     "Lab",      "1ab",           "-ab",   "a b",
					   "a/b",  "../etc",   "a.b",           "a\nb",  "a;b",
					   "a\"b", "\303\251", "thirteen-char", "a@b.0", "_ab" };
	static const char *const good[] = { "a", "lab", "lab-1_x", "twelve-chars" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(netdef_check_name(bad[i], NULL), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(netdef_check_name(good[i], NULL), 0);
}

/* Keys and values: each has a line of its own in the message, with the key in it. */
static void test_values(void **state)
{
	static const struct {
		const char *mode, *pair, *reason;
	} cases[] = {
		{ "nat", "\"bridge\":7", "bridge: is not a string" },
		{ "nat", "\"bridge\":\"\"", "bridge: '' is not the name of an interface" },
		{ "nat", "\"bridge\":\"..\"", "name of an interface" },
		{ "nat", "\"bridge\":\"a\\\"b\"", "name of an interface" },
		{ "nat", "\"bridge\":\"br*\"", "name of an interface" },
		{ "nat", "\"bridge\":\"a,b\"", "name of an interface" },
		{ "nat", "\"bridge\":\"a\\u0007b\"", "name of an interface" },
		{ "nat", "\"bridge\":\"\303\251\"", "name of an interface" },
		{ "nat", "\"bridge\":\"sixteencharacter\"", "name of an interface" },
		{ "bridge", "\"uplink\":\"a b\"", "uplink: 'a b'" },
		{ "bridge", "\"uplink\":\"fy-lab\"", "uplink: is the bridge itself" },
		{ "bridge", "\"existing\":1", "existing: is neither true nor false" },
		{ "bridge", "\"existing\":true,\"uplink\":\"eth0\"", "has its own" },
		{ "bridge", "\"vlan\":7", "vlan: is neither" },
		{ "nat", "\"vlan\":true", "nat networks have no 'vlan'" },
		{ "nat", "\"mtu\":1279", "mtu: is not a number from 1280" },
		{ "nat", "\"mtu\":65522", "mtu" },
		{ "nat", "\"mtu\":1500.5", "mtu" },
		{ "nat", "\"mtu\":-1", "mtu" },
		{ "nat", "\"mtu\":\"1500\"", "mtu" },
		{ "nat", "\"mtu\":9223372036854775807", "mtu" },
		{ "internal", "\"vni\":0", "vni: is not a number from 1" },
		{ "internal", "\"vni\":16777216", "vni" },
		{ "internal", "\"vni\":4294967297", "vni" },
		{ "internal", "\"peers\":[\"192.0.2.1\"]", "peers: need vni=" },
		{ "internal", "\"vni\":1,\"peers\":\"192.0.2.1\"", "peers: is not a list" },
		{ "internal", "\"vni\":1,\"peers\":[7]", "'' is not an address" },
		{ "internal", "\"vni\":1,\"peers\":[\"192.0.2.1\",\"2001:db8::1\"]",
		  "IPv4 or all IPv6" },
		{ "internal", "\"vni\":1,\"peers\":[\"192.0.2.1/24\"]", "is not an address" },
		{ "internal", "\"vni\":1,\"peers\":[\"host2\"]", "'host2' is not an address" },
		{ "internal", "\"ipv4\":\"10.0.0.1/24\"", "internal networks have no 'ipv4'" },
		{ "nat", "\"ipv4\":7", "ipv4: '' is not an IPv4 address" },
		{ "nat", "\"ipv4\":\"10.0.0.1\"", "prefix length" },
		{ "nat", "\"ipv4\":\"10.0.0.1/7\"", "8 to 30" },
		{ "nat", "\"ipv4\":\"10.0.0.1/31\"", "8 to 30" },
		{ "nat", "\"ipv4\":\"10.0.0.0/24\"", "first or last" },
		{ "nat", "\"ipv4\":\"10.0.0.255/24\"", "first or last" },
		{ "nat", "\"ipv4\":\"fd00::1/64\"", "is not an IPv4 address" },
		{ "nat", "\"ipv6\":\"10.0.0.1/24\"", "is not an IPv6 address" },
		{ "nat", "\"ipv6\":\"fd00::1/80\"", "prefix length, /64" },
		{ "nat", "\"ipv6\":\"fd00::1%eth0/64\"", "is not an IPv6 address" },
		{ "nat", "\"ipv4\":\"none\",\"ipv6\":\"none\"", "cannot both be 'none'" },
		{ "route", "\"ipv4\":\"192.0.2.1/24\"", "needs uplink=" },
		{ "route", "\"uplink\":\"eth1\"", "and ipv4=" },
		{ "nat", "\"forwards\":{}", "forwards: is not a list" },
		{ "nat", "\"forwards\":[7]", "tcp|udp:HOSTPORT=GUEST:PORT" },
		{ "nat", "\"forwards\":[\"tcp:1=a:2\",\"tcp:1=b:3\"]", "tcp:1 is forwarded twice" },
		{ "route", "\"forwards\":[]", "route networks have no 'forwards'" },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		(void)snprintf(text, sizeof(text), "{\"name\":\"lab\",\"mode\":\"%s\",%s}",
			       cases[i].mode, cases[i].pair);
		refused(text, cases[i].reason);
	}
}

static json_t *forward(int i)
{
	return json_sprintf("tcp:%d=web:80", i + 1);
}

static json_t *peer(int i)
{
	return json_sprintf("192.0.2.%d", i + 1);
}

/* One more than there is room for. */
static void check_limit(json_t *json, const char *key, json_t *(*entry)(int i), int nr)
{
	json_t *list = json_array();
	struct netdef def;
	struct err e = { 0 };

	assert_int_equal(json_object_set_new(json, key, list), 0);
	for (int i = 0; i < nr; i++)
		(void)json_array_append_new(list, entry(i));
	assert_int_equal(netdef_from_json(&def, json, &e), 0);
	(void)json_array_append_new(list, entry(nr));
	assert_int_equal(netdef_from_json(&def, json, &e), -EINVAL);
	assert_non_null(strstr(e.text, "is not a list of at most"));
	json_decref(json);
}

static void test_limits(void **state)
{
	(void)state;
	check_limit(json_pack("{s:s, s:s}", "name", "lab", "mode", "nat"), "forwards", forward,
		    NETDEF_MAX_FORWARDS);
	check_limit(json_pack("{s:s, s:s, s:i}", "name", "lab", "mode", "internal", "vni", 7),
		    "peers", peer, NETDEF_MAX_PEERS);
}

static void check_prefix(const struct net_prefix *p, const char *text)
{
	char buf[NET_PREFIX_TEXT];

	assert_string_equal(p->family ? net_prefix_format(p, buf) : "none", text);
}

/* Guests keep their addresses when ferry is updated: what is derived never changes. */
static void test_derived(void **state)
{
	struct netdef def = accepted("{\"name\":\"lab\",\"mode\":\"nat\"}");

	(void)state;
	check_prefix(&def.v4, "10.253.173.1/24");
	check_prefix(&def.v6, "fd19:fa4:7dad::1/64");
	assert_string_equal(def.bridge, "fy-lab");
	assert_true(def.dhcp && def.nat66);
	def = accepted("{\"name\":\"lab\",\"mode\":\"hostonly\",\"ipv6\":\"none\"}");
	check_prefix(&def.v4, "10.253.173.1/24");
	check_prefix(&def.v6, "none");
	assert_false(def.nat66);
	def = accepted("{\"name\":\"lab\",\"mode\":\"bridge\"}");
	check_prefix(&def.v4, "none");
	assert_false(def.dhcp);
	def = accepted("{\"name\":\"int\",\"mode\":\"internal\",\"vni\":7,"
		       "\"peers\":[\"192.0.2.2\"]}");
	assert_int_equal(def.mtu, 1450);
	def = accepted("{\"name\":\"int\",\"mode\":\"internal\",\"vni\":7,"
		       "\"peers\":[\"2001:db8::2\",\"2001:db8::1\"]}");
	assert_int_equal(def.mtu, 1430);
	(void)accepted("{\"name\":\"dmz\",\"mode\":\"route\",\"uplink\":\"eth1\","
		       "\"ipv4\":\"192.0.2.2/24\",\"ipv6\":\"2001:db8::2/64\",\"dhcp\":false}");
}

static void test_forwards(void **state)
{
	static const char *const bad[] = {
		"",
		"tcp",
		"tcp:",
		"tcp:1",
		"tcp:1=",
		"tcp:1=a",
		"tcp:1=a:",
		"tcp:=a:1",
		"tcp:0=a:1",
		"tcp:1=a:0",
		"tcp:65536=a:1",
		"tcp:1=a:65536",
		"tcp:+1=a:1",
		"tcp: 1=a:1",
		"tcp:1=:1",
		"sctp:1=a:1",
		"tcp:1=a b:1",
		"tcp:1=a\"b:1",
		"tcp:1=a;b:1",
		"tcp:1=a\nb:1",
		"tcp:1=a:1x",
		"TCP:1=a:1",
		"tcp:1=a,b:1",
		"tcp:000001=a:1",
	};
	struct net_forward f;
	char buf[96];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (net_forward_parse(bad[i], &f, NULL) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
	assert_int_equal(net_forward_parse("udp:53=10.1.0.5:5353", &f, NULL), 0);
	assert_true(f.udp && f.host_port == 53 && f.guest_port == 5353);
	assert_string_equal(f.guest, "10.1.0.5");
	assert_string_equal(net_forward_format(&f, buf), "udp:53=10.1.0.5:5353");
}

/* --- files --- */

static void put(const char *dir, const char *name, const char *text, size_t len)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s.json", dir, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, text, len), 0);
}

static void load_fails(const char *dir, const char *name, int rc, const char *reason)
{
	struct netdef def;
	struct err e = { 0 };

	assert_int_equal(netdef_load(&def, dir, name, &e), rc);
	if (!strstr(e.text, reason))
		fail_msg("'%s' has no '%s'", e.text, reason);
}

static void check_hostile_files(const char *dir)
{
	static char large[65 * 1024];

	load_fails(dir, "lab", -ENOENT, "there is none");
	load_fails(dir, "../lab", -EINVAL, "a name is");
	put(dir, "lab", "{\"name\":\"lab\",", 14);
	load_fails(dir, "lab", -EINVAL, "lab.json, line 1");
	put(dir, "lab", "", 0);
	load_fails(dir, "lab", -EINVAL, "lab.json");
	put(dir, "lab", "{\"name\":\"other\",\"mode\":\"nat\"}", 29);
	load_fails(dir, "lab", -EINVAL, "defines 'other'");
	put(dir, "lab", "{\"name\":\"lab\",\"name\":\"lab\"}", 27);
	load_fails(dir, "lab", -EINVAL, "duplicate");
	memset(large, ' ', sizeof(large));
	put(dir, "lab", large, sizeof(large));
	load_fails(dir, "lab", -EFBIG, "too large");
	memset(large, '[', sizeof(large));
	put(dir, "lab", large, 60000);
	load_fails(dir, "lab", -EINVAL, "lab.json");
}

static void test_files(void **state)
{
	struct netdef def = accepted("{\"name\":\"lab\",\"mode\":\"nat\"}"), read_back;
	char dir[] = "/tmp/ferry-test-netdef-XXXXXX";
	struct err e = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	check_hostile_files(dir);
	assert_int_equal(netdef_save(&def, dir, false, &e), -EEXIST);
	assert_non_null(strstr(e.text, "exists already"));
	assert_int_equal(netdef_save(&def, dir, true, &e), 0);
	assert_int_equal(netdef_load(&read_back, dir, "lab", &e), 0);
	assert_memory_equal(&def, &read_back, sizeof(def));
	assert_int_equal(netdef_remove(dir, "lab", &e), 0);
	assert_int_equal(netdef_remove(dir, "lab", &e), 0);
	assert_int_equal(netdef_save(&def, dir, false, &e), 0);
	assert_int_equal(netdef_remove(dir, "lab", &e), 0);
	/* No temporary file is left, whatever the way. */
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(netdef_save(&def, dir, false, &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shape),   cmocka_unit_test(test_names),
		cmocka_unit_test(test_values),  cmocka_unit_test(test_limits),
		cmocka_unit_test(test_derived), cmocka_unit_test(test_forwards),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("netdef", tests, NULL, NULL);
}
