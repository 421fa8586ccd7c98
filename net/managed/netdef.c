// SPDX-License-Identifier: MIT
// Definitions of networks: from JSON with defaults, to JSON, in files.
#include "net/managed/netdef.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/managed/jsonfile.h"
#include "net/port.h"
#include "util/hash.h"
#include "util/io.h"

#define MAX_FILE_BYTES (64 * 1024)

static const char *const modes[NET_NR_MODES] = {
	[NET_MODE_BRIDGE] = "bridge",     [NET_MODE_NAT] = "nat",
	[NET_MODE_ROUTE] = "route",       [NET_MODE_HOSTONLY] = "hostonly",
	[NET_MODE_INTERNAL] = "internal",
};

enum net_mode net_mode_by_name(const char *name)
{
	unsigned mode = 0;

	while (mode < NET_NR_MODES && strcmp(modes[mode], name) != 0)
		mode++;
	return (enum net_mode)mode;
}

int netdef_check_name(const char *name, struct err *e)
{
	bool good = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(name);

	if (good && strlen(name) <= NETDEF_NAME_MAX && name[0] >= 'a' && name[0] <= 'z')
		return 0;
	return err_set(e, -EINVAL,
		       "network '%.40s': a name is 1 to %d of a-z, 0-9, - and _, a letter first",
		       name, NETDEF_NAME_MAX);
}

/* --- values of keys --- */

static int check_ifname(const char *text, struct err *e)
{
	size_t len = strlen(text);

	/* The kernel allows more; dnsmasq and nftables do not read all of that as a name. */
	if (len > 0 && len < IF_NAMESIZE && strcmp(text, ".") != 0 && strcmp(text, "..") != 0 &&
	    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@+") ==
		    len)
		return 0;
	return err_set(e, -EINVAL, "'%.40s' is not the name of an interface", text);
}

static int set_ifname(void *member, const json_t *value, struct err *e)
{
	const char *text = json_string_value(value);
	int rc;

	if (!text)
		return err_set(e, -EINVAL, "is not a string");
	rc = check_ifname(text, e);
	if (rc == 0)
		(void)snprintf(member, IF_NAMESIZE, "%s", text);
	return rc;
}

static int set_bool(void *member, const json_t *value, struct err *e)
{
	if (!json_is_boolean(value))
		return err_set(e, -EINVAL, "is neither true nor false");
	*(bool *)member = json_is_true(value);
	return 0;
}

static int set_mtu(void *member, const json_t *value, struct err *e)
{
	json_int_t n = json_integer_value(value);

	/* Below 1280 there is no IPv6 (RFC 8200, 5). */
	if (!json_is_integer(value) || n < 1280 || n > 65521)
		return err_set(e, -EINVAL, "is not a number from 1280 to 65521");
	*(unsigned *)member = (unsigned)n;
	return 0;
}

static int set_vni(void *member, const json_t *value, struct err *e)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || n < 1 || n > 0xffffff)
		return err_set(e, -EINVAL, "is not a number from 1 to 16777215");
	*(uint32_t *)member = (uint32_t)n;
	return 0;
}

/* Neither the network nor its broadcast address (RFC 1122, 3.2.1.3). */
static bool is_host(const struct net_prefix *p)
{
	uint32_t mask = UINT32_MAX >> p->len, low = ntohl(p->addr.v4.s_addr) & mask;

	return low != 0 && low != mask;
}

struct range {
	int family;
	unsigned shortest, longest; /* prefix */
	const char *what;
};

static int set_prefix(void *member, const json_t *value, const struct range *range, struct err *e)
{
	const char *text = json_string_value(value);
	struct net_prefix p;

	if (text && strcmp(text, "none") == 0) {
		*(struct net_prefix *)member = (struct net_prefix){ 0 };
		return 0;
	}
	if (!text || net_prefix_parse(text, &p) < 0 || p.family != range->family ||
	    p.len < range->shortest || p.len > range->longest)
		return err_set(e, -EINVAL, "'%.60s' is not %s", text ? text : "", range->what);
	if (p.family == AF_INET && !is_host(&p))
		return err_set(e, -EINVAL,
			       "'%.60s' is the first or last address of its network, which no "
			       "host can have",
			       text);
	*(struct net_prefix *)member = p;
	return 0;
}

