// SPDX-License-Identifier: MIT
// The operations of each mode.
#include "net/managed/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/mac.h"
#include "net/managed/plan_impl.h"
#include "util/hash.h"
#include "util/io.h"

/* Arguments of an operation; those left out are empty. */
#define ARGS(...) ((const char *const[NETOP_ARGS]){ __VA_ARGS__ })

static void plan_op(struct plan *p, enum netop_kind kind, const char *const args[NETOP_ARGS],
		    const char *text)
{
	struct netop op;

	if (p->rc < 0)
		return;
	p->rc = netop_set(&op, kind, args[0], args[1], args[2], args[3]);
	if (p->rc < 0)
		p->rc = err_set(p->e, p->rc, "%s: too long", args[0]);
	else
		p->rc = p->fn(p->opaque, &op, text, p->e);
}

const char *plan_table(const struct plan *p, const char *family, char buf[48])
{
	(void)snprintf(buf, 48, "%s ferry-%s", family, p->def->name);
	return buf;
}

static void folder_of(const struct plan *p, const char *what, char buf[PATH_MAX])
{
	(void)snprintf(buf, PATH_MAX, "%s/%s.%s", p->dir, p->def->name, what);
}

/* --- a network --- */

static void plan_sysctl(struct plan *p, const char *dev, const char *what, const char *value)
{
	char key[NETOP_ARG_BYTES];

	(void)snprintf(key, sizeof(key), "net/%s%s%s",
		       strstr(what, "arp") ? "ipv4/conf/" : "ipv6/conf/", dev, what);
	plan_op(p, NETOP_SYSCTL, ARGS(key, value, p->def->name), NULL);
}

static void plan_mtu(struct plan *p, const char *dev)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", p->def->mtu);
	if (p->def->mtu)
		plan_op(p, NETOP_MTU, ARGS(dev, text), NULL);
}

static void plan_bridge(struct plan *p)
{
	char alias[32], file[PATH_MAX], mac[MAC_TEXT_BYTES] = "", kind[8];

	(void)snprintf(alias, sizeof(alias), "ferry:%s", p->def->name);
	if (plan_has_addresses(p->def))
		mac_format(plan_host_mac(p->def, (uint8_t[6]){ 0 }), mac);
	(void)snprintf(kind, sizeof(kind), "%s%s", p->def->vlan ? "vlan" : "",
		       p->def->hub ? "hub" : "");
	plan_op(p, NETOP_BRIDGE, ARGS(p->def->bridge, alias, kind, mac), NULL);
	plan_mtu(p, p->def->bridge);
	/* Guests alone: the host does not even have the address that each link has in IPv6. */
	if (p->def->mode == NET_MODE_INTERNAL)
		plan_sysctl(p, p->def->bridge, "/disable_ipv6", "1");
	if (p->def->mode != NET_MODE_BRIDGE || !p->def->uplink[0])
		return;
	folder_of(p, "uplink", file);
	plan_op(p, NETOP_UPLINK, ARGS(p->def->uplink, p->def->bridge, file), NULL);
	if (p->def->vlan)
		plan_op(p, NETOP_TRUNK, ARGS(p->def->uplink), NULL);
}

static void plan_vxlan(struct plan *p)
{
	char name[IF_NAMESIZE], alias[32], vni[16], peer[NET_PREFIX_TEXT];

	(void)snprintf(name, sizeof(name), "vx-%s", p->def->name);
	(void)snprintf(alias, sizeof(alias), "ferry:%s", p->def->name);
	(void)snprintf(vni, sizeof(vni), "%u%s", p->def->vni,
		       p->def->nr_peers && p->def->peers[0].family == AF_INET6 ? " ipv6" : "");
	plan_op(p, NETOP_VXLAN, ARGS(name, alias, vni, p->def->bridge), NULL);
	plan_sysctl(p, name, "/disable_ipv6", "1");
	plan_mtu(p, name);
	if (p->def->vlan)
		plan_op(p, NETOP_TRUNK, ARGS(name), NULL);
	for (unsigned i = 0; i < p->def->nr_peers; i++)
		plan_op(p, NETOP_PEER, ARGS(name, net_addr_format(&p->def->peers[i], peer)), NULL);
}

/*
 * The host's address: its network is behind the bridge, or (route) one guest after the
 * other. In IPv6 it keeps its length even there: it is what dnsmasq advertises.
 */
static void plan_address(struct plan *p, const struct net_prefix *addr)
{
	bool alone = p->def->mode == NET_MODE_ROUTE;
	struct net_prefix host = *addr;
	char text[NET_PREFIX_TEXT];

	if (!addr->family)
		return;
	if (alone && addr->family == AF_INET)
		host.len = 32;
	plan_op(p, NETOP_ADDR,
		ARGS(p->def->bridge, net_prefix_format(&host, text), alone ? "alone" : ""), NULL);
}

