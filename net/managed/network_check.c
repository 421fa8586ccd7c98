// SPDX-License-Identifier: MIT
// What may be in the way of a network; its guests' addresses.
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/managed/network_impl.h"
#include "net/managed/plan_impl.h"

#define FIRST_GUEST 10U /* below it: the host, and whatever its owner adds */

/* --- before it is made --- */

struct overlap {
	const struct netdef *def;
	struct err *e;
};

static int overlaps(const struct overlap *o, const struct net_prefix *p, const char *dev,
		    const struct net_prefix *mine)
{
	char theirs[NET_PREFIX_TEXT], ours[NET_PREFIX_TEXT];

	if (!mine->family || p->len == 0 || !net_prefix_overlap(p, mine))
		return 0;
	return err_set(o->e, -EADDRINUSE,
		       "%s is in use: %s on %s: choose another %s=", net_prefix_format(mine, ours),
		       net_prefix_format(p, theirs), dev,
		       mine->family == AF_INET ? "ipv4" : "ipv6");
}

static int check_addr(void *opaque, const char *dev, const struct net_prefix *addr, unsigned flags)
{
	const struct overlap *o = opaque;
	int rc;

	(void)flags;
	if (strcmp(dev, o->def->bridge) == 0)
		return 0;
	rc = overlaps(o, addr, dev, &o->def->v4);
	return rc < 0 ? rc : overlaps(o, addr, dev, &o->def->v6);
}

static int check_route(void *opaque, const struct netlink_route *r)
{
	return r->table == RT_TABLE_LOCAL ? 0 : check_addr(opaque, r->dev, &r->dst, 0);
}

/* Is there a default route by another way than @def's uplink? */
static int other_default(void *opaque, const struct netlink_route *r)
{
	const struct netdef *def = opaque;

	return r->dst.len == 0 && r->dst.family == AF_INET && r->table == RT_TABLE_MAIN &&
	       strcmp(r->dev, def->uplink) != 0;
}

static int any_default(void *opaque, const struct netlink_route *r)
{
	(void)opaque;
	return r->dst.len == 0 && r->dst.family == AF_INET && r->table == RT_TABLE_MAIN;
}

/* Who works on the host over the network should know before he cuts the branch he sits on. */
static int check_uplink(struct network_lock *lock, const struct netdef *def, struct err *e)
{
	struct netlink *nl = lock->env.nl;
	struct netlink_link link;
	int rc;

	if (!def->uplink[0])
		return 0;
	if (netlink_get_link(nl, def->uplink, &link) < 0)
		return err_set(e, -ENODEV, "uplink %s: no such interface", def->uplink);
	if (def->mode != NET_MODE_BRIDGE || def->default_route)
		return 0;
	rc = netlink_each_route(nl, def->uplink, any_default, NULL);
	if (rc > 0)
		rc = netlink_each_route(nl, NULL, other_default, (void *)(uintptr_t)def) == 0;
	if (rc <= 0)
		return rc;
	return err_set(e, -EBUSY,
		       "uplink %s: has the host's only default route, which would move to the "
		       "bridge: say --default-route if that is meant",
		       def->uplink);
}

static int check_bridge(struct network_lock *lock, const struct netdef *def, struct err *e)
{
	struct netlink_link link;
	int rc = netlink_get_link(lock->env.nl, def->bridge, &link);

	if (!def->foreign_bridge) {
		if (rc == 0)
			return err_set(e, -EEXIST,
				       "bridge %s: an interface of that name is there already: "
				       "choose another bridge=, or use it with existing=on",
				       def->bridge);
		return 0;
	}
	if (rc < 0)
		return err_set(e, rc, "bridge %s: no such interface", def->bridge);
	if (strcmp(link.kind, "bridge") != 0)
		return err_set(e, -EEXIST, "%s: exists, but is not a bridge", def->bridge);
	return 0;
}

int network_check(struct network_lock *lock, const struct netdef *def, struct err *e)
{
	struct overlap o = { .def = def, .e = e };
	int rc = check_bridge(lock, def, e);

	if (rc == 0)
		rc = check_uplink(lock, def, e);
	/* A routed network is the uplink's own, by intention. */
	if (rc < 0 || def->mode == NET_MODE_ROUTE)
		return rc;
	rc = netlink_each_addr(lock->env.nl, NULL, check_addr, &o);
	return rc < 0 ? rc : netlink_each_route(lock->env.nl, NULL, check_route, &o);
}