static int set_v4(void *member, const json_t *value, struct err *e)
{
	static const struct range v4 = { AF_INET, 8, 30,
					 "an IPv4 address with its prefix length (8 to 30)" };

	return set_prefix(member, value, &v4, e);
}

/* Guests make the other half of their addresses themselves (RFC 4291, 2.5.1). */
static int set_v6(void *member, const json_t *value, struct err *e)
{
	static const struct range v6 = { AF_INET6, 64, 64,
					 "an IPv6 address with its prefix length, /64" };

	return set_prefix(member, value, &v6, e);
}

static int set_peers(void *member, const json_t *value, struct err *e)
{
	struct netdef *def =
		(struct netdef *)(void *)((char *)member - offsetof(struct netdef, peers));
	size_t i;
	json_t *entry;

	if (!json_is_array(value) || json_array_size(value) > NETDEF_MAX_PEERS)
		return err_set(e, -EINVAL, "is not a list of at most %d addresses",
			       NETDEF_MAX_PEERS);
	def->nr_peers = 0;
	json_array_foreach(value, i, entry)
	{
		const char *text = json_string_value(entry);
		struct net_prefix *p = &def->peers[def->nr_peers];

		if (!text || strchr(text, '/') || net_prefix_parse(text, p) < 0)
			return err_set(e, -EINVAL, "'%.60s' is not an address", text ? text : "");
		def->nr_peers++;
	}
	return 0;
}

/* A port of the host leads to one guest: is that of the forward after the last one free? */
static int check_port(const struct netdef *def, struct err *e)
{
	const struct net_forward *f = &def->forwards[def->nr_forwards];

	for (unsigned i = 0; i < def->nr_forwards; i++) {
		if (def->forwards[i].udp == f->udp && def->forwards[i].host_port == f->host_port)
			return err_set(e, -EINVAL, "%s:%u is forwarded twice",
				       f->udp ? "udp" : "tcp", f->host_port);
	}
	return 0;
}

static int set_forwards(void *member, const json_t *value, struct err *e)
{
	struct netdef *def =
		(struct netdef *)(void *)((char *)member - offsetof(struct netdef, forwards));
	size_t i;
	json_t *entry;

	if (!json_is_array(value) || json_array_size(value) > NETDEF_MAX_FORWARDS)
		return err_set(e, -EINVAL, "is not a list of at most %d forwards",
			       NETDEF_MAX_FORWARDS);
	def->nr_forwards = 0;
	json_array_foreach(value, i, entry)
	{
		const char *text = json_string_value(entry);
		int rc = net_forward_parse(text ? text : "", &def->forwards[def->nr_forwards], e);

		if (rc == 0)
			rc = check_port(def, e);
		if (rc < 0)
			return rc;
		def->nr_forwards++;
	}
	return 0;
}

/* --- the keys --- */

#define MODE(m)   (1U << NET_MODE_##m)
#define ALL_MODES ((1U << NET_NR_MODES) - 1)
#define WITH_IP   (MODE(NAT) | MODE(ROUTE) | MODE(HOSTONLY))

struct key {
	const char *name;
	unsigned modes; /* in which it means something */
	size_t offset;
	int (*set)(void *member, const json_t *value, struct err *e);
};