static void plan_forwarding(struct plan *p)
{
	if (p->def->mode == NET_MODE_HOSTONLY)
		return;
	if (p->def->v4.family)
		plan_op(p, NETOP_SYSCTL, ARGS("net/ipv4/ip_forward", "1", p->def->name), NULL);
	if (p->def->v6.family) {
		/* A host that routes no longer takes advertisements unless told to. */
		if (p->def->uplink[0])
			plan_sysctl(p, p->def->uplink, "/accept_ra", "2");
		plan_sysctl(p, "all", "/forwarding", "1");
	}
}

/*
 * On the LAN the host answers for its guests, which are entered one by one. On the
 * bridge it answers for everybody in IPv4; in IPv6 guests are told that nobody is on the link.
 */
static void plan_route(struct plan *p)
{
	if (p->def->v4.family)
		plan_sysctl(p, p->def->bridge, "/proxy_arp", "1");
	if (p->def->v6.family)
		plan_sysctl(p, p->def->uplink, "/proxy_ndp", "1");
}

/* A number of a text, by which a journal tells whether it is still the same. */
static const char *version_of(const char *text, char buf[17])
{
	(void)snprintf(buf, 17, "%016" PRIx64, fnv1a_text(text));
	return buf;
}

static void plan_text(struct plan *p, enum netop_kind kind, const char *a, char *text)
{
	char version[17];

	if (!text && p->rc == 0)
		p->rc = err_set(p->e, -ENOMEM, "no memory");
	if (text && text[0])
		plan_op(p, kind, ARGS(a, version_of(text, version)), text);
	free(text);
}

static void plan_ip(struct plan *p)
{
	char table[48], folder[PATH_MAX];

	plan_address(p, &p->def->v4);
	plan_address(p, &p->def->v6);
	plan_forwarding(p);
	if (p->def->mode == NET_MODE_ROUTE)
		plan_route(p);
	plan_text(p, NETOP_NFT, plan_table(p, "inet", table), plan_inet_rules(p->def));
	folder_of(p, "dhcp", folder);
	if (p->def->dhcp)
		plan_text(p, NETOP_DHCP, folder, plan_dhcp_conf(p->def, folder));
}

int plan_network(const struct netdef *def, const char *dir, plan_fn fn, void *opaque, struct err *e)
{
	struct plan p = { .def = def, .dir = dir, .fn = fn, .opaque = opaque, .e = e };
	char table[48];

	if (!def->foreign_bridge)
		plan_bridge(&p);
	if (def->vni)
		plan_vxlan(&p);
	plan_text(&p, NETOP_NFT, plan_table(&p, "bridge", table), plan_filter_rules(def));
	if (plan_has_addresses(def))
		plan_ip(&p);
	return p.rc;
}

/* --- a member --- */

const uint8_t *plan_host_mac(const struct netdef *def, uint8_t ret[6])
{
	char text[32];

	(void)snprintf(text, sizeof(text), "network %s", def->name);
	mac_derive(text, 0, ret);
	return ret;
}