/* --- addresses --- */

static bool is_taken(const struct network_lock *lock, const struct netdef *def,
		     const struct net_prefix *addr)
{
	char path[NETWORK_PATH];

	network_address_path(lock->dirs->state, def->name, addr, path);
	return access(path, F_OK) == 0;
}

/* Which guest of that many, by its MAC; the same on every host. */
static uint32_t number_of(const uint8_t mac[6], uint32_t nr)
{
	uint32_t h = 2166136261U;

	for (unsigned i = 0; i < 6; i++)
		h = (h ^ mac[i]) * 16777619U;
	return h % nr;
}

static int check_wish(const struct network_lock *lock, const struct netdef *def,
		      struct net_prefix *addr, struct err *e)
{
	const struct net_prefix *net = addr->family == AF_INET ? &def->v4 : &def->v6;
	char text[NET_PREFIX_TEXT], range[NET_PREFIX_TEXT];

	if (!net_prefix_overlap(net, addr))
		return err_set(e, -EADDRNOTAVAIL, "address %s is not of the network (%s)",
			       net_addr_format(addr, text),
			       net->family ? net_prefix_format(net, range) : "none");
	if (is_taken(lock, def, addr) ||
	    memcmp(&addr->addr, &net->addr, net->family == AF_INET ? 4 : 16) == 0)
		return err_set(e, -EADDRINUSE, "address %s is taken", net_addr_format(addr, text));
	return 0;
}

static int choose_v4(const struct network_lock *lock, const struct netdef *def,
		     struct net_member *m, struct err *e)
{
	uint32_t hosts = (def->v4.len < 16 ? 1U << 16 : 1U << (32 - def->v4.len)) - 1;
	uint32_t first = hosts > 2 * FIRST_GUEST ? FIRST_GUEST : 1, nr = hosts - first;
	uint32_t start = number_of(m->mac, nr);

	for (uint32_t i = 0; i < nr; i++) {
		struct net_prefix addr = net_prefix_nth(&def->v4, first + (start + i) % nr);

		addr.len = 32;
		if (is_taken(lock, def, &addr) || addr.addr.v4.s_addr == def->v4.addr.v4.s_addr)
			continue;
		m->v4 = addr;
		return 0;
	}
	return err_set(e, -EADDRNOTAVAIL, "all addresses are taken");
}

/*
 * What a guest makes of the prefix that is advertised (RFC 4862), and, where it asks for
 * another one, that by DHCPv6: it has both then, and may send from both.
 */
static int choose_v6(const struct network_lock *lock, const struct netdef *def,
		     struct net_member *m, struct err *e)
{
	struct net_prefix own = plan_eui64(&def->v6, m->mac);
	char text[NET_PREFIX_TEXT];
	int rc = 0;

	if (m->v6.family)
		rc = check_wish(lock, def, &m->v6, e);
	if (rc < 0 || !def->v6.family)
		return rc;
	own.len = 128;
	if (is_taken(lock, def, &own))
		return err_set(e, -EADDRINUSE, "address %s, which follows from the MAC, is taken",
			       net_addr_format(&own, text));
	if (!m->v6.family)
		m->v6 = own;
	else if (!IN6_ARE_ADDR_EQUAL(&m->v6.addr.v6, &own.addr.v6))
		m->slaac = own;
	return 0;
}

int network_choose_addresses(const struct net_dirs *dirs, const struct netdef *def,
			     struct net_member *m, struct err *e)
{
	struct network_lock lock;
	int rc = network_lock(&lock, dirs, e);

	if (rc < 0)
		return rc;
	if (m->v4.family)
		rc = check_wish(&lock, def, &m->v4, e);
	else if (def->mode == NET_MODE_ROUTE && def->v4.family)
		rc = err_set(e, -EINVAL,
			     "a routed guest is on a network that others number, too: "
			     "give its address with ip=");
	else if (def->v4.family)
		rc = choose_v4(&lock, def, m, e);
	if (rc == 0)
		rc = choose_v6(&lock, def, m, e);
	network_unlock(&lock);
	if (rc < 0)
		(void)err_prefix(e, "network %s", def->name);
	return rc;
}