static const struct key keys[] = {
	{ "bridge", ALL_MODES, offsetof(struct netdef, bridge), set_ifname },
	{ "existing", MODE(BRIDGE), offsetof(struct netdef, foreign_bridge), set_bool },
	{ "uplink", MODE(BRIDGE) | MODE(NAT) | MODE(ROUTE), offsetof(struct netdef, uplink),
	  set_ifname },
	{ "default-route", MODE(BRIDGE), offsetof(struct netdef, default_route), set_bool },
	{ "ipv4", WITH_IP, offsetof(struct netdef, v4), set_v4 },
	{ "ipv6", WITH_IP, offsetof(struct netdef, v6), set_v6 },
	{ "dhcp", WITH_IP, offsetof(struct netdef, dhcp), set_bool },
	{ "nat66", MODE(NAT), offsetof(struct netdef, nat66), set_bool },
	{ "vlan", MODE(BRIDGE) | MODE(INTERNAL), offsetof(struct netdef, vlan), set_bool },
	{ "hub", ALL_MODES, offsetof(struct netdef, hub), set_bool },
	{ "isolated", ALL_MODES & ~MODE(INTERNAL), offsetof(struct netdef, isolated), set_bool },
	{ "unfiltered", ALL_MODES, offsetof(struct netdef, unfiltered), set_bool },
	{ "mtu", ALL_MODES, offsetof(struct netdef, mtu), set_mtu },
	{ "vni", MODE(INTERNAL), offsetof(struct netdef, vni), set_vni },
	{ "peers", MODE(INTERNAL), offsetof(struct netdef, peers), set_peers },
	{ "forwards", MODE(NAT), offsetof(struct netdef, forwards), set_forwards },
};

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

/* The same network has the same addresses on every host. */
static uint64_t number_of(const char *name)
{
	uint64_t h = fnv1a_text(name);

	return h ^ h >> 32;
}

/* 10.128.0.1/24 to 10.255.255.1/24: the half of 10/8 that fewer people use. */
static void derive_v4(struct netdef *def)
{
	char text[NET_PREFIX_TEXT];
	uint64_t h = number_of(def->name);

	(void)snprintf(text, sizeof(text), "10.%u.%u.1/24", 128 + (unsigned)(h >> 8 & 127),
		       (unsigned)(h & 255));
	(void)!net_prefix_parse(text, &def->v4);
}

/* RFC 4193, but with a global id of the name rather than of chance. */
static void derive_v6(struct netdef *def)
{
	char text[NET_PREFIX_TEXT];
	uint64_t h = number_of(def->name);

	(void)snprintf(text, sizeof(text), "fd%02x:%04x:%04x::1/64", (unsigned)(h >> 32 & 0xff),
		       (unsigned)(h >> 16 & 0xffff), (unsigned)(h & 0xffff));
	(void)!net_prefix_parse(text, &def->v6);
}

static void set_defaults(struct netdef *def)
{
	bool ip = def->mode == NET_MODE_NAT || def->mode == NET_MODE_HOSTONLY;

	(void)snprintf(def->bridge, sizeof(def->bridge), "fy-%s", def->name);
	def->dhcp = ip || def->mode == NET_MODE_ROUTE;
	def->nat66 = def->mode == NET_MODE_NAT;
	if (!ip)
		return;
	derive_v4(def);
	derive_v6(def);
}

/*
 * What is left of 1500 bytes for the guests' packets: a bridged tunnel cannot tell them to
 * send shorter ones. Ethernet, VXLAN, UDP, and IPv4 or IPv6 go before them (RFC 7348, 5).
 */
static unsigned vxlan_mtu(const struct netdef *def)
{
	bool ipv6 = def->nr_peers && def->peers[0].family == AF_INET6;

	return 1500 - 14 - 8 - 8 - (ipv6 ? 40 : 20);
}

/* A tunnel is over one of the two. */
static bool peers_differ(const struct netdef *def)
{
	for (unsigned i = 1; i < def->nr_peers; i++) {
		if (def->peers[i].family != def->peers[0].family)
			return true;
	}
	return false;
}

/* What single values cannot say. */
static int check(const struct netdef *def, struct err *e)
{
	if (def->foreign_bridge && def->hub)
		return err_set(e, -EINVAL,
			       "hub: an existing bridge is left as it is: 'ip link set %s type "
			       "bridge ageing_time 0' makes it one",
			       def->bridge);
	if (def->foreign_bridge && def->uplink[0])
		return err_set(e, -EINVAL, "uplink: a bridge that exists already has its own");
	if (def->mode == NET_MODE_ROUTE && (!def->uplink[0] || !def->v4.family))
		return err_set(e, -EINVAL,
			       "route: needs uplink= (the interface whose network the "
			       "guests are to be seen on) and ipv4= (the host's address "
			       "there, with its prefix)");
	if (def->mode != NET_MODE_BRIDGE && def->mode != NET_MODE_INTERNAL && !def->v4.family &&
	    !def->v6.family)
		return err_set(e, -EINVAL, "ipv4 and ipv6 cannot both be 'none'");
	if (def->nr_peers && !def->vni)
		return err_set(e, -EINVAL, "peers: need vni=, the same number on all hosts");
	if (peers_differ(def))
		return err_set(e, -EINVAL, "peers: must all be IPv4 or all IPv6 addresses");
	if (strcmp(def->bridge, def->uplink) == 0)
		return err_set(e, -EINVAL, "uplink: is the bridge itself");
	return 0;
}