struct net_prefix plan_eui64(const struct net_prefix *net, const uint8_t mac[6])
{
	struct net_prefix p = *net;
	uint8_t *low = &p.addr.v6.s6_addr[8];
	const uint8_t id[8] = { mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

	memcpy(low, id, sizeof(id));
	return p;
}

/* An address may be a source, and the target of an advertisement, of this nic alone. */
static void plan_filter_v6(struct plan *p, const struct net_member *m, const struct net_prefix *own)
{
	char table[48], addr[NET_PREFIX_TEXT], number[PLAN_V6_NUMBER], element[NETOP_ARG_BYTES];

	(void)plan_table(p, "bridge", table);
	(void)net_addr_format(own, addr);
	(void)plan_v6_number(own, number);
	(void)snprintf(element, sizeof(element), "\"%s\" . %s", m->tap, addr);
	plan_op(p, NETOP_ELEMENT, ARGS(table, "v6", element), NULL);
	(void)snprintf(element, sizeof(element), "\"%s\" . %s", m->tap, number);
	plan_op(p, NETOP_ELEMENT, ARGS(table, "targets", element), NULL);
	plan_op(p, NETOP_ELEMENT, ARGS(table, "taken", addr), NULL);
	plan_op(p, NETOP_ELEMENT, ARGS(table, "taken_targets", number), NULL);
}

static void plan_filter(struct plan *p, const struct net_member *m)
{
	const struct net_prefix link_local = { .family = AF_INET6,
					       .addr.v6 = { { { 0xfe, 0x80 } } },
					       .len = 64 };
	char table[48], mac[MAC_TEXT_BYTES], addr[NET_PREFIX_TEXT], element[NETOP_ARG_BYTES];
	struct net_prefix own;

	if (m->unfiltered || p->def->unfiltered)
		return;
	(void)plan_table(p, "bridge", table);
	mac_format(m->mac, mac);
	(void)snprintf(element, sizeof(element), "\"%s\" . %s", m->tap, mac);
	plan_op(p, NETOP_ELEMENT, ARGS(table, "macs", element), NULL);
	if (m->v4.family) {
		(void)snprintf(element, sizeof(element), "\"%s\" . %s", m->tap,
			       net_addr_format(&m->v4, addr));
		plan_op(p, NETOP_ELEMENT, ARGS(table, "v4", element), NULL);
	}
	if (m->v6.family) {
		plan_filter_v6(p, m, &m->v6);
		if (m->slaac.family)
			plan_filter_v6(p, m, &m->slaac);
		own = plan_eui64(&link_local, m->mac);
		plan_filter_v6(p, m, &own);
	}
	/* Last: from here on only what is in the sets gets through. */
	(void)snprintf(element, sizeof(element), "\"%s\"", m->tap);
	plan_op(p, NETOP_ELEMENT, ARGS(table, "nics", element), NULL);
}

static void plan_lease(struct plan *p, const struct net_member *m)
{
	char v4[NET_PREFIX_TEXT + 4] = "", v6[NET_PREFIX_TEXT + 4] = "", addr[NET_PREFIX_TEXT];
	char folder[PATH_MAX], file[NETOP_ARG_BYTES], mac[MAC_TEXT_BYTES], what[NETOP_ARG_BYTES];

	if (!p->def->dhcp || (!m->v4.family && !m->v6.family))
		return;
	mac_format(m->mac, mac);
	folder_of(p, "dhcp", folder);
	(void)snprintf(file, sizeof(file), "%.63s.%u", m->guest, m->index);
	if (m->v4.family)
		(void)snprintf(v4, sizeof(v4), "%s,", net_addr_format(&m->v4, addr));
	if (m->v6.family)
		(void)snprintf(v6, sizeof(v6), "[%s],", net_addr_format(&m->v6, addr));
	(void)snprintf(what, sizeof(what), "%.20s%.45s%.40s", v4, v6, m->guest);
	plan_op(p, NETOP_LEASE, ARGS(folder, file, mac, what), NULL);
}

/* For those who want to know who is there. */
static void plan_nic(struct plan *p, const struct net_member *m)
{
	char mac[MAC_TEXT_BYTES], v4[NET_PREFIX_TEXT] = "", v6[NET_PREFIX_TEXT] = "";

	mac_format(m->mac, mac);
	if (m->v4.family)
		(void)net_addr_format(&m->v4, v4);
	if (m->v6.family)
		(void)net_addr_format(&m->v6, v6);
	plan_op(p, NETOP_NIC, ARGS(mac, v4, v6, m->tap), NULL);
}

static void plan_host_route(struct plan *p, const struct net_prefix *guest,
			    const struct net_prefix *host)
{
	char dst[NET_PREFIX_TEXT], src[NET_PREFIX_TEXT];

	if (!guest->family)
		return;
	(void)net_addr_format(guest, dst);
	plan_op(p, NETOP_ROUTE,
		ARGS(p->def->bridge, dst,
		     guest->family == AF_INET ? net_addr_format(host, src) : ""),
		NULL);
	plan_op(p, NETOP_PROXY, ARGS(p->def->uplink, dst), NULL);
}

int plan_member(const struct netdef *def, const char *dir, const struct net_member *m, plan_fn fn,
		void *opaque, struct err *e)
{
	struct plan p = { .def = def, .dir = dir, .fn = fn, .opaque = opaque, .e = e };
	char vlan[8] = "";

	plan_nic(&p, m);
	plan_filter(&p, m);
	plan_lease(&p, m);
	if (p.rc == 0)
		p.rc = plan_forwards(def, m->guest, &m->v4, fn, opaque, e);
	if (def->mode == NET_MODE_ROUTE) {
		plan_host_route(&p, &m->v4, &def->v4);
		plan_host_route(&p, &m->v6, &def->v6);
		plan_host_route(&p, &m->slaac, &def->v6);
	}
	if (m->vlan)
		(void)snprintf(vlan, sizeof(vlan), "%u", m->vlan);
	/* Last: what it sends meets the rules from its first frame on. */
	plan_op(&p, NETOP_PORT, ARGS(m->tap, def->bridge, def->isolated ? "isolated" : "", vlan),
		NULL);
	return p.rc;
}

int plan_forwards(const struct netdef *def, const char *guest, const struct net_prefix *v4,
		  plan_fn fn, void *opaque, struct err *e)
{
	struct plan p = { .def = def, .fn = fn, .opaque = opaque, .e = e };
	char table[48], addr[NET_PREFIX_TEXT], element[NETOP_ARG_BYTES];

	if (!v4->family)
		return 0;
	(void)net_addr_format(v4, addr);
	(void)plan_table(&p, "inet", table);
	for (unsigned i = 0; i < def->nr_forwards; i++) {
		const struct net_forward *f = &def->forwards[i];

		if (strcmp(f->guest, guest) != 0 && strcmp(f->guest, addr) != 0)
			continue;
		(void)snprintf(element, sizeof(element), "%u : %s . %u", f->host_port, addr,
			       f->guest_port);
		plan_op(&p, NETOP_ELEMENT, ARGS(table, plan_forward_map(f->udp), element), NULL);
	}
	return p.rc;
}