static int set_head(struct netdef *def, const json_t *json, struct err *e)
{
	const char *name = json_string_value(json_object_get(json, "name"));
	const char *mode = json_string_value(json_object_get(json, "mode"));
	int rc = netdef_check_name(name ? name : "", e);

	if (rc < 0)
		return rc;
	(void)snprintf(def->name, sizeof(def->name), "%s", name);
	def->mode = net_mode_by_name(mode ? mode : "");
	if (def->mode == NET_NR_MODES)
		return err_set(e, -EINVAL,
			       "network %s: mode '%.20s': choose one of bridge, nat, route, "
			       "hostonly, internal",
			       name, mode ? mode : "");
	return 0;
}

int netdef_from_json(struct netdef *def, const json_t *json, struct err *e)
{
	struct netdef d = { 0 };
	const char *name;
	json_t *value;
	int rc = set_head(&d, json, e);

	if (rc < 0)
		return rc;
	set_defaults(&d);
	json_object_foreach((json_t *)(uintptr_t)json, name, value)
	{
		const struct key *key = find_key(name);

		if (strcmp(name, "name") == 0 || strcmp(name, "mode") == 0)
			continue;
		if (!key || !(key->modes >> d.mode & 1)) {
			rc = err_set(e, -EINVAL, "%s networks have no '%.40s'", modes[d.mode],
				     name);
		} else {
			rc = key->set((char *)&d + key->offset, value, e);
			if (rc < 0)
				(void)err_prefix(e, "%s", name);
		}
		if (rc < 0)
			break;
	}
	if (d.vni && !d.mtu)
		d.mtu = vxlan_mtu(&d);
	if (rc == 0)
		rc = check(&d, e);
	if (rc < 0) {
		(void)err_prefix(e, "network %s", d.name);
		return rc;
	}
	*def = d;
	return 0;
}

/* --- forwards --- */

int net_forward_parse(const char *text, struct net_forward *ret, struct err *e)
{
	struct net_forward f = { .udp = strncmp(text, "udp:", 4) == 0 };
	const char *equals = strchr(text, '='), *colon = strrchr(text, ':');
	int host_port, guest_port;
	size_t len;

	if ((!f.udp && strncmp(text, "tcp:", 4) != 0) || !equals || colon <= equals)
		goto bad;
	len = (size_t)(colon - equals - 1);
	host_port = net_port_parse(text + 4, (size_t)(equals - text - 4));
	guest_port = net_port_parse(colon + 1, strlen(colon + 1));
	if (len == 0 || len >= sizeof(f.guest) || strcspn(equals + 1, "\" \t\n\\,;{}") < len ||
	    host_port < 0 || guest_port < 0)
		goto bad;
	memcpy(f.guest, equals + 1, len);
	f.host_port = (uint16_t)host_port;
	f.guest_port = (uint16_t)guest_port;
	*ret = f;
	return 0;
bad:
	return err_set(e, -EINVAL, "forward '%.80s': write tcp|udp:HOSTPORT=GUEST:PORT", text);
}

const char *net_forward_format(const struct net_forward *f, char buf[96])
{
	(void)snprintf(buf, 96, "%s:%u=%s:%u", f->udp ? "udp" : "tcp", f->host_port, f->guest,
		       f->guest_port);
	return buf;
}

/* --- to JSON and files --- */

static void put(json_t *json, const struct netdef *def, const char *name, json_t *value)
{
	if (find_key(name)->modes >> def->mode & 1)
		(void)json_object_set_new(json, name, value);
	else
		json_decref(value);
}

static json_t *prefix_json(const struct net_prefix *p)
{
	char text[NET_PREFIX_TEXT];

	return json_string(p->family ? net_prefix_format(p, text) : "none");
}

static void put_lists(json_t *json, const struct netdef *def)
{
	json_t *peers = json_array(), *forwards = json_array();
	char text[96];

	for (unsigned i = 0; i < def->nr_peers; i++)
		(void)json_array_append_new(peers,
					    json_string(net_addr_format(&def->peers[i], text)));
	for (unsigned i = 0; i < def->nr_forwards; i++)
		(void)json_array_append_new(
			forwards, json_string(net_forward_format(&def->forwards[i], text)));
	put(json, def, "peers", peers);
	put(json, def, "forwards", forwards);
}

json_t *netdef_to_json(const struct netdef *def)
{
	json_t *json = json_pack("{s:s, s:s}", "name", def->name, "mode", modes[def->mode]);

	if (!json)
		return NULL;
	put(json, def, "bridge", json_string(def->bridge));
	put(json, def, "existing", json_boolean(def->foreign_bridge));
	if (def->uplink[0])
		put(json, def, "uplink", json_string(def->uplink));
	put(json, def, "default-route", json_boolean(def->default_route));
	put(json, def, "ipv4", prefix_json(&def->v4));
	put(json, def, "ipv6", prefix_json(&def->v6));
	put(json, def, "dhcp", json_boolean(def->dhcp));
	put(json, def, "nat66", json_boolean(def->nat66));
	put(json, def, "vlan", json_boolean(def->vlan));
	put(json, def, "hub", json_boolean(def->hub));
	put(json, def, "isolated", json_boolean(def->isolated));
	put(json, def, "unfiltered", json_boolean(def->unfiltered));
	if (def->mtu)
		put(json, def, "mtu", json_integer(def->mtu));
	if (def->vni)
		put(json, def, "vni", json_integer(def->vni));
	put_lists(json, def);
	return json;
}

static int file_path(char path[PATH_MAX], const char *dir, const char *name, struct err *e)
{
	int rc = netdef_check_name(name, e);

	if (rc == 0 && snprintf(path, PATH_MAX, "%s/%s.json", dir, name) >= PATH_MAX)
		rc = err_set(e, -ENAMETOOLONG, "%s: the path is too long", dir);
	return rc;
}

int netdef_load(struct netdef *def, const char *dir, const char *name, struct err *e)
{
	char path[PATH_MAX];
	json_error_t why;
	struct stat st;
	json_t *json;
	int rc = file_path(path, dir, name, e);

	if (rc < 0)
		return rc;
	if (stat(path, &st) < 0)
		return err_set(e, -errno,
			       errno == ENOENT ? "network %s: there is none: make it by 'ferry "
						 "net create'"
					       : "network %s: cannot be read",
			       name);
	if (st.st_size > MAX_FILE_BYTES)
		return err_set(e, -EFBIG, "%s: is too large", path);
	json = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (!json)
		return err_set(e, -EINVAL, "%s, line %d: %s", path, why.line, why.text);
	rc = netdef_from_json(def, json, e);
	json_decref(json);
	if (rc == 0 && strcmp(def->name, name) != 0)
		rc = err_set(e, -EINVAL, "%s: defines '%s'", path, def->name);
	return rc;
}

int netdef_save(const struct netdef *def, const char *dir, bool replace, struct err *e)
{
	char path[PATH_MAX];
	int rc = file_path(path, dir, def->name, e);

	if (rc < 0)
		return rc;
	rc = jsonfile_save(path, netdef_to_json(def), JSON_INDENT(2), replace);
	if (rc == -EEXIST)
		return err_set(e, rc, "network %s: exists already", def->name);
	return rc < 0 ? err_set(e, rc, "%s: cannot be written: %s", path, strerror(-rc)) : 0;
}

int netdef_remove(const char *dir, const char *name, struct err *e)
{
	char path[PATH_MAX];
	int rc = file_path(path, dir, name, e);

	if (rc == 0 && unlink(path) < 0 && errno != ENOENT)
		rc = err_set(e, -errno, "%s: %s", path, strerror(errno));
	return rc;
}
